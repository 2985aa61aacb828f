"""The judge's promises on a few cells, with the slack that so few runs need; `judge.py` beside it measures all of them."""

import pytest
from scipy.stats import binom

from tests.simulation.judge import Cell, simulate
from trimtab.rollout.power import detectable, n_star
from trimtab.units import margin

RUNS = 200
STEPS = (5, 25, 50)


def at_most(promise: float) -> float:
    """The share that a judge who just keeps its promise exceeds once in a thousand times."""
    return float(binom.ppf(0.999, RUNS, promise)) / RUNS


def at_least(promise: float) -> float:
    return float(binom.ppf(0.001, RUNS, promise)) / RUNS


EQUAL = [
    ("rare errors", Cell(1e-3, "+0.01", 0.0, (5,))),
    ("one in a hundred", Cell(0.01, "+0.01", 0.0, (25,))),
    ("half of all", Cell(0.5, "+0.05", 0.0, (50,))),
    ("a relative margin", Cell(0.05, "x1.5", 0.0, (10,))),
    ("three steps", Cell(0.02, "+0.02", 0.0, STEPS)),
    ("five times the errors for both, while the split moves", Cell(0.01, "+0.02", 0.0, STEPS, 8.0, 160, change=(0.2, 5.0))),
]


@pytest.mark.parametrize("cell", [case[1] for case in EQUAL], ids=[case[0] for case in EQUAL])
def test_an_equal_candidate_is_promoted_and_seldom_rolled_back(cell: Cell) -> None:
    result = simulate(cell, RUNS, seed=11)
    assert result.rolled_back <= at_most(0.02)
    assert result.promoted >= at_least(0.8)


AT_MARGIN = [
    ("rare errors", Cell(1e-3, "+0.01", 1.0, (25,), guards=1, tolerated=True)),
    ("one in ten", Cell(0.1, "+0.02", 1.0, (50,), guards=1, tolerated=True)),
    ("a relative margin", Cell(0.05, "x1.5", 1.0, (5,), guards=1, tolerated=True)),
    ("both get worse", Cell(0.02, "x1.5", 1.0, STEPS, 4.0, 120, change=(0.1, 5.0), guards=1, tolerated=True)),
]


@pytest.mark.parametrize("cell", [case[1] for case in AT_MARGIN], ids=[case[0] for case in AT_MARGIN])
def test_one_at_the_margin_is_seldom_promoted_even_if_so_much_harm_is_tolerated(cell: Cell) -> None:
    result = simulate(cell, RUNS, seed=12)
    assert result.promoted <= at_most(0.05)
    assert result.rolled_back <= at_most(0.02)


TWICE = [
    ("rare errors", Cell(1e-3, "+0.01", 2.0, (5,))),
    ("one in a hundred", Cell(0.01, "+0.01", 2.0, (25,))),
    ("half of all", Cell(0.5, "+0.05", 2.0, (50,))),
    ("a relative margin", Cell(0.05, "x1.5", 2.0, (10,))),
    ("bad from late on", Cell(0.01, "+0.01", 2.0, (50,), 8.0, 160, late=0.05)),
]


@pytest.mark.parametrize("cell", [case[1] for case in TWICE], ids=[case[0] for case in TWICE])
def test_twice_the_margin_is_rolled_back(cell: Cell) -> None:
    result = simulate(cell, RUNS, seed=13)
    assert result.promoted <= at_most(0.01)
    assert result.rolled_back >= at_least(0.8)


@pytest.mark.parametrize(("base", "split"), [(0.01, 5), (0.1, 50), (0.001, 25)])
def test_what_a_plan_calls_detectable_is_found_in_about_four_of_five(base: float, split: int) -> None:
    needed = n_star(base, margin("+0.01"), split / 100)
    assert needed is not None
    effect = detectable(base, 4 * needed, split / 100) / 0.01
    result = simulate(Cell(base, "+0.01", effect, (split,), guards=1), RUNS, seed=14)
    assert 0.65 <= result.rolled_back <= 0.97
