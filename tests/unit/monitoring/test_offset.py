"""Labels that lie beside the predictions on average: found where it matters, and not where there is nothing."""

import numpy as np
import pytest

from trimtab.monitoring.offset import matters, offset
from trimtab.monitoring.performance import Sample, judge, kind
from trimtab.units import Persistence, margin

ROWS, BLOCK, LEVEL = 336, 24, 0.002
TENTH = margin("x1.1")


def rows(seed: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions whose residuals have a standard deviation of 1 and a mean of `shift`."""
    draw = np.random.default_rng(seed)
    answers = draw.normal(100.0, 30.0, ROWS)
    return answers + draw.normal(shift, 1.0, ROWS), answers


def said(seed: int, shift: float, level: float = LEVEL, allowed: str = "x1.0") -> bool:
    found = offset(*rows(seed, shift), BLOCK)
    return found is not None and matters(found, margin(allowed), level)


def test_a_false_word_is_as_rare_as_it_may_be() -> None:
    assert 0.02 <= np.mean([said(seed, 0.0, level=0.05) for seed in range(400)]) <= 0.08


@pytest.mark.parametrize("shift", [0.6, -0.6])
def test_an_offset_past_the_margin_is_found_on_either_side(shift: float) -> None:
    assert np.mean([said(seed, shift, allowed="x1.1") for seed in range(50)]) > 0.9


def test_an_offset_that_costs_less_than_the_margin_does_not_matter() -> None:
    assert np.mean([said(seed, 0.3) for seed in range(50)]) > 0.75, "it is there"
    assert not any(said(seed, 0.3, allowed="x1.1") for seed in range(50))


def test_three_blocks_are_needed() -> None:
    truth, answers = rows(1, 5.0)
    assert offset(truth[:71], answers[:71], BLOCK) is None
    assert offset(truth[:72], answers[:72], BLOCK) is not None


def test_a_window_that_is_off_is_a_concept_finding_though_inputs_moved() -> None:
    window, holdout = Sample(*rows(1, 0.6)), Sample(*rows(2, 0.0))
    judged = judge("rmse", "regression", window, holdout, 1.0, ROWS, TENTH, None, LEVEL, "a window")
    assert judged is not None
    assert (judged.off, judged.past_margin) == (True, False)
    assert kind([judged], Persistence(1, 1), inputs_moved=True) == "concept"
    assert kind([judged], Persistence(2, 3), inputs_moved=True) is None
