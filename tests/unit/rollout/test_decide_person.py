"""Rules 4 and 16a: what people say, what comes of it, and what is refused in which words."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.rollout.cases import (
    ALIASED,
    DARK,
    DOWN,
    FRESH,
    GOOD,
    HARM,
    NOW,
    OTHER,
    PROMOTING,
    ROLLOUT,
    STARTED,
    UNSURE,
    ago,
    check,
    model,
    person,
    see,
    served,
)
from trimtab.actions import unheard
from trimtab.release import Act, Decision, Evidence, GuardState, Observed, Pause, Phase, PromoteTo, ReleaseAction
from trimtab.rollout.decide import decide
from trimtab.spec import ApprovalPolicy

STEPS = {"rollout": replace(ROLLOUT, steps=(5, 25, 50))}
PAUSED = {"paused": Pause(ago(hours=1), "ada", "ada asked to pause")}
MANUAL = model(approval="manual")
DUTIES = model(approval="manual", approval_policy=ApprovalPolicy(separation_of_duties=True))
HURRY = model(approval="manual", approval_policy=ApprovalPolicy(expiry="1h"))


def sent(step: int) -> dict[str, Any]:
    """A status that was sent to the step by a person, and is not there yet."""
    return {"promote_to": PromoteTo(step, "ada", "ada asked to promote")}


OBEYED = {
    "a pause: it stands, and the clock of the pause begins": (
        see(Phase.ROLLOUT, actions=person("pause", "lunch"), verdict=GOOD),
        {"reason": "Paused", "said": "ada asked to pause: lunch", "paused": Pause(NOW, "ada", "ada asked to pause: lunch"), "step": 0},
    ),
    "a pause before the first step": (see(Phase.ROLLOUT, DARK, actions=person("pause")), {"reason": "Paused", "step": -1, "weight": 0}),
    "a pause takes back a promotion that has not been carried out": (
        see(Phase.ROLLOUT, sent(1), actions=person("pause", user="bob")),
        {"reason": "Paused", "promote_to": None, "said": "what ada asked before is given up"},
    ),
    "a resume, and the time that was paused is kept": (
        see(Phase.ROLLOUT, {**PAUSED, "paused_seconds": 60.0, "phase_since": ago(hours=3)}, actions=person("resume")),
        {"reason": "Resumed", "paused": None, "paused_seconds": 3660.0, "phase": Phase.ROLLOUT},
    ),
    "a resume of what is compared anew, where no rollout's time passes": (
        see(Phase.COMPARING, PAUSED | {"phase_since": ago(minutes=30)}, run="active", actions=person("resume")),
        {"reason": "Resumed", "paused": None, "paused_seconds": 0.0},
    ),
    "a promote: the next step": (
        see(Phase.ROLLOUT, STEPS, actions=person("promote")),
        {"reason": "PromoteAsked", "promote_to": PromoteTo(1, "ada", "ada asked to promote"), "step": 0, "soon": True},
    ),
    "a second one: the step after that": (
        see(Phase.ROLLOUT, STEPS | sent(1), actions=person("promote")),
        {"promote_to": PromoteTo(2, "ada", "ada asked to promote")},
    ),
    "a promote to a step, counted as people count": (
        see(Phase.ROLLOUT, STEPS, actions=person("promote", "fine", step=3)),
        {"promote_to": PromoteTo(2, "ada", "ada asked to promote to step 3: fine")},
    ),
    "a promote to 100%": (
        see(Phase.ROLLOUT, STEPS, actions=person("promote", full=True)),
        {"promote_to": PromoteTo(3, "ada", "ada asked to promote to 100%")},
    ),
    "a promote at the last step is one to 100%": (
        see(Phase.ROLLOUT, {"step": 1, "weight": 50}, actions=person("promote")),
        {"promote_to": PromoteTo(2, "ada", "ada asked to promote")},
    ),
    "a promote where no steps are taken is one to 100%": (
        see(Phase.ROLLOUT, DARK | {"rollout": replace(ROLLOUT, strategy="direct")}, actions=person("promote")),
        {"promote_to": PromoteTo(0, "ada", "ada asked to promote")},
    ),
    "a promote of what is paused leaves the pause": (
        see(Phase.ROLLOUT, PAUSED, actions=person("promote")),
        {"reason": "PromoteAsked", "paused": PAUSED["paused"]},
    ),
    "an approval": (
        see(Phase.AWAITING_APPROVAL, model=MANUAL, actions=person("approve", "looks right")),
        {"reason": "Approved", "approved": True, "phase": Phase.ROLLOUT, "phase_since": NOW},
    ),
    "an approval by another person than who asked": (
        see(Phase.AWAITING_APPROVAL, request={"by": "bob"}, model=DUTIES, actions=person("approve")),
        {"reason": "Approved", "approved": True},
    ),
    "an approval by who asked, where duties are not separated": (
        see(Phase.AWAITING_APPROVAL, request={"by": "ada"}, model=MANUAL, actions=person("approve")),
        {"reason": "Approved"},
    ),
    "an approval in time that is only heard after it": (
        see(Phase.AWAITING_APPROVAL, {"phase_since": ago(hours=2)}, model=HURRY, actions=person("approve", said=ago(hours=1.5))),
        {"reason": "Approved"},
    ),
    "a rollback in the bake": (see(Phase.BAKING, actions=person("rollback")), {"ends": Phase.ROLLED_BACK, "reason": "RolledBackByPerson"}),
}

REFUSED = {
    "a pause while it trains": (
        see(Phase.TRAINING, actions=person("pause")),
        "m-x is in phase Training; only a Release in Rollout can be paused",
    ),
    "a pause while it waits for approval": (
        see(Phase.AWAITING_APPROVAL, model=MANUAL, actions=person("pause")),
        "only a Release in Rollout",
    ),
    "a pause in the bake": (see(Phase.BAKING, actions=person("pause")), "is at 100% already"),
    "a second pause: its clock does not begin anew": (see(Phase.ROLLOUT, PAUSED, actions=person("pause", "again")), "paused already"),
    "a resume of what is not paused": (see(Phase.ROLLOUT, actions=person("resume")), "m-x is not paused"),
    "a promote before there is a candidate": (see(Phase.PENDING, actions=person("promote")), "in phase Pending"),
    "a promote of what nobody approved": (
        see(Phase.AWAITING_APPROVAL, model=MANUAL, actions=person("promote")),
        "in phase AwaitingApproval",
    ),
    "a promote in the bake": (see(Phase.BAKING, actions=person("promote", full=True)), "is at 100% already"),
    "a promote to the step where it is": (see(Phase.ROLLOUT, STEPS, actions=person("promote", step=1)), "m-x is at step 1 already"),
    "a promote to a step where another word leads": (see(Phase.ROLLOUT, STEPS | sent(1), actions=person("promote", step=2)), "at step 2"),
    "a promote beyond the steps": (
        see(Phase.ROLLOUT, STEPS, actions=person("promote", step=4)),
        "has no step 4; allowed are 1 to 3, or 100%",
    ),
    "a promote beyond 100%": (see(Phase.ROLLOUT, sent(2), actions=person("promote", "more")), "nothing is beyond 100%"),
    "a promote to a step of a strategy without steps": (
        see(Phase.ROLLOUT, DARK | {"rollout": replace(ROLLOUT, strategy="direct")}, actions=person("promote", step=1)),
        "m-x has no steps",
    ),
    "an approval before there is anything to look at": (
        see(Phase.TRAINING, {"attempt": 1}, run="active", model=MANUAL, actions=person("approve")),
        "m-x is in phase Training; only a Release in AwaitingApproval can be approved",
    ),
    "an approval while it is compared anew": (
        see(Phase.COMPARING, run="active", model=MANUAL, actions=person("approve")),
        "phase Comparing",
    ),
    "an approval by who asked for it": (
        see(Phase.AWAITING_APPROVAL, request={"by": "ada"}, model=DUTIES, actions=person("approve")),
        "ada asked for m-x, and who asked for it may not approve it (approvalPolicy.separationOfDuties)",
    ),
    "an approval that was said too late": (
        see(Phase.AWAITING_APPROVAL, {"phase_since": ago(hours=2)}, model=HURRY, actions=person("approve")),
        "the 1h within which m-x could be approved are over",
    ),
    "an abort in the bake": (see(Phase.BAKING, actions=person("abort")), "use `trimtab rollback m-x`"),
    "a reject in the bake": (see(Phase.BAKING, actions=person("reject")), "use `trimtab rollback m-x`"),
    "a rollback once the old one is dropped": (
        see(Phase.BAKING, {"promotion": replace(ALIASED, old_dropped=True)}, actions=person("rollback")),
        "no previous champion that is kept warm; use `trimtab rollback m`",
    ),
}

STANDING = {
    "what is paused stands, however good it is": (
        see(Phase.ROLLOUT, PAUSED, verdict=GOOD),
        {"reason": "Paused", "step": 0, "weight": 5, "verdict": GOOD, "soon": False, "said": "it stands at 5%"},
    ),
    "before the first step too": (see(Phase.ROLLOUT, DARK | {"smoked": True} | PAUSED), {"reason": "Paused", "step": -1}),
    "without a judge too": (
        see(Phase.ROLLOUT, DARK | {"smoked": True, "compared_with": None} | PAUSED, model=model(None), serving=served(0, False)),
        {"reason": "Paused", "promotion": None},
    ),
    "but harm takes it back": (see(Phase.ROLLOUT, PAUSED, verdict=HARM), {"reason": "Harm", "ends": Phase.ROLLED_BACK}),
    "and so does a candidate that is not ready": (
        see(Phase.ROLLOUT, PAUSED | {"unready_since": ago(seconds=60)}, serving=(DOWN,)),
        {"reason": "Unstable", "ends": Phase.ROLLED_BACK},
    ),
    "and a person": (see(Phase.ROLLOUT, PAUSED, actions=person("abort")), {"ends": Phase.CANCELLED}),
    "a quality finding is told before the pause": (
        see(Phase.ROLLOUT, PAUSED, quality_findings=("nulls",)),
        {"reason": "QualityFindingOpen", "step": 0},
    ),
    "another champion: it is compared anew, and stays paused": (
        see(Phase.ROLLOUT, PAUSED | sent(1) | {"paused_seconds": 5.0}, model=model(OTHER)),
        {"phase": Phase.COMPARING, "paused": PAUSED["paused"], "promote_to": None, "paused_seconds": 0.0},
    ),
    "a pause does not count towards maxDuration": (
        see(Phase.ROLLOUT, {"phase_since": ago(hours=5), "paused": Pause(ago(hours=4), "ada", "so")}),
        {"reason": "Paused"},
    ),
    "one that is over does not either": (
        see(Phase.ROLLOUT, {"phase_since": ago(hours=5), "paused_seconds": 3 * 3600.0}),
        {"phase": Phase.ROLLOUT, "reason": "NoTraffic"},
    ),
    "what was not paused does": (
        see(Phase.ROLLOUT, {"phase_since": ago(hours=5), "paused_seconds": 3 * 3600.0 - 1}),
        {"reason": "DeadlinePassed", "ends": Phase.INCONCLUSIVE},
    ),
    "a pause of 7 days is borne": (see(Phase.ROLLOUT, {"paused": Pause(ago(days=7), "ada", "so")}), {"reason": "Paused"}),
    "not one of more": (
        see(Phase.ROLLOUT, {"paused": Pause(ago(days=7, seconds=1), "ada", "ada asked to pause")}),
        {"reason": "PauseExpired", "ends": Phase.INCONCLUSIVE, "said": "ada asked to pause; nobody resumed it within 7 days"},
    ),
    "nor while it is compared anew": (
        see(Phase.COMPARING, {"paused": Pause(ago(days=8), "ada", "so")}, run="active"),
        {"reason": "PauseExpired"},
    ),
}

LOOKED = Evidence({"at": 5}, GuardState(100, 1, 100, 2, harm=(0.5,), step=(0.25,)))
READY = STEPS | DARK | {"smoked": True}
SENT = {
    "to the next step, without the judge's word; it is shown anew there that it is not worse": (
        see(Phase.ROLLOUT, STEPS | sent(1) | {"evidence": LOOKED}, verdict=UNSURE),
        {
            "reason": "NextStep",
            "act": Act.SERVE,
            "step": 1,
            "weight": 25,
            "promote_to": None,
            "said": "step 2 of 3: 25% of the traffic; ada asked to promote; not enough requests yet",
            "evidence": Evidence({"at": 5}, GuardState(100, 1, 100, 2, harm=(0.5,))),
        },
    ),
    "over a step": (see(Phase.ROLLOUT, STEPS | sent(2)), {"step": 2, "weight": 50, "promote_to": None}),
    "from the dark": (see(Phase.ROLLOUT, READY | sent(1)), {"step": 1, "weight": 25}),
    "one step and no more where the judge says yes as well": (see(Phase.ROLLOUT, STEPS | sent(1), verdict=GOOD), {"step": 1}),
    "to 100%": (
        see(Phase.ROLLOUT, STEPS | sent(3) | PAUSED, verdict=UNSURE),
        {
            "reason": "PromotionStarted",
            "weight": 100,
            "promotion": STARTED,
            "paused": None,
            "promote_to": None,
            "said": "100%; ada asked to promote; not enough requests yet",
        },
    ),
    "what is paused goes there and stands": (see(Phase.ROLLOUT, STEPS | PAUSED | sent(1)), {"step": 1, "paused": PAUSED["paused"]}),
    "not while it is not ready": (
        see(Phase.ROLLOUT, STEPS | sent(3) | {"unready_since": ago(seconds=1)}, serving=(DOWN,)),
        {"reason": "Unready", "step": 0, "promotion": None},
    ),
    "not before it ever was": (
        see(Phase.ROLLOUT, STEPS | DARK | {"ready": False} | sent(3), serving=served(0, ready=False)),
        {"reason": "WaitingForReady", "promotion": None},
    ),
    "not while the route does not follow": (
        see(Phase.ROLLOUT, STEPS | sent(3), serving=served(0)),
        {"reason": "WaitingForRoute", "promotion": None},
    ),
    "not with a wrong digest": (
        see(Phase.ROLLOUT, STEPS | sent(3), serving_fault="DigestMismatch: another"),
        {"ends": Phase.FAILED, "promotion": None},
    ),
    "a first version is not sent on before it is deployed": (
        see(Phase.ROLLOUT, FRESH | {"compared_with": None} | sent(0), model=model(None)),
        {"reason": "Deployed", "promotion": None},
    ),
    "not without a smoke test": (see(Phase.ROLLOUT, STEPS | DARK | sent(3)), {"reason": "WaitingForSmoke"}),
    "not with one that failed": (see(Phase.ROLLOUT, STEPS | DARK | sent(3), smoke=(False, "x")), {"ends": Phase.ROLLED_BACK}),
    "not with harm": (see(Phase.ROLLOUT, STEPS | sent(3), verdict=HARM), {"reason": "Harm", "ends": Phase.ROLLED_BACK}),
    "not while the data is in doubt": (see(Phase.ROLLOUT, STEPS | sent(3), quality_findings=("nulls",)), {"reason": "QualityFindingOpen"}),
    "not without an approval": (
        see(Phase.ROLLOUT, STEPS | sent(3), model=MANUAL),
        {"phase": Phase.AWAITING_APPROVAL, "promote_to": None, "weight": 0},
    ),
    "not past another champion": (
        see(Phase.ROLLOUT, STEPS | sent(3), model=model(OTHER)),
        {"phase": Phase.COMPARING, "promote_to": None, "promotion": None},
    ),
    "not past the deadline": (see(Phase.ROLLOUT, STEPS | sent(3) | {"phase_since": ago(hours=3)}), {"reason": "DeadlinePassed"}),
}


@pytest.mark.parametrize(("observed", "expected"), OBEYED.values(), ids=OBEYED.keys())
def test_a_word_is_obeyed_once_and_recorded_with_who_said_it(observed: Observed, expected: dict[str, Any]) -> None:
    decision = check(observed, expected)
    (said,) = observed.actions
    assert (decision.by, decision.word) == (said.spec.user, said.metadata.name)
    assert not unheard(decision.status.heard, said)


@pytest.mark.parametrize(("observed", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_a_word_that_can_change_nothing_is_told_so_and_changes_nothing(observed: Observed, sentence: str) -> None:
    (said,) = observed.actions
    decision = check(observed, {"act": Act.NOTHING, "reason": "ActionRefused", "said": f"{said.spec.sentence}; refused: ", "soon": True})
    assert sentence in decision.sentence
    assert (decision.by, decision.word) == ("ada", said.metadata.name)
    told = {"heard": decision.status.heard, "reason": decision.reason, "sentence": decision.sentence}
    assert decision.status == replace(observed.release.status, **told)


@pytest.mark.parametrize(("observed", "expected"), STANDING.values(), ids=STANDING.keys())
def test_what_is_paused(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


@pytest.mark.parametrize(("observed", "expected"), SENT.values(), ids=SENT.keys())
def test_where_a_person_sent_it_it_goes(observed: Observed, expected: dict[str, Any]) -> None:
    decision = check(observed, expected)
    assert decision.by == ("ada" if decision.reason in ("NextStep", "PromotionStarted") else "")


def follow(observed: Observed, words: int) -> list[Decision]:
    """So many decisions, each made of the status that the one before wrote."""
    made = []
    for _ in range(words):
        made.append(decide(observed))
        observed = replace(observed, release=replace(observed.release, status=made[-1].status))
    return made


def test_words_are_heard_in_their_order_those_of_one_second_as_well() -> None:
    words = (*person("pause"), *person("resume"), *person("pause", "again"), *person("promote", step=2), *person("abort"))
    made = follow(see(Phase.ROLLOUT, STEPS, actions=words), 5)
    assert [decision.reason for decision in made] == ["Paused", "Resumed", "Paused", "PromoteAsked", "AbortedByPerson"]
    assert [decision.word for decision in made] == [said.metadata.name for said in words]


def test_who_says_yes_and_then_no_has_said_no_before_anything_is_deployed() -> None:
    words = (*person("approve"), *person("reject"))
    made = follow(see(Phase.AWAITING_APPROVAL, model=MANUAL, actions=words), 2)
    assert [decision.reason for decision in made] == ["Approved", "RejectedByPerson"]
    assert made[0].look_again == 0
    assert not made[1].status.deployed


def test_who_may_not_approve_is_told_and_who_may_is_heard_after_them() -> None:
    words = (*person("approve", "mine"), *person("approve", "seen", user="bob"))
    made = follow(see(Phase.AWAITING_APPROVAL, request={"by": "ada"}, model=DUTIES, actions=words), 2)
    assert [(decision.reason, decision.by) for decision in made] == [("ActionRefused", "ada"), ("Approved", "bob")]


def test_a_word_is_heard_once_though_its_object_and_others_go_or_come_late() -> None:
    first, second = (*person("pause", "1"), *person("resume", "2"))
    status = follow(see(Phase.ROLLOUT, actions=(first, second)), 2)[-1].status
    assert not unheard(status.heard, first)
    assert not unheard(status.heard, second)
    late = replace(person("pause", "late")[0].metadata, creation_timestamp=NOW - timedelta(seconds=2))
    assert unheard(status.heard, replace(first, metadata=late)), "said before, seen after: it is heard all the same"
    days_later = replace(person("pause", "3")[0].metadata, creation_timestamp=NOW + timedelta(days=3))
    (later,) = follow(see(Phase.ROLLOUT, {"heard": status.heard}, actions=(replace(first, metadata=days_later),)), 1)
    assert list(later.status.heard) == [days_later.uid], "what is remembered does not grow"
    assert not unheard(later.status.heard, first), "and what is forgotten is not heard again"


WORDS = st.lists(st.tuples(st.sampled_from(["pause", "resume", "promote"]), st.integers(0, 1800)), min_size=1, max_size=8)


@settings(max_examples=50, derandomize=True, database=None, deadline=None)
@given(WORDS, st.data())
def test_each_word_is_heard_once_whenever_it_is_seen_and_whatever_is_deleted_or_unwritten(
    said: list[tuple[str, int]], data: st.DataObject
) -> None:
    """Seconds apart, in one second, late; a look whose status was never written is made again."""
    words = [person(word, str(number), said=ago(seconds=at))[0] for number, (word, at) in enumerate(said)]
    seen: list[ReleaseAction] = []
    heard: list[str] = []
    look = see(Phase.ROLLOUT, STEPS, quality_findings=("nothing moves",))
    release = look.release
    for _ in range(2 * len(words)):
        seen.append(data.draw(st.sampled_from(words)))
        there = sorted({word.metadata.uid: word for word in seen}.values(), key=lambda word: word.metadata.creation_timestamp or NOW)
        gone = {uid for uid in heard if data.draw(st.booleans())}
        decision = decide(replace(look, release=release, actions=tuple(word for word in there if word.metadata.uid not in gone)))
        if data.draw(st.booleans()):
            release = replace(release, status=decision.status)
            heard += [decision.word] if decision.word else []
    assert len(set(heard)) == len(heard)
    for _ in words:
        decision = decide(replace(look, release=release, actions=tuple(words)))
        release = replace(release, status=decision.status)
        heard += [decision.word] if decision.word else []
    assert sorted(heard) == sorted(word.metadata.name for word in words)


def test_a_promotion_under_way_hears_nobody_and_its_bake_hears_who_wants_it_back() -> None:
    words = (*person("pause"), *person("rollback"))
    check(see(Phase.ROLLOUT, PROMOTING, actions=words, serving=served(100)), {"reason": "ChampionSwapped", "heard": {}})
    made = follow(see(Phase.BAKING, actions=words), 2)
    assert [decision.reason for decision in made] == ["ActionRefused", "RolledBackByPerson"]
