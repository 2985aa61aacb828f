"""What a binary model's scores mean: the probability of the second class by score, learned from a version's own holdout.

It is a logistic regression on the score's log odds (Platt, 1999) whose line may bend at up to four knots, as many as the positives
bear, with as many positives between any two. A straight line is wrong where no score tells some of the positives (mislabelled ones,
say): it expects none of them and an area that is too large. Beyond the scores that were seen it goes on, where the steps of isotonic
regression stop. Slope and bends are drawn a little towards the model's own word, a slope of 1 without any.
"""

import numpy as np

from trimtab.monitoring.columns import Floats
from trimtab.monitoring.metric import TINY

KNOTS, POSITIVES_A_KNOT = 4, 15
_STEPS = 50
_FURTHEST = 2.0
_ENOUGH = 1e-6
_DRAWN_LEVEL, _DRAWN = 1e-6, 1.0


def knots(scores: Floats, truth: Floats) -> Floats:
    """Where the line may bend, in log odds: quantiles of the positives' scores; shapes (rows,), (rows,) and (knots,)."""
    positive = _log_odds(scores[truth > 0])
    many = min(KNOTS, len(positive) // POSITIVES_A_KNOT)
    return np.unique(np.quantile(positive, np.arange(1, many + 1) / (many + 1))) if many else np.empty(0)


def lines(scores: Floats, bends: Floats, rows: Floats, positives: Floats) -> Floats:
    """Intercept, slope and bends of each resample, shape (resamples, 2 + knots), by Newton's method on the penalised likelihood.

    `scores` are the groups' (groups,); `rows` and `positives` how many of each group a resample has (resamples, groups).
    """
    known = _design(scores, bends)
    own_word = np.eye(known.shape[1])[1]
    drawn = np.array([_DRAWN_LEVEL, *[_DRAWN] * (known.shape[1] - 1)])
    found = np.tile(own_word, (len(rows), 1))
    for _ in range(_STEPS):
        meant = 1.0 / (1.0 + np.exp(-found @ known.T))
        rise = (positives - rows * meant) @ known - drawn * (found - own_word)
        curvature = np.einsum("rg,gi,gj->rij", rows * meant * (1.0 - meant), known, known, optimize=True) + np.diag(drawn)
        step = np.linalg.solve(curvature, rise[:, :, None])[:, :, 0]
        change = np.abs(step @ known.T).max(axis=1, keepdims=True)
        found = found + step * np.minimum(1.0, _FURTHEST / np.maximum(change, _ENOUGH))
        if np.abs(step).max() < _ENOUGH:
            break
    return found


def meaning(fitted: Floats, bends: Floats, scores: Floats) -> Floats:
    """The probability that each line gives to each score; shapes (lines, 2 + knots), (knots,), (scores,) and (lines, scores)."""
    return np.asarray(1.0 / (1.0 + np.exp(-fitted @ _design(scores, bends).T)), dtype=float)


def _design(scores: Floats, bends: Floats) -> Floats:
    odds = _log_odds(scores)
    return np.column_stack([np.ones(len(odds)), odds, np.maximum(odds[:, None] - bends, 0.0)])


def _log_odds(scores: Floats) -> Floats:
    kept = np.clip(scores, TINY, 1.0 - TINY)
    return np.asarray(np.log(kept / (1.0 - kept)), dtype=float)
