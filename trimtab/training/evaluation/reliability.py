"""Whether a probability means what it says: expected calibration error, calibration slope, and the calibration curve.

A label's share where the model says p should be p. The error tells how far off the shares are, and misses a model that is far too sure
where one class is rare: then all shares are small. The slope does not: it is what the log odds have to be multiplied by to fit the
labels, so 1 is right, and 0.5 says that the model is twice as sure as it may be.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.training.evaluation.bootstrap import Statistic, stripes

if TYPE_CHECKING:
    import numpy as np

_Slope = Callable[[Any], Any]

BINS = 15
CURVE_BINS = 10
_CLIP = 1e-7
_MOST = 10.0
_SAME = 1e-8
_FITTED = 20_000
_Z = 1.96


class Bin(Struct, frozen=True, rename="camel"):
    """The rows whose predictions are alike: the mean of what was predicted, the share that was observed and its 95% interval."""

    predicted: float
    observed: float
    interval: tuple[float, float]
    rows: int


def binary(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> Statistic:
    """`ece` and `calibration_slope` of the second class's probability, as a function of row weights.

    The slope is that of Cox (1958): a logistic regression of the labels on the log odds, with an intercept. Predictions that are all the
    same have none.
    """
    import numpy as np

    given = np.clip(predictions, _CLIP, 1 - _CLIP)
    odds = np.log(given / (1 - given))
    return _both(predictions, labels, _slope(odds, labels) if np.ptp(odds) > _SAME else None)


def multiclass(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> Statistic:
    """`ece` of the likeliest class (Guo et al., 2017) and `calibration_slope`, as a function of row weights.

    The slope is the inverse of their temperature: it scales all classes' log odds. Predictions in which all classes are alike have none.
    """
    import numpy as np

    right = (predictions.argmax(axis=1) == labels).astype(float)
    logs = np.log(np.clip(predictions, _CLIP, 1.0))
    return _both(predictions.max(axis=1), right, _temperature(logs, labels) if np.ptp(logs, axis=1).max() > _SAME else None)


def curve(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> tuple[Bin, ...]:
    """The calibration curve in at most ten bins of about equally many rows; the interval of a share is Wilson's (1927)."""
    import numpy as np

    order, starts = _bins(predictions, CURVE_BINS)
    found = []
    for rows in np.split(order, starts[1:]):
        count, share = len(rows), float(labels[rows].mean())
        middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
        half = _Z / (1 + _Z**2 / count) * float(np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2)))
        found.append(Bin(float(predictions[rows].mean()), share, (middle - half, middle + half), count))
    return tuple(found)


def _both(predictions: "np.ndarray[Any, Any]", labels: "np.ndarray[Any, Any]", slope: _Slope | None) -> Statistic:
    """The error in 15 bins of about equally many rows (adaptive: Nixon et al., 2019), and the slope."""
    import numpy as np

    order, starts = _bins(predictions, BINS)
    excess = (predictions - labels)[order][:, None]

    def statistic(weights: "np.ndarray[Any, Any]") -> dict[str, Any]:
        off = np.add.reduceat(weights[order] * excess, starts, axis=0)
        undefined = np.full(weights.shape[1], np.nan)
        return {
            "ece": np.abs(off).sum(axis=0) / weights.sum(axis=0),
            "calibration_slope": undefined if slope is None else slope(weights),
        }

    return statistic


def _bins(predictions: "np.ndarray[Any, Any]", count: int) -> tuple[Any, Any]:
    """The rows in the order of their predictions, and where each bin starts in it; equal predictions share a bin."""
    import numpy as np

    order = np.argsort(predictions, kind="stable")
    ordered = predictions[order]
    wanted = ordered[np.arange(count) * len(ordered) // count]
    return order, np.unique(np.searchsorted(ordered, wanted, side="left"))


def _slope(odds: "np.ndarray[Any, Any]", labels: "np.ndarray[Any, Any]") -> _Slope:
    import numpy as np

    def loss(at: "np.ndarray[Any, Any]", rows: Any) -> float:
        linear = at[0] + at[1] * odds[rows]
        return float((np.logaddexp(0, linear) - labels[rows] * linear).sum())

    def step(at: "np.ndarray[Any, Any]", rows: Any, weights: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        scale, truth = odds[rows], labels[rows]
        fitted = 1 / (1 + np.exp(-np.clip(at[0] + at[1] * scale, -30, 30)))
        spread = fitted * (1 - fitted)
        terms = np.stack([truth - fitted, (truth - fitted) * scale, spread, spread * scale, spread * scale**2])
        first, second, a, b, c = terms @ weights
        determinant = np.maximum(a * c - b * b, 1e-9)
        return np.stack([(c * first - b * second) / determinant, (a * second - b * first) / determinant])

    return _newton(loss, step, np.array([0.0, 1.0]), len(labels))


def _temperature(logs: "np.ndarray[Any, Any]", labels: "np.ndarray[Any, Any]") -> _Slope:
    import numpy as np

    given = np.take_along_axis(logs, labels[:, None], axis=1)[:, 0]

    def scaled(at: float, rows: Any) -> tuple[Any, Any]:
        raised = at * logs[rows]
        most = raised.max(axis=1, keepdims=True)
        powers = np.exp(raised - most)
        total = powers.sum(axis=1, keepdims=True)
        return powers / total, (most + np.log(total))[:, 0]

    def loss(at: "np.ndarray[Any, Any]", rows: Any) -> float:
        return float((scaled(at[0], rows)[1] - at[0] * given[rows]).sum())

    def step(at: "np.ndarray[Any, Any]", rows: Any, weights: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        fitted, _ = scaled(at[0], rows)
        mean = (fitted * logs[rows]).sum(axis=1)
        terms = np.stack([given[rows] - mean, (fitted * logs[rows] ** 2).sum(axis=1) - mean**2])
        score, curvature = terms @ weights
        return np.asarray(score / np.maximum(curvature, 1e-9))[None]

    return _newton(loss, step, np.array([1.0]), len(labels))


def _newton(loss: Callable[..., float], step: Callable[..., Any], found: "np.ndarray[Any, Any]", count: int) -> _Slope:
    """The slope, which is the last parameter, as a function of row weights: of a resample by one more step from the fit of all rows.

    Newton's method, each step halved until it helps. Of more than 20,000 rows stripes are fitted; the last step is over all.
    """
    import numpy as np

    rows = stripes(count, _FITTED)
    ones, best = np.ones((len(rows), 1)), loss(found, rows)
    for _ in range(30):
        change = step(found, rows, ones)[:, 0]
        while np.abs(change).max() > _SAME and (tried := loss(np.clip(found + change, -_MOST, _MOST), rows)) > best:
            change = change / 2
        if np.abs(change).max() <= _SAME:
            break
        found, best = np.clip(found + change, -_MOST, _MOST), tried
    return lambda weights: np.clip(found[-1] + step(found, slice(None), weights)[-1], -_MOST, _MOST)
