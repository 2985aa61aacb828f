"""The judge's promises on a few cells, with the slack that so few runs need; `rollouts.py` beside it measures all of them."""

from datetime import UTC, datetime

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.stats import binom

from tests.simulation.rollouts import FLAGGER, OURS, TOLERATED, Row, Z, play
from tests.simulation.rollouts_judge import Judge, Processes
from tests.simulation.rollouts_page import write
from tests.simulation.rollouts_worlds import STEPS, Cell, draw
from trimtab.release import ArmCounts, Block, Evidence
from trimtab.rollout.judge import judge, look, new_step
from trimtab.rollout.power import detectable, n_star, plan
from trimtab.spec import ErrorGuard, Guard, Rollout, SlowGuard
from trimtab.units import margin

RUNS = 200


def at_most(promise: float) -> float:
    """The share that a judge who just keeps its promise exceeds once in a thousand times."""
    return float(binom.ppf(0.999, RUNS, promise)) / RUNS


def at_least(promise: float) -> float:
    return float(binom.ppf(0.001, RUNS, promise)) / RUNS


def one(base: float, text: str, effect: float, *steps: int, **changes: object) -> Cell:
    return Cell("one step", base, text, effect, steps, **{"looks": 80, **changes})  # type: ignore[arg-type]


def ours(cell: Cell, seed: int, method: str = OURS) -> Row:
    return next(row for row in play(cell, RUNS, seed, alone=True) if row.method == method)


EQUAL = [
    ("rare errors", one(1e-3, "+0.01", 0.0, 5)),
    ("one in a hundred", one(0.01, "+0.01", 0.0, 25)),
    ("half of all", one(0.5, "+0.05", 0.0, 50)),
    ("a relative margin", one(0.05, "x1.5", 0.0, 10)),
    ("three steps", one(0.02, "+0.02", 0.0, *STEPS)),
    ("five times the errors for both, while the split moves", one(0.01, "+0.02", 0.0, *STEPS, looks=160, change=(0.1, 5.0))),
]


@pytest.mark.parametrize("cell", [case[1] for case in EQUAL], ids=[case[0] for case in EQUAL])
def test_an_equal_candidate_is_promoted_and_seldom_rolled_back(cell: Cell) -> None:
    row = ours(cell, 11)
    assert row.false_rollback is not None
    assert row.promoted_good is not None
    assert row.false_rollback <= at_most(0.02)
    assert row.promoted_good >= at_least(0.8)


AT_MARGIN = [
    ("rare errors", one(1e-3, "+0.01", 1.0, 25)),
    ("one in ten", one(0.1, "+0.02", 1.0, 50)),
    ("a relative margin", one(0.05, "x1.5", 1.0, 5)),
    ("both get worse", one(0.02, "x1.5", 1.0, *STEPS, looks=120, change=(0.1, 5.0))),
]


@pytest.mark.parametrize("cell", [case[1] for case in AT_MARGIN], ids=[case[0] for case in AT_MARGIN])
def test_one_at_the_margin_is_seldom_promoted_even_if_so_much_harm_is_tolerated(cell: Cell) -> None:
    row = ours(cell, 12, TOLERATED)
    assert row.promoted_bad is not None
    assert row.rolled_back_bad is not None
    assert row.promoted_bad <= at_most(0.05)
    assert row.rolled_back_bad <= at_most(0.02)


TWICE = [
    ("rare errors", one(1e-3, "+0.01", 2.0, 5)),
    ("one in a hundred", one(0.01, "+0.01", 2.0, 25)),
    ("half of all", one(0.5, "+0.05", 2.0, 50)),
    ("a relative margin", one(0.05, "x1.5", 2.0, 10)),
    ("bad from late on", one(0.01, "+0.01", 2.0, *STEPS, looks=160, late=0.25)),
]


@pytest.mark.parametrize("cell", [case[1] for case in TWICE], ids=[case[0] for case in TWICE])
def test_twice_the_margin_is_rolled_back(cell: Cell) -> None:
    row = ours(cell, 13)
    assert row.promoted_bad is not None
    assert row.rolled_back_bad is not None
    assert row.promoted_bad <= at_most(0.01)
    assert row.rolled_back_bad >= at_least(0.8)


PLANNED = [(0.01, 5), (0.1, 50), (0.001, 25), (0.001, 5), (1e-4, 1)]


@pytest.mark.parametrize(("base", "split"), PLANNED)
def test_what_a_plan_calls_detectable_is_found_in_about_four_of_five(base: float, split: int) -> None:
    needed = n_star(base, margin("+0.01"), split / 100)
    assert needed is not None
    effect = detectable(base, 4 * needed, split / 100) / 0.01
    row = ours(one(base, "+0.01", effect, split), 14)
    assert row.rolled_back_bad is not None
    assert 0.65 <= row.rolled_back_bad <= 0.97


