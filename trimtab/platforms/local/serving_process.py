"""One predictor process: started, probed, started again when it dies, with a pause that grows while it fails to get ready."""

import logging
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from msgspec import Struct

from trimtab.platforms.local import processes
from trimtab.platforms.local.serving_files import version_path
from trimtab.spec import Version

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0
PROBE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
CANNOT_BE_SERVED = 2


class Launch(Struct, frozen=True):
    """How predictors are started: the absolute state folder, where captured events go, and the interpreter."""

    state: Path
    capture_url: str = ""
    secret_file: Path | None = None
    python: str = sys.executable


class Predictor:
    """The process of one version. It is started at once; `tend` keeps it going.

    The listening socket is ours and is inherited: it stays open while the process is started anew, so that callers wait in its
    queue instead of being refused.
    """

    def __init__(self, model: str, namespace: str, version: Version, launch: Launch, environment: dict[str, str] | None = None) -> None:
        self.model = model
        self.version = version
        self.folder = version_path(launch.state, model, version.version)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._socket.getsockname()[1]
        self.was_ready = False
        self.restarts = 0
        self.fault = ""
        self._namespace = namespace
        self.environment = environment or {}
        self._launch = launch
        self._failures = 0
        self._ready = False
        self._next_start = 0.0
        self._log_path = launch.state / "logs" / f"predictor-{model}-{version.version}.log"
        self._process = self._start()

    @property
    def url(self) -> str:
        """The base URL at which the version itself answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process's id while it lives."""
        return self._process.pid if processes.alive(self._process) else None

    def probe(self) -> bool:
        """Whether the version answers its readiness probe now; from then on it may get traffic, for who saw it ready gives it some."""
        found = processes.alive(self._process) and processes.answers(self.port, f"/v2/models/{self.model}/ready", PROBE_SECONDS)
        if found and not self._ready:
            self._ready = self.was_ready = True
            self._failures = 0
            self.fault = ""
        return found

    def tend(self) -> None:
        """Notice readiness, and start the process again if it has died: at once the first time, then after 1, 2, 4 ... 30 s."""
        if processes.alive(self._process):
            if not self._ready:
                self.probe()
            return
        now = time.monotonic()
        if self._next_start == 0.0:
            self._note_end()
            pause = min(2.0 ** (self._failures - 1), LONGEST_PAUSE_SECONDS) if self._failures else 0.0
            self._next_start = now + pause
        if now >= self._next_start:
            self._next_start = 0.0
            self._failures += 1
            self.restarts += 1
            self._process = self._start()

    def change(self, environment: dict[str, str]) -> None:
        """Go on with other variables, where they are others: the process ends, requests in flight first, and `tend` starts the next."""
        if environment != self.environment:
            self.environment = environment
            self._process.terminate()

    def stop(self) -> None:
        """End the process: requests in flight end first, captured events are sent; SIGKILL after 5 s."""
        processes.stop(self._process, GRACE_SECONDS)
        self._socket.close()

    def end(self) -> None:
        """As `stop`, without waiting for it."""
        threading.Thread(target=self.stop, name=f"end-{self.model}-{self.version.version}").start()

    def _note_end(self) -> None:
        code = self._process.returncode
        self._ready = False
        line = processes.last_line(self._log_path)
        self.fault = line if code == CANNOT_BE_SERVED else ""
        log.warning("predictor %s/%s ended with exit code %s: %s", self.model, self.version.version, code, line)

    def _start(self) -> "subprocess.Popen[bytes]":
        launch = self._launch
        command = [launch.python, "-m", "serving.predictor", "--name", self.model, "--namespace", self._namespace]
        command += ["--version", self.version.version, "--folder", str(self.folder), "--digest", self.version.digest]
        command += ["--listen-fd", str(self._socket.fileno())]
        if launch.capture_url:
            command += ["--capture-url", launch.capture_url, "--secret-file", str(launch.secret_file)]
        return processes.start(
            command, self._log_path, {processes.STATE_VARIABLE: str(launch.state.resolve()), **self.environment}, (self._socket.fileno(),)
        )
