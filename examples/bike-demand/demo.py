"""The whole loop on real data, with nothing but `trimtab` commands, each shown so that a person can do the same by hand.

A first version learns from the first half of 2011. The hours that follow are played as live traffic; demand grows, the
monitor finds it, and a new version is trained, canaried and promoted. Then a model from a notebook that passes every gate, but fails
on the hours that it never saw, is submitted and rolled back. Exit code 0 only if all of that happened.

`--control` plays weeks drawn again from the training period instead: nothing has changed, so nothing may be retrained.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
DOCUMENT = HERE / "model.yaml"
DATA, CONTROL = Path("build/bike-demand/bike.csv"), Path("build/bike-demand/control.csv")
OUT, STATE, REPORT = Path("demo"), Path("demo/state"), Path("demo/report.html")
TRIMTAB = Path(sys.executable).parent / "trimtab"
FROM = "2011-07-01"
FOUND = ("performance", "concept", "drift")
TERMINAL = ("Promoted", "Rejected", "RolledBack", "Inconclusive", "Failed", "Refused", "Superseded", "Cancelled")
POLL_SECONDS = 1.5
PATIENCE_SECONDS = 30.0

console = Console(highlight=False, soft_wrap=True)
Releases = list[dict[str, Any]]


class LoopOpen(Exception):
    """The loop did not close; the message is the one sentence that says where."""


class Memory(threading.Thread):
    """The largest sum of resident memory of the demo's processes and of those that carry its state folder's mark."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._mark = str(STATE.resolve())

    def run(self) -> None:
        while True:
            self.peak = max(self.peak, sum(self._sizes().values()))
            time.sleep(1.0)

    def _sizes(self) -> dict[int, int]:
        family = {process.pid for process in psutil.Process().children(recursive=True)} | {psutil.Process().pid}
        sizes = {}
        for process in psutil.process_iter():
            try:
                if process.pid in family or process.environ().get("TRIMTAB_STATE") == self._mark:
                    sizes[process.pid] = process.memory_info().rss
            except (psutil.Error, OSError):
                continue
        return sizes


class Demo:
    """One run: the commands, what they said, and the clock."""

    def __init__(self, rate: float, limit: float) -> None:
        self.rate, self.limit = rate, limit
        self.started = time.monotonic()
        self.memory = Memory()
        self.memory.start()
        self.player: subprocess.Popen[bytes] | None = None
        self.played_out = 0.0
        self.told: set[str] = set()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def say(self, text: str, style: str = "") -> None:
        console.print(f"{self.elapsed:6.1f} s  {text}", style=style, markup=False)

    def command(self, *arguments: object, shown: bool = True, output: bool = True) -> str:
        """Run one command to its end and return what it printed; raises LoopOpen with its last word where it failed."""
        words = [str(argument) for argument in arguments]
        if shown:
            self.say(f"$ {' '.join(words)}", "bold")
        left = max(1.0, self.limit - self.elapsed)
        program = TRIMTAB if words[0] == "trimtab" else Path(sys.executable)
        try:
            done = subprocess.run(
                [str(program), *words[1:]], stdout=subprocess.PIPE, stderr=None if output else subprocess.PIPE, text=True, timeout=left, check=False
            )
        except subprocess.TimeoutExpired as error:
            msg = f"`{' '.join(words)}` did not end within the time limit of {self.limit:.0f} s"
            raise LoopOpen(msg) from error
        if done.returncode != 0:
            last = (done.stdout.strip() or (done.stderr or "").strip()).splitlines()[-1:]
            msg = f"`{' '.join(words)}` ended with {done.returncode}" + (f": {last[0]}" if last else "")
            raise LoopOpen(msg)
        if shown and output and done.stdout.strip():
            console.print(done.stdout.rstrip(), markup=False)
        return done.stdout

    def ask(self, *arguments: object) -> Any:
        """The answer of a command with `--json`."""
        return json.loads(self.command("trimtab", *arguments, "--state", STATE, "--json", shown=False, output=False))

    def play(self, data: Path) -> None:
        words = ["trimtab", "local", "play", str(data), "--state", str(STATE), "--rate", f"{self.rate:g}"]
        self.say(f"$ {' '.join(words)} &", "bold")
        with (OUT / "play.log").open("wb") as log:
            self.player = subprocess.Popen([str(TRIMTAB), *words[1:], "--json"], stdout=log, stderr=log, start_new_session=True)

    def played(self) -> dict[str, Any]:
        """How far the play came, as it wrote down itself."""
        found = sorted((STATE / "play").glob("*.json"))
        return json.loads(found[0].read_text()) if found else {"answered": 0, "failed": 0, "retried": 0, "codes": {}, "data_time": None}

    def stop_play(self) -> None:
        """End the play as Ctrl-C does; it could go on from there."""
        if self.player and self.player.poll() is None:
            self.player.send_signal(signal.SIGINT)
            self.player.wait(30)

    def watch_play(self) -> None:
        """Raise LoopOpen where the play broke off, or has been over for so long that nothing more will come of it."""
        code = self.player.poll() if self.player else None
        if code is None:
            return
        self.played_out = self.played_out or time.monotonic()
        if code != 0:
            said = (OUT / "play.log").read_text(errors="replace").strip().splitlines()
            msg = f"a request was lost: the play broke off: {said[-1] if said else code}"
            raise LoopOpen(msg)
        if time.monotonic() - self.played_out > PATIENCE_SECONDS:
            msg = "all rows are played"
            raise TimeoutError(msg)

    def wait(self, what: str, done: Callable[[Releases], dict[str, Any] | None], missing: Callable[[Releases], str]) -> dict[str, Any]:
        """Poll the Releases, telling each new decision, until `done` finds one; `missing` says what did not happen."""
        self.say(f"... waiting for {what}", "dim")
        while True:
            releases = self.ask("releases")
            self.tell(releases)
            if found := done(releases):
                return found
            try:
                self.watch_play()
            except TimeoutError as error:
                msg = f"{missing(releases)} before all rows were played"
                raise LoopOpen(msg) from error
            if self.elapsed > self.limit:
                msg = f"{missing(releases)} within {self.limit:.0f} s"
                raise LoopOpen(msg)
            time.sleep(POLL_SECONDS)

    def tell(self, releases: Releases) -> None:
        records = [(record, release) for release in releases for record in release["decisions"] if record["hash"] not in self.told]
        for record, release in sorted(records, key=lambda pair: (pair[0]["at"], pair[0]["sequence"])):
            self.told.add(record["hash"])
            data = (record.get("dataTime") or "")[:10]
            self.say(f"{data:<10}  {release['name']}  {record['phase']:<11} {record['weight']:>3}%  {record['sentence']}")


