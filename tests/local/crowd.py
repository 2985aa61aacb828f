"""Callers of many Models at one gateway, who remember which version answered whom, and when."""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

PAUSE_SECONDS = 0.008
ROW = {"hour": 12, "warmth": 15.0, "kind": "shop"}
BODY = json.dumps({"instances": [ROW]})


class Asked(NamedTuple):
    """One request: to which Model, answered by which version as the gateway says, with which code, and when (seconds of the wall clock)."""

    model: str
    version: str
    code: int
    at: float


class Crowd:
    """Threads with a connection each. Every second request goes to a Model of `eager`, where it names any, the others to all in turn."""

    def __init__(self, port: int, models: Sequence[str], callers: int = 2) -> None:
        self._port, self._models = port, models
        self.eager: tuple[str, ...] = ()
        self.asked: list[Asked] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(start,), daemon=True) for start in range(callers)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """They ask no more."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, turn: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        while not self._end.wait(PAUSE_SECONDS):
            turn += 1
            eager = self.eager
            model = eager[turn // 2 % len(eager)] if eager and turn % 2 else self._models[turn // 2 % len(self._models)]
            try:
                connection.request("POST", f"/v1/models/{model}:predict", BODY, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                found = Asked(model, answer.getheader("x-trimtab-version", ""), answer.status, time.time())
            except (OSError, http.client.HTTPException):
                connection.close()
                found = Asked(model, "", 0, time.time())
            self.asked.append(found)
        connection.close()
