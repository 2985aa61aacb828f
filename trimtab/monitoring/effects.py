"""How far a column moved, in units that mean the same for each: the number that decides, where p-values only permit."""

import numpy as np
from scipy.stats import wasserstein_distance

from trimtab.monitoring.columns import Column, Floats, Table

_SPANS = 10.0


def effect(column: Column, reference: Floats, window: Floats) -> float:
    """The column's effect: numbers by Wasserstein-1 in reference standard deviations, categories by total variation (0 to 1).

    Missing numbers are left out. A number that is constant in the reference counts the share of values that differ. Values
    are held within ten spans of the reference, so that a single absurd one cannot make an effect.
    """
    if column.kind == "category":
        values = np.union1d(reference, window)
        shares = [np.array([(side == value).mean() for value in values]) for side in (reference, window)]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)
    old, new = reference[~np.isnan(reference)], window[~np.isnan(window)]
    low, high = float(old.min()), float(old.max())
    if low == high:
        return float((new != low).mean())
    span = high - low
    held = np.clip(new, low - _SPANS * span, high + _SPANS * span)
    return float(wasserstein_distance(old, held) / old.std())


def effects(columns: list[Column], reference: Table, window: Table) -> dict[str, float]:
    """Every tested column's effect by name."""
    return {column.name: effect(column, reference[column.name], window[column.name]) for column in columns}
