"""Which models are worth a look: of a thousand, most have nothing new between two ticks. And whom to ask again, and when."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from trimtab.monitoring.ports import Watched

LOOK_SECONDS = 30.0
PAUSE_SECONDS, ATTEMPTS = 20.0, 3


class Due:
    """Remembers as what each model was last looked at."""

    def __init__(self) -> None:
        self._looked: dict[str, tuple[Any, float]] = {}
        self._said: dict[str, int] = {}

    def said(self, model: str) -> None:
        """Note that something was said of one of the model's windows, from which more may follow."""
        self._said[model] = self._said.get(model, 0) + 1

    def of(self, fleet: Iterable[Watched], progress: Mapping[str, Any], failed: Collection[str], now: float) -> list[Watched]:
        """Those of which something was kept or said since, that changed, whose last look failed, or was 30 s ago (`now`: a clock's)."""
        due, looked = [], {}
        for watched in fleet:
            state = (watched.model, watched.champion, progress.get(watched.id), self._said.get(watched.id))
            before = self._looked.get(watched.id)
            if before is None or before[0] != state or watched.id in failed or now - before[1] >= LOOK_SECONDS:
                due.append(watched)
                before = (state, now)
            looked[watched.id] = before
        self._looked = looked
        return due


class Patience:
    """Remembers who did not answer: asked again after 20 s, and of the same thing at most three times."""

    def __init__(self) -> None:
        self._failed: dict[str, tuple[Any, int, float]] = {}

    def waits(self, model: str, now: float) -> bool:
        """Whether it is too early to ask again (`now`: a clock's)."""
        return model in self._failed and now < self._failed[model][2]

    def failed(self, model: str, what: Any, now: float) -> bool:
        """Note that `what` was not answered; says whether to ask again."""
        before = self._failed.get(model)
        times = before[1] + 1 if before is not None and before[0] == what else 1
        self._failed[model] = (what, times, now + PAUSE_SECONDS)
        return times < ATTEMPTS
