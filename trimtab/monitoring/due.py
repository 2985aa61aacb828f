"""Which models are worth a look: of a thousand, most have nothing new between two ticks."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from trimtab.monitoring.ports import Watched

LOOK_SECONDS = 30.0


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
