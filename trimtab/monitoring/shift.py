"""How the hold-out's rows are to be weighed so that their inputs are distributed as a window's: importance weighting (Shimodaira, 2000).

What a score means depends on which rows get it. Where inputs move, rows of another kind come to have the same score, and a meaning that was
learned from all rows alike is wrong though nothing but inputs moved (Bialek et al., PAPE, 2024). The ratio of the densities is that of a
logistic regression that tells window and hold-out apart by the features that moved most, each in at most a dozen levels. Where none
moved all weights are 1. Pure.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trimtab.monitoring.columns import Floats, Table
from trimtab.schema import Feature

FEATURES, LEVELS, BINS = 10, 10, 8
ROWS = 10_000
MOVED, NOISE = 0.02, 3.0
"""A feature counts where its levels' total variation is above 0.02 and three times what as many rows have by chance."""
HEAVIEST = 20.0
_STEPS, _ENOUGH, _RIDGE = 25, 1e-5, 1.0

Codes = NDArray[np.intp]


def weights(features: Sequence[Feature], known: Table, asked: Table) -> Floats:
    """A weight for each row of `known`, 1 on average; both tables have the features' columns (see `columns`)."""
    moved = []
    for feature in features:
        left, right = _levels(feature, known[feature.name], asked[feature.name])
        variation, chance = _variation(left, right)
        if variation > max(MOVED, NOISE * chance):
            moved.append((variation, left, right))
    rows = len(known[features[0].name])
    if not moved:
        return np.ones(rows)
    chosen = sorted(moved, key=lambda one: -one[0])[:FEATURES]
    told = _odds([left for _, left, _ in chosen], [right for _, _, right in chosen])
    ratio = np.exp(np.clip(told - told.max(), -50.0, 0.0))
    ratio = np.minimum(ratio / ratio.mean(), HEAVIEST)
    return np.asarray(ratio / ratio.mean(), dtype=float)


def unseen(features: Sequence[Feature], asked: Table) -> NDArray[np.bool_]:
    """Which rows have a category that training never saw, shape (rows,): the model guesses there, and no hold-out tells how well."""
    found = np.zeros(len(asked[features[0].name]), dtype=bool)
    for feature in features:
        if feature.kind == "category":
            found |= asked[feature.name] == len(feature.categories)
    return found


def _levels(feature: Feature, known: Floats, asked: Floats) -> tuple[Codes, Codes]:
    """Each row's level: of a number its eighth of the hold-out, of a category its place among the frequent ones; then rest and missing."""
    gone = [np.isnan(side) for side in (known, asked)]
    if feature.kind == "number":
        present = known[~gone[0]]
        edges = np.unique(np.quantile(present, np.arange(1, BINS) / BINS)) if len(present) else np.empty(0)
        left, right = (np.searchsorted(edges, side, side="right") for side in (known, asked))
        last = BINS
    else:
        places = [np.where(side_gone, 0, side).astype(int) for side, side_gone in zip((known, asked), gone, strict=True)]
        sizes = sum(np.bincount(side, minlength=len(feature.categories) + 1) / max(len(side), 1) for side in places)
        rank = np.full(len(feature.categories) + 1, LEVELS)
        often = np.argsort(-np.asarray(sizes), kind="stable")[:LEVELS]
        rank[often] = np.arange(len(often))
        left, right = (rank[side] for side in places)
        last = LEVELS
    return np.where(gone[0], last + 1, left), np.where(gone[1], last + 1, right)


def _variation(left: Codes, right: Codes) -> tuple[float, float]:
    """The total variation of the levels, and about what it is by chance."""
    width = max(left.max(initial=0), right.max(initial=0)) + 1
    shares = [np.bincount(side, minlength=width) / max(len(side), 1) for side in (left, right)]
    mean = (shares[0] + shares[1]) / 2
    chance = np.sqrt(mean * (1 - mean) * (1 / max(len(left), 1) + 1 / max(len(right), 1))).sum() / 2
    return float(np.abs(shares[0] - shares[1]).sum() / 2), float(chance * np.sqrt(2 / np.pi))


def _odds(left: Sequence[Codes], right: Sequence[Codes]) -> Floats:
    """The log odds that a row of `left` is of the window, by a ridge logistic regression on the levels (Newton's method)."""
    widths = [int(max(one.max(), other.max())) + 1 for one, other in zip(left, right, strict=True)]
    before, after = (_hot([side[:: -(-len(side) // ROWS)] for side in sides], widths) for sides in (left, right))
    design = np.concatenate([before, after])
    target = np.concatenate([np.zeros(len(before)), np.ones(len(after))])
    drawn = np.array([1e-6, *[_RIDGE] * (design.shape[1] - 1)])
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        meant = 1.0 / (1.0 + np.exp(-design @ found))
        curvature = (design * (meant * (1.0 - meant))[:, None]).T @ design + np.diag(drawn)
        step = np.linalg.solve(curvature, design.T @ (target - meant) - drawn * found)
        found = found + np.clip(step, -3.0, 3.0)
        if np.abs(step).max() < _ENOUGH:
            break
    first = np.cumsum([1, *widths[:-1]])
    return np.asarray(sum(found[start + codes] for start, codes in zip(first, left, strict=True)), dtype=float)


def _hot(codes: Sequence[Codes], widths: Sequence[int]) -> Floats:
    parts = [np.eye(width)[one] for one, width in zip(codes, widths, strict=True)]
    return np.column_stack([np.ones(len(codes[0])), *parts])
