"""The verdict of an A/B: what it says, that its interval agrees, and what it must not depend on."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

from trimtab.release import ArmOutcomes, GuardVerdict, Outcomes, Verdict
from trimtab.rollout.ab import ALPHA, BURN_IN, joined, judge_outcomes, reach, worth
from trimtab.spec import Ab

TRAFFIC = Verdict("hold", "too early", (GuardVerdict("errors", "hold", "errors: too early"),))


def found(champion: float, candidate: float, callers: int = 10_000, spread: float = 0.25, kurtosis: float = 1.0) -> Outcomes:
    """Two versions with so many callers each, a label a caller."""
    arms = [ArmOutcomes(callers, callers, mean, spread / callers) for mean in (champion, candidate)]
    return Outcomes(arms[0], arms[1], spread, kurtosis)


SAID = [
    ("nobody yet", Outcomes(), Ab(), "noData", "no caller of the candidate has a matured label yet"),
    ("better by much", found(0.5, 0.6), Ab(), "wins", "candidate 0.6 (10,000 callers), champion 0.5 (10,000 callers): better: +0.1 ["),
    ("worse by much", found(0.5, 0.4), Ab(), "loses", "worse: -0.1 ["),
    ("fewer are better", found(0.5, 0.4), Ab(goal="smaller"), "wins", "at most -0.01 is worth it"),
    ("more are worse", found(0.5, 0.6), Ab(goal="smaller"), "loses", "worse: +0.1"),
    ("alike", found(0.5, 0.5, 1_000_000), Ab(), "equal", "no difference that is worth a new version"),
    ("better, surely by too little", found(0.5, 0.504, 4_000_000), Ab(), "equal", "no difference that is worth a new version"),
    ("better, maybe by too little", found(0.5, 0.508, 200_000), Ab(), "hold", "too early to say"),
    ("a relative effect", found(0.5, 0.6), Ab(effect="x1.1"), "wins", "better: x1.2 ["),
    ("a relative effect for fewer", found(0.5, 0.4), Ab(effect="x0.9", goal="smaller"), "wins", "at most x0.9 is worth it"),
    ("a relative effect of nothing", found(-0.5, 0.6), Ab(effect="x1.1"), "hold", "needs a champion's mean above zero"),
    ("few callers", found(0.1, 0.9, 9), Ab(), "hold", f"too few yet (9 of the {BURN_IN:g} equal callers"),
    ("many of whom few decide", found(0.1, 0.9, 9000, kurtosis=1000.0), Ab(), "hold", "too few yet (9 of"),
    ("all alike so far", found(0.0, 0.0, spread=0.0, kurtosis=0.0), Ab(), "hold", "too few yet (0 of"),
]


@pytest.mark.parametrize(("outcomes", "asked", "says", "part"), [case[1:] for case in SAID], ids=[case[0] for case in SAID])
def test_what_is_said(outcomes: Outcomes, asked: Ab, says: str, part: str) -> None:
    verdict = judge_outcomes(outcomes, asked)
    assert verdict.says == says
    assert part in verdict.sentence


means = st.floats(0.01, 1.0)
variances = st.floats(1e-8, 1e-2)
outcomes = st.builds(
    lambda a, b, v, w, spread: Outcomes(ArmOutcomes(5000, 5000, a, v), ArmOutcomes(400, 1200, b, w), spread, 2.0),
    means,
    means,
    variances,
    variances,
    st.floats(1e-6, 1.0),
)
asked = st.builds(
    lambda goal, effect: Ab(goal=goal, effect=effect if goal == "larger" else effect.replace("x1", "x0")),
    st.sampled_from(["larger", "smaller"]),
    st.sampled_from(["+0.01", "+0.3", "x1.05", "x1.5"]),
)


@given(outcomes, asked)
@example(Outcomes(ArmOutcomes(5000, 5000, 0.5, 0.0078125), ArmOutcomes(400, 1200, 0.015625, 1e-8), 0.5, 2.0), Ab(effect="x1.05"))
def test_interval_and_verdict_agree(one: Outcomes, ab: Ab) -> None:
    verdict = judge_outcomes(one, ab)
    effect, sign = worth(ab), 1.0 if ab.goal == "larger" else -1.0
    low, high = (math.nan if bound is None else bound for bound in (verdict.lower, verdict.upper))
    best, worst = (high, low) if sign > 0 else (low, high)
    neutral = 1.0 if effect.relative else 0.0
    assert verdict.difference is not None
    assert not low > verdict.difference
    assert not high < verdict.difference
    worse, worthless, better = sign * (best - neutral) < 0, sign * (best - effect.value) < 0, sign * (worst - neutral) > 0
    expected = "loses" if worse else "equal" if worthless else "hold"
    if not worthless and better and sign * (verdict.difference - effect.value) >= 0:
        expected = "wins"
    near = min(abs(best - neutral), abs(best - effect.value), abs(worst - neutral), abs(verdict.difference - effect.value))
    if not near < 1e-9:
        assert verdict.says == expected


@given(outcomes, st.sampled_from(["+0.01", "+0.3"]))
def test_what_is_better_the_one_way_is_worse_the_other(one: Outcomes, effect: str) -> None:
    """Labels of the other sign and the other goal: the same word, and the interval mirrored."""
    mirrored = replace(
        one, champion=replace(one.champion, mean=-one.champion.mean), candidate=replace(one.candidate, mean=-one.candidate.mean)
    )
    verdict, other = judge_outcomes(one, Ab(effect=effect)), judge_outcomes(mirrored, Ab(effect=effect, goal="smaller"))
    assert verdict.says == other.says
    assert (other.lower, other.upper) == (-(verdict.upper or 0.0), -(verdict.lower or 0.0))


@given(variances, st.floats(1e-3, 1.0))
def test_an_interval_that_may_always_be_looked_at_is_wider_than_one_that_is_looked_at_once(variance: float, effect: float) -> None:
    assert reach(variance, effect) > 1.82 * math.sqrt(variance)


def test_the_bound_is_missed_seldom_however_often_one_looks() -> None:
    """A Brownian motion of known variance, looked at 2,000 times over five orders of magnitude of information."""
    random, runs = np.random.default_rng(5), 4000
    information = np.geomspace(1.0, 1e5, 2000)
    steps = random.standard_normal((runs, 2000)) * np.sqrt(np.diff(information, prepend=0.0))
    missed = (np.cumsum(steps, axis=1) / information > reach(1.0 / information, 0.1)).any(axis=1)
    assert missed.mean() < ALPHA
    assert missed.mean() > ALPHA / 4


JOINED = [
    ("harm by errors stands above labels", Verdict("harm", "errors: worse"), "wins", "harm"),
    ("requests that nobody counts hold", Verdict("noData", "nothing is counted"), "wins", "noData"),
    ("labels decide", TRAFFIC, "wins", "wins"),
    ("and may not be known yet", TRAFFIC, "noData", "hold"),
    ("errors that are not worse promote nothing by themselves", replace(TRAFFIC, says="notWorse"), "hold", "hold"),
]


@pytest.mark.parametrize(("traffic", "label", "says"), [case[1:] for case in JOINED], ids=[case[0] for case in JOINED])
def test_requests_and_labels_together(traffic: Verdict, label: str, says: str) -> None:
    verdict = joined(traffic, GuardVerdict("label", label, "label: so"))  # type: ignore[arg-type]
    assert verdict.says == says
    assert verdict.guards[-1].guard == "label"
