"""The predictor's end of one shipper: its process, the ring into it, and the memory in which it counts."""

import subprocess
import sys

import msgspec

from serving.predictor.counters import Board
from serving.predictor.ring import Writer
from serving.predictor.shipper import Orders, Settings
from serving.predictor.spool import Part


class Shipping:
    """A shipper that was started. It inherits two pieces of memory, a pipe's end, the lock of its part of the spool, and no socket."""

    def __init__(self, settings: Settings, part: Part | None) -> None:
        self.board, self.ring = Board(), Writer()
        orders = Orders(settings, self.board.descriptor, self.ring.descriptor, None if part is None else str(part.folder))
        command = [sys.executable, "-m", "serving.predictor.shipper", msgspec.json.encode(orders).decode()]
        passed = (self.board.descriptor, self.ring.descriptor, *(() if part is None else (part.lock,)))
        try:
            self._process = subprocess.Popen(command, stdin=self.ring.reading, stdout=subprocess.DEVNULL, pass_fds=passed)
        except OSError:
            self.close()
            raise
        finally:
            self.ring.leave()

    def wait(self) -> int:
        """Wait for the process's end; returns its exit code."""
        return self._process.wait()

    def end(self, seconds: float) -> None:
        """Close the ring, which ends the process; kill it where that takes longer than `seconds`."""
        self.ring.end()
        try:
            self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self._process.kill()

    def close(self) -> None:
        """Give back what the process had, once it has ended."""
        self.ring.close()
        self.board.close()
