"""A process of the supervisor's that is to run for ever."""

import logging
import subprocess
import time

from trimtab.platforms.local import processes
from trimtab.platforms.local.state import State

log = logging.getLogger("trimtab")


class Child:
    """A process that is started again whenever it ends; the pause grows to `MOST` seconds while it keeps ending at once."""

    MOST = 10.0

    def __init__(self, name: str, command: list[str], state: State) -> None:
        self.name, self._command, self._state = name, command, state
        self._pause = 0.25
        self._not_before = 0.0
        self._started = 0.0
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        self._started = time.monotonic()
        return processes.start(self._command, self._state.logs / f"{self.name}.log", self._state.environment)

    def tend(self) -> None:
        """Start it again if it has ended."""
        if processes.alive(self.process):
            return
        now = time.monotonic()
        if self._not_before == 0.0:
            self._pause = 0.25 if now - self._started > self.MOST else min(2 * self._pause, self.MOST)
            self._not_before = now + self._pause
            log.warning("%s ended with %s and is started again", self.name, self.process.returncode)
        if now >= self._not_before:
            self._not_before = 0.0
            self.process = self._start()
