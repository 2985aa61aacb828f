"""From what a binary model says to the probability that it means: a rising line through a few knots, fitted on rows it never saw.

Both ways end in knots (`schema.Knots`), so that training, the predictor and everybody after them read the same line by the same
function.
"""

from typing import TYPE_CHECKING, Any, Literal

from trimtab.schema import Knots

if TYPE_CHECKING:
    import numpy as np

Way = Literal["none", "sigmoid", "isotonic"]
FEWEST: dict[Way, int] = {"none": 0, "sigmoid": 5, "isotonic": 50}
"""How many rows of each class a way needs."""

_GROUPS = 200
_KNOTS = 101
_EDGE = 1e-6
_STEPS = 50


def ways(labels: "np.ndarray[Any, Any]") -> tuple[Way, ...]:
    """Which ways the rows suffice for."""
    rarer = min(int((labels == 1).sum()), int((labels == 0).sum()))
    return tuple(way for way, fewest in FEWEST.items() if rarer >= fewest)


def knots(way: Way, said: "np.ndarray[Any, Any]", labels: "np.ndarray[Any, Any]") -> Knots:
    """The line that leads from what was `said` (in 0..1) of rows to how often they are of the second class."""
    if way == "none":
        return ()
    return _sigmoid(said, labels) if way == "sigmoid" else _isotonic(said, labels)


def _sigmoid(said: "np.ndarray[Any, Any]", labels: "np.ndarray[Any, Any]") -> Knots:
    """Platt scaling of the log-odds (Platt, 1999), by Newton's method, with his targets, which are also
    the most and the least that it says. It never falls.
    """
    import numpy as np

    positives, negatives = float((labels == 1).sum()), float((labels == 0).sum())
    aims = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    design = np.column_stack([_log_odds(said), np.ones(len(said))])
    slope = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        found = _logistic(design @ slope)
        curvature = (design * (found * (1 - found))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (found - aims))
        slope = slope - np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    if slope[0] <= 0:
        base = float(aims.mean())
        return ((0.5, base),)
    at = np.linspace(_log_odds(np.array([0.0]))[0], _log_odds(np.array([1.0]))[0], _KNOTS)
    return _pairs(_logistic(at), np.clip(_logistic(slope[0] * at + slope[1]), aims.min(), aims.max()))


def _isotonic(said: "np.ndarray[Any, Any]", labels: "np.ndarray[Any, Any]") -> Knots:
    """Isotonic regression by pooling adjacent violators, with its blocks as single knots at their centres, so that what rises does so
    throughout (centred isotonic regression, Oron and Flournoy, 2017). Each block also holds one row of the whole's share.
    """
    import numpy as np

    _, place = np.unique(said, return_inverse=True)
    group = np.minimum(np.cumsum(np.bincount(place)) * _GROUPS // (len(said) + 1), _GROUPS - 1)[place]
    blocks: list[list[float]] = []
    for number in np.unique(group):
        within = group == number
        blocks.append([float(within.sum()), float(said[within].sum()), float(labels[within].sum())])
        while len(blocks) > 1 and blocks[-2][2] * blocks[-1][0] >= blocks[-1][2] * blocks[-2][0]:
            last = blocks.pop()
            blocks[-1] = [left + right for left, right in zip(blocks[-1], last, strict=True)]
    rows, centres, second = np.array(blocks).T
    share = float(labels.mean())
    meant = np.maximum.accumulate((second + share) / (rows + 1))
    return _pairs(centres / rows, meant)


def _pairs(said: "np.ndarray[Any, Any]", meant: "np.ndarray[Any, Any]") -> Knots:
    return tuple(zip(said.tolist(), meant.tolist(), strict=True))


def _log_odds(said: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    import numpy as np

    within = np.clip(said, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(within / (1 - within)))


def _logistic(value: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    import numpy as np

    return np.asarray((1 + np.tanh(value / 2)) / 2)
