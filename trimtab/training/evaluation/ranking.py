"""How well probabilities order rows: the areas under the ROC and the precision-recall curve, the curves, and the confusion matrix."""

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.training.evaluation.bootstrap import Statistic

if TYPE_CHECKING:
    import numpy as np

CURVE_POINTS = 100


class Curve(Struct, frozen=True, rename="camel"):
    """A ROC curve from the strictest threshold to the laxest: false and true positive rate at each."""

    false_positive_rate: tuple[float, ...]
    true_positive_rate: tuple[float, ...]
    thresholds: tuple[float, ...]


def areas(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> Statistic:
    """roc_auc and pr_auc (average precision) as a function of row weights; rows with the same prediction count as one step."""
    import numpy as np

    order = np.argsort(-predictions, kind="stable")
    ordered, positive = predictions[order], (labels == 1)[order].astype(float)[:, None]
    steps = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))

    def statistic(weights: "np.ndarray[Any, Any]") -> dict[str, Any]:
        ordered_weights = weights[order]
        hits = np.add.reduceat(ordered_weights * positive, steps, axis=0)
        false = np.add.reduceat(ordered_weights, steps, axis=0) - hits
        all_hits, all_false = hits.cumsum(axis=0), false.cumsum(axis=0)
        positives, negatives = all_hits[-1], all_false[-1]
        pairs = (hits * (negatives - all_false + false / 2)).sum(axis=0)
        seen = all_hits + all_false
        precision = np.divide(all_hits, seen, out=np.zeros_like(seen), where=seen > 0)
        both, some = positives * negatives, np.maximum(positives, 1e-300)
        return {
            "roc_auc": np.where(both > 0, pairs / np.maximum(both, 1e-300), 0.5),
            "pr_auc": np.where(positives > 0, (hits * precision).sum(axis=0) / some, 0.0),
        }

    return statistic


def roc(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> Curve:
    """The ROC curve at no more than 100 thresholds, from nothing called positive to everything."""
    import numpy as np

    order = np.argsort(-predictions, kind="stable")
    ordered, positive = predictions[order], (labels == 1)[order]
    ends = np.flatnonzero(np.concatenate([ordered[1:] != ordered[:-1], [True]]))
    hits, false = np.cumsum(positive)[ends], np.cumsum(~positive)[ends]
    kept = np.unique(np.linspace(0, len(ends) - 1, min(len(ends), CURVE_POINTS - 1)).astype(int))
    return Curve(
        (0.0, *(false[kept] / max(int(false[-1]), 1)).tolist()),
        (0.0, *(hits[kept] / max(int(hits[-1]), 1)).tolist()),
        (float(np.nextafter(ordered[0], np.inf)), *ordered[ends][kept].tolist()),
    )


def confusion(truth: "np.ndarray[Any, Any]", said: "np.ndarray[Any, Any]", classes: int) -> tuple[tuple[int, ...], ...]:
    """How many rows of each class (a row of the matrix) were called each class (a column)."""
    import numpy as np

    counts = np.bincount(truth.astype(int) * classes + said.astype(int), minlength=classes * classes)
    return tuple(tuple(row) for row in counts.reshape(classes, classes).tolist())
