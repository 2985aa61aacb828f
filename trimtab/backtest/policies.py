"""The policies that are put side by side: none, clocks, and the document's own."""

import calendar
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count, takewhile

from msgspec.structs import replace

from trimtab.spec import Bake, Breaker, Budget, Model, PipelineRef, Retraining, RetrainOn

NEVER, OWN, WEEKLY, ORACLE = "never", "this policy", "every week", "oracle"
CLOCKS: dict[str, timedelta | None] = {
    WEEKLY: timedelta(weeks=1),
    "every 3 weeks": timedelta(weeks=3),
    "every 6 weeks": timedelta(weeks=6),
    "every month": None,
}
"""None is a calendar month."""


def offline(model: Model, trials: int) -> Model:
    """The Model as it can live without servers and people: searches of `trials`, rollouts direct, nobody to ask for approval.

    Its versions are made by the pipeline that comes with Trimtab, whichever it names: no package is fetched and run here. A search's
    time is no bound: what it came to would depend on the machine.
    """
    search = replace(model.spec.training.search, budget=Budget(trials, "100d" if trials > 1 else "5m"), parallel=1)
    training = replace(model.spec.training, pipeline=PipelineRef(), search=search)
    rollout = replace(model.spec.rollout, strategy="direct")
    return replace(model, spec=replace(model.spec, training=training, rollout=rollout, approval="automatic"))


def clocks(start: datetime, end: datetime) -> dict[str, tuple[datetime, ...]]:
    """When each clock asks for a new version."""
    return {name: tuple(takewhile(lambda at: at < end, _moments(every, start))) for name, every in CLOCKS.items()}


def evenly(many: int, start: datetime, end: datetime) -> tuple[datetime, ...]:
    """So many moments between the two, at equal distances."""
    return tuple(start + (end - start) * number / (many + 1) for number in range(1, many + 1))


def freely(model: Model, *triggers: RetrainOn) -> Model:
    """The Model with nothing that holds these triggers back, and nothing else that asks: no cooldown, budget, breaker or bake."""
    retraining = Retraining(triggers, "0s", 1000, Breaker(100))
    rollout = replace(model.spec.rollout, bake=Bake("0s"))
    return replace(model, spec=replace(model.spec, retraining=retraining, rollout=rollout))


def _moments(every: timedelta | None, start: datetime) -> Iterator[datetime]:
    return ((start + every * number) if every else _months_after(start, number) for number in count(1))


def _months_after(start: datetime, number: int) -> datetime:
    """The same day so many months later, or that month's last."""
    year, month = divmod(start.month - 1 + number, 12)
    year, month = start.year + year, month + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))
