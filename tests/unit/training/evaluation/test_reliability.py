"""Whether probabilities mean what they say: against models whose calibration is known."""

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from trimtab.training.evaluation.bootstrap import spread
from trimtab.training.evaluation.reliability import binary, curve, multiclass

RANDOM = np.random.default_rng(5)
ROWS = 20_000
ODDS = RANDOM.normal(-1, 1.5, ROWS)
LABELS = (RANDOM.random(ROWS) < 1 / (1 + np.exp(-ODDS))).astype(float)
ONES = np.ones((ROWS, 1))


def said(scale: float, shift: float = 0.0) -> Any:
    return 1 / (1 + np.exp(-(scale * ODDS + shift)))


def one(found: Any, name: str) -> float:
    return float(found(np.ones((ROWS, 1)))[name][0])


@pytest.mark.parametrize(
    ("scale", "shift", "slope"),
    [
        pytest.param(1.0, 0.0, 1.0, id="right"),
        pytest.param(2.0, 0.0, 0.5, id="twice as sure as it may be"),
        pytest.param(0.5, 0.0, 2.0, id="half as sure"),
        pytest.param(1.0, 1.0, 1.0, id="too high throughout: the error tells, not the slope"),
        pytest.param(-1.0, 0.0, -1.0, id="the wrong way round"),
    ],
)
def test_the_slope_is_what_the_log_odds_have_to_be_multiplied_by(scale: float, shift: float, slope: float) -> None:
    assert one(binary(LABELS, said(scale, shift)), "calibration_slope") == pytest.approx(slope, rel=0.05)


def test_the_slope_is_that_of_a_logistic_regression_with_weights_too() -> None:
    given, weights = said(2.0, 0.3)[:500], RANDOM.integers(0, 3, 500).astype(float)
    odds = np.log(given / (1 - given))[:, None]
    whole, some = (LogisticRegression(C=np.inf, tol=1e-9).fit(odds, LABELS[:500], weight).coef_[0, 0] for weight in (None, weights))
    found = binary(LABELS[:500], given)(np.stack([np.ones(500), weights], axis=1))["calibration_slope"]
    assert found[0] == pytest.approx(whole, abs=1e-4)
    assert found[1] == pytest.approx(some, abs=0.05), "a resample's slope is one step from the whole's"


@pytest.mark.parametrize(("scale", "shift", "least", "most"), [(1.0, 0.0, 0.0, 0.02), (3.0, 0.0, 0.08, 0.2), (1.0, 1.0, 0.1, 0.2)])
def test_the_error_is_small_for_a_calibrated_model_alone(scale: float, shift: float, least: float, most: float) -> None:
    assert least <= one(binary(LABELS, said(scale, shift)), "ece") <= most


def test_labels_that_the_predictions_separate_have_a_large_slope_and_no_error_is_raised() -> None:
    given = np.where(LABELS == 1, 0.9, 0.1)
    assert one(binary(LABELS, given), "calibration_slope") == 10.0


def test_the_interval_of_the_slope_holds_the_truth() -> None:
    chosen = np.arange(2000)
    given = said(2.0)[chosen]
    at = float(binary(LABELS[chosen], given)(np.ones((2000, 1)))["calibration_slope"][0])
    low, high = spread(lambda rows: binary(LABELS[rows], given[rows]), 2000, 1).interval("calibration_slope", at) or (0, 0)
    assert low < 0.5 < high
    assert high - low < 0.2


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_several_classes_have_one_temperature(scale: float) -> None:
    logits = RANDOM.normal(0, 1.2, (ROWS, 3))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (RANDOM.random((ROWS, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    given = np.exp(scale * logits) / np.exp(scale * logits).sum(axis=1, keepdims=True)
    found = multiclass(labels, given)
    assert one(found, "calibration_slope") == pytest.approx(1 / scale, rel=0.05)
    assert (one(found, "ece") < 0.02) == (scale == 1.0)


def test_the_curve_is_in_bins_of_alike_rows_with_honest_intervals() -> None:
    found = curve(LABELS, said(1.0))
    assert [one.rows for one in found] == [ROWS // 10] * 10
    assert [one.predicted for one in found] == sorted(one.predicted for one in found)
    assert sum(one.interval[0] <= one.predicted <= one.interval[1] for one in found) >= 8
    assert len(curve(LABELS, np.full(ROWS, 0.3))) == 1
