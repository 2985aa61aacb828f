"""Rules 15-17 and 19: the steps of a canary."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.rollout.cases import (
    CROWNED,
    DARK,
    DOWN,
    FIRST,
    GOOD,
    HARM,
    NOW,
    PROMOTING,
    ROLLOUT,
    UNSURE,
    ago,
    check,
    model,
    see,
    served,
)
from trimtab.release import Act, Evidence, GuardState, Observed, Phase, Promotion, Verdict
from trimtab.rollout.decide import decide

LOOKED = Evidence({"at": 5}, GuardState(100, 1, 100, 2, harm=(0.5,), step=(0.25,)))

NO_CHAMPION: dict[str, Any] = {"model": model(None), "serving": served(0, champion=False)}
SMOKED = DARK | {"smoked": True}
DIRECT = {"rollout": replace(ROLLOUT, strategy="direct")}
STEPS = {
    "harm: back at once": (
        see(Phase.ROLLOUT, {"step": 1, "weight": 50}, verdict=HARM),
        {"reason": "Harm", "ends": Phase.ROLLED_BACK, "verdict": HARM, "soon": True},
    ),
    "an open quality finding holds": (
        see(Phase.ROLLOUT, verdict=GOOD, quality_findings=("nulls in temp", "x")),
        {"reason": "QualityFindingOpen", "step": 0, "weight": 5, "said": "nulls in temp", "verdict": GOOD},
    ),
    "even before the first step": (see(Phase.ROLLOUT, SMOKED, quality_findings=("nulls",)), {"reason": "QualityFindingOpen", "step": -1}),
    "the first step needs no evidence": (
        see(Phase.ROLLOUT, SMOKED),
        {"reason": "NextStep", "act": Act.SERVE, "step": 0, "weight": 5, "said": "step 1 of 2: 5%", "soon": False},
    ),
    "the next one does": (
        see(Phase.ROLLOUT, verdict=GOOD),
        {"reason": "NextStep", "act": Act.SERVE, "step": 1, "weight": 50, "said": "the candidate is not worse"},
    ),
    "no traffic holds": (see(Phase.ROLLOUT), {"reason": "NoTraffic", "step": 0, "weight": 5, "act": Act.NOTHING, "soon": False}),
    "too little evidence holds": (see(Phase.ROLLOUT, verdict=UNSURE), {"reason": "NotEnoughEvidence", "step": 0, "verdict": UNSURE}),
    "after the last step comes the promotion": (
        see(Phase.ROLLOUT, {"step": 1, "weight": 50}, verdict=GOOD),
        {"reason": "PromotionStarted", "act": Act.SERVE, "weight": 100, "promotion": Promotion(started_at=NOW), "phase": Phase.ROLLOUT},
    ),
    "the last step without evidence holds": (see(Phase.ROLLOUT, {"step": 1, "weight": 50}), {"reason": "NoTraffic", "promotion": None}),
    "a candidate that is down right now takes no further step": (
        see(Phase.ROLLOUT, {"unready_since": ago(seconds=5)}, serving=(DOWN,), verdict=GOOD),
        {"reason": "Unready", "step": 0, "promotion": None, "soon": False},
    ),
    "nor a promotion": (
        see(Phase.ROLLOUT, {"step": 1, "weight": 50, "unready_since": ago(seconds=5)}, serving=served(50, ready=False), verdict=GOOD),
        {"reason": "Unready", "promotion": None},
    ),
    "but its harm counts": (
        see(Phase.ROLLOUT, {"unready_since": ago(seconds=5)}, serving=(DOWN,), verdict=HARM),
        {"reason": "Harm", "ends": Phase.ROLLED_BACK},
    ),
    "harm does not wait for the route": (
        see(Phase.ROLLOUT, serving=served(0), verdict=HARM),
        {"reason": "Harm", "ends": Phase.ROLLED_BACK},
    ),
    "nor for the note that it went down": (see(Phase.ROLLOUT, serving=(DOWN,), verdict=HARM), {"reason": "Harm"}),
    "the first version goes to 100% after its smoke test": (
        see(Phase.ROLLOUT, SMOKED | {"compared_with": None}, **NO_CHAMPION),
        {"reason": "PromotionStarted", "weight": 100, "step": -1, "said": "no champion yet"},
    ),
    "strategy direct goes to 100% after the smoke test": (
        see(Phase.ROLLOUT, SMOKED | DIRECT),
        {"reason": "PromotionStarted", "weight": 100, "said": "strategy direct"},
    ),
    "but not before it": (see(Phase.ROLLOUT, DARK | DIRECT), {"reason": "WaitingForSmoke", "promotion": None}),
}


@pytest.mark.parametrize(("observed", "expected"), STEPS.values(), ids=STEPS.keys())
def test_the_steps_of_a_canary(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


@pytest.mark.parametrize("says", ["hold", "noData", "harm"])
def test_only_not_worse_makes_a_step_where_there_is_a_champion(says: Any) -> None:
    for status in ({}, {"step": 1, "weight": 50}):
        decision = decide(see(Phase.ROLLOUT, status, verdict=Verdict(says, "so it is")))
        assert decision.status.step == status.get("step", 0)
        assert decision.status.promotion is None


def test_a_step_begins_with_fresh_evidence_of_its_own_and_keeps_that_of_harm() -> None:
    before = see(Phase.ROLLOUT, {"evidence": LOOKED}, verdict=GOOD)
    after = decide(replace(before, evidence=LOOKED)).status.evidence
    assert after.cursor == LOOKED.cursor
    assert after.errors.harm == LOOKED.errors.harm
    assert after.errors.step != LOOKED.errors.step


def test_the_rollout_is_the_one_frozen_at_admission() -> None:
    edited = model(rollout=replace(ROLLOUT, steps=(90,), strategy="direct", max_duration="1s"))
    check(see(Phase.ROLLOUT, {"phase_since": ago(hours=1)}, model=edited, verdict=GOOD), {"reason": "NextStep", "weight": 50})


def test_a_champion_whose_generation_alone_grew_is_the_same_version() -> None:
    check(see(Phase.ROLLOUT, model=model(replace(FIRST, generation=9))), {"reason": "NoTraffic"})


def test_what_a_promotion_has_begun_no_lock_undoes() -> None:
    check(see(Phase.ROLLOUT, PROMOTING, model=model(CROWNED), serving=served(100)), {"reason": "OldKeptWarm"})
