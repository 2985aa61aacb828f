"""What the demo drives the loop with: `trimtab` commands as a person would type them, a clock, and an eye on memory."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

OUT, STATE = Path("demo"), Path("demo/state")
TRIMTAB = Path(sys.executable).parent / "trimtab"
TERMINAL = ("Promoted", "Rejected", "RolledBack", "Inconclusive", "Failed", "Refused", "Superseded", "Cancelled")
POLL_SECONDS, TELL_SECONDS = 1.5, 10.0

Release = dict[str, Any]
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 140)


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
            self.peak = max(self.peak, self._sum())
            time.sleep(1.0)

    def _sum(self) -> int:
        family = {process.pid for process in psutil.Process().children(recursive=True)} | {psutil.Process().pid}
        total = 0
        for process in psutil.process_iter():
            try:
                if process.pid in family or process.environ().get("TRIMTAB_STATE") == self._mark:
                    total += process.memory_info().rss
            except (psutil.Error, OSError):
                continue
        return total


class Background(NamedTuple):
    """A command that runs beside the others, and its log."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def last_word(self) -> str:
        said = self.log.read_text(errors="replace").strip().splitlines()
        return said[-1] if said else f"exit code {self.process.poll()}"


def _command(words: Sequence[object]) -> list[str]:
    """The command as it runs: `trimtab` and `python` of this environment."""
    program = TRIMTAB if words[0] == "trimtab" else sys.executable
    return [str(program), *map(str, words[1:])]


