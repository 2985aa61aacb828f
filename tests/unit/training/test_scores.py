"""Metrics against scikit-learn's, and the bootstrap against a known spread."""

import numpy as np
import pytest
from sklearn import metrics as reference

from trimtab.spec import Task
from trimtab.training import scores

RANDOM = np.random.default_rng(3)


def test_regression_metrics_are_those_of_scikit_learn() -> None:
    labels, predictions = RANDOM.normal(size=200), RANDOM.normal(size=200)
    found = scores.metrics("regression", labels, predictions)
    assert found["rmse"] == pytest.approx(reference.root_mean_squared_error(labels, predictions))
    assert found["mae"] == pytest.approx(reference.mean_absolute_error(labels, predictions))
    assert found["r2"] == pytest.approx(reference.r2_score(labels, predictions))


def test_binary_metrics_are_those_of_scikit_learn_with_ties() -> None:
    labels = (RANDOM.random(300) < 0.3).astype(float)
    predictions = np.round(RANDOM.random(300), 1)
    found = scores.metrics("binary", labels, np.clip(predictions, 0.01, 0.99))
    assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(labels, predictions))
    assert found["log_loss"] == pytest.approx(reference.log_loss(labels, np.clip(predictions, 0.01, 0.99)))
    assert found["brier"] == pytest.approx(reference.brier_score_loss(labels, np.clip(predictions, 0.01, 0.99)))


def test_multiclass_metrics_are_those_of_scikit_learn() -> None:
    labels = RANDOM.integers(0, 3, 200).astype(float)
    predictions = RANDOM.dirichlet(np.ones(3), 200)
    found = scores.metrics("multiclass", labels, predictions)
    assert found["log_loss"] == pytest.approx(reference.log_loss(labels, predictions))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predictions.argmax(axis=1)))


def test_one_class_only_gives_an_area_of_one_half() -> None:
    assert scores.roc_auc(np.ones(5), np.arange(5.0)) == 0.5


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


def test_block_bootstrap_knows_the_spread_of_a_mean() -> None:
    values = RANDOM.normal(size=2000)
    low, high = scores.block_bootstrap(lambda chosen: {"mean": float(values[chosen].mean())}, 2000, 1)["mean"]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(2000), rel=0.25)
    assert low < values.mean() < high


def test_block_bootstrap_is_wider_where_neighbours_are_alike() -> None:
    values = np.repeat(RANDOM.normal(size=200), 10)
    low, high = scores.block_bootstrap(lambda chosen: {"mean": float(values[chosen].mean())}, 2000, 1)["mean"]
    assert high - low > 1.7 * (2 * 1.96 * values.std() / np.sqrt(2000))
