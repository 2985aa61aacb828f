"""Callers who ask through the gateway all the time, and remember what they were answered, by which version, and when."""

import http
import json
import threading

from msgspec import Struct

from tests.local.askers import Askers, Heard
from tests.local.interleaved.stock import BODY

PAUSE_SECONDS = 0.015


class Answer(Struct, frozen=True):
    """One answer of 200: asked and answered when (seconds of the wall clock), by which version as the gateway says, and the prediction."""

    asked: float
    answered: float
    version: str
    value: float


class Callers(Askers):
    """Everything else than 200 is only counted."""

    def __init__(self, port: int, path: str, callers: int = 2) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self.refused = self.answered = 0
        super().__init__(port, callers, PAUSE_SECONDS)

    def taken(self) -> list[Answer]:
        """The answers since this was last asked."""
        with self._lock:
            found, self._answers = self._answers, []
        return found

    def request(self, turn: int) -> tuple[str, bytes]:
        """Always the same."""
        del turn
        return self._path, BODY

    def hear(self, path: str, heard: Heard) -> None:
        """Keep what was predicted."""
        del path
        with self._lock:
            if heard.code == http.HTTPStatus.OK:
                self.answered += 1
                value = float(json.loads(heard.body)["predictions"][0])
                self._answers.append(Answer(heard.asked, heard.answered, heard.version, value))
            else:
                self.refused += 1
