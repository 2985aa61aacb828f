"""Whether labels lie beside the predictions on average: a world whose level moved, which the size of errors shows late. Pure.

A model that still fits has residuals with a mean near zero, whatever its inputs are. Where demand grows or a sensor ages they have not, and
the mean shows it long before the root of the mean square does: for that one, each window has to be worse than a validation that is
itself uncertain. The mean of the residuals is held against zero by the means of blocks of neighbouring rows (batch means), two-sided by
Student's t with one degree of freedom less than there are blocks. It counts only where it matters: where the error is past the
margin of what it would be without the offset.
"""

import numpy as np
from msgspec import Struct
from scipy.stats import t as student

from trimtab.monitoring.columns import Floats
from trimtab.units import Margin


class Offset(Struct, frozen=True):
    """The mean of label less prediction, its standard deviation, the blocks that it rests on, and the error without it."""

    mean: float
    deviation: float
    blocks: int
    without: float


def offset(truth: Floats, answers: Floats, block: int) -> Offset | None:
    """The offset of a regression's rows in time order, by blocks of `block` rows; None with fewer than three blocks."""
    residuals = truth - answers
    blocks = len(residuals) // block
    if blocks < 3:
        return None
    mean = float(residuals.mean())
    means = residuals[: blocks * block].reshape(blocks, block).mean(axis=1)
    return Offset(mean, float(means.std(ddof=1) / np.sqrt(blocks)), blocks, float(residuals.std()))


def matters(found: Offset, margin: Margin, level: float) -> bool:
    """Whether the offset is there, with `level` as the chance of a false word, and makes the error worse than the margin allows."""
    worse = float(np.hypot(found.without, found.mean)) > margin.bound(found.without)
    bound = float(student.isf(level / 2, found.blocks - 1)) * found.deviation
    return worse and abs(found.mean) > bound