def _interrupt(process: "subprocess.Popen[Any]") -> None:
    """End a process as Ctrl-C does, unless it has ended; one that does not hear is killed."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Driver:
    """Runs commands, plays the rows at a pace that fits what is under way, and tells each decision as it falls."""

    def __init__(self, limit: float, patience: float) -> None:
        """`limit` bounds everything, `patience` how long something may still come of rows that are all played; seconds."""
        self.limit, self.patience = limit, patience
        self.started = time.monotonic()
        self.memory = Memory()
        self.memory.start()
        self.rate = 0.0
        self._beside: list[Background] = []
        self._player: Background | None = None
        self._over = self._spoke = 0.0
        self._told: set[str] = set()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def say(self, text: str, style: str = "") -> None:
        self._spoke = time.monotonic()
        console.print(f"{self.elapsed:6.1f} s  {text}", style=style, markup=False)

    def run(self, *words: object, quiet: bool = False) -> str:
        """Run one command to its end and return what it printed; raises LoopOpen with its last word where it failed."""
        line = " ".join(map(str, words))
        if not quiet:
            self.say(f"$ {line}", "bold")
        errors = subprocess.PIPE if quiet else None
        process = subprocess.Popen(_command(words), stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        try:
            said, complained = process.communicate(timeout=max(5.0, self.limit - self.elapsed))
        except subprocess.TimeoutExpired as error:
            msg = f"`{line}` did not end within the time limit of {self.limit:.0f} s"
            raise LoopOpen(msg) from error
        finally:
            _interrupt(process)
        if process.returncode != 0:
            last = (said.strip() or (complained or "").strip()).splitlines()[-1:]
            msg = f"`{line}` ended with {process.returncode}: {last[0] if last else 'see above'}"
            raise LoopOpen(msg)
        if not quiet and said.strip():
            console.print(said.rstrip(), markup=False)
        return said

    def start(self, name: str, *words: object) -> Background:
        """Start a command beside everything else; what it prints goes to a log."""
        self.say(f"$ {' '.join(map(str, words))} &", "bold")
        log = OUT / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(_command(words), stdout=output, stderr=output, start_new_session=True)
        self._beside.append(Background(process, log))
        return self._beside[-1]

    def end(self, *, keep: bool) -> None:
        """Interrupt what was started beside, and unless it is to be kept take the loop down."""
        for beside in self._beside:
            _interrupt(beside.process)
        if keep or not (STATE / "state.db").exists():
            return
        self.limit = self.elapsed + 60
        self.run("trimtab", "local", "down", "--state", STATE)

    def ask(self, *words: object) -> Any:
        """The answer of a `trimtab` command as JSON."""
        return json.loads(self.run("trimtab", *words, "--state", STATE, "--json", quiet=True))

    # --- the play

    def play(self, data: Path, rate: float) -> None:
        """Play the rows at this rate from where they stand; nothing happens where they are played so already."""
        if rate == self.rate or self._over:
            return
        self.stop_play()
        self.rate = rate
        self._player = self.start("play", "trimtab", "local", "play", data, "--state", STATE, "--rate", f"{rate:g}", "--json")

    def stop_play(self) -> None:
        """End the play as Ctrl-C does: the next one goes on from there."""
        if self._player:
            _interrupt(self._player.process)

    def played(self) -> dict[str, Any]:
        """How far the play came, as it wrote down itself."""
        found = sorted((STATE / "play").glob("*.json"))
        return json.loads(found[0].read_text()) if found else {"answered": 0, "failed": 0, "retried": 0, "next_row": 0}

    def over(self) -> bool:
        """Whether all rows were played so long ago that nothing more will come of them; raises LoopOpen where the play broke off."""
        code = self._player.process.poll() if self._player else None
        if self._player is None or code is None:
            return False
        if code != 0:
            msg = f"a request was lost: the play broke off: {self._player.last_word()}"
            raise LoopOpen(msg)
        self._over = self._over or time.monotonic()
        return time.monotonic() - self._over > self.patience

    # --- the Releases

    def wait(self, what: str, look: Callable[[list[Release]], Release | None], missing: Callable[[list[Release]], str]) -> Release:
        """Poll the Releases, telling each new decision, until `look` finds one; `missing` says what did not happen."""
        self.say(f"... waiting for {what}", "dim")
        while True:
            releases: list[Release] = self.ask("releases")
            self.tell(releases)
            if found := look(releases):
                return found
            if self.over():
                msg = f"{missing(releases)}, and all rows are played"
                raise LoopOpen(msg)
            if self.elapsed > self.limit:
                msg = f"{missing(releases)}, and the time limit of {self.limit:.0f} s is over"
                raise LoopOpen(msg)
            self._progress()
            time.sleep(POLL_SECONDS)

    def _progress(self) -> None:
        """Now and then how far the play is."""
        if time.monotonic() - self._spoke > TELL_SECONDS:
            played = self.played()
            failed = f", {played['failed']} without a prediction" if played["failed"] else ""
            self.say(f"[{(played.get('data_time') or '')[:10]}] {played['answered']:,} requests answered{failed}", "dim")

    def tell(self, releases: list[Release], *, quiet: bool = False) -> None:
        """Every decision of the Releases that were admitted, once."""
        shown = [release for release in releases if any(record["phase"] == "Training" for record in release["decisions"])]
        records = [(record, release["name"]) for release in shown for record in release["decisions"] if record["hash"] not in self._told]
        for record, name in sorted(records, key=lambda pair: (pair[0]["at"], pair[0]["sequence"])):
            self._told.add(record["hash"])
            data = (record.get("dataTime") or "")[:10]
            if not quiet:
                self.say(f"[{data}] {name}  {record['phase']:<11} {record['weight']:>3}%  {record['sentence']}")


def summary(driver: Driver, releases: list[Release], found: dict[str, Any]) -> None:
    """What happened when, in both clocks."""
    table = Table(title="What happened", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("data time", "after", "version", "what"):
        table.add_column(column, overflow="fold")
    began = time.time() - driver.elapsed
    first = next(one for one in driver.ask("releases") if one["trigger"] == "recipe")
    for release in (first, *releases):
        table.add_row(release["cut"][:10], "", release["version"], f"[bold]{release['trigger']}[/]: {escape(release['request'])}")
        phase = ""
        for record in release["decisions"]:
            if record["phase"] == phase and record["reason"] not in ("NextStep", "ChampionSwapped", "BakeOver"):
                continue
            phase = record["phase"]
            after = datetime.fromisoformat(record["at"]).timestamp() - began
            table.add_row(
                (record.get("dataTime") or "")[:16].replace("T", " "), f"{after:.0f} s", "", escape(f"{phase}: {record['sentence']}")
            )
    console.print(table)
    console.print(f"{len(found['findings'])} findings in {found['judged']} judged windows\n")
