"""What holds for every decision, whatever is observed: arbitrary statuses in arbitrary worlds (hypothesis, fixed seeds)."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.rollout.cases import (
    ALIASED,
    CANDIDATE,
    CROWNED,
    DATA_NOW,
    FIRST,
    GOOD,
    HARM,
    NOW,
    OTHER,
    OTHER_RECIPE,
    ROLLOUT,
    STARTED,
    SWAPPED,
    UNSURE,
    model,
    person,
    see,
)
from trimtab.release import (
    TERMINAL,
    Act,
    Admit,
    CandidateOutcome,
    InvalidDataOutcome,
    Observed,
    Pause,
    Phase,
    PromoteTo,
    Promotion,
    Refuse,
    RejectedOutcome,
    ServedVersion,
    Shadowed,
    Verdict,
    Verdicted,
    Wait,
)
from trimtab.rollout.decide import decide

LATER = st.sampled_from([timedelta(0), timedelta(seconds=59), timedelta(minutes=11), timedelta(hours=7), timedelta(days=8)])
FOLLOW_EACH_OTHER = 12
"""The loop lets so many decisions of one Release follow each other within one pass."""

SHADOW = replace(ROLLOUT, strategy="shadow")
SAYS: tuple[Any, ...] = ("noData", "hold", "agrees", "disagrees")
STATUS = st.fixed_dictionaries(
    {
        "rollout": st.sampled_from([ROLLOUT, replace(ROLLOUT, strategy="direct"), SHADOW, replace(SHADOW, steps=())]),
        "phase_since": LATER.map(lambda passed: NOW - passed),
        "compared_with": st.sampled_from([None, FIRST, OTHER]),
        "comparisons": st.integers(0, 2),
        "attempt": st.integers(0, 3),
        "attempts_failed": st.integers(0, 2),
        "approved": st.booleans(),
        "deployed_at": LATER.map(lambda passed: NOW - passed),
        "ready": st.booleans(),
        "unready_since": st.none() | LATER.map(lambda passed: NOW - passed),
        "weight_off_since": st.none() | LATER.map(lambda passed: NOW - passed),
        "smoked": st.booleans(),
        "paused": st.none() | LATER.map(lambda passed: Pause(NOW - passed, "ada", "ada asked to pause")),
        "paused_seconds": st.sampled_from([0.0, 600.0]),
        "promote_to": st.sampled_from([None, None, *(PromoteTo(step, "ada", "ada asked to promote") for step in (1, 2))]),
        "outcome": st.sampled_from(sorted(TERMINAL)).map(lambda phase: Verdicted(phase, "Why", "because")),
    }
)
STEP = st.sampled_from([(-1, 0), (0, 5), (1, 50)])
VERDICT = st.sampled_from([Verdict(), UNSURE, GOOD, HARM])
OUTCOME = st.sampled_from(
    [
        None,
        CandidateOutcome("2", "b" * 64),
        CandidateOutcome("1", "a" * 64),
        RejectedOutcome("rmse", 1.0, 0.5),
        InvalidDataOutcome(("empty",)),
    ]
)
ADMISSION = st.sampled_from(
    [
        Admit(),
        Wait(DATA_NOW + timedelta(days=30), "Cooldown", "wait"),
        Wait(None, "NoChampion", "none", ends=False),
        Refuse("BreakerOpen", "no"),
        Refuse("Collapsed", "no", Phase.SUPERSEDED),
    ]
)
WORDS = [
    *(person(word)[0] for word in ("approve", "abort", "reject", "rollback", "pause", "resume", "promote")),
    *person("promote", step=2),
    *person("promote", full=True),
]
SERVED = st.lists(
    st.builds(
        ServedVersion,
        st.sampled_from(["1", "2"]),
        st.booleans(),
        st.sampled_from([0, 5, 50, 100]),
        st.integers(0, 3),
        st.sampled_from(["", "x"]),
        st.booleans(),
    ),
    max_size=2,
    unique_by=lambda served: served.version,
).map(tuple)
WORLD = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            [None, *(model(champion) for champion in (None, FIRST, CROWNED, OTHER)), OTHER_RECIPE, model(approval="manual")]
        ),
        "admission": ADMISSION,
        "run": st.sampled_from(["absent", "active", "ended"]),
        "outcome": OUTCOME,
        "serving": SERVED,
        "serving_fault": st.sampled_from(["", "", "digest"]),
        "smoke": st.sampled_from([None, (True, "as recorded"), (False, "otherwise")]),
        "verdict": VERDICT,
        "bake_verdict": VERDICT,
        "shadow": st.sampled_from([None, *(Shadowed(DATA_NOW, says=says) for says in SAYS)]),
        "quality_findings": st.sampled_from([(), (), ("nulls",)]),
        "actions": st.lists(st.sampled_from(WORDS), max_size=3, unique_by=lambda said: said.metadata.uid).map(tuple),
        "pipeline_fault": st.sampled_from(["", "", "PackageRefused: a file was changed"]),
        "data_now": LATER.map(lambda passed: DATA_NOW + passed),
    }
)
HAS_CANDIDATE = (Phase.COMPARING, Phase.AWAITING_APPROVAL, Phase.ROLLOUT, Phase.BAKING)


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    """A status that the rules can have written, in a world that can show anything."""
    phase = draw(st.sampled_from(sorted(Phase)))
    status: dict[str, Any] = draw(STATUS)
    candidate = CANDIDATE if phase in HAS_CANDIDATE or (phase not in (Phase.PENDING, Phase.TRAINING) and draw(st.booleans())) else None
    status["step"], status["weight"] = draw(STEP) if candidate else (-1, 0)
    status["candidate"] = candidate
    copies = status["rollout"].strategy == "shadow" and phase in (Phase.ROLLOUT, Phase.WITHDRAWING) and status["step"] < 0
    status["mirrored"] = copies and draw(st.booleans())
    status["deployed"] = candidate is not None and (status["step"] >= 0 or status["ready"] or draw(st.booleans()))
    status["ready"] = status["smoked"] = status["ready"] and status["deployed"]
    promotions: dict[Phase, list[Promotion | None]] = {
        Phase.BAKING: [ALIASED],
        Phase.ROLLOUT: [None, None, STARTED, SWAPPED],
        Phase.WITHDRAWING: [None, STARTED, SWAPPED],
    }
    status["promotion"] = draw(st.sampled_from(promotions.get(phase, [None]))) if status["deployed"] else None
    if phase is Phase.BAKING:
        status |= {"promotion": ALIASED, "deployed": True}
    if status["promotion"]:
        status |= {"weight": 100, "mirrored": False}
    if phase is not Phase.WITHDRAWING and phase not in TERMINAL:
        status["outcome"] = None
    world: dict[str, Any] = draw(WORLD)
    return see(phase, status, **world)


ALWAYS = settings(max_examples=250, derandomize=True, database=None, deadline=None)


@ALWAYS
@given(observations())
def test_a_decision_is_always_made_and_what_has_ended_never_changes(observed: Observed) -> None:
    before, decision = observed.release.status, decide(observed)
    after = decision.status
    assert decide(observed) == decision
    assert decision.look_again >= 0
    if before.phase in TERMINAL:
        assert (after, decision.act) == (before, Act.NOTHING)
    elif after.phase in TERMINAL:
        assert before.phase in (Phase.WITHDRAWING, Phase.BAKING)
        assert observed.run != "active" or before.phase is Phase.BAKING
        assert not after.deployed or after.phase is Phase.PROMOTED
    if before.phase is Phase.WITHDRAWING:
        assert after.outcome == before.outcome
        assert before.outcome
        assert after.phase in (Phase.WITHDRAWING, before.outcome.phase)


@ALWAYS
@given(observations(), st.sampled_from([timedelta(days=7), timedelta(days=8), timedelta(days=400)]))
def test_a_pending_one_is_ended_by_the_clock_only_where_nothing_ends_its_wait(observed: Observed, waited: timedelta) -> None:
    status = replace(observed.release.status, phase=Phase.PENDING, phase_since=NOW - waited, promotion=None, paused=None)
    decision = decide(replace(observed, actions=(), release=replace(observed.release, status=status)))
    if decision.reason == "DeadlinePassed":
        assert observed.admission == Wait(None, "NoChampion", "none", ends=False)
        assert waited > timedelta(days=7)
    elif decision.status.phase is Phase.PENDING:
        assert isinstance(observed.admission, Wait)
        assert observed.admission.ends or waited == timedelta(days=7)


@ALWAYS
@given(observations())
def test_no_data_neither_promotes_nor_rolls_back(observed: Observed) -> None:
    unsent = replace(observed.release, status=replace(observed.release.status, promote_to=None))
    quiet = replace(observed, release=unsent, verdict=Verdict(), bake_verdict=Verdict(), shadow=None, actions=())
    before, after = quiet.release.status, decide(quiet).status
    if before.promotion is None and before.compared_with and before.rollout and before.rollout.strategy != "direct":
        assert after.promotion is None
        assert after.step <= max(before.step, 0), "a step beyond the first takes evidence"
    rolled_back = after.outcome is not None and before.phase is not Phase.WITHDRAWING and after.outcome.phase is Phase.ROLLED_BACK
    if rolled_back and before.phase not in TERMINAL:
        assert after.reason in ("NotReady", "Unstable", "SmokeFailed")


@ALWAYS
@given(observations())
def test_a_promotion_that_has_started_is_never_taken_back_but_by_the_bake_or_another_champion(observed: Observed) -> None:
    before, after = observed.release.status, decide(observed).status
    if before.promotion is None or before.phase not in (Phase.ROLLOUT, Phase.BAKING):
        return
    assert after.promotion is not None
    if after.phase is Phase.WITHDRAWING:
        assert after.reason in ("ModelGone", "ChampionChanged", "BakeHarm", "RolledBackByPerson")
        assert before.phase is Phase.BAKING or after.reason in ("ModelGone", "ChampionChanged")


@ALWAYS
@given(observations())
def test_in_shadow_a_candidate_gets_traffic_only_by_both_verdicts(observed: Observed) -> None:
    before, after = observed.release.status, decide(observed).status
    if before.rollout is None or before.rollout.strategy != "shadow" or not before.compared_with or before.promotion or before.step >= 0:
        return
    assert not (before.phase is Phase.ROLLOUT and after.mirrored and (after.weight or after.promotion)), "copies, or a share"
    if after.weight > before.weight:
        assert before.mirrored
        assert observed.verdict.says == "notWorse"
        assert observed.shadow
        assert observed.shadow.says == "agrees"


@ALWAYS
@given(observations())
def test_nothing_gets_traffic_that_was_not_ready_and_smoke_tested(observed: Observed) -> None:
    before, after = observed.release.status, decide(observed).status
    if after.weight > before.weight:
        assert before.deployed
        assert before.ready
        assert before.smoked
        assert any(one.version == CANDIDATE.version and one.ready for one in observed.serving)


@ALWAYS
@given(observations())
def test_a_word_moves_no_traffic_by_itself_and_nothing_that_harms_or_is_unready_or_in_doubt_is_sent_on(observed: Observed) -> None:
    before, decision = observed.release.status, decide(observed)
    after = decision.status
    if decision.word:
        assert (after.weight, after.step, after.deployed, after.promotion) == (
            before.weight,
            before.step,
            before.deployed,
            before.promotion,
        )
    if after.step > before.step or (after.promotion and not before.promotion):
        assert (
            observed.verdict.says == "notWorse" or before.step < 0 or before.promote_to or before.compared_with is None or direct(observed)
        )
        assert observed.verdict.says != "harm"
        assert not observed.quality_findings
        assert before.paused is None or before.promote_to
        assert before.approved or (observed.model and observed.model.spec.approval == "automatic")
        assert before.promote_to is None or decision.by == before.promote_to.user


def direct(observed: Observed) -> bool:
    return observed.release.status.rollout is not None and observed.release.status.rollout.strategy == "direct"


@ALWAYS
@given(observations())
def test_a_standing_world_is_not_looked_at_without_a_pause(observed: Observed) -> None:
    """Fed with its own status, a decision in an unchanging world soon asks for a pause: the loop cannot spin."""
    for _ in range(FOLLOW_EACH_OTHER):
        decision = decide(observed)
        if decision.look_again > 0 or decision.status.phase in TERMINAL:
            return
        shown = observed.model
        if decision.act in (Act.SWAP_CHAMPION, Act.RESTORE_CHAMPION) and shown:
            new = CROWNED if decision.act is Act.SWAP_CHAMPION else decision.status.compared_with
            shown = replace(shown, status=replace(shown.status, champion=new))
        observed = replace(
            observed, release=replace(observed.release, status=decision.status), model=shown, evidence=decision.status.evidence
        )
    msg = f"{FOLLOW_EACH_OTHER} decisions without a pause; the last: {decision.reason}: {decision.sentence}"
    raise AssertionError(msg)