@pytest.mark.parametrize(("base", "split"), PLANNED)
def test_a_step_takes_what_the_plan_says_in_the_median(base: float, split: int) -> None:
    alike = Guard(ErrorGuard(margin="+0.01"), SlowGuard(margin="+0.01"))
    step = plan(Rollout(steps=(split,), guard=alike), 100.0, base, base).steps[0]
    row = ours(one(base, "+0.01", 0.0, split, looks=180), 20)
    assert row.median_samples is not None
    assert row.median_samples == pytest.approx(step.requests, rel=0.2)


@pytest.mark.parametrize("cell", [one(0.02, "+0.02", 0.0, *STEPS), one(0.02, "+0.02", 2.0, 5, 50), one(0.05, "x1.5", 0.0, 25)])
def test_the_judge_itself_says_the_same_at_the_same_look(cell: Cell) -> None:
    """Three simulated rollouts go through `judge.look`, look by look."""
    random, runs = np.random.default_rng(15), 3
    simulated = Judge(cell, runs, Processes)
    guard = Guard(ErrorGuard(margin=cell.margin), SlowGuard(margin=cell.margin))
    rollout, moment = Rollout(guard=guard, steps=cell.steps), datetime(2026, 1, 1, tzinfo=UTC)
    found, at, evidence = [(0, -1)] * runs, [0] * runs, [Evidence()] * runs
    for number in range(cell.looks):
        seen = draw(cell, number / cell.looks, simulated.step.copy(), random)
        simulated.look(number, 0.0, seen)
        for run in range(runs):
            if found[run][0]:
                continue
            bad = [[int(arm[run]) for arm in guard] for guard in seen.bad]
            n_s, n_c = (int(arm[run]) for arm in seen.n)
            errors, slow = bad[0], bad[-1] if cell.guards == 2 else bad[0]
            arms = [ArmCounts(n, errors[arm], slow[arm]) for arm, n in enumerate((n_s, n_c))]
            evidence[run] = look(evidence[run], [Block(cell.steps[at[run]], moment, moment, *arms)], rollout)
            says = judge(evidence[run], rollout).says
            if says == "notWorse" and at[run] + 1 < len(cell.steps):
                at[run], evidence[run] = at[run] + 1, new_step(evidence[run])
            elif says in ("harm", "notWorse"):
                found[run] = (1 if says == "notWorse" else -1, number)
    assert found == list(zip(simulated.verdicts.said.tolist(), simulated.verdicts.look.tolist(), strict=True))
    assert any(said for said, _ in found)


def test_looking_on_breaks_a_z_test_and_a_common_cause_a_fixed_threshold() -> None:
    rows = {row.method: row for row in play(one(0.01, "+0.01", 0.0, 5), RUNS, 16)}
    assert (rows[Z].false_rollback or 0.0) > 0.1 > (rows[OURS].false_rollback or 0.0)
    rows = {row.method: row for row in play(one(0.01, "+0.02", 0.0, *STEPS, change=(0.05, 5.0)), RUNS, 17)}
    assert (rows[FLAGGER].false_rollback or 0.0) > 0.1 > (rows[OURS].false_rollback or 0.0)


def test_bursts_break_what_is_promised_of_independent_answers_and_the_page_says_so(tmp_path) -> None:
    cell = one(0.01, "+0.01", 1.0, 25)
    row, alone = ours(replace(cell, burst=20), 19, TOLERATED), ours(cell, 19, TOLERATED)
    assert (row.promoted_bad or 0.0) > 0.3 > at_most(0.05) >= (alone.promoted_bad or 0.0)
    write(tmp_path, [row, *(row for effect in (0.0, 1.0, 2.0) for row in play(one(0.01, "+0.01", effect, 5, looks=40), 50, 18))])
    page = (tmp_path / "rollouts.md").read_text()
    assert f"| 20 | {TOLERATED} |  | {row.promoted_bad:.4f} |  |" in page


def test_the_page_says_where_a_promise_is_broken(tmp_path) -> None:
    rows = [row for effect in (0.0, 1.0, 2.0) for row in play(one(0.01, "+0.01", effect, 5, looks=40), 50, 18)]
    write(tmp_path, rows)
    page = (tmp_path / "rollouts.md").read_text()
    worst = next(row.false_rollback for row in rows if row.method == Z and row.effect == 0.0)
    assert f"| {Z} | {worst:.1%} (0 of 1)" in page
    assert "<svg" in (tmp_path / "rollouts.svg").read_text()
