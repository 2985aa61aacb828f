"""The servers of the serving bench as processes: started, asked, weighed, ended."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from msgspec import Struct

from tests.bench.serving_rivals import ROOT, Rival
from tests.unit.serving.tiny import answers, call, until
from trimtab.platforms.local.processes import free_port, start


class Running(Struct):
    """A server that answers on `port`; `events` is where it counts what it has yet to send."""

    rival: Rival
    process: "subprocess.Popen[bytes]"
    port: int

    def ask(self, bodies: Path, rows: int, connections: int, seconds: float) -> dict[str, float]:
        """One run of the load, in a process of its own."""
        self.settle()
        before = self.cpu()
        found = load(self.port, self.rival.path, bodies / f"{self.rival.form}-{rows}.json", connections, seconds)
        cpu_us = (self.cpu() - before) / found.pop("requests") * 1e6
        return {**found, "cpu_us": cpu_us}

    def settle(self) -> None:
        """Until the events of the run before have been sent."""
        if "capture" in self.rival.name:
            until(lambda: "trimtab_capture_queued 0.0" in call(self.port, "GET", "/metrics")[2].splitlines(), 60)

    def rss(self) -> float:
        """Resident memory of the server and its children in MB (shared pages are counted once a process)."""
        return sum(process.memory_info().rss for process in self._all()) / 1e6

    def cpu(self) -> float:
        """Seconds that the server and its children have been on a processor."""
        return sum(sum(process.cpu_times()[:2]) for process in self._all())

    def _all(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]


def load(port: int, path: str, file: Path, connections: int, seconds: float) -> dict[str, float]:
    """What `tests.bench.serving_load ask` measures."""
    command = [sys.executable, "-m", "tests.bench.serving_load", "ask", str(port), path, str(file), str(connections), str(seconds)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextmanager
def process(command: Sequence[str], log: Path, where: Path = ROOT, environment: dict[str, str] | None = None) -> Iterator[Any]:
    """A process that is ended with its children."""
    added = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(environment or {})}
    started = start(["/usr/bin/env", "-C", str(where), *command], log, added)
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@contextmanager
def running(rival: Rival, log: Path) -> Iterator[Running]:
    """A server that is ready."""
    ports = {"{port}": str(free_port()), "{other}": str(free_port()), "{third}": str(free_port())}
    environment = {name: ports.get(value, value) for name, value in rival.environment.items()}
    with process([ports.get(word, word) for word in rival.command], log, rival.where, environment) as started:
        port = int(ports["{port}"])

        def ready() -> bool:
            if started.poll() is not None:
                msg = f"{rival.name} ended: {log.read_text()[-2000:]}"
                raise SystemExit(msg)
            return answers(port, rival.ready)

        until(ready, 120)
        yield Running(rival, started, port)
