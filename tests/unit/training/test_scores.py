"""Metrics against scikit-learn's, with and without weights."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from trimtab.measures import METRICS
from trimtab.spec import Task
from trimtab.training import scores

RANDOM = np.random.default_rng(3)
LABELS = (RANDOM.random(300) < 0.3).astype(float)
SAID = np.clip(np.round(RANDOM.random(300) * 0.6 + 0.3 * LABELS, 1), 0.01, 0.99)
WEIGHTS = RANDOM.integers(0, 3, 300).astype(float)
AMOUNTS = RANDOM.normal(5, 2, 300)
GUESSES = AMOUNTS + RANDOM.normal(size=300)
CLASSES = RANDOM.integers(0, 3, 300)
CHANCES = RANDOM.dirichlet(np.ones(3), 300)
CUT = 0.5

BINARY: dict[str, Any] = {
    "roc_auc": lambda w: reference.roc_auc_score(LABELS, SAID, sample_weight=w),
    "pr_auc": lambda w: reference.average_precision_score(LABELS, SAID, sample_weight=w),
    "log_loss": lambda w: reference.log_loss(LABELS, SAID, sample_weight=w),
    "brier": lambda w: reference.brier_score_loss(LABELS, SAID, sample_weight=w),
    "accuracy": lambda w: reference.accuracy_score(LABELS, SAID >= CUT, sample_weight=w),
    "precision": lambda w: reference.precision_score(LABELS, SAID >= CUT, sample_weight=w),
    "recall": lambda w: reference.recall_score(LABELS, SAID >= CUT, sample_weight=w),
    "f1": lambda w: reference.f1_score(LABELS, SAID >= CUT, sample_weight=w),
}
REGRESSION: dict[str, Any] = {
    "rmse": lambda w: reference.root_mean_squared_error(AMOUNTS, GUESSES, sample_weight=w),
    "mae": lambda w: reference.mean_absolute_error(AMOUNTS, GUESSES, sample_weight=w),
    "mape": lambda w: reference.mean_absolute_percentage_error(AMOUNTS, GUESSES, sample_weight=w),
    "r2": lambda w: reference.r2_score(AMOUNTS, GUESSES, sample_weight=w),
}
MULTICLASS: dict[str, Any] = {
    "log_loss": lambda w: reference.log_loss(CLASSES, CHANCES, sample_weight=w),
    "brier": lambda w: reference.brier_score_loss(CLASSES, CHANCES, sample_weight=w, scale_by_half=False),
    "accuracy": lambda w: reference.accuracy_score(CLASSES, CHANCES.argmax(axis=1), sample_weight=w),
    "macro_precision": lambda w: reference.precision_score(CLASSES, CHANCES.argmax(axis=1), average="macro", sample_weight=w),
    "macro_recall": lambda w: reference.recall_score(CLASSES, CHANCES.argmax(axis=1), average="macro", sample_weight=w),
    "macro_f1": lambda w: reference.f1_score(CLASSES, CHANCES.argmax(axis=1), average="macro", sample_weight=w),
}
TASKS: dict[Task, tuple[Any, Any, dict[str, Any]]] = {
    "regression": (AMOUNTS, GUESSES, REGRESSION),
    "binary": (LABELS, SAID, BINARY),
    "multiclass": (CLASSES, CHANCES, MULTICLASS),
}
NAMES = [(task, name) for task, (_, _, known) in TASKS.items() for name in known]


@pytest.mark.parametrize(("task", "name"), NAMES, ids=[f"{task}-{name}" for task, name in NAMES])
def test_a_metric_is_that_of_scikit_learn_with_ties_and_weights(task: Task, name: str) -> None:
    labels, predictions, known = TASKS[task]
    both = np.stack([np.ones(300), WEIGHTS], axis=1)
    plain, weighted = scores.scorer(task, labels, predictions, CUT)(both)[name]
    assert plain == pytest.approx(known[name](None))
    assert weighted == pytest.approx(known[name](WEIGHTS))
    assert scores.metrics(task, labels, predictions, CUT)[name] == pytest.approx(plain)


@pytest.mark.parametrize("task", METRICS)
def test_every_metric_of_the_language_is_measured(task: Task) -> None:
    labels, predictions, _ = TASKS[task]
    assert tuple(scores.metrics(task, labels, predictions)) == METRICS[task]


def test_a_class_that_nobody_is_and_nobody_is_called_does_not_count() -> None:
    said = np.array([[0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.6, 0.4, 0.0]])
    found = scores.metrics("multiclass", np.array([0, 1, 1]), said)
    assert found["macro_recall"] == pytest.approx((1 + 0.5) / 2)


def test_what_is_not_defined_is_left_out_or_told_as_documented() -> None:
    nothing = scores.metrics("regression", np.zeros(5), np.ones(5))
    assert ("mape" in nothing, nothing["r2"]) == (False, 0.0)
    some = scores.metrics("regression", np.array([0.0, 2.0, 4.0]), np.array([9.0, 1.0, 5.0]))
    assert some["mape"] == pytest.approx((0.5 + 0.25) / 2)
    one_class = scores.metrics("binary", np.ones(5), np.linspace(0.1, 0.9, 5))
    assert (one_class["roc_auc"], one_class["pr_auc"], one_class["recall"]) == (0.5, 1.0, 0.6)
    constant = scores.metrics("binary", LABELS, np.full(300, 0.3))
    assert ("calibration_slope" in constant, constant["roc_auc"], constant["precision"]) == (False, 0.5, 0.0)


@pytest.mark.parametrize(("share", "called"), [(0.3, 3), (0.04, 1), (1.0, 10), (0.0, 1)])
def test_as_large_a_share_is_called_positive_as_of_the_training_labels(share: float, called: int) -> None:
    training = (np.arange(100) < 100 * share).astype(float)
    predictions = np.linspace(0.01, 0.02, 10)
    assert (predictions >= scores.threshold(training, predictions)).sum() == called


@pytest.mark.parametrize(
    ("task", "labels", "expected"),
    [
        pytest.param("regression", [1.0, 2.0, 6.0], [3.0, 3.0], id="the mean"),
        pytest.param("binary", [1.0, 0.0, 0.0, 0.0], [0.25, 0.25], id="the share of the second class"),
        pytest.param("multiclass", [0.0, 2.0], [[0.5, 0.0, 0.5], [0.5, 0.0, 0.5]], id="the shares of all classes"),
    ],
)
def test_baseline(task: Task, labels: list[float], expected: list[float]) -> None:
    assert scores.baseline(task, np.array(labels), 2, 3).tolist() == expected
