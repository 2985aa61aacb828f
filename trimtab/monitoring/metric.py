"""Metrics and the losses of single rows, as numbers over arrays.

Everything is turned into an *error*, smaller being better (for roc_auc: 1 - roc_auc), so that a margin, a floor and a rise each
mean one thing.
"""

import numpy as np
from scipy.stats import rankdata

from trimtab.monitoring.columns import Floats
from trimtab.spec import Task
from trimtab.units import Margin

PRIMARY: dict[Task, str] = {"regression": "rmse", "binary": "roc_auc", "multiclass": "log_loss"}
HIGHER_IS_BETTER = frozenset({"roc_auc"})
TINY = 1e-7


def losses(task: Task, truth: Floats, answers: Floats) -> Floats:
    """Each row's loss, shape (rows,): squared error, or log loss with probabilities kept within 1e-7 of 0 and 1."""
    if task == "regression":
        return np.asarray((truth - answers) ** 2, dtype=float)
    binary = task == "binary"
    right = np.where(truth > 0, answers, 1.0 - answers) if binary else answers[np.arange(len(truth)), truth.astype(int)]
    return np.asarray(-np.log(np.clip(right, TINY, 1.0 - TINY)), dtype=float)


def error(metric: str, task: Task, truth: Floats, answers: Floats) -> float:
    """The error of rmse, log_loss or roc_auc over all rows; NaN where it is not defined (roc_auc with one class)."""
    if metric == "roc_auc":
        return 1.0 - roc_auc(truth, answers)
    mean = float(np.mean(losses(task, truth, answers)))
    return float(np.sqrt(mean)) if metric == "rmse" else mean


def roc_auc(truth: Floats, answers: Floats) -> float:
    """The area under the ROC curve by ranks (Mann-Whitney), ties counted half; NaN with one class."""
    positive = truth > 0
    many, few = int(positive.sum()), int((~positive).sum())
    if not many or not few:
        return float("nan")
    return float((rankdata(answers)[positive].sum() - many * (many + 1) / 2) / (many * few))


def as_error(metric: str, value: float) -> float:
    """A metric's value as an error, and the other way round (it is its own inverse)."""
    return 1.0 - value if metric in HIGHER_IS_BETTER else value


def allowed(metric: str, validation: float, margin: Margin) -> float:
    """The largest error that a margin allows, given the error in the version's own validation.

    For a metric that grows with quality `x0.95` multiplies the metric, `x1.1` its shortfall from 1, and an absolute margin's
    sign does not matter: it always says how much worse is still good enough.
    """
    if metric not in HIGHER_IS_BETTER:
        return margin.bound(validation)
    if not margin.relative:
        return validation + abs(margin.value)
    return validation * margin.value if margin.value >= 1 else 1.0 - (1.0 - validation) * margin.value
