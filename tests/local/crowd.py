"""Callers of many Models at one gateway, who remember which version answered whom, and when."""

import json
from collections.abc import Sequence
from typing import NamedTuple

from tests.local.askers import Askers, Heard

PAUSE_SECONDS = 0.008
ROW = {"hour": 12, "warmth": 15.0, "kind": "shop"}
BODY = json.dumps({"instances": [ROW]}).encode()
PATH = "/v1/models/{}:predict"


class Asked(NamedTuple):
    """One request: to which Model, answered by which version as the gateway says, with which code, and when (seconds of the wall clock)."""

    model: str
    version: str
    code: int
    at: float


class Crowd(Askers):
    """Every second request goes to a Model of `eager`, where it names any, the others to all in turn."""

    def __init__(self, port: int, models: Sequence[str], callers: int = 2) -> None:
        self._models = {PATH.format(model): model for model in models}
        self.eager: tuple[str, ...] = ()
        self.asked: list[Asked] = []
        super().__init__(port, callers, PAUSE_SECONDS)

    def request(self, turn: int) -> tuple[str, bytes]:
        """A Model's path, and a row that any of them predicts."""
        eager = self.eager
        models = eager if eager and turn % 2 else tuple(self._models.values())
        return PATH.format(models[turn // 2 % len(models)]), BODY

    def hear(self, path: str, heard: Heard) -> None:
        """Keep all but the prediction."""
        self.asked.append(Asked(self._models[path], heard.version, heard.code, heard.answered))
