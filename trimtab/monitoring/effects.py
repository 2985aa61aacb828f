"""How far a column moved, in units that mean the same for each: the number that decides, where p-values only permit.

Beside it stand two that people know from other tools and that decide nothing: the population stability index and the Jensen-Shannon
distance, over the reference's tenths or categories.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from trimtab.monitoring.columns import Column, Floats, Table
from trimtab.monitoring.deciding import Divergence
from trimtab.monitoring.ordered import TENTHS, Ordered, ordered

_SPANS = 10.0
_LEAST_SHARE = 1e-4

Places = NDArray[np.int64]


def effect(column: Column, reference: Floats, window: Floats) -> float:
    """The column's effect: numbers by Wasserstein-1 in reference standard deviations, categories by total variation (0 to 1).

    Missing numbers are left out. A number that is constant in the reference counts the share of values that differ. Values
    are held within ten spans of the reference, so that a single absurd one cannot make an effect.
    """
    old, new = ordered(reference), ordered(window)
    if column.kind == "category":
        before, after = _shares_by_value(old, new)
        return float(np.abs(before - after).sum() / 2)
    low, high = float(old.values[0]), float(old.values[-1])
    if low == high:
        return float((new.values != low).mean())
    span = high - low
    held = np.clip(new.values, low - _SPANS * span, high + _SPANS * span)
    return wasserstein(old.values, held) / old.deviation


def effects(columns: Sequence[Column], reference: Table, window: Table) -> dict[str, float]:
    """Every tested column's effect by name."""
    return {column.name: effect(column, reference[column.name], window[column.name]) for column in columns}


def wasserstein(left: Floats, right: Floats) -> float:
    """The Wasserstein-1 distance of two samples in ascending order: the mean distance of their quantile functions."""
    if len(left) == len(right):
        return float(np.abs(left - right).mean())
    first, second, shares = _quantiles(len(left), len(right))
    return float(np.abs(left[first] - right[second]) @ shares)


@lru_cache(maxsize=4)
def _quantiles(m: int, n: int) -> tuple[Places, Places, Floats]:
    """Where both quantile functions of samples of `m` and `n` are constant: the value's place in each, and how long it is."""
    ends = np.union1d(np.arange(1, m + 1) * n, np.arange(1, n + 1) * m)
    return (ends - 1) // n, (ends - 1) // m, np.diff(ends, prepend=0) / (m * n)


def divergence(column: Column, reference: Floats, window: Floats) -> Divergence:
    """The population stability index and the Jensen-Shannon distance (0 to 1) between the shares of values in the reference's cells.

    A category is a cell, and so is a value of a number that has at most ten; other numbers have the reference's tenths. For the index
    a share is at least 0.0001, as is usual: an empty cell would make it infinite.
    """
    old, new = ordered(reference), ordered(window)
    by_value = column.kind == "category" or len(old.steps.values) <= TENTHS
    before, after = _shares_by_value(old, new) if by_value else _shares_by_tenth(old, new)
    p, q = np.maximum(before, _LEAST_SHARE), np.maximum(after, _LEAST_SHARE)
    middle = (before + after) / 2
    bits = float((rel_entr(before, middle) + rel_entr(after, middle)).sum() / 2 / np.log(2))
    return Divergence(psi=float(((q - p) * np.log(q / p)).sum()), jensen_shannon=float(np.sqrt(max(0.0, bits))))


def divergences(columns: Sequence[Column], reference: Table, window: Table) -> dict[str, Divergence]:
    """Every tested column's divergences by name."""
    return {column.name: divergence(column, reference[column.name], window[column.name]) for column in columns}


def _shares_by_value(old: Ordered, new: Ordered) -> tuple[Floats, Floats]:
    values = np.union1d(old.steps.values, new.steps.values)
    return _shares(old, values), _shares(new, values)


def _shares(side: Ordered, values: Floats) -> Floats:
    found = np.zeros(len(values))
    found[np.searchsorted(values, side.steps.values)] = (side.steps.upto - side.steps.below) / len(side)
    return found


def _shares_by_tenth(old: Ordered, new: Ordered) -> tuple[Floats, Floats]:
    ends = [np.searchsorted(side.values, old.tenths, side="right") for side in (old, new)]
    before, after = (np.diff(end, prepend=0, append=len(side)) / len(side) for end, side in zip(ends, (old, new), strict=True))
    return before, after
