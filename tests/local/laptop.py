"""A whole local platform under test: the real command line, real processes, and waiting for conditions."""

import contextlib
import csv
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psutil

from trimtab.cli.releases import summary
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.release import Release

TRIMTAB = str(Path(sys.executable).parent / "trimtab")
ROOT = Path(__file__).parents[2]
START = datetime(2026, 1, 1)  # noqa: DTZ001 - the data's own times carry no zone
TRAINED = 960
FREE_PORTS = ("--gateway-port", "0", "--events-port", "0", "--mlflow-port", "0")

DOCUMENT = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {{name: load}}
spec:
  task: regression
  data: {{uri: rows.csv, time: at, key: id, label: load, labelDelay: 6h, history: 25d}}
  approval: {approval}
  rollout:
    steps: [20, 50]
    guard: {{errors: {{margin: "+0.10"}}, slow: {{threshold: 2500ms, margin: "+0.20"}}}}
    bake: {{duration: 10d}}
  monitoring:
    window: {{rows: 120}}
    drift: {{persistence: 2 of 3}}
  retraining: {{"on": [performance, concept], cooldown: 48h}}
"""


def write_rows(path: Path, rows: int, changes_at: int | None = None) -> None:
    """Hourly rows; from `changes_at` on the same inputs lead to outcomes twice as high."""
    rand = random.Random(7)  # noqa: S311 - test data
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["at", "id", "hour", "warmth", "kind", "load"])
        for index in range(rows):
            at = START + timedelta(hours=index)
            warmth = rand.gauss(15, 5)
            kind = rand.choice(["home", "shop", "mill"])
            base = 40 + 25 * math.sin(at.hour / 24 * 2 * math.pi) + 1.5 * warmth + {"home": 0, "shop": 15, "mill": 40}[kind]
            factor = 2.0 if changes_at is not None and index >= changes_at else 1.0
            writer.writerow([at.isoformat(), f"r{index}", at.hour, round(warmth, 2), kind, round(base * factor + rand.gauss(0, 4), 2)])


class Laptop:
    """One folder with a document, its data and its state."""

    def __init__(self, folder: Path, state: Path | None = None) -> None:
        self.folder = folder
        self.state = state or folder / "state"

    def run(self, *words: str, code: int = 0, timeout: float = 180) -> "subprocess.CompletedProcess[str]":
        """A command on this state; fails where it ends with another code."""
        done = subprocess.run(
            [TRIMTAB, *words, "--state", str(self.state)], capture_output=True, text=True, timeout=timeout, cwd=self.folder, check=False
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{self.log()}"
        return done

    def ask(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)

    def up(self, document: str = "model.yaml") -> None:
        cut = (START + timedelta(hours=TRAINED)).isoformat()
        self.run("local", "up", document, "--from", cut, *FREE_PORTS)

    def down(self) -> None:
        self.run("local", "down")

    def status(self) -> Any:
        return self.ask("local", "status")

    def releases(self) -> list[dict[str, Any]]:
        """What `trimtab releases --json` prints, without a process: tests ask for it all the time while they wait."""
        objects = SqliteObjects(State(self.state).database)
        try:
            found: list[dict[str, Any]] = msgspec.to_builtins([summary(one) for one in objects.all_of(Release)])
            return found
        finally:
            objects.close()

    def pid(self, name: str) -> int:
        """The process id of one of our processes; `supervisor` too."""
        status = self.status()
        return int(status["supervisor"] if name == "supervisor" else status["processes"][name])

    def log(self) -> str:
        log = self.state / "logs" / "supervisor.log"
        return log.read_text()[-4000:] if log.exists() else ""

    def processes(self) -> list[psutil.Process]:
        """Every living process that belongs to this state folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TRIMTAB_STATE") == str(self.state.resolve()) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def commands(self) -> list[str]:
        """The command lines of what is alive."""
        return [" ".join(process.cmdline()) for process in self.processes()]

    def play(self, *words: str, data: str = "rows.csv") -> "subprocess.Popen[str]":
        command = [TRIMTAB, "local", "play", data, "--json", "--state", str(self.state), *words]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait(self, what: str, condition: Callable[[], Any], seconds: float = 120) -> Any:
        """The condition's first true value; fails with the log after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.1)
        told = [(release["name"], release["phase"], release["sentence"]) for release in self.releases()]
        msg = f"{what} did not happen within {seconds:.0f} s; releases: {told}\n{self.log()}"
        raise AssertionError(msg)

    def release(self, trigger: str, *phases: str) -> dict[str, Any] | None:
        """The first Release of that trigger, if it is in one of the phases."""
        found = [release for release in self.releases() if release["trigger"] == trigger]
        return found[0] if found and found[0]["phase"] in phases else None

    def chain_is_whole(self) -> None:
        assert self.ask("audit", "verify")["whole"]

    def served(self, at: datetime | None = None) -> dict[str, Any]:
        """The one version that served the Model at that time, or now, by the audit records."""
        moment = (at or datetime.now(UTC)).isoformat()
        (share,) = self.ask("audit", "served", "--model", "load", "--at", moment)["shares"]
        found: dict[str, Any] = share
        return found

    def end(self) -> None:
        """Whatever a failed test left; by pid."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def interrupt(process: "subprocess.Popen[str]") -> None:
    """Stop a play as a person does."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def kill(pid: int) -> None:
    """As a power cut would."""
    os.kill(pid, signal.SIGKILL)
