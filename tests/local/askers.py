"""Who ask a gateway again and again, each over a connection that is kept; what they ask and remember is their own."""

import http.client
import threading
import time

from msgspec import Struct

HEADERS = {"Content-Type": "application/json"}


class Heard(Struct, frozen=True):
    """What came back: asked and answered when (seconds of the wall clock), by which version as the gateway says.

    Its code is 0 where nothing came.
    """

    asked: float
    answered: float
    code: int
    version: str
    body: bytes


class Askers:
    """Some threads, which begin at once: whoever is one of these has its own fields before it calls this `__init__`."""

    def __init__(self, port: int, callers: int, pause: float) -> None:
        """Each pauses for so many seconds after an answer."""
        self._port, self._pause = port, pause
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(callers)]
        for thread in self._threads:
            thread.start()

    def request(self, turn: int) -> tuple[str, bytes]:
        """The path and the body of a thread's request; its turns are one more each time."""
        raise NotImplementedError

    def hear(self, path: str, heard: Heard) -> None:
        """Remember what came back, from any of the threads."""
        raise NotImplementedError

    def close(self) -> None:
        """They ask no more."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, turn: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        while not self._end.wait(self._pause):
            turn += 1
            path, body = self.request(turn)
            asked = time.time()
            try:
                connection.request("POST", path, body, HEADERS)
                answer = connection.getresponse()
                content = answer.read()
                heard = Heard(asked, time.time(), answer.status, answer.getheader("x-trimtab-version", ""), content)
            except (OSError, http.client.HTTPException):
                connection.close()
                heard = Heard(asked, time.time(), 0, "", b"")
            self.hear(path, heard)
        connection.close()
