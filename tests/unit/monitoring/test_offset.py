"""Labels that lie beside the predictions on average: found where it matters, and not where there is nothing."""

import numpy as np
import pytest
from scipy.signal import lfilter

from trimtab.monitoring.offset import independent, matters, offset
from trimtab.monitoring.performance import Sample, judge, kind
from trimtab.units import Persistence, margin

ROWS, LEVEL = 336, 0.002
TENTH = margin("x1.1")


def rows(seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions whose residuals have a standard deviation of 1 and a mean of `shift`."""
    draw = np.random.default_rng(seed)
    answers = draw.normal(100.0, 30.0, ROWS)
    return answers + draw.normal(shift, 1.0, ROWS), answers


def wandering(seed: int, memory: float) -> np.ndarray:
    """An autoregression with a variance of 1: each value keeps so much of the one before."""
    steps = np.random.default_rng(seed).normal(0.0, np.sqrt(1 - memory**2), ROWS)
    steps[0] /= np.sqrt(1 - memory**2)
    return np.asarray(lfilter([1.0], [1.0, -memory], steps))


def said(seed: int, shift: float, level: float = LEVEL, allowed: str = "x1.0") -> bool:
    return matters(offset(*rows(seed, shift)), margin(allowed), level)


def test_a_false_word_is_as_rare_as_it_may_be() -> None:
    assert 0.02 <= np.mean([said(seed, 0.0, level=0.05) for seed in range(400)]) <= 0.08


@pytest.mark.parametrize("shift", [0.6, -0.6])
def test_an_offset_past_the_margin_is_found_on_either_side(shift: float) -> None:
    assert np.mean([said(seed, shift, allowed="x1.1") for seed in range(50)]) > 0.9


def test_an_offset_that_costs_less_than_the_margin_does_not_matter() -> None:
    assert np.mean([said(seed, 0.3) for seed in range(50)]) > 0.75, "it is there"
    assert not any(said(seed, 0.3, allowed="x1.1") for seed in range(50))


@pytest.mark.parametrize(("memory", "at_most"), [(0.0, 1.0), (0.8, 1.2), (0.95, 1.6)])
def test_rows_that_follow_their_neighbours_are_worth_fewer(memory: float, at_most: float) -> None:
    """The mean of n values of an autoregression has the variance of n * (1 - memory) / (1 + memory) independent ones."""
    found = np.median([independent(wandering(seed, memory)) for seed in range(100)])
    told = ROWS * (1 - memory) / (1 + memory)
    assert 0.7 * told <= found <= at_most * told


@pytest.mark.parametrize("memory", [0.8, 0.95])
def test_a_false_word_stays_rare_where_residuals_follow_each_other(memory: float) -> None:
    found = [matters(offset(wandering(seed, memory), np.zeros(ROWS)), margin("x1.0"), 0.01) for seed in range(400)]
    assert np.mean(found) <= 0.04


def test_what_wanders_as_slowly_as_the_window_is_long_is_no_offset() -> None:
    drift = np.linspace(0.0, 3.0, ROWS) + np.random.default_rng(1).normal(0.0, 0.1, ROWS)
    assert not matters(offset(drift, np.zeros(ROWS)), TENTH, 0.05)


@pytest.mark.parametrize("residual", [0.0, 2.0])
def test_residuals_without_any_spread_are_told_as_they_are(residual: float) -> None:
    found = offset(np.full(ROWS, residual), np.zeros(ROWS))
    assert (found.mean, found.deviation) == (residual, 0.0)
    assert matters(found, TENTH, LEVEL) == (residual > 0)


def test_a_window_that_is_off_is_a_concept_finding_though_inputs_moved() -> None:
    window, holdout = Sample(*rows(1, 0.6)), Sample(*rows(2, 0.0))
    judged = judge("rmse", "regression", window, holdout, 1.0, ROWS, TENTH, None, LEVEL, "a window")
    assert judged is not None
    assert (judged.off, judged.past_margin) == (True, False)
    assert kind([judged], Persistence(1, 1), inputs_moved=True) == "concept"
    assert kind([judged], Persistence(2, 3), inputs_moved=True) is None
