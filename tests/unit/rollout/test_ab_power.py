"""What a plan of an A/B says, held against A/Bs that are played."""

import math

import numpy as np

from tests.simulation.ab import OURS, play
from tests.simulation.ab_worlds import Cell
from trimtab.rollout.ab_power import plan_ab
from trimtab.spec import Ab

CELL = Cell("binary", 0.1, 20, "+0.01")


def test_callers_until_a_winner_are_those_that_are_played() -> None:
    """In the median at the effect, and four of five at twice the effect."""
    step = plan_ab(Ab(share=20), 10.0, 0.1, 0.3, 1e6).steps[0]
    exact = play(Cell("binary", 0.1, 20, "+0.01", true=1.0), 400, 1)
    found = next(row.median_callers for row in exact if row.method == OURS)
    assert found is not None
    assert step.requests is not None
    assert step.at_most is not None
    assert 0.75 < step.requests / found < 1.35
    twice = Cell("binary", 0.1, 20, "+0.01", true=2.0, longest=step.at_most / CELL.needed)
    winners = next(row.winners for row in play(twice, 400, 2) if row.method == OURS)
    assert 0.7 < winners < 0.9
    assert step.seconds == step.requests / 10.0


def test_what_it_sees_before_its_end_is_found_in_four_of_five_cases() -> None:
    callers = 40_000
    step = plan_ab(Ab(share=20), 1.0, 0.1, 0.3, float(callers)).steps[0]
    assert step.detectable is not None
    cell = Cell("binary", 0.1, 20, "+0.01", true=step.detectable / 0.01, callers=callers)
    winners = next(row.winners for row in play(cell, 400, 3) if row.method == OURS)
    assert 0.7 < winners < 0.92


def test_few_callers_who_decide_are_waited_for() -> None:
    """A large effect of a rare label: not the effect but the burn-in says how long it takes."""
    few = plan_ab(Ab(share=5, effect="+0.5"), 1.0, 0.001, math.sqrt(0.001), 1e5, kurtosis=1000.0)
    assert few.steps[0].requests == 200_000
    assert not few.fits
    assert few.steps[0].detectable is None
    assert "it sees no improvement before its end" in few.sentence


def test_nothing_is_told_without_callers_or_differences() -> None:
    assert "never ends without callers" in plan_ab(Ab(), 0.0, 0.1, 0.3, 1e6).sentence
    assert "the labels do not differ" in plan_ab(Ab(), 1.0, 0.0, 0.0, 1e6).sentence
    assert not any(plan_ab(Ab(effect="x1.1"), rate, 0.0, 0.3, 1e6).fits for rate in np.array([0.0, 1.0]).tolist())


def test_an_effect_that_such_labels_never_show_is_out_of_reach_and_no_number_is_too_large_to_be_kept() -> None:
    """An API server takes no integer of more than 64 bits, and JSON none beyond 2^53."""
    for effect, deviation in (("+0.01", 3e7), ("+0.0000000001", 1.0), ("x1.0000000001", 1e6)):
        found = plan_ab(Ab(effect=effect), 1.0, 1.0, deviation, 1e6)
        assert not found.fits
        assert (found.steps[0].requests, found.steps[0].at_most) == (None, None)
    assert "out of reach" in plan_ab(Ab(effect="+0.01"), 1.0, 1.0, 3e7, 1e6).sentence
    assert plan_ab(Ab(effect="+0.01"), 1.0, 1.0, 30.0, 1e9).fits
