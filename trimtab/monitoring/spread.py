"""Whether a number became wider or narrower, which Kolmogorov-Smirnov hardly sees: its largest difference is near the middle. Pure.

A value's score is the square of the normal deviate of its rank among all values (Klotz 1962; equal values share their middle rank):
near 0 in the middle, large at both ends, the same for any unit. Where window and reference are of one distribution their mean scores
are alike. A variance that is half as large again moves the mean by a third of a score's deviation, and the distribution function by
no more than 0.05, where 10,000 rows of reference leave as much unknown of how days differ. A shift of the middle is left to
Kolmogorov-Smirnov.
"""

import numpy as np
from msgspec import Struct
from scipy.special import ndtr, ndtri

from trimtab.monitoring.columns import Floats
from trimtab.monitoring.ordered import Ordered, ordered

_TINY = 1e-9


class Moved(Struct, frozen=True):
    """The deviate of a window's mean score, and its two-sided p-value were the rows independent."""

    deviate: float
    p: float


def scores(values: Floats) -> Floats:
    """The scores of the values among themselves (rows,); NaN stays NaN."""
    known = ordered(values)
    places = np.minimum(np.searchsorted(known.steps.values, values), max(len(known.steps.values) - 1, 0))
    return np.where(np.isnan(values), np.nan, _scores(known)[places]) if len(known) else np.full(len(values), np.nan)


def moved(reference: Floats, window: Floats) -> Moved | None:
    """Whether the window's scores among all differ from the reference's; None where all scores are the same (one value, or two alike)."""
    old, new = ordered(reference).values, ordered(window).values
    pooled = Ordered(np.concatenate([old, new]))
    steps, each = pooled.steps, _scores(pooled)
    times = steps.upto - steps.below
    mean = float((each * times).sum()) / len(pooled)
    variance = float(((each - mean) ** 2 * times).sum()) / (len(pooled) - 1)
    if variance < _TINY:
        return None
    apart = (float(each[np.searchsorted(steps.values, new)].mean()) - mean) * len(pooled) / len(old)
    deviate = apart / float(np.sqrt(variance * (1 / len(old) + 1 / len(new))))
    return Moved(deviate, float(2 * ndtr(-abs(deviate))))


def _scores(known: Ordered) -> Floats:
    """The score of each distinct value."""
    steps = known.steps
    return np.asarray(ndtri((steps.below + steps.upto + 1) / (2 * (len(known) + 1))) ** 2)
