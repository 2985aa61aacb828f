"""The promise of A/B rollouts on a few cells, with the slack that so few runs need; `ab.py` beside it measures all of them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from tests.simulation.ab import LEAST, OURS, PEEKING, ROWS, Row, play
from tests.simulation.ab_page import write
from tests.simulation.ab_worlds import Cell, Look, looks
from trimtab.release import ArmOutcomes, Outcomes
from trimtab.rollout.ab import judge_outcomes
from trimtab.spec import Ab

RUNS = 200
AT_MOST = float(binom.ppf(0.999, RUNS, 0.05)) / RUNS


def said(cell: Cell, method: str = OURS, runs: int = RUNS) -> Row:
    return next(row for row in play(cell, runs, 5) if row.method == method)


SAME = [
    ("rare labels", Cell("binary", 0.001, 5, "+0.0005")),
    ("one in a hundred, a relative effect", Cell("binary", 0.01, 20, "x1.2")),
    ("half of all, looked at with each caller", Cell("binary", 0.5, 50, "+0.2", looks=2000, callers=2000)),
    ("rates that rise and fall for both", Cell("tide", 0.1, 5, "+0.01")),
    ("fewer wanted", Cell("binary", 0.1, 50, "-0.01", goal="smaller")),
    ("revenue", Cell("revenue", 5.0, 50, "x1.5", looks=100)),
    ("callers who come again", Cell("returning", 0.2, 50, "+0.1", looks=40, callers=600)),
]


@pytest.mark.parametrize("cell", [case[1] for case in SAME], ids=[case[0] for case in SAME])
def test_a_candidate_that_is_as_good_seldom_wins_or_loses(cell: Cell) -> None:
    row = said(cell)
    assert row.winners <= AT_MOST
    assert row.losers <= AT_MOST
    assert row.crossed <= AT_MOST


@pytest.mark.parametrize("share", [5, 50])
def test_one_that_is_twice_as_much_better_wins(share: int) -> None:
    row = said(Cell("binary", 0.1, share, "+0.01", true=2.0))
    assert row.winners > 0.95
    assert row.median_callers is not None
    assert row.median_callers < row.n_star


def test_a_test_that_peeks_finds_winners_among_equals() -> None:
    """Which is what the simulation must be able to show."""
    assert said(SAME[2][1], PEEKING).winners > 0.1
    assert said(SAME[6][1], ROWS).winners > 0.2


@pytest.mark.parametrize("cell", [SAME[1][1], SAME[5][1], SAME[6][1]], ids=["binary", "revenue", "returning"])
def test_the_simulated_words_are_those_of_the_verdict(cell: Cell) -> None:
    """Run by run, the words of an A/B are those that the product says of the same numbers at the same looks."""
    runs, first = 12, {}
    for number, look in enumerate(looks(cell, runs, np.random.default_rng(9))):
        for run in range(runs):
            verdict = judge_outcomes(_outcomes(look, run), Ab(goal=cell.goal, effect=cell.effect))
            if verdict.says not in ("hold", "noData"):
                first.setdefault(run, (number, verdict.says))
    rows = play(cell, runs, 9)
    ours = next(row for row in rows if row.method == OURS)
    words = [word for _, word in first.values()]
    assert (words.count("wins"), words.count("loses"), words.count("equal")) == tuple(
        round(share * runs) for share in (ours.winners, ours.losers, ours.equal)
    )


def _outcomes(look: Look, run: int) -> Outcomes:
    arms = [
        ArmOutcomes(int(arm.callers[run]), int(arm.labels[run]), float(arm.mean[run]), float(arm.variance[run]))
        for arm in (look.champion, look.candidate)
    ]
    return Outcomes(arms[0], arms[1], float(look.spread[run]), float(look.kurtosis[run]))


def test_the_page_is_written_from_the_rows_alone(tmp_path: Path) -> None:
    rows = [row for cell in (SAME[0][1], Cell("binary", 0.1, 50, "+0.01", true=1.0)) for row in play(cell, 40, 1)]
    write(tmp_path, rows, LEAST)
    page = (tmp_path / "ab.md").read_text()
    assert "| Trimtab |" in page
    assert "binary, mean 0.1, 50%, effect +0.01 | 1 |" in page
    assert (tmp_path / "ab.svg").read_text().startswith("<svg")
