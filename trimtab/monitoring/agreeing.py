"""Whether two versions predict alike: row by row, and as distributions. Needs no labels.

Classes are alike where both find the same one most probable. A number and the probability of a binary model's second class, which is all
that such a model answers, are alike where they differ by at most so many standard deviations of the reference predictions: at a
threshold of 0.5, models of a rare class would agree on every row, whatever they predict.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab.monitoring.columns import MINIMUM_ROWS, Column, Floats, predicted
from trimtab.monitoring.effects import effect
from trimtab.monitoring.reference import Reference
from trimtab.release import Agreement
from trimtab.schema import PREDICTION, Schema


def agreement(champion: Sequence[Any], candidate: Sequence[Any], reference: Reference, difference: float) -> Agreement:
    """How the candidate's predictions (parsed JSON values, a row each, None where it has none) agree with the champion's.

    `reference` is the champion's. Rows that the champion has no readable prediction of are left out; one that only the candidate has
    none of is not alike. The effect is Wasserstein-1 in standard deviations of the champion's predictions, or total variation of classes.
    """
    one, other = (_column(reference.schema, answers) for answers in (champion, candidate))
    known = ~np.isnan(one)
    one, other = one[known], other[known]
    classes = reference.schema.task == "multiclass"
    spread = 0.0 if classes else float(np.nan_to_num(np.nanstd(reference.table[PREDICTION])))
    with np.errstate(invalid="ignore"):
        alike = np.abs(one - other) <= difference * spread
    answered = other[~np.isnan(other)]
    column = Column(PREDICTION, "category" if classes else "number", PREDICTION)
    apart = effect(column, one, answered) if len(answered) >= MINIMUM_ROWS else None
    return Agreement(tuple(alike.tolist()), apart)


def _column(schema: Schema, answers: Sequence[Any]) -> Floats:
    """The answers as one number each: the place of the most probable class, the number, or the probability; NaN where there is none."""
    given = predicted(schema, answers)
    if given.ndim == 1:
        return given
    best = np.argmax(np.nan_to_num(given, nan=-1.0), axis=1).astype(float)
    return np.where(np.isnan(given).any(axis=1), np.nan, best)
