"""Child processes that do not outlive the supervisor: started, ended, and, after a crash of the supervisor, found again.

A child ends with its supervisor by the kernel's parent-death signal; whatever still survives carries the absolute state folder in
its environment (TRIMTAB_STATE), by which the next `up` finds and ends it.
"""

import ctypes
import http.client
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from trimtab.errors import Unavailable
from trimtab.last_words import last_said

log = logging.getLogger(__name__)

STATE_VARIABLE = "TRIMTAB_STATE"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_prctl = getattr(_libc, "prctl", None)

# The kernel sends the parent-death signal when the *thread* that started the child ends: so one thread starts all and never ends.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")


def start(
    command: Sequence[str | Path],
    log_path: Path,
    env: Mapping[str, str],
    sockets: tuple[int, ...] = (),
    cwd: Path | None = None,
    output: Path | None = None,
) -> "subprocess.Popen[bytes]":
    """Start `command` in a session of its own, stdout and stderr appended to `log_path`; `env` is added to this process's own.

    It starts in the folder `cwd`, else in this process's own; with `output`, its stdout goes to that file alone.

    The file descriptors `sockets` are inherited, under their own numbers.

    Raises Unavailable where the command cannot be started.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    return _starter.submit(_start, [str(part) for part in command], log_path, {**os.environ, **env}, sockets, cwd, output).result()


def stop(process: "subprocess.Popen[bytes]", grace: float) -> None:
    """SIGTERM, and after `grace` seconds SIGKILL; returns when the process has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            log.warning("process %d did not end within %.1f s of SIGTERM and was killed", process.pid, grace)
            process.kill()
    process.wait()


def alive(process: "subprocess.Popen[bytes] | None") -> bool:
    """Whether there is such a process and it runs."""
    return process is not None and process.poll() is None


def end_leftovers(state_folder: Path, grace: float = 3.0) -> int:
    """End every process of this state folder but ourselves, our ancestors and our children; returns how many there were.

    `grace` is the seconds between SIGTERM and SIGKILL. Only processes whose environment we may read are seen.
    """
    import psutil

    own = psutil.Process()
    spared = {own.pid, *(process.pid for process in own.parents()), *(process.pid for process in own.children(recursive=True))}
    wanted = str(state_folder.resolve())
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in spared and process.environ().get(STATE_VARIABLE) == wanted:
                process.terminate()
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    _, stubborn = psutil.wait_procs(found, timeout=grace)
    for process in stubborn:
        log.warning("left-over process %d did not end on SIGTERM and was killed", process.pid)
        process.kill()
    psutil.wait_procs(stubborn, timeout=grace)
    return len(found)


def free_port() -> int:
    """A port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_taken(port: int) -> bool:
    """Whether something listens on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def answers(port: int, path: str, seconds: float) -> bool:
    """Whether 200 is answered on this machine's `port` to a GET of `path`, within so many seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def last_line(log_path: Path) -> str:
    """The last line of a log that is not empty, without its end; empty where there is none."""
    try:
        return last_said(log_path.read_text(errors="replace"))
    except OSError:
        return ""


def _start(
    command: list[str], log_path: Path, env: dict[str, str], sockets: tuple[int, ...], cwd: Path | None, output: Path | None
) -> "subprocess.Popen[bytes]":
    with log_path.open("ab") as log_file, output.open("wb") if output else nullcontext(log_file) as said:
        try:
            # preexec_fn: only one system call through a library that is loaded already, so nothing can be locked in the child.
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=log_file,
                env=env,
                cwd=cwd,
                start_new_session=True,
                pass_fds=sockets,
                preexec_fn=_end_with_parent if _prctl else None,
            )
        except OSError as error:
            msg = f"{Path(command[0]).name!r} could not be started: {error}"
            raise Unavailable(msg) from error


def _end_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)  # type: ignore[misc]
