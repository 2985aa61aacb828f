"""How sure a number over rows is: the circular block bootstrap, for many resamples at once.

A resample is a column of weights: how often it holds each row. So a statistic is asked once about all resamples, as arithmetic on a
matrix, instead of once about each.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np

Statistic = Callable[["np.ndarray[Any, Any]"], dict[str, "np.ndarray[Any, Any]"]]
"""From weights in shape (rows, resamples) to each number in shape (resamples,)."""

MOST_ROWS = 10_000
RESAMPLES = 1000
_CELLS = 4_000_000
_AT_ONCE = 500_000


class Difference(Struct, frozen=True, rename="camel"):
    """A difference row by row: its value, the two-sided 95% interval, and the two one-sided 95% bounds."""

    value: float
    interval: tuple[float, float]
    lower: float
    upper: float


class Spread(Struct, frozen=True):
    """How far each number of a bootstrap was from the mean of its resamples, sorted."""

    deviations: dict[str, Any]

    def interval(self, name: str, value: float) -> tuple[float, float] | None:
        """The 95% interval around `value`; None where the number was not defined in the resamples."""
        return self._between(name, value, 0.025)

    def difference(self, name: str, value: float) -> Difference | None:
        """The same with its one-sided bounds."""
        both, one = self._between(name, value, 0.025), self._between(name, value, 0.05)
        return Difference(value, both, *one) if both and one else None

    def _between(self, name: str, value: float, tail: float) -> tuple[float, float] | None:
        import numpy as np

        if name not in self.deviations:
            return None
        low, high = np.quantile(self.deviations[name], [tail, 1 - tail])
        return float(value + low), float(value + high)


def spread(build: Callable[["np.ndarray[Any, Any]"], Statistic], rows: int, seed: int, resamples: int = RESAMPLES) -> Spread:
    """The circular block bootstrap (Politis and Romano, 1992) of a statistic over `rows` rows in the order of time.

    Blocks of rows^(1/3) neighbours keep the dependence of rows that are close in time. `build(row numbers)` makes the statistic of
    those rows: of all up to 10,000; of more only stripes of blocks are taken, and what they vary is scaled to all rows (Politis,
    Romano and Wolf, 1999), so that the cost is bounded. Deviations are from the resamples' mean, not from the number itself: what a
    statistic is too high by on any finite sample, as a calibration error is, is not counted twice.
    """
    import numpy as np

    if rows == 0:
        return Spread({})
    chosen = stripes(rows)
    statistic, length = build(chosen), block(rows)
    generator = np.random.default_rng(seed)
    count = int(np.clip(_CELLS // len(chosen), min(200, resamples), resamples))
    found: dict[str, list[Any]] = {}
    while count > 0:
        part = min(count, max(1, _AT_ONCE // len(chosen)))
        for name, values in statistic(weights(len(chosen), length, part, generator)).items():
            found.setdefault(name, []).append(values)
        count -= part
    scale = (len(chosen) / rows) ** 0.5
    whole = {name: np.concatenate(parts) for name, parts in found.items()}
    defined = {name: values[np.isfinite(values)] for name, values in whole.items()}
    return Spread({name: np.sort(values - values.mean()) * scale for name, values in defined.items() if len(values)})


def weights(rows: int, length: int, resamples: int, generator: "np.random.Generator") -> "np.ndarray[Any, Any]":
    """How often each of `rows` rows is in each resample of whole blocks, shape (rows, resamples)."""
    import numpy as np

    starts = generator.integers(0, rows, size=(-(-rows // length), resamples))
    places = starts * resamples + np.arange(resamples)
    begun = np.bincount(places.ravel(), minlength=(rows + length) * resamples).reshape(rows + length, resamples)
    inside = np.cumsum(begun, axis=0, dtype=np.float64)
    inside[length:] -= inside[:-length].copy()
    inside[:length] += inside[rows:]
    return inside[:rows]


def block(rows: int) -> int:
    """How many neighbours are drawn together."""
    return max(1, round(math.cbrt(rows)))


def stripes(rows: int, most: int = MOST_ROWS) -> "np.ndarray[Any, Any]":
    """At most about `most` row numbers, ascending: all, or stripes of four blocks at equal distances."""
    import numpy as np

    if rows <= most:
        return np.arange(rows)
    wide = 4 * block(rows)
    begins = np.linspace(0, rows - wide, most // wide).astype(int)
    return np.unique((begins[:, None] + np.arange(wide)).ravel())
