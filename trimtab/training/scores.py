"""Metrics and losses of predictions, in NumPy alone: what a gate compares and what the monitor's numbers mean.

Predictions: the value in a regression, shape (n,); the second class's probability in a binary task, shape (n,); all classes'
probabilities in a multiclass task, shape (n, classes). Labels: the value, or the class's place.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from trimtab.spec import Task

if TYPE_CHECKING:
    import numpy as np

PRIMARY: dict[Task, str] = {"regression": "rmse", "binary": "roc_auc", "multiclass": "log_loss"}
METRICS: dict[Task, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "r2"),
    "binary": ("roc_auc", "log_loss", "brier"),
    "multiclass": ("log_loss", "accuracy"),
}
HIGHER_IS_BETTER = frozenset({"r2", "roc_auc", "accuracy"})
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


def metrics(task: Task, labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> dict[str, float]:
    """The task's metrics over all rows; roc_auc is 0.5 where only one class is present, r2 is 0 where the labels do not vary."""
    import numpy as np

    loss = row_losses(task, labels, predictions)
    if task == "regression":
        spread = float(np.mean(np.square(labels - labels.mean())))
        return {
            "rmse": float(np.sqrt(loss.mean())),
            "mae": float(np.abs(predictions - labels).mean()),
            "r2": 1 - float(loss.mean()) / spread if spread > 0 else 0.0,
        }
    if task == "binary":
        brier = float(np.square(predictions - labels).mean())
        return {"roc_auc": roc_auc(labels, predictions), "log_loss": float(loss.mean()), "brier": brier}
    return {"log_loss": float(loss.mean()), "accuracy": float((predictions.argmax(axis=1) == labels).mean())}


def roc_auc(labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> float:
    """The share of (positive, negative) pairs in the right order, ties counted half (Mann-Whitney U)."""
    import numpy as np

    positives = int((labels == 1).sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return 0.5
    _, place, count = np.unique(predictions, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[labels == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def baseline(task: Task, labels: "np.ndarray[Any, Any]", rows: int, classes: int) -> "np.ndarray[Any, Any]":
    """What a model without features predicts for `rows` rows, from the training `labels`: their mean, or the classes' shares."""
    import numpy as np

    if task == "multiclass":
        return np.tile(np.bincount(labels.astype(int), minlength=classes) / len(labels), (rows, 1))
    return np.full(rows, labels.mean())


def block_bootstrap(
    statistic: Callable[["np.ndarray[Any, Any]"], dict[str, float]], rows: int, seed: int
) -> dict[str, tuple[float, float]]:
    """95% percentile intervals of `statistic(row numbers)`, by the circular block bootstrap (Politis and Romano, 1992).

    Blocks of about rows^(1/3) neighbours keep the dependence of rows that are close in time.
    """
    import numpy as np

    resamples = int(np.clip(3_000_000 // max(rows, 1), 40, 300))
    length = max(1, round(rows ** (1 / 3)))
    generator = np.random.default_rng(seed)
    found: dict[str, list[float]] = {}
    for _ in range(resamples):
        starts = generator.integers(0, rows, size=-(-rows // length))
        chosen = ((starts[:, None] + np.arange(length)) % rows).ravel()[:rows]
        for name, value in statistic(chosen).items():
            found.setdefault(name, []).append(value)
    return {name: (float(np.quantile(values, 0.025)), float(np.quantile(values, 0.975))) for name, values in found.items()}
