"""Which other unit a column came in: the likely factor, so that whoever is told knows what to look for. Pure.

A factor moves the magnitude of a column (the upper quartile of |x|) by just that factor, and taking it out brings the
reference's distribution back. A column that merely grew does not come back, nor does one that a season moved.
"""

import math

import numpy as np
from msgspec import Struct
from scipy.stats import ks_2samp

from trimtab.monitoring.columns import MINIMUM_ROWS, Floats

FACTORS = (10.0, 100.0, 1000.0, 10_000.0, 1e6, 60.0, 3600.0)
"""Powers of ten, and what hours, minutes and seconds differ by; each as it is and as its inverse."""
TOLERANCE = 0.25
"""By how much log10 of the magnitudes' ratio may differ from a factor's."""
FAR, BACK = 0.5, 0.3
"""The Kolmogorov-Smirnov distance is at least FAR as the values came, and at most BACK without the factor."""
CERTAIN = 50.0
"""A smaller factor counts only where most values are outside the reference's range: ten times as much may well be the world's."""
MOST, NEARLY_ALL = 0.5, 0.99
_VALUES = 10
_UPPER = 0.75


class Scale(Struct, frozen=True):
    """A temperature scale as it follows from another: `slope * x + offset`; weather and rooms have `low` to `high` of that other."""

    words: str
    slope: float
    offset: float
    low: float
    high: float


SCALES = (
    Scale("1.8x + 32, Fahrenheit for Celsius", 1.8, 32.0, -60.0, 60.0),
    Scale("(x - 32) / 1.8, Celsius for Fahrenheit", 1 / 1.8, -32 / 1.8, -75.0, 140.0),
    Scale("x + 273.15, Kelvin for Celsius", 1.0, 273.15, -60.0, 60.0),
    Scale("x - 273.15, Celsius for Kelvin", 1.0, -273.15, 210.0, 335.0),
)


def conversion(reference: Floats, window: Floats) -> str:
    """In words, what was done to the reference's unit to give the window's; empty where no known conversion explains the window.

    Both hold numbers without NaN. A column with fewer than ten different values is not looked at.
    """
    if min(len(reference), len(window)) < MINIMUM_ROWS or min(len(np.unique(reference)), len(np.unique(window))) < _VALUES:
        return ""
    low, high = float(reference.min()), float(reference.max())
    if _distance(reference, window) < FAR:
        return ""
    outside = float(((window < low) | (window > high)).mean())
    factor = nearest(reference, window)
    if factor and (max(factor, 1 / factor) >= CERTAIN or outside >= MOST) and _distance(reference, window / factor) <= BACK:
        return times(factor)
    if outside < MOST:
        return ""
    for scale in SCALES:
        back = (window - scale.offset) / scale.slope
        known = low >= scale.low and high <= scale.high
        if known and ((back >= low) & (back <= high)).mean() >= NEARLY_ALL and _distance(reference, back) <= FAR:
            return scale.words
    return ""


def nearest(reference: Floats, window: Floats) -> float | None:
    """The known factor by which the window's magnitude differs from the reference's; None where none is near."""
    before, after = (_size(side) for side in (reference, window))
    if math.isnan(before) or math.isnan(after):
        return None
    candidates = [sign * math.log10(factor) for factor in FACTORS for sign in (1, -1)]
    best = min(candidates, key=lambda candidate: abs(candidate - (after - before)))
    return 10.0**best if abs(best - (after - before)) <= TOLERANCE else None


def times(factor: float) -> str:
    """The factor in words."""
    return f"{factor:g} times" if factor > 1 else f"1/{1 / factor:g} of"


def _size(values: Floats) -> float:
    found = np.abs(values[values != 0])
    return float(np.log10(np.quantile(found, _UPPER))) if len(found) else math.nan


def _distance(left: Floats, right: Floats) -> float:
    return float(ks_2samp(left, right, method="asymp").statistic)
