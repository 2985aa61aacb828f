"""Whether labels lie beside the predictions on average: a world whose level moved, which the size of errors shows late. Pure.

A model that still fits has residuals with a mean near zero, whatever its inputs are. Where demand grows or a sensor ages they have not, and
the mean shows it long before the root of the mean square does: for that one, each window has to be worse than a validation that is
itself uncertain. It counts only where it matters: where the error is past the margin of what it would be without the offset.

Neighbouring residuals err together, so the variance of their mean is that of all their autocovariances. These are summed in pairs of
lags while the pairs stay positive, none larger than the one before it (the initial monotone sequence, Geyer 1992), and what taking off
the window's own mean hides of 2m + 1 lags is put back: each is too small by the mean's own variance, so the sum is divided by
1 - (2m + 1) / n. A window of n rows is then worth n / (sum / variance) independent ones; the mean is held against zero, two-sided, by
Student's t with one degree of freedom less. With fewer than ten it cannot be told: residuals that wander as slowly as the window is
long look like a level.

Means of blocks of 24 rows, as for the bootstrap, are right where residuals are independent or forget within hours, and say too much
where they do not; blocks of a tenth of the window lose more of the power (`docs/evidence/monitoring.md` has all three).
"""

import numpy as np
from msgspec import Struct
from scipy.stats import t as student

from trimtab.monitoring.columns import Floats
from trimtab.units import Margin

LEAST_ROWS = 10.0


class Offset(Struct, frozen=True):
    """The mean of label less prediction, its standard deviation, the independent rows that it rests on, and the error without it."""

    mean: float
    deviation: float
    rows: float
    without: float


def offset(truth: Floats, answers: Floats) -> Offset:
    """The offset of a regression's rows (at least 30) in time order."""
    residuals = truth - answers
    worth = independent(residuals)
    without = float(residuals.std())
    return Offset(float(residuals.mean()), without / float(np.sqrt(worth)), worth, without)


def independent(values: Floats) -> float:
    """How many independent rows the mean of these is worth; never more than there are."""
    count = len(values)
    spectrum = np.fft.rfft(values - values.mean(), 2 * count)
    covariances = np.fft.irfft(np.abs(spectrum) ** 2)[:count] / count
    if covariances[0] <= 0:
        return float(count)
    pairs = np.minimum.accumulate(covariances[: count // 2 * 2].reshape(-1, 2).sum(axis=1))
    lags = int(np.argmin(np.append(pairs > 0, False)))
    summed = max(float(2 * pairs[:lags].sum() - covariances[0]), float(covariances[0]))
    hidden = min(max(0.0, (4 * lags - 1) / count), 0.9)
    return float(count * (1 - hidden) * covariances[0] / summed)


def matters(found: Offset, margin: Margin, level: float) -> bool:
    """Whether the offset is there, with `level` as the chance of a false word, and makes the error worse than the margin allows."""
    worse = float(np.hypot(found.without, found.mean)) > margin.bound(found.without)
    if not worse or found.rows < LEAST_ROWS:
        return False
    return abs(found.mean) > float(student.isf(level / 2, found.rows - 1)) * found.deviation
