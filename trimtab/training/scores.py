"""Metrics and losses of predictions, in NumPy alone: what a gate compares and what the monitor's numbers mean.

Predictions: the value in a regression, shape (n,); the second class's probability in a binary task, shape (n,); all classes'
probabilities in a multiclass task, shape (n, classes). Labels: the value, or the class's place.

Every metric is a function of row weights, so that a bootstrap asks for all its resamples at once. They are those of scikit-learn,
which would take a second to import and asks about one resample at a time.
"""

from typing import TYPE_CHECKING, Any

from trimtab.measures import HIGHER_IS_BETTER as HIGHER_IS_BETTER
from trimtab.measures import METRICS as METRICS
from trimtab.measures import PRIMARY as PRIMARY
from trimtab.spec import Task
from trimtab.training.evaluation import ranking, reliability
from trimtab.training.evaluation.bootstrap import Statistic

if TYPE_CHECKING:
    import numpy as np

_CLIP = 1e-7


def row_losses(task: Task, labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """Each row's loss: squared error in a regression, else the log loss with probabilities kept within 1e-7 of 0 and 1."""
    import numpy as np

    if task == "regression":
        squared: np.ndarray[Any, Any] = np.square(predictions - labels)
        return squared
    if task == "binary":
        given = np.where(labels == 1, predictions, 1 - predictions)
    else:
        given = np.take_along_axis(predictions, labels.astype(int)[:, None], axis=1)[:, 0]
    losses: np.ndarray[Any, Any] = -np.log(np.clip(given, _CLIP, 1 - _CLIP))
    return losses


def metrics(task: Task, labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]", cut: float | None = None) -> dict[str, float]:
    """The task's metrics over all rows.

    `cut` is the probability from which on a row of a binary task is called positive (`threshold`; 0.5 where none is given), which
    accuracy, precision, recall and f1 depend on. Precision and recall are 0 where nothing is to be counted, r2 is 0 where the labels do
    not vary, roc_auc is 0.5 and pr_auc the share of positives where only one class is present. What is not defined is left out: mape,
    which is over the rows whose label is not zero, where all are; the calibration slope of predictions that are all the same.
    """
    import numpy as np

    found = scorer(task, labels, predictions, cut)(np.ones((len(labels), 1)))
    return {name: float(values[0]) for name, values in found.items() if np.isfinite(values[0])}


def scorer(task: Task, labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]", cut: float | None = None) -> Statistic:
    """The task's metrics of these rows as a function of their weights; what is not defined is NaN."""
    if task == "regression":
        return _regression(labels, predictions)
    if task == "binary":
        return _binary(labels, predictions, 0.5 if cut is None else cut)
    return _multiclass(labels.astype(int), predictions)


def threshold(training: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> float:
    """The probability from which on a row is called positive: so that as large a share of `predictions` is as of the `training` labels.

    It is taken from the holdout's predictions and the training rows' labels, and never looks at the holdout's labels. At least one
    row is called positive.
    """
    import numpy as np

    positive = min(len(predictions), max(1, round(float((training == 1).mean()) * len(predictions))))
    return float(np.partition(predictions, len(predictions) - positive)[len(predictions) - positive])


def baseline(task: Task, labels: "np.ndarray[Any, Any]", rows: int, classes: int) -> "np.ndarray[Any, Any]":
    """What a model without features predicts for `rows` rows, from the training `labels`: their mean, or the classes' shares."""
    import numpy as np

    if task == "multiclass":
        return np.tile(np.bincount(labels.astype(int), minlength=classes) / len(labels), (rows, 1))
    return np.full(rows, labels.mean())


def roc_auc(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> float:
    """The share of (positive, negative) pairs in the right order, ties counted half (Mann-Whitney U)."""
    import numpy as np

    return float(ranking.areas(labels, predictions)(np.ones((len(labels), 1)))["roc_auc"][0])


def _regression(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> Statistic:
    import numpy as np

    error, centred = predictions - labels, labels - labels.mean()
    counted = labels != 0
    relative = np.divide(np.abs(error), np.abs(labels), out=np.zeros(len(labels)), where=counted)
    terms = np.stack([error**2, np.abs(error), centred, centred**2, relative, counted.astype(float)])

    def statistic(weights: "np.ndarray[Any, Any]") -> dict[str, Any]:
        sums, total = terms @ weights, weights.sum(axis=0)
        squared, spread = sums[0] / total, sums[3] / total - np.square(sums[2] / total)
        return {
            "rmse": np.sqrt(squared),
            "mae": sums[1] / total,
            "mape": _ratio(sums[4], sums[5], np.nan),
            "r2": np.where(spread > 1e-12 * np.maximum(squared, 1e-300), 1 - _ratio(squared, spread, 0.0), 0.0),
        }

    return statistic


def _binary(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]", cut: float) -> Statistic:
    import numpy as np

    positive, called = labels == 1, predictions >= cut
    terms = [row_losses("binary", labels, predictions), np.square(predictions - labels), positive == called]
    terms += [positive & called, positive, called]
    columns = np.stack([np.asarray(term, dtype=float) for term in terms])
    areas, calibrated = ranking.areas(labels, predictions), reliability.binary(labels, predictions)

    def statistic(weights: "np.ndarray[Any, Any]") -> dict[str, Any]:
        sums = columns @ weights
        loss, brier, right = sums[:3] / weights.sum(axis=0)
        both, true, said = sums[3:]
        means = {"log_loss": loss, "brier": brier, "accuracy": right}
        counts = {"precision": _ratio(both, said), "recall": _ratio(both, true), "f1": _ratio(2 * both, true + said)}
        found = {**areas(weights), **means, **calibrated(weights), **counts}
        return {name: found[name] for name in METRICS["binary"]}

    return statistic


def _multiclass(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> Statistic:
    import numpy as np

    classes = predictions.shape[1]
    said = predictions.argmax(axis=1)
    truth, called = np.eye(classes)[labels], np.eye(classes)[said]
    brier = np.square(predictions - truth).sum(axis=1)
    means = np.stack([row_losses("multiclass", labels, predictions), brier, said == labels])
    columns = np.concatenate([means, (truth * called).T, truth.T, called.T])
    calibrated = reliability.multiclass(labels, predictions)

    def statistic(weights: "np.ndarray[Any, Any]") -> dict[str, Any]:
        sums = columns @ weights
        loss, score, right = sums[:3] / weights.sum(axis=0)
        both, true, made = np.split(sums[3:], 3)
        present = np.maximum((true + made > 0).sum(axis=0), 1)
        macro = {"macro_precision": _ratio(both, made), "macro_recall": _ratio(both, true), "macro_f1": _ratio(2 * both, true + made)}
        counts = {name: values.sum(axis=0) / present for name, values in macro.items()}
        found = {"log_loss": loss, "brier": score, "accuracy": right, **calibrated(weights), **counts}
        return {name: found[name] for name in METRICS["multiclass"]}

    return statistic


def _ratio(above: "np.ndarray[Any, Any]", below: "np.ndarray[Any, Any]", otherwise: float = 0.0) -> "np.ndarray[Any, Any]":
    import numpy as np

    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), otherwise), where=below > 0))
