"""From a model's margins [rows, outputs] to its predictions, in the margins' own precision: what trees and linear models end with."""

from typing import Any

# Beyond them the exponential is no number of that size (in bytes) any more.
_MOST = {4: 88.7, 8: 709.0}


def first(margins: Any) -> Any:
    """The only output, of a regression: [rows]."""
    return margins[:, 0]


def logistic(margins: Any) -> Any:
    """The probability of a binary model's second class: [rows]."""
    import numpy as np

    return 1.0 / (1.0 + np.exp(np.minimum(-margins[:, 0], _MOST[margins.dtype.itemsize])))


def shares(margins: Any) -> Any:
    """The probability of each class: [rows, classes]."""
    import numpy as np

    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
