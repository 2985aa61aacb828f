"""Resamples of rows that depend on their neighbours, and areas under the ROC curve of hundreds of them at once.

Scores are gathered in groups, rising; what a resample is asked is how many rows and how many positives each group has. So a
resample of fifty thousand rows costs less than a millisecond, and no sort.
"""

from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trimtab.monitoring.columns import Floats

BLOCK = 24
GROUPS = 1000


class Groups(Struct, frozen=True):
    """Scores in rising groups: the mean score of each, and each row's group; shapes (groups,) and (rows,)."""

    score: Floats
    of: NDArray[np.intp]

    def count(self, weights: Floats | None = None) -> Floats:
        """The rows of each group, or the sum of their weights."""
        return np.bincount(self.of, weights, len(self.score)).astype(float)


def grouped(scores: Floats) -> Groups:
    """The scores' groups: equal ones where there are at most 1,000 different, else those between the quantiles."""
    distinct, of = np.unique(scores, return_inverse=True)
    if len(distinct) > GROUPS:
        edges = np.unique(np.quantile(scores, np.arange(1, GROUPS) / GROUPS))
        _, of = np.unique(np.searchsorted(edges, scores, side="right"), return_inverse=True)
        distinct = np.bincount(of, scores) / np.bincount(of)
    return Groups(distinct, of.reshape(-1))


def areas(positives: Floats, negatives: Floats) -> Floats:
    """The area under the ROC curve of each resample, ties counted half; shapes (resamples, groups). NaN with one class."""
    below = np.cumsum(negatives, axis=1) - negatives
    with np.errstate(invalid="ignore"):
        return np.asarray((positives * (below + negatives / 2)).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1)))


def block_rows(rows: int, of: int) -> int:
    """The rows of a block: 24 of the rows that there were (`of`), of which `rows` were kept; at least ten blocks in all."""
    return max(1, min(round(BLOCK * rows / max(rows, of)), rows // 10))


def blocks(rows: int, block: int, resamples: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Where the blocks of each resample begin, shape (resamples, blocks): a circular block bootstrap (Politis and Romano, 1992)."""
    return generator.integers(0, rows, (resamples, -(-rows // block)))


def counts(rows: int, block: int, starts: NDArray[np.int64]) -> Iterator[Floats]:
    """How often each row is in each of the resamples, shape (rows,)."""
    for begun in starts:
        steps = np.bincount(begun, minlength=rows + block) - np.bincount(begun + block, minlength=rows + block)[: rows + block]
        found = np.cumsum(steps[: rows + block]).astype(float)
        found[:block] += found[rows:]
        yield found[:rows]


def resampled(
    groups: Groups, truth: Floats, block: int, resamples: int, generator: np.random.Generator, weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """The rows and the positives of each group, first as they are and then in each resample; shapes (1 + resamples, groups).

    With `weights` (rows,) a row counts so many times.
    """
    rows = len(truth)
    base = np.ones(rows) if weights is None else weights
    every = [base, *(base * times for times in counts(rows, block, blocks(rows, block, resamples, generator)))]
    return np.array([groups.count(weight) for weight in every]), np.array([groups.count(weight * truth) for weight in every])
