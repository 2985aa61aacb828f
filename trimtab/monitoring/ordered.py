"""A column's values in ascending order, made once and shared by all that looks at them: tests, effect, divergences.

A reference is sorted once for as long as its version serves, a window once in its life: what was sorted is remembered for an array
as long as that array lives. A table's arrays are therefore never written to after they were made.
"""

import weakref
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.monitoring.columns import Floats

Counts = NDArray[np.int64]
TENTHS = 10


class Steps(NamedTuple):
    """The distinct values, ascending, and how many values are `below` each and `upto` (at most) each."""

    values: Floats
    below: Counts
    upto: Counts


class Ordered:
    """The values in ascending order, without the missing ones (NaN)."""

    def __init__(self, values: Floats) -> None:
        self.values: Floats = values[~np.isnan(values)]
        self.values.sort()

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def steps(self) -> Steps:
        """Where the distribution function jumps, and to what count."""
        upto = np.flatnonzero(np.append(self.values[1:] != self.values[:-1], len(self) > 0)) + 1
        return Steps(self.values[upto - 1], np.concatenate([[0], upto])[:-1], upto)

    @cached_property
    def tenths(self) -> Floats:
        """The distinct values at one tenth to nine tenths: each ends a cell, and belongs to it."""
        return np.unique(self.values[np.arange(1, TENTHS) * len(self) // TENTHS - 1])

    @cached_property
    def deviation(self) -> float:
        """The standard deviation."""
        return float(self.values.std())


_KNOWN: dict[int, tuple[weakref.ref[Floats], Ordered]] = {}


def ordered(values: Floats) -> Ordered:
    """The array's values in ascending order; sorted when it is first asked for."""
    place = id(values)
    known = _KNOWN.get(place)
    if known is not None and known[0]() is values:
        return known[1]
    made = Ordered(values)
    _KNOWN[place] = (weakref.ref(values, lambda _: _KNOWN.pop(place, None)), made)
    return made
