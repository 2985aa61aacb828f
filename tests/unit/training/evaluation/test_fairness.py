"""Fairness metrics of predictions whose bias is known."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trimtab.measures import FAIRNESS
from trimtab.training.evaluation.fairness import fairness
from trimtab.training.evaluation.slices import grouping

ROWS = 4000
DRAW = np.random.default_rng(1)
GROUP = DRAW.choice(["a", "b"], ROWS)
LABELS = (DRAW.random(ROWS) < 0.4).astype(float)
BY = grouping(pa.table({"group": GROUP}), "group")


def share(rows: Any) -> float:
    return float(np.mean(rows))


def test_binary_metrics_are_those_of_their_definitions() -> None:
    said = np.where(GROUP == "a", 0.8, 0.3) * DRAW.random(ROWS) + 0.3 * LABELS
    found = fairness("binary", BY, LABELS, said, 0.5, ("no", "yes"), 1)
    rates = [share(said[name == GROUP] >= 0.5) for name in "ab"]
    hits = [share(said[(name == GROUP) & (LABELS == 1)] >= 0.5) for name in "ab"]
    assert found.metrics == pytest.approx(
        {
            "demographic_parity": rates[0] - rates[1],
            "disparate_impact": rates[1] / rates[0],
            "equal_opportunity": hits[0] - hits[1],
        }
    )
    assert {group.name: (group.value, group.found) for group in found.groups} == {
        "group = a": pytest.approx((rates[0], hits[0])),
        "group = b": pytest.approx((rates[1], hits[1])),
    }
    assert all(found.interval[name][0] < value < found.interval[name][1] for name, value in found.metrics.items())


def test_of_several_classes_the_least_fair_is_told() -> None:
    chances = DRAW.dirichlet(np.ones(3), ROWS)
    chances[GROUP == "a", 2] += 0.5
    found = fairness("multiclass", BY, DRAW.integers(0, 3, ROWS).astype(float), chances, 0.5, ("x", "y", "z"), 1)
    assert found.positive == "z"
    assert found.metrics["demographic_parity"] > 0.2


def test_a_regression_tells_how_far_mean_residuals_are_apart() -> None:
    amounts = DRAW.normal(0, 2, ROWS)
    found = fairness("regression", BY, amounts, amounts + 1.0 * (GROUP == "a"), 0.5, (), 1)
    assert found.metrics == {"residual_difference": pytest.approx(1 / amounts.std())}


@pytest.mark.parametrize("task", FAIRNESS)
def test_every_fairness_metric_of_the_language_is_measured(task: Any) -> None:
    said = DRAW.dirichlet(np.ones(2), ROWS) if task == "multiclass" else DRAW.random(ROWS)
    assert sorted(fairness(task, BY, LABELS, said, 0.5, ("0", "1"), 1).metrics) == sorted(FAIRNESS[task])


def test_small_groups_are_left_out() -> None:
    few = grouping(pa.table({"group": np.where(np.arange(ROWS) < 49, "rare", "often")}), "group")
    found = fairness("binary", few, LABELS, DRAW.random(ROWS), 0.5, ("0", "1"), 1)
    assert ([group.name for group in found.groups], found.metrics) == (["group = often"], {})


def test_nobody_called_positive_is_fair() -> None:
    found = fairness("binary", BY, LABELS, np.zeros(ROWS), 0.5, ("0", "1"), 1)
    assert found.metrics == {"demographic_parity": 0.0, "disparate_impact": 1.0, "equal_opportunity": 0.0}
