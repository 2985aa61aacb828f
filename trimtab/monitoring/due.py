"""Which models are worth a look: of a thousand, most have too little new between two ticks to close a window or judge one.

And whom to ask again, and when.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from msgspec import Struct

from trimtab.monitoring.ports import Watched
from trimtab.monitoring.windows import pane

LOOK_SECONDS = 30.0
PAUSE_SECONDS, ATTEMPTS = 20.0, 3
"""Of who is asked over the network."""
NEWS_SECONDS = 5.0
NEWS_SHARE = 0.01
"""News that make a look worth it at once, of the rows of a window."""


class Look(Struct, frozen=True):
    """As what a model was looked at, how much of it had been kept by then, and when."""

    state: Any
    kept: int
    at: float


class Due:
    """Remembers when each model was last looked at, and as what."""

    def __init__(self) -> None:
        self._looked: dict[str, Look] = {}
        self._said: dict[str, int] = {}

    def said(self, model: str) -> None:
        """Note that something was said of one of the model's windows, from which more may follow."""
        self._said[model] = self._said.get(model, 0) + 1

    def of(self, fleet: Iterable[Watched], progress: Mapping[str, int], failed: Collection[str], now: float) -> list[Watched]:
        """Those that changed, of which something was said, whose last look failed, or of which much was kept since (`now`: a clock's).

        `progress` is how much of each was ever kept. Where it is little, a model is due 5 s after its last look; where nothing, 30 s.
        """
        due, looked = [], {}
        for watched in fleet:
            look = Look((watched.model, watched.champion, self._said.get(watched.id)), progress.get(watched.id, 0), now)
            before = self._looked.get(watched.id)
            if before is None or before.state != look.state or watched.id in failed or _news(watched, before, look):
                due.append(watched)
                before = look
            looked[watched.id] = before
        self._looked = looked
        return due


def _news(watched: Watched, before: Look, look: Look) -> bool:
    fresh, rows = look.kept - before.kept, pane(watched.model.spec.monitoring.window)[0]
    return fresh >= max(1.0, NEWS_SHARE * rows) or look.at - before.at >= (NEWS_SECONDS if fresh else LOOK_SECONDS)


class Patience:
    """Remembers who did not answer: asked again after a pause in seconds, and of the same thing a few times at most."""

    def __init__(self, attempts: int = ATTEMPTS, pause: float = PAUSE_SECONDS) -> None:
        self._attempts, self._pause = attempts, pause
        self._failed: dict[str, tuple[Any, int, float]] = {}

    def waits(self, model: str, now: float) -> bool:
        """Whether it is too early to ask again (`now`: a clock's)."""
        return model in self._failed and now < self._failed[model][2]

    def failed(self, model: str, what: Any, now: float) -> bool:
        """Note that `what` was not answered; says whether to ask again."""
        before = self._failed.get(model)
        times = before[1] + 1 if before is not None and before[0] == what else 1
        self._failed[model] = (what, times, now + self._pause)
        return times < self._attempts
