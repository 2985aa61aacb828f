"""Rules 1-5 (people: test_decide_person): what has ended, what is withdrawn, and what may not go on."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.rollout.cases import (
    CROWNED,
    DATA_NOW,
    FRESH,
    NOW,
    OTHER_RECIPE,
    PROMOTING,
    STARTED,
    SWAPPED,
    ago,
    check,
    model,
    person,
    see,
    served,
    withdrawal,
)
from trimtab.release import TERMINAL, Act, Admission, Admit, Decision, Observed, Phase, Promotion, Refuse, Verdict, Wait
from trimtab.rollout.decide import decide

NEVER = Wait(None, "NoChampion", "no champion", ends=False)
ROLLED_BACK = withdrawal(Phase.ROLLED_BACK)
FROM_TRAINING = withdrawal(Phase.CANCELLED, **FRESH, candidate=None)
FROM_BAKE = withdrawal(Phase.ROLLED_BACK, **PROMOTING | {"promotion": SWAPPED})
FIRST_VERSION = withdrawal(Phase.ROLLED_BACK, **FRESH | {"deployed": True}, compared_with=None)
DARK = {"weight": 0, "step": 0}
GONE = {"weight": 0, "deployed": False}
CHAMPION_ONLY = served()[:1]

WITHDRAWING = {
    "a withdrawal first ends the run that is under way": (
        see(Phase.WITHDRAWING, FROM_TRAINING, run="active"),
        {"act": Act.CANCEL_RUN, "phase": Phase.WITHDRAWING, "soon": False},
    ),
    "a withdrawal with nothing out is over at once": (
        see(Phase.WITHDRAWING, FROM_TRAINING),
        {"act": Act.NOTHING, "phase": Phase.CANCELLED, "reason": "Why", "sentence": "because", "finished": NOW},
    ),
    "a run that has ended by itself needs no end": (
        see(Phase.WITHDRAWING, FROM_TRAINING, run="ended", run_fault="killed"),
        {"act": Act.NOTHING, "phase": Phase.CANCELLED},
    ),
    "a withdrawal out of the bake first brings the champion back": (
        see(Phase.WITHDRAWING, FROM_BAKE, model=model(CROWNED)),
        {"act": Act.RESTORE_CHAMPION, "phase": Phase.WITHDRAWING, "weight": 100, "deployed": True},
    ),
    "then takes the traffic from the candidate": (
        see(Phase.WITHDRAWING, FROM_BAKE),
        {"act": Act.SERVE, "phase": Phase.WITHDRAWING, "weight": 0, "deployed": True, "soon": False},
    ),
    "and waits while the route still gives it some": (
        see(Phase.WITHDRAWING, ROLLED_BACK | DARK, serving=served(5)),
        {"act": Act.SERVE, "phase": Phase.WITHDRAWING, "weight": 0, "deployed": True, "soon": False},
    ),
    "then drops the candidate": (
        see(Phase.WITHDRAWING, ROLLED_BACK | DARK, serving=served(0)),
        {"act": Act.SERVE, "phase": Phase.WITHDRAWING, "deployed": False, "soon": False},
    ),
    "and waits until it is gone": (
        see(Phase.WITHDRAWING, ROLLED_BACK | GONE, serving=served(0, ready=False)),
        {"act": Act.SERVE, "phase": Phase.WITHDRAWING, "deployed": False, "soon": False},
    ),
    "and ends only then": (
        see(Phase.WITHDRAWING, ROLLED_BACK | GONE, serving=CHAMPION_ONLY),
        {"act": Act.NOTHING, "phase": Phase.ROLLED_BACK, "finished": NOW},
    ),
    "a first version has no other to take its traffic, so it is dropped at its weight": (
        see(Phase.WITHDRAWING, FIRST_VERSION, model=model(None), serving=served(100, champion=False)),
        {"act": Act.SERVE, "deployed": False},
    ),
    "a candidate that another Release made champion is left alone: nobody is restored": (
        see(Phase.WITHDRAWING, withdrawal(Phase.SUPERSEDED, **FRESH), model=model(CROWNED), serving=served(100)),
        {"act": Act.NOTHING, "phase": Phase.SUPERSEDED},
    ),
    "a candidate that cannot be served any more is dropped without waiting for its 0%": (
        see(Phase.WITHDRAWING, withdrawal(Phase.FAILED), serving=served(5), serving_fault="its files have another digest"),
        {"act": Act.SERVE, "weight": 0, "deployed": False},
    ),
    "the champion that a withdrawn Release left in place is not waited for": (
        see(Phase.WITHDRAWING, FIRST_VERSION | GONE, model=model(CROWNED), serving=served(100, champion=False)),
        {"act": Act.NOTHING, "phase": Phase.ROLLED_BACK},
    ),
    "with the Model gone there is only the run to end": (
        see(Phase.WITHDRAWING, FROM_TRAINING, model=None, run="active"),
        {"act": Act.CANCEL_RUN, "phase": Phase.WITHDRAWING},
    ),
}

STOPPED = {
    "the Model is gone": (see(Phase.ROLLOUT, model=None), {"reason": "ModelGone", "ends": Phase.SUPERSEDED, "said": "'m' is gone"}),
    "the Model is gone before anything was admitted": (see(Phase.PENDING, model=None), {"reason": "ModelGone", "ends": Phase.SUPERSEDED}),
    "the recipe was changed while it waited": (
        see(Phase.PENDING, model=OTHER_RECIPE),
        {"reason": "RecipeChanged", "ends": Phase.SUPERSEDED},
    ),
    "the recipe was changed during the training": (
        see(Phase.TRAINING, {"attempt": 1}, model=OTHER_RECIPE, run="active"),
        {"reason": "RecipeChanged", "ends": Phase.SUPERSEDED, "act": Act.NOTHING, "phase": Phase.WITHDRAWING},
    ),
    "the recipe was changed in the middle of the canary": (
        see(Phase.ROLLOUT, model=OTHER_RECIPE),
        {"reason": "RecipeChanged", "ends": Phase.SUPERSEDED, "weight": 5},
    ),
    "a person cancels a waiting one": (
        see(Phase.PENDING, actions=person("abort")),
        {"ends": Phase.CANCELLED, "said": "ada asked to abort"},
    ),
    "a person cancels a training": (
        see(Phase.TRAINING, run="active", actions=person("abort", "typo")),
        {"said": "typo", "ends": Phase.CANCELLED},
    ),
    "a person rejects where approval is asked": (
        see(Phase.AWAITING_APPROVAL, actions=person("reject")),
        {"reason": "RejectedByPerson", "ends": Phase.REJECTED},
    ),
    "a person rolls a canary back": (
        see(Phase.ROLLOUT, actions=person("rollback")),
        {"reason": "RolledBackByPerson", "ends": Phase.ROLLED_BACK},
    ),
    "what nothing under way will end waits 7 days in Pending": (
        see(Phase.PENDING, {"phase_since": ago(days=7, seconds=1), "sentence": "no champion"}, admission=NEVER),
        {"reason": "DeadlinePassed", "ends": Phase.INCONCLUSIVE, "said": "last: no champion"},
    ),
    "a training run that hangs is a failure": (
        see(Phase.TRAINING, {"phase_since": ago(hours=6, seconds=1), "attempt": 1}, run="active"),
        {"reason": "TrainingDeadline", "ends": Phase.FAILED},
    ),
    "a comparison that hangs is inconclusive": (
        see(Phase.COMPARING, {"phase_since": ago(hours=6, seconds=1)}, run="active"),
        {"reason": "DeadlinePassed", "ends": Phase.INCONCLUSIVE},
    ),
    "nobody approved for 72 hours": (
        see(Phase.AWAITING_APPROVAL, {"phase_since": ago(hours=72, seconds=1)}, model=model(approval="manual")),
        {"reason": "ApprovalExpired", "ends": Phase.INCONCLUSIVE, "said": "within 72h"},
    ),
    "the rollout took longer than its maxDuration": (
        see(Phase.ROLLOUT, {"phase_since": ago(hours=2, seconds=1)}, verdict=Verdict("hold", "not enough")),
        {"reason": "DeadlinePassed", "ends": Phase.INCONCLUSIVE},
    ),
    "the deadline is not passed at its very moment": (see(Phase.ROLLOUT, {"phase_since": ago(hours=2)}), {"phase": Phase.ROLLOUT}),
}

PAST = {"phase_since": ago(days=30)}
LONG = {
    "a cooldown of 40 days is waited for": (Wait(DATA_NOW + timedelta(days=10), "Cooldown", "until"), {"reason": "Cooldown"}),
    "another Release is, which has deadlines of its own": (Wait(None, "AnotherActive", "it bakes"), {"reason": "AnotherActive"}),
    "a place is, for whoever has one has deadlines too": (Wait(None, "ConcurrencyLimit", "4 of 4"), {"reason": "ConcurrencyLimit"}),
    "and what may begin at last begins": (Admit(), {"reason": "Admitted", "phase": Phase.TRAINING}),
    "or is refused by the governor, not by the clock": (Refuse("TriggerOff", "no"), {"reason": "TriggerOff", "ends": Phase.REFUSED}),
}
FORWARD = {
    "a changed recipe": see(Phase.ROLLOUT, PROMOTING, model=OTHER_RECIPE, serving=served(100)),
    "an abort": see(Phase.ROLLOUT, PROMOTING, actions=person("abort"), serving=served(100)),
    "a reject": see(Phase.ROLLOUT, PROMOTING, actions=person("reject"), serving=served(100)),
    "a rollback": see(Phase.ROLLOUT, PROMOTING, actions=person("rollback"), serving=served(100)),
    "a deadline": see(Phase.ROLLOUT, PROMOTING | PAST, serving=served(100)),
    "an approval that is asked for now": see(Phase.ROLLOUT, PROMOTING, model=model(approval="manual"), serving=served(100)),
    "an open quality finding": see(Phase.ROLLOUT, PROMOTING, quality_findings=("nulls",), serving=served(100)),
    "harm by the judge": see(Phase.ROLLOUT, PROMOTING, verdict=Verdict("harm", "x"), serving=served(100)),
    "a candidate that is not ready": see(Phase.ROLLOUT, PROMOTING, serving=served(100, ready=False, restarts=9)),
    "a fault in serving": see(Phase.ROLLOUT, PROMOTING, serving=served(100), serving_fault="x"),
}


@pytest.mark.parametrize(("observed", "expected"), WITHDRAWING.values(), ids=WITHDRAWING.keys())
def test_a_withdrawal_takes_its_steps_in_order(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


@pytest.mark.parametrize(("observed", "expected"), STOPPED.values(), ids=STOPPED.keys())
def test_what_may_not_go_on_is_withdrawn(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


@pytest.mark.parametrize(("admission", "expected"), LONG.values(), ids=LONG.keys())
def test_a_month_in_pending_is_not_too_long_where_the_wait_ends_by_itself(admission: Admission, expected: dict[str, Any]) -> None:
    check(
        see(Phase.PENDING, PAST, admission=admission),
        {"phase": Phase.PENDING} | ({"phase": Phase.WITHDRAWING} if "ends" in expected else {}) | expected,
    )


@pytest.mark.parametrize("observed", FORWARD.values(), ids=FORWARD.keys())
def test_once_the_promotion_has_started_it_goes_forward_whatever_comes(observed: Observed) -> None:
    check(observed, {"reason": "ChampionSwapped", "act": Act.SWAP_CHAMPION, "phase": Phase.ROLLOUT, "outcome": None})


@pytest.mark.parametrize("phase", sorted(TERMINAL))
def test_what_has_ended_stays_as_it_is(phase: Phase) -> None:
    status = {"reason": "Why", "sentence": "because", "finished": ago(days=1), "deployed": True, "weight": 50}
    loud = see(phase, status, model=OTHER_RECIPE, actions=person("abort"), verdict=Verdict("harm", "x"), run="active")
    decision = check(loud, {"act": Act.NOTHING})
    assert decision.status == loud.release.status


def test_a_withdrawal_hears_nobody_any_more() -> None:
    loud = see(
        Phase.WITHDRAWING,
        ROLLED_BACK | PAST,
        model=OTHER_RECIPE,
        actions=person("approve"),
        verdict=Verdict("notWorse"),
        quality_findings=("x",),
    )
    check(loud, {"phase": Phase.WITHDRAWING, "ends": Phase.ROLLED_BACK, "weight": 0})


@pytest.mark.parametrize("promotion", [None, STARTED, Promotion(started_at=NOW, since=NOW, since_wall=NOW, aliased=True)])
def test_a_model_that_was_made_anew_under_the_same_name_gets_nothing_of_an_old_release(promotion: Promotion | None) -> None:
    for phase in (Phase.PENDING, Phase.TRAINING, Phase.ROLLOUT, Phase.BAKING):
        found = see(phase, {"promotion": promotion}, recipe=see(phase).release.spec.recipe)
        assert found.model
        other = replace(
            found.model, metadata=replace(found.model.metadata, uid="another-uid"), status=replace(found.model.status, champion=None)
        )
        if phase in (Phase.ROLLOUT, Phase.BAKING) or promotion is None:
            check(replace(found, model=other), {"reason": "ModelGone", "ends": Phase.SUPERSEDED, "act": Act.NOTHING})


def test_a_withdrawal_ends_in_a_few_looks_where_the_world_follows() -> None:
    observed = see(Phase.WITHDRAWING, FROM_BAKE, model=model(CROWNED))
    acts: list[Act] = []
    for _ in range(9):
        decision: Decision = decide(observed)
        acts.append(decision.act)
        after = decision.status
        seen = served(after.weight) if after.deployed else CHAMPION_ONLY
        champion = model() if decision.act is Act.RESTORE_CHAMPION else observed.model
        observed = replace(observed, release=replace(observed.release, status=after), serving=seen, model=champion)
        if after.phase in TERMINAL:
            break
    assert acts == [Act.RESTORE_CHAMPION, Act.SERVE, Act.SERVE, Act.NOTHING]
    assert observed.release.status.phase is Phase.ROLLED_BACK
