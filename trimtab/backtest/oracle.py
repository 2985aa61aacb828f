"""The best that so many retrains could have done, known only afterwards: a bound, not a policy.

The oracle may put any version in service that any of the compared policies trained, gates or not, as late after its cut as all others, and
knows every label that is to come. It takes over so often as it is allowed, where the sum of all rows' losses becomes least.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from msgspec import Struct

from trimtab.backtest.history import History
from trimtab.backtest.life import Answers
from trimtab.monitoring.columns import Floats


class Reign(Struct, frozen=True):
    """A version, from which row on it serves, and its cut."""

    folder: Path
    start: int
    cut: datetime


def best(reigns: Sequence[Reign], sums: Floats, count: int) -> list[int]:
    """The places in `reigns` that serve one after the other, the first of them first; at most `count` follow it.

    `sums` has shape (reigns, rows + 1): each version's losses, summed up to each row. Reigns are in the order of their starts.
    """
    starts = np.array([reign.start for reign in reigns])
    size = len(reigns)
    cost = np.full(size, np.inf)
    cost[0] = 0.0
    came: list[np.ndarray] = []
    ends = [cost + sums[:, -1] - sums[np.arange(size), starts]]
    between = sums[:, starts] - sums[np.arange(size), starts][:, None]
    for _ in range(count):
        through = cost[:, None] + np.where(starts[:, None] < starts[None, :], between, np.inf)
        came.append(through.argmin(axis=0))
        cost = through.min(axis=0)
        ends.append(cost + sums[:, -1] - sums[np.arange(size), starts])
    used = int(np.argmin([end.min() for end in ends]))
    path = [int(ends[used].argmin())]
    for step in reversed(came[:used]):
        path.append(int(step[path[-1]]))
    return path[::-1]


def reigns_of(history: History, first: int, fits: Sequence[tuple[datetime, Path]], lag: timedelta) -> list[Reign]:
    """Every version that was fitted once, with the row from which on it could have served; the first version first."""
    found: dict[Path, Reign] = {}
    for cut, folder in sorted(fits):
        start = history.after((cut + lag).timestamp())
        if start < len(history):
            found.setdefault(folder, Reign(folder, max(first, start) if found else first, cut))
    return sorted(found.values(), key=lambda reign: (reign.start, reign.cut))


def spliced(answers: Answers, reigns: Sequence[Reign], first: int, rows: int) -> Floats:
    """What the versions say, each of the rows from its start to the next one's."""
    starts = [*(reign.start for reign in reigns[1:]), rows]
    return np.concatenate([answers.of(one.folder)[max(first, one.start) : stop] for one, stop in zip(reigns, starts, strict=True)])
