"""Training runs on a laptop: each is one process that executes the compiled pipeline with kfp.local.

Everything about a run is in its folder `runs/<release uid>-<attempt>/`, so that a supervisor which did not start it reads it
right: `request.json` (what was asked), `process.json` (who claimed the run: pid and start time), `log.txt`, `ended.json`
(the process came to its end), `cancelled`. The folder appears complete, by rename; the process claims the run before it does
anything, and a run that nobody claimed is claimed by whoever finds it abandoned: so no run is ever executed twice.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import psutil
from msgspec import Struct

from trimtab.control.ports import RunRequest
from trimtab.platforms.local import processes
from trimtab.release import RunState

log = logging.getLogger(__name__)

REQUEST = "request.json"
CLAIM = "process.json"
ENDED = "ended.json"
CANCELLED = "cancelled"
LOG = "log.txt"
_GRACE = 3.0


class Claim(Struct, frozen=True):
    """The process that executes a run: a pid alone may be another process by now. `pid` 0: nobody ever will."""

    pid: int
    started: float


class Ended(Struct, frozen=True):
    """How the process came to its end; `fault` is empty where the pipeline ended with an outcome."""

    fault: str = ""


class LocalRunner:
    """The port `Runner` with one process a run."""

    def __init__(self, state: Path, tracking_uri: str) -> None:
        """`state` is the state folder, `tracking_uri` where the runs find MLflow."""
        self._state = state.resolve()
        self._tracking_uri = tracking_uri
        self._started: dict[Path, subprocess.Popen[bytes]] = {}

    def submit(self, request: RunRequest) -> None:
        """Start the run unless its folder exists; raises Unavailable where the process cannot be started."""
        folder = self._folder(request.release_uid, request.attempt)
        if folder.exists():
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".submit-") as draft:
            inner = Path(draft) / "run"
            inner.mkdir()
            (inner / REQUEST).write_bytes(msgspec.json.encode(request))
            try:
                inner.rename(folder)
            except OSError:
                log.info("run %s was submitted meanwhile", folder.name)
                return
        command = [sys.executable, "-m", "trimtab.platforms.local.runner_main", str(folder), "--tracking-uri", self._tracking_uri]
        env = {processes.STATE_VARIABLE: str(self._state), "PYTHONUNBUFFERED": "1"}
        self._started[folder] = processes.start(command, folder / LOG, env)

    def state(self, release_uid: str, attempt: int) -> tuple[RunState, str]:
        """Whether the run is absent, active or ended, and for an ended one why it failed (empty if it did not)."""
        folder = self._folder(release_uid, attempt)
        if not folder.exists():
            return "absent", ""
        process = self._started.get(folder)
        if processes.alive(process):
            return "active", ""
        claim = read_claim(folder) or abandon(folder)
        if process is None and alive(claim):
            return "active", ""
        return "ended", self._fault(folder, claim)

    def cancel(self, release_uid: str, attempt: int) -> None:
        """End the run with everything it started; nothing happens where there is none, or where it has ended."""
        folder = self._folder(release_uid, attempt)
        if not folder.exists():
            return
        if not (folder / ENDED).exists():
            (folder / CANCELLED).touch()
        process = self._started.get(folder)
        if process is not None:
            _end(process)
            return
        holder = read_claim(folder) or abandon(folder)
        if alive(holder):
            end_group(holder.pid)

    def close(self) -> None:
        """End every run that this runner started."""
        for process in self._started.values():
            _end(process)

    def _folder(self, release_uid: str, attempt: int) -> Path:
        return self._state / "runs" / f"{release_uid}-{attempt}"

    def _fault(self, folder: Path, claim: Claim) -> str:
        if (folder / CANCELLED).exists():
            return "the run was cancelled"
        if (folder / ENDED).exists():
            return msgspec.json.decode((folder / ENDED).read_bytes(), type=Ended).fault
        if claim.pid == 0:
            return "the run was never started: its supervisor ended before"
        said = processes.last_line(folder / LOG)
        return f"the run's process was killed; its last words: {said or 'none'}"


def read_claim(folder: Path) -> Claim | None:
    """Who executes the run in `folder`, None where nobody has claimed it yet."""
    try:
        return msgspec.json.decode((folder / CLAIM).read_bytes(), type=Claim)
    except FileNotFoundError:
        return None


def claim(folder: Path, mine: Claim) -> Claim:
    """Claim the run in `folder`; returns who holds it, which is `mine` only for the first who asks."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".claim-") as draft:
        draft.write(msgspec.json.encode(mine))
        draft.flush()
        try:
            (folder / CLAIM).hardlink_to(draft.name)
        except FileExistsError:
            return read_claim(folder) or mine
    return mine


def abandon(folder: Path) -> Claim:
    """Claim a run that no process claimed, so that a late one does not start it; returns who holds it."""
    return claim(folder, Claim(0, 0.0))


def alive(claim: Claim) -> bool:
    """Whether the very process that claimed the run still runs."""
    try:
        process = psutil.Process(claim.pid) if claim.pid else None
        return process is not None and process.create_time() == claim.started and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_group(leader: int) -> None:
    """End the process and all its descendants, at the latest after some seconds by SIGKILL."""
    try:
        process = psutil.Process(leader)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        log.debug("process %d had ended already", leader)
        return
    for member in family:
        _signal(member, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(family, timeout=_GRACE)
    for member in stubborn:
        _signal(member, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=_GRACE)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a child and its descendants; a pid that was waited for already is no longer ours."""
    if process.poll() is None:
        end_group(process.pid)
    process.wait()


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        log.debug("process %d had ended already", process.pid)


def own_claim() -> Claim:
    """The claim of this process."""
    return Claim(os.getpid(), psutil.Process().create_time())
