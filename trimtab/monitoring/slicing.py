"""The parts of a window that a person declared: the columns of `training.slices` and of the gates, which the evaluation tells apart too.

A mean over all rows hides a region that is predicted badly. A slice is held against the same slice of the version's own hold-out, whose
answers stay with the version beside those columns. Pure.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trimtab.measures import slice_columns
from trimtab.monitoring.columns import Floats, as_number, is_missing
from trimtab.monitoring.performance import Sample, sample
from trimtab.spec import ModelSpec, Task

FEWEST_ROWS = 100
FEWEST_OF_A_CLASS = 10
MOST_VALUES = 20
FEW_NUMBERS = 10
_QUARTERS = np.array([0.25, 0.5, 0.75])

Values = Sequence[Any]
Mask = NDArray[np.bool_]


class Slice(Struct, frozen=True):
    """A part of a window and the same part of the hold-out; `floor` is what a gate asks of it, if one does."""

    name: str
    window: Sample
    holdout: Sample
    floor: float | None = None


def slices(
    spec: ModelSpec,
    metric: str,
    rows: Sequence[Mapping[str, Any]],
    window: tuple[Floats, Floats],
    known: Mapping[str, Values],
    holdout: Sample,
) -> list[Slice]:
    """The declared slices that have at least 100 rows with labels on both sides (of a binary task ten of each class).

    `window` are the rows' labels and answers; `known` are the columns' values of the hold-out's rows, where the version kept them.
    """
    found = []
    for column in slice_columns(spec):
        if column not in known:
            continue
        floor = next((_floor(gate.min, gate.max) for gate in spec.gates if gate.slice == column and gate.metric == metric), None)
        for name, left, right in _groups(column, known[column], [row.get(column) for row in rows]):
            inside, before = sample(window[0][right], window[1][right]), sample(holdout.truth[left], holdout.answers[left])
            if _enough(spec.task, inside) and _enough(spec.task, before):
                found.append(Slice(name, inside, before, floor))
    return found


def _floor(least: float | None, most: float | None) -> float | None:
    return most if least is None else least


def _enough(task: Task, rows: Sample) -> bool:
    positives = int((rows.truth > 0).sum())
    return len(rows.truth) >= FEWEST_ROWS and (task != "binary" or min(positives, len(rows.truth) - positives) >= FEWEST_OF_A_CLASS)


def _groups(column: str, known: Values, asked: Values) -> list[tuple[str, Mask, Mask]]:
    """Texts by their values, the 20 most frequent of the hold-out; numbers by their values where they are at most ten, else by quarters."""
    if any(isinstance(value, str) for value in known):
        sides = [np.array([None if is_missing(value) else str(value) for value in side], dtype=object) for side in (known, asked)]
        texts, often = np.unique([text for text in sides[0] if text is not None], return_counts=True)
        return [
            (f"{column} = {text}", *(side == text for side in sides)) for text in texts[np.argsort(-often, kind="stable")[:MOST_VALUES]]
        ]
    left, right = (np.array([as_number(value) for value in side], dtype=float) for side in (known, asked))
    numbers = np.unique(left[~np.isnan(left)])
    if len(numbers) <= FEW_NUMBERS:
        return [(f"{column} = {number:g}", left == number, right == number) for number in numbers]
    edges = [-np.inf, *np.unique(np.quantile(left[~np.isnan(left)], _QUARTERS)), np.inf]
    return [(_between(column, low, high), *((side >= low) & (side < high) for side in (left, right))) for low, high in pairwise(edges)]


def _between(column: str, low: float, high: float) -> str:
    if np.isinf(low):
        return f"{column} < {high:g}"
    return f"{column} >= {low:g}" if np.isinf(high) else f"{column} {low:g} to {high:g}"
