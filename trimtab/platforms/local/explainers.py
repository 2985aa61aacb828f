"""The explainers on a laptop: one process a Model that asks for one, which explains its champion on a port of its own.

Alibi has an environment of its own beside ours, as the detectors have. Where it is missing a sentence says how to get it, and all
else goes on. When the champion changes the process is replaced, on the same port; what is under way ends first.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from trimtab.platforms.local import processes
from trimtab.platforms.local.child import Child
from trimtab.platforms.local.serving_files import version_path
from trimtab.platforms.local.state import State
from trimtab.spec import ExplainerSummary, Model
from trimtab.units import duration

log = logging.getLogger("trimtab")

EXPLAINERS = "explainers.json"
CAGE = ".venv-explainer"
CANNOT_BE_EXPLAINED = 2
READY = "/v2/health/ready"
PROBE_SECONDS = 1.0
CLOSE_SECONDS = 5.0


def explainer_python() -> Path:
    """The interpreter of the environment that Alibi lives in: beside ours, under its own name."""
    return Path(sys.prefix).parent / CAGE / "bin" / "python"


def lacking(python: Path) -> str:
    """What to say where there is no such environment; empty where there is one."""
    return "" if python.is_file() else f"nothing is explained without Alibi's environment {CAGE}: make build/stamps/explainer"


class _Running(Struct):
    """An explainer's process, and what is known of it; `probed` is when it was last asked whether it is ready."""

    child: Child
    command: list[str]
    version: str
    ready: bool = False
    probed: float = 0.0
    fault: str = ""


class LocalExplainers:
    """All explainers of one state folder; `tend` is to be called a few times a second, from one thread.

    `address` gives the base URL of a version's own predictor, None where it is not served.
    """

    def __init__(self, state: State, address: Callable[[Model, str], str | None], python: Path | None = None) -> None:
        self._state, self._address, self._python = state, address, python or explainer_python()
        self._ports: dict[str, int] = {}
        self._running: dict[str, _Running] = {}
        self._told: dict[str, ExplainerSummary] = {}

    def tend(self, models: Iterable[Model]) -> None:
        """Start, replace, start again and end processes, one step at a time, as these Models ask."""
        wanted = {model.name: model for model in models if model.spec.serving.explainer and model.status.champion}
        missing = lacking(self._python)
        if missing and wanted.keys() - self._told.keys():
            log.warning("%s", missing)
        for name in self._running.keys() - wanted.keys():
            self._ended(name)
        for name, model in wanted.items():
            if not missing:
                self._tend(name, model)
        self._told = {name: self._summary(name, model, missing) for name, model in wanted.items()}

    def told(self) -> dict[str, Any]:
        """Where each Model's explainer is asked and how it stands, by the Model's name."""
        return {name: msgspec.to_builtins(summary) for name, summary in self._told.items()}

    def pids(self) -> dict[str, int]:
        """The process ids of all explainers, by name."""
        return {one.child.name: one.child.process.pid for one in self._running.values()}

    def close(self) -> None:
        """End all; SIGKILL after 5 s."""
        for one in self._running.values():
            one.child.process.terminate()
        for one in self._running.values():
            processes.stop(one.child.process, CLOSE_SECONDS)
        self._running.clear()

    def _tend(self, name: str, model: Model) -> None:
        command, running = self._command(name, model), self._running.get(name)
        if command is None or (running and running.command != command and not self._ended(name)):
            return
        running = self._running.get(name)
        if running is None:
            version = model.status.champion.version if model.status.champion else ""
            running = self._running[name] = _Running(Child(f"explainer-{name}", command, self._state), command, version)
        if running.child.process.poll() == CANNOT_BE_EXPLAINED:
            running.fault = processes.last_line(self._state.logs / f"{running.child.name}.log")
        running.child.tend()
        now = time.monotonic()
        if now - running.probed > PROBE_SECONDS:
            running.ready, running.probed = processes.answers(self._ports[name], READY, PROBE_SECONDS), now

    def _ended(self, name: str) -> bool:
        """Whether the process has ended, which is asked to."""
        process = self._running[name].child.process
        if processes.alive(process):
            process.terminate()
            return False
        del self._running[name]
        return True

    def _command(self, name: str, model: Model) -> list[str] | None:
        explainer, champion = model.spec.serving.explainer, model.status.champion
        if explainer is None or champion is None or (address := self._address(model, champion.version)) is None:
            return None
        port = self._ports.setdefault(name, processes.free_port())
        given = {
            "model_name": name,
            "predictor_host": urlsplit(address).netloc,
            "http_port": port,
            "method": explainer.method,
            "version": champion.version,
            "digest": champion.digest,
            "folder": version_path(self._state.folder, name, champion.version),
            "python": self._python,
            "calls": explainer.budget.calls,
            "seconds": duration(explainer.budget.time).total_seconds(),
        }
        return [sys.executable, "-m", "serving.explainer", *(f"--{option}={value}" for option, value in given.items())]

    def _summary(self, name: str, model: Model, missing: str) -> ExplainerSummary:
        explainer, champion, running = model.spec.serving.explainer, model.status.champion, self._running.get(name)
        version, method = champion.version if champion else "", explainer.method if explainer else ""
        url = f"http://127.0.0.1:{self._ports[name]}" if name in self._ports else ""
        if running and running.ready and running.version == version:
            return ExplainerSummary(url, version, ready=True, sentence=f"version {version} is explained by {method}")
        why = (running.fault if running and running.version == version else "") or "its explainer is starting"
        return ExplainerSummary(url, version, sentence=missing or f"version {version} is not explained yet: {why}")
