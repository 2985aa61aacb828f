"""Several processes on one port: each a whole predictor with a listening socket of its own, which the kernel deals connections to.

The sockets are made here and stay open here, so a worker that dies loses no connection that waits for it: its successor takes over
the socket. Processes are started anew instead of forked: the model's native code may have threads, which a fork would lose.
"""

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

log = logging.getLogger("trimtab.predictor")

FOLDER_VARIABLE = "TRIMTAB_WORKERS_FOLDER"
SUPERVISOR_VARIABLE = "TRIMTAB_WORKERS_SUPERVISOR"
CANNOT_BE_SERVED = 2
PAUSE_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


def supervise(count: int, host: str, port: int, listen_fd: int | None) -> int:
    """Run `count` workers until SIGTERM or SIGINT, which each gets as well; the exit code is 0, or 2 where the version cannot be served.

    A worker that ends by itself is started anew. With `listen_fd` all workers listen on that one socket.
    """
    sockets = [] if listen_fd is not None else [_socket(host, port) for _ in range(count)]
    descriptors = [listen_fd] * count if listen_fd is not None else [each.fileno() for each in sockets]
    with tempfile.TemporaryDirectory(prefix="predictor-") as folder:
        return _Supervisor(descriptors, Path(folder)).run()


def shared_folder() -> Path | None:
    """The folder that the workers have in common; None where there is one process alone. A worker ends with its supervisor."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(os.environ[SUPERVISOR_VARIABLE]):
        raise SystemExit(0)
    return Path(folder)


class _Supervisor:
    def __init__(self, descriptors: list[int], folder: Path) -> None:
        self._folder = folder
        self._leaving = False
        self._exit_code = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._leave)
        self._workers: dict[int, tuple[subprocess.Popen[bytes], int, float]] = {}
        for descriptor in descriptors:
            self._start(descriptor)

    def run(self) -> int:
        while self._workers:
            pid, status = os.wait()
            if pid in self._workers:
                self._ended(pid, os.waitstatus_to_exitcode(status))
        return self._exit_code

    def _ended(self, pid: int, code: int) -> None:
        process, descriptor, started = self._workers.pop(pid)
        process.returncode = code
        if code == CANNOT_BE_SERVED:
            self._exit_code = code
            self._leave(signal.SIGTERM)
        if self._leaving:
            return
        log.warning("worker %d ended with exit code %d and is started anew", pid, code)
        if time.monotonic() - started < PAUSE_SECONDS:
            time.sleep(PAUSE_SECONDS)
        if not self._leaving:
            self._start(descriptor)

    def _start(self, descriptor: int) -> None:
        command = [sys.executable, "-m", "serving.predictor", *sys.argv[1:], "--workers=1", f"--listen-fd={descriptor}"]
        environment = {**os.environ, FOLDER_VARIABLE: str(self._folder), SUPERVISOR_VARIABLE: str(os.getpid())}
        process = subprocess.Popen(command, env=environment, pass_fds=(descriptor,))
        self._workers[process.pid] = (process, descriptor, time.monotonic())
        if self._leaving:
            process.terminate()

    def _leave(self, number: int, *_: Any) -> None:
        self._leaving = True
        for entry in list(self._workers.values()):
            entry[0].send_signal(number)


def _socket(host: str, port: int) -> socket.socket:
    """A socket that is bound, and listens only once its worker does: until then nobody is kept waiting."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind((host, port))
    return found
