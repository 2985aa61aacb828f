"""Strategy shadow: what its rule decides, and what is said of rows that both versions scored."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.rollout.cases import DARK, DATA_NOW, DOWN, GOOD, HARM, NOW, OTHER, ROLLOUT, UNSURE, check, model, see, served, withdrawal
from trimtab.release import (
    Act,
    Agreement,
    ArmCounts,
    Block,
    Latency,
    Observed,
    Pause,
    Phase,
    PromoteTo,
    Promotion,
    ServedVersion,
    Shadowed,
    Verdict,
)
from trimtab.rolling import Shadow
from trimtab.rollout.judge import HARM_ALPHA, judge, look
from trimtab.rollout.plan import serving_plan
from trimtab.rollout.shadow import counted, judged, latencies
from trimtab.spec import Rollout

BEGAN = Shadowed(since=DATA_NOW)
AGREES = replace(BEGAN, rows=600, says="agrees", sentence="alike on 97%")
DISAGREES = replace(BEGAN, rows=600, says="disagrees", sentence="alike on 40%")
PLAIN = DARK | {"smoked": True, "rollout": replace(ROLLOUT, strategy="shadow")}
COPIED = PLAIN | {"mirrored": True, "shadow": BEGAN}
STRAIGHT = {"rollout": replace(ROLLOUT, strategy="shadow", steps=())}
MIRRORED = (ServedVersion("1", ready=True, weight=100), ServedVersion("2", ready=True, weight=0, mirrored=True))


def shadow(status: dict[str, Any] | None = None, **changes: Any) -> Observed:
    """A Rollout whose candidate is asked copies, as the route confirms."""
    return see(Phase.ROLLOUT, COPIED | (status or {}), **{"serving": MIRRORED, **changes})


PAUSE = Pause(NOW, "ada", "ada asked to pause")
CASES = {
    "it begins with copies, and no weight": (
        see(Phase.ROLLOUT, PLAIN),
        {"reason": "ShadowStarted", "act": Act.SERVE, "mirrored": True, "shadow": BEGAN, "weight": 0, "step": -1},
    ),
    "but not before the smoke test": (see(Phase.ROLLOUT, PLAIN | {"smoked": False}), {"reason": "WaitingForSmoke", "mirrored": False}),
    "nor while the candidate is down": (
        see(Phase.ROLLOUT, PLAIN | {"unready_since": NOW}, serving=(replace(DOWN, weight=0),)),
        {"reason": "Unready", "mirrored": False},
    ),
    "the first version is asked no copies": (
        see(Phase.ROLLOUT, PLAIN | {"compared_with": None}, model=model(None), serving=served(0, champion=False)),
        {"reason": "PromotionStarted", "mirrored": False},
    ),
    "until the route copies, it waits": (
        shadow(serving=served(0)),
        {"reason": "WaitingForRoute", "act": Act.SERVE, "weight_off_since": NOW, "said": "0% and copies of all requests"},
    ),
    "copies that nobody asked for are taken away": (see(Phase.ROLLOUT, PLAIN, serving=MIRRORED), {"reason": "WaitingForRoute"}),
    "no traffic holds": (shadow(shadow=AGREES), {"reason": "NoTraffic", "mirrored": True, "shadow": AGREES}),
    "too little evidence holds": (shadow(shadow=AGREES, verdict=UNSURE), {"reason": "NotEnoughEvidence"}),
    "not worse, but nobody knows whether both agree": (shadow(verdict=GOOD), {"reason": "AgreementUnknown", "mirrored": True}),
    "nor surely enough": (
        shadow(verdict=GOOD, shadow=replace(AGREES, says="hold")),
        {"reason": "AgreementUnknown", "said": "alike on 97%"},
    ),
    "not worse, and alike: the first step, without copies": (
        shadow(verdict=GOOD, shadow=AGREES),
        {"reason": "NextStep", "act": Act.SERVE, "step": 0, "weight": 5, "mirrored": False, "said": "alike on 97%", "shadow": AGREES},
    ),
    "with no steps straight to 100%": (
        shadow(STRAIGHT, verdict=GOOD, shadow=AGREES),
        {"reason": "PromotionStarted", "weight": 100, "mirrored": False, "promotion": Promotion(started_at=NOW), "said": "alike on 97%"},
    ),
    "harm by its answers to copies": (
        shadow(verdict=HARM, shadow=AGREES),
        {"reason": "Harm", "ends": Phase.ROLLED_BACK, "said": "no caller was harmed"},
    ),
    "a pause puts its beginning off": (see(Phase.ROLLOUT, PLAIN | {"paused": PAUSE}), {"reason": "Paused", "mirrored": False}),
    "and its end": (shadow({"paused": PAUSE}, verdict=GOOD, shadow=AGREES), {"reason": "Paused", "mirrored": True, "step": -1}),
    "but not that both disagree": (
        shadow({"paused": PAUSE}, verdict=GOOD, shadow=DISAGREES),
        {"reason": "Disagrees", "ends": Phase.ROLLED_BACK},
    ),
    "a person who promotes it ends it": (
        shadow({"promote_to": PromoteTo(0, "ada", "ada asked to promote")}, verdict=UNSURE, shadow=BEGAN),
        {"reason": "NextStep", "step": 0, "weight": 5, "mirrored": False, "said": "ada asked to promote"},
    ),
    "another champion forgets what was shown": (
        shadow(shadow=AGREES, model=model(OTHER)),
        {"reason": "ChampionChanged", "phase": Phase.COMPARING, "mirrored": False, "shadow": None, "plan": None},
    ),
    "surely too few rows alike": (
        shadow(verdict=GOOD, shadow=DISAGREES),
        {"reason": "Disagrees", "ends": Phase.ROLLED_BACK, "said": "alike on 40%"},
    ),
    "whatever is known of errors": (shadow(shadow=DISAGREES), {"reason": "Disagrees", "ends": Phase.ROLLED_BACK}),
    "an open quality finding holds": (shadow(verdict=GOOD, shadow=DISAGREES, quality_findings=("x",)), {"reason": "QualityFindingOpen"}),
    "after the shadow the steps are a canary's": (
        see(Phase.ROLLOUT, {"rollout": replace(ROLLOUT, strategy="shadow"), "shadow": DISAGREES}, verdict=GOOD),
        {"reason": "NextStep", "step": 1, "weight": 50},
    ),
    "with another champion the copies end": (
        shadow(model=model(replace(model().status.champion, version="3")), verdict=GOOD, shadow=AGREES),
        {"reason": "ChampionChanged", "phase": Phase.COMPARING, "mirrored": False},
    ),
}


@pytest.mark.parametrize(("observed", "expected"), CASES.values(), ids=CASES.keys())
def test_the_rule(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


def test_copies_end_with_the_first_share_whatever_else_was_written() -> None:
    release = shadow().release
    assert [arm.mirrored for arm in serving_plan(model(), release).arms] == [False, True]
    for change in ({"phase": Phase.WITHDRAWING}, {"step": 0, "weight": 5}, {"promotion": Promotion(started_at=NOW), "weight": 100}):
        later = replace(release, status=replace(release.status, **change))
        assert [arm.mirrored for arm in serving_plan(model(), later).arms] == [False, False]


def test_a_withdrawal_waits_until_no_copies_are_made() -> None:
    ending = see(Phase.WITHDRAWING, withdrawal(Phase.ROLLED_BACK) | COPIED, serving=MIRRORED)
    check(ending, {"act": Act.SERVE, "deployed": True})
    check(replace(ending, serving=served(0)), {"act": Act.SERVE, "deployed": False})


# --- rows that both scored ---


def alike(share: float, rows: int) -> Agreement:
    return Agreement(tuple(bool(one) for one in np.random.default_rng(7).random(rows) < share), 0.05)


SAID = {
    "no row": (Agreement(), "noData"),
    "fewer rows than asked for, however clear": (alike(1.0, 499), "hold"),
    "surely enough": (alike(0.95, 600), "agrees"),
    "surely too few": (alike(0.5, 600), "disagrees"),
    "about as many as asked for": (alike(0.8, 600), "hold"),
}


@pytest.mark.parametrize(("found", "says"), SAID.values(), ids=SAID.keys())
def test_what_rows_say(found: Agreement, says: str) -> None:
    after = judged(BEGAN, found, Shadow())
    assert (after.says, after.rows) == (says, len(found.alike))
    if found.alike:
        assert after.agreement == pytest.approx(np.mean(found.alike))
        assert (after.lower or 0.0) <= after.agreement <= (after.upper or 1.0)
        assert (after.lower is not None and after.lower >= 0.8) == (says == "agrees" or len(found.alike) == 499)


def test_a_candidate_at_the_threshold_is_rolled_back_no_more_often_than_promised_however_often_one_looks() -> None:
    random = np.random.default_rng(5)
    runs, called = 120, 0
    for _ in range(runs):
        rows = random.random(1500) < 0.8
        called += any(
            judged(BEGAN, Agreement(tuple(rows[:upto].tolist())), Shadow(rows=100)).says == "disagrees" for upto in range(100, 1501, 100)
        )
    assert called <= 4, f"{called} of {runs} at alpha {HARM_ALPHA:.4f}"


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.3))
def test_bad_requests_that_both_versions_share_are_no_harm(seed: int, rate: float) -> None:
    """Both are asked the same requests: what is wrong with a request is wrong for both."""
    random, rollout = np.random.default_rng(seed), Rollout()
    evidence = see(Phase.ROLLOUT).evidence
    for _ in range(40):
        bad = int((random.random(100) < rate).sum())
        evidence = look(evidence, [Block(0, NOW, NOW, ArmCounts(100, bad, 0), ArmCounts(100, bad, 0))], rollout)
        assert judge(evidence, rollout).says != "harm"


def test_copies_and_times_add_up_and_read_as_a_sentence() -> None:
    fast, slow = (0, 50, 49, 1, *[0] * 9), (0,) * 12 + (10,)
    block = Block(0, NOW, NOW, ArmCounts(100, 0, 0, fast), ArmCounts(10, 0, 0, slow))
    found = counted(counted(BEGAN, [block]), [block, block])
    assert found.copies == 30
    assert (found.champion.counts, found.champion.p50, found.champion.p99) == (tuple(3 * one for one in fast), 5.0, 10.0)
    assert found.candidate == Latency(tuple(3 * one for one in slow))
    told = latencies(found)
    assert told == (
        "30 copies answered within more than 10,000 ms (half) and more than 10,000 ms (99%), "
        "the champion's answers within 5 ms (half) and 10 ms (99%)"
    )
    assert counted(BEGAN, [Block(0, NOW, NOW, ArmCounts(5), ArmCounts(5))]).champion == Latency(), "nobody kept any"


def test_no_data_never_goes_on() -> None:
    check(shadow(verdict=Verdict(), shadow=AGREES), {"reason": "NoTraffic", "step": -1})
