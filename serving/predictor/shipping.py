"""The predictor's end of one shipper: its process, the pipe into it, and the memory in which it counts."""

import contextlib
import fcntl
import os
import select
import subprocess
import sys

import msgspec

from serving.predictor.counters import Board
from serving.predictor.shipper import Orders, Settings
from serving.predictor.spool import Part

# The most that Linux gives to anybody. A pipe of its usual 64 KiB would fill between two looks.
PIPE_BYTES = 1 << 20


class Shipping:
    """A shipper that was started. It inherits its end of the pipe, its memory and the lock of its part of the spool, and no socket."""

    def __init__(self, settings: Settings, part: Part | None) -> None:
        self.board = Board()
        orders = Orders(settings, self.board.descriptor, None if part is None else str(part.folder))
        command = [sys.executable, "-m", "serving.predictor.shipper", msgspec.json.encode(orders).decode()]
        passed = (self.board.descriptor, *(() if part is None else (part.lock,)))
        # Without a buffer: what is written is in the pipe, or still ours.
        self._process = subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=passed)
        assert self._process.stdin is not None  # noqa: S101 - there is one where a pipe was asked for
        self._pipe = self._process.stdin
        os.set_blocking(self._pipe.fileno(), False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def write(self, data: memoryview) -> int:
        """Write what the pipe has room for; returns the number of bytes, 0 where nobody reads any more as well."""
        try:
            return os.write(self._pipe.fileno(), data)
        except (BlockingIOError, BrokenPipeError):
            return 0

    def writable(self, seconds: float) -> None:
        """Wait until the pipe has room, at most for so long."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLOUT)
        poll.poll(seconds * 1000)

    def wait(self) -> int:
        """Wait for the process's end; returns its exit code."""
        return self._process.wait()

    def end(self, seconds: float) -> None:
        """Close the pipe, which ends the process; kill it where that takes longer than `seconds`."""
        self._pipe.close()
        try:
            self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self._process.kill()

    def close(self) -> None:
        """Give back what the process had, once it has ended."""
        self._pipe.close()
        self.board.close()
