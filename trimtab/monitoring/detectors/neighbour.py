"""The detector worker in a container beside this one, asked over a Unix socket in a folder that both see (design §4)."""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

from trimtab.errors import Unavailable

START_SECONDS = 60.0
_AGAIN_SECONDS = 0.2


class Neighbour:
    """Connects anew for each request, so that a worker that was started again is simply there; not for two threads at once.

    The worker kills a test that takes too long by itself; `timeout`, in seconds, is for a worker that hangs as a whole. One that
    is not there is waited for, `start` seconds: it imports Alibi before it listens.
    """

    def __init__(self, path: Path, timeout: float, start: float = START_SECONDS) -> None:
        self._path = path
        self._timeout = timeout
        self._start = start
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._open: socket.socket | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer; raises Unavailable where it is not there, answers an error, or takes longer than `timeout` seconds."""
        try:
            line = self._exchange(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(line)
        except (OSError, ValueError) as error:
            msg = f"the detector worker at {self._path} broke off: {error}"
            raise Unavailable(msg) from error
        if "error" in answer:
            msg = f"the detector worker failed: {answer['error']}"
            raise Unavailable(msg)
        return answer

    def close(self) -> None:
        """Break off the request that is under way, from whatever thread, and ask no more."""
        self._closed.set()
        with self._lock:
            if self._open:
                self._open.shutdown(socket.SHUT_RDWR)

    def _exchange(self, request: bytes) -> bytes:
        with self._connected() as connection:
            with self._lock:
                self._open = connection
            try:
                deadline = time.monotonic() + self._timeout
                connection.settimeout(self._timeout)
                connection.sendall(request)
                return self._line(connection, deadline)
            finally:
                with self._lock:
                    self._open = None

    def _connected(self) -> socket.socket:
        deadline = time.monotonic() + self._start
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self._path))
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > deadline or self._closed.wait(_AGAIN_SECONDS):
                    raise

    def _line(self, connection: socket.socket, deadline: float) -> bytes:
        received = b""
        while not received.endswith(b"\n"):
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                part = connection.recv(65_536)
            except TimeoutError as error:
                msg = f"no answer within {self._timeout:g} s"
                raise TimeoutError(msg) from error
            if not part:
                raise ConnectionResetError("it hung up")  # noqa: EM101
            received += part
        return received
