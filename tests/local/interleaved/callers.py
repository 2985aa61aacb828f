"""Callers who ask through the gateway all the time, and remember what they were answered, by which version, and when."""

import http.client
import json
import threading
import time

from msgspec import Struct

from tests.local.interleaved.stock import BODY

PAUSE_SECONDS = 0.015


class Answer(Struct, frozen=True):
    """One answer of 200: asked and answered when (seconds of the wall clock), by which version as the gateway says, and the prediction."""

    asked: float
    answered: float
    version: str
    value: float


class Callers:
    """Some threads with a connection each; everything else than 200 is only counted."""

    def __init__(self, port: int, path: str, callers: int = 2) -> None:
        self._port, self._path = port, path
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self.refused = self.answered = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def taken(self) -> list[Answer]:
        """The answers since this was last asked."""
        with self._lock:
            found, self._answers = self._answers, []
        return found

    def close(self) -> None:
        """They ask no more."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        while not self._end.wait(PAUSE_SECONDS):
            asked = time.time()
            try:
                connection.request("POST", self._path, BODY, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                with self._lock:
                    self.refused += 1
                continue
            with self._lock:
                if answer.status == http.HTTPStatus.OK:
                    self.answered += 1
                    value = float(json.loads(body)["predictions"][0])
                    self._answers.append(Answer(asked, time.time(), answer.getheader("x-trimtab-version", ""), value))
                else:
                    self.refused += 1
        connection.close()
