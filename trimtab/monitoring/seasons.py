"""The rows of a reference that are of the same hours of day and weekdays as a window, so that a cycle is not drift. Pure.

Rows fall into the 168 hours of a week (UTC). Each row of the reference gets the weight that gives its hour the share that it has in the
window; where an hour of the week has too few rows of the reference the hour of any day stands for it, and where that has too few, all
rows do. Detectors take rows without weights, so rows are drawn by systematic sampling: as many as there are, evenly along the summed
weights, which is reproducible and leaves each share within one row of what it should be.
"""

import numpy as np
from msgspec import Struct

from trimtab.monitoring.columns import Floats
from trimtab.monitoring.dependence import Ints

HOURS = 168
LEAST_IN_HOUR = 10
_ANY_DAY = HOURS
_ANY = HOURS + 24


class Alike(Struct, frozen=True):
    """What a window is compared with: `places` of rows of the reference, some more than once, and each row's weight (they sum to 1)."""

    places: Ints
    weights: Floats

    @property
    def rows(self) -> float:
        """How many unweighted rows they are worth (Kish)."""
        return float(1 / (self.weights**2).sum())


def hours(times: Floats) -> Ints:
    """The hour of the week of each time (seconds since 1970), Thursday midnight being 0; -1 where it is NaN."""
    known = np.isfinite(times)
    return np.where(known, np.floor_divide(np.where(known, times, 0.0), 3600) % HOURS, -1).astype(np.int64)


def cells(reference: Floats, times: Floats) -> Ints:
    """The season of each of `times`: its hour of the week, or of the day, or none, as fine as the reference's times allow."""
    known = hours(reference)
    weekly = np.bincount(known[known >= 0], minlength=HOURS)
    daily = np.bincount(known[known >= 0] % 24, minlength=24)
    every = np.arange(HOURS)
    fine = np.where(weekly >= LEAST_IN_HOUR, every, np.where(daily[every % 24] >= LEAST_IN_HOUR, _ANY_DAY + every % 24, _ANY))
    asked = hours(times)
    return np.where(asked >= 0, fine[asked], _ANY)


def alike(reference: Floats, window: Floats) -> Alike:
    """The reference's rows in the window's own mix of seasons; both are event times in seconds since 1970."""
    known = hours(reference)
    found, counts = np.unique(cells(reference, window), return_counts=True)
    weights = np.zeros(len(reference))
    for cell, share in zip(found.tolist(), (counts / counts.sum()).tolist(), strict=True):
        if cell == _ANY:
            these = np.ones(len(reference), dtype=bool)
        else:
            these = known % 24 == cell - _ANY_DAY if cell >= _ANY_DAY else known == cell
            these &= known >= 0
        weights += share * these / these.sum()
    drawn = (np.arange(len(reference)) + 0.5) / len(reference)
    places = np.searchsorted(np.cumsum(weights), drawn * weights.sum(), side="left")
    return Alike(np.minimum(places, len(reference) - 1), weights / weights.sum())