# --- the two stories --------------------------------------------------------------------------------------------------


def retrained_in(releases: Releases, *phases: str) -> dict[str, Any] | None:
    return next((release for release in releases if release["trigger"] in FOUND[:2] and release["phase"] in phases), None)


def no_promotion(releases: Releases) -> str:
    asked = [release for release in releases if release["trigger"] in FOUND[:2]]
    if not asked:
        return "no drift was found: no performance or concept finding asked for a new version"
    last = next((release for release in reversed(asked) if release["version"]), asked[-1])
    return f"no promotion: {last['name']} is {last['phase']} ({last['sentence']}); nothing was promoted"


def brought(releases: Releases) -> dict[str, Any] | None:
    return next((release for release in releases if release["trigger"] == "person"), None)


def ended(releases: Releases) -> dict[str, Any] | None:
    found = brought(releases)
    return found if found and found["phase"] in TERMINAL else None


def no_rollback(releases: Releases) -> str:
    found = brought(releases)
    return f"no rollback: the notebook's model is {found['phase']} ({found['sentence']})" if found else "no rollback: the notebook's model made no Release"


def begin(demo: Demo, data: Path) -> None:
    """Data, a clean folder, and everything up with its first version."""
    for wanted, option in ((DATA, ()), (data, ("--control",))) if data == CONTROL else ((DATA, ()),):
        demo.command("python", HERE / "prepare.py", "--out", wanted, *option)
    if (STATE / "state.db").exists():
        demo.command("trimtab", "local", "down", "--state", STATE)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    ports = [word for name in ("gateway", "events", "mlflow") for word in (f"--{name}-port", "0")]
    demo.command("trimtab", "local", "up", DOCUMENT, "--from", FROM, "--state", STATE, *ports)
    demo.play(data)


def send_again(demo: Demo, release: dict[str, Any]) -> None:
    """Post the finding's event a second time, as a network that repeats itself would; it must make no second Release."""
    request = demo.ask("why", release["name"])["request"]
    before = {one["name"] for one in demo.ask("releases")}
    event = {"specversion": "1.0", "id": request["id"], "source": request["source"], "type": "dev.trimtab.finding.v1", "data": request["event"]}
    url = demo.ask("local", "status")["endpoints"]["events"]
    secret = (STATE / "secret").read_text().strip()
    headers = {"content-type": "application/cloudevents+json", "authorization": f"Bearer {secret}"}
    demo.say(f"$ curl {url} -H 'authorization: Bearer ...' -d '<the finding {request['id'][:8]}... once more>'", "bold")
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(event).encode(), headers), timeout=30) as answer:  # noqa: S310
            status = answer.status
    except urllib.error.HTTPError as error:
        msg = f"the duplicate of the finding was answered with {error.code}: {error.read().decode(errors='replace')[:200]}"
        raise LoopOpen(msg) from error
    time.sleep(1.0)
    for name in {one["name"] for one in demo.ask("releases")} - before:
        again = demo.ask("why", name)["request"]
        if (again["source"], again["id"]) == (request["source"], request["id"]):
            msg = f"a duplicate made a second Release: {name} beside {release['name']}"
            raise LoopOpen(msg)
    demo.say(f"answered {status}; still one Release of that finding: {release['name']}")
