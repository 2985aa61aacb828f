"""The words of the gates' language: what can be measured of a candidate in which task, and what may be asked of it.

Training measures by these names, the rules of a document refuse any others, and reports explain them.
"""

from math import inf

from trimtab.making import Task
from trimtab.spec import ModelSpec

PRIMARY: dict[Task, str] = {"regression": "rmse", "binary": "roc_auc", "multiclass": "log_loss"}
METRICS: dict[Task, tuple[str, ...]] = {
    "regression": ("rmse", "mae", "mape", "r2"),
    "binary": (
        *("roc_auc", "pr_auc", "log_loss", "brier", "ece", "calibration_slope"),
        *("accuracy", "precision", "recall", "f1"),
    ),
    "multiclass": (
        *("log_loss", "brier", "ece", "calibration_slope"),
        *("accuracy", "macro_precision", "macro_recall", "macro_f1"),
    ),
}
"""What is told of predictions, for all rows and for each slice."""
FAIRNESS: dict[Task, tuple[str, ...]] = {
    "regression": ("residual_difference",),
    "binary": ("demographic_parity", "equal_opportunity", "disparate_impact"),
    "multiclass": ("demographic_parity", "equal_opportunity", "disparate_impact"),
}
"""What is told of a sensitive attribute."""
BY_FEATURE = ("attribution_share", "shuffled_loss")
"""What is told of each feature."""
OF_THE_MODEL = ("spurious_share", "noise_loss", "missing_loss", "slice_loss")
"""What is told of the model as a whole."""
AGAINST_CHAMPION = frozenset({"slice_loss"})
"""What there is only beside a champion."""

HIGHER_IS_BETTER = frozenset(
    {"r2", "roc_auc", "pr_auc", "accuracy", "precision", "recall", "f1", "macro_precision", "macro_recall", "macro_f1", "disparate_impact"}
)
UNBOUNDED = frozenset({"r2", "calibration_slope"})
"""What may be less than 0."""
NO_DIRECTION = frozenset({"calibration_slope"})
"""Best at 1: neither more nor less of it is better, so it cannot be compared with a champion's."""
SHARES = frozenset(
    {"roc_auc", "pr_auc", "ece", "accuracy", "precision", "recall", "f1", "macro_precision", "macro_recall", "macro_f1"}
    | {"demographic_parity", "equal_opportunity", "disparate_impact", "attribution_share", "spurious_share"}
)
"""What is never outside 0 to 1."""


def slice_columns(spec: ModelSpec) -> tuple[str, ...]:
    """The columns by whose values a model is told apart: those of `training.slices` and of gates."""
    gates = (gate.slice for gate in spec.gates if gate.slice and gate.metric in METRICS[spec.task])
    return tuple(dict.fromkeys((*spec.training.slices, *gates)))


def within(metric: str, interval: tuple[float, float]) -> tuple[float, float]:
    """The part of an interval that the metric can be in."""
    low, high = interval
    least, most = -inf if metric in UNBOUNDED else 0.0, 1.0 if metric in SHARES else inf
    return min(max(low, least), most), min(max(high, least), most)


def measured(task: Task) -> tuple[str, ...]:
    """Everything that a gate of this task may name."""
    return (*METRICS[task], *FAIRNESS[task], *BY_FEATURE, *OF_THE_MODEL)


def comparable(task: Task) -> tuple[str, ...]:
    """What a champion has too, and of which one of more and less is better."""
    return tuple(name for name in METRICS[task] if name not in NO_DIRECTION)
