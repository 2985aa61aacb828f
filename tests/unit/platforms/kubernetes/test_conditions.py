"""Conditions say what the status says, and a transition time moves only when something flipped."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from trimtab.pipeline_rollout import PipelineRollout, PipelineRolloutSpec, PipelineRolloutStatus, RolloutPhase
from trimtab.platforms.kubernetes.conditions import of_model, of_release, of_rollout, reason_of, reconciled
from trimtab.release import Pause, Phase, Plan, Release, ReleaseSpec, ReleaseStatus, Request, Verdicted
from trimtab.spec import Champion, Data, Metadata, Model, ModelSpec, ModelStatus, MonitoringSummary, PipelineVersion

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
MODEL = Model(
    "trimtab.dev/v1alpha1",
    "Model",
    Metadata("churn", namespace="crm", uid="u", generation=4),
    ModelSpec("binary", Data("s3://x/y.csv", "left")),
    ModelStatus(champion=Champion("3", "ab" * 32)),
)
RELEASE = Release(
    Metadata("churn-1", namespace="crm", generation=1, creation_timestamp=NOW),
    ReleaseSpec("churn", "u", "r", Request("person", "t", "1", NOW)),
)


def conditions(status: ModelStatus | ReleaseStatus) -> dict[str, tuple[str, str]]:
    return {one.type: (one.status, one.reason) for one in status.conditions}


RELEASES = {
    "one under way has not finished, and whether it will be promoted is not known": (
        ReleaseStatus(phase=Phase.ROLLOUT, reason="NextStep"),
        {"Finished": ("False", "NextStep"), "Promoted": ("Unknown", "NextStep"), "Reconciling": ("True", "NextStep")},
    ),
    "a promoted one": (
        ReleaseStatus(phase=Phase.PROMOTED, reason="Promoted"),
        {"Finished": ("True", "Promoted"), "Promoted": ("True", "Promoted")},
    ),
    "a rolled back one says why, not how far its withdrawal was": (
        ReleaseStatus(phase=Phase.ROLLED_BACK, reason="WaitingForRoute", outcome=Verdicted(Phase.ROLLED_BACK, "Harm", "it fails")),
        {"Finished": ("True", "Harm"), "Promoted": ("False", "Harm"), "Stalled": ("True", "Harm")},
    ),
    "one whose plan is out of reach says so": (
        ReleaseStatus(phase=Phase.ROLLOUT, reason="NextStep", plan=Plan(0.1, 0.01, 0.01, fits=False, sentence="out of reach")),
        {
            "Finished": ("False", "NextStep"),
            "Promoted": ("Unknown", "NextStep"),
            "Reachable": ("False", "OutOfReach"),
            "Reconciling": ("True", "NextStep"),
        },
    ),
    "one that a person paused": (
        ReleaseStatus(phase=Phase.ROLLOUT, reason="Paused", paused=Pause(NOW, "ada", "ada asked to pause")),
        {
            "Finished": ("False", "Paused"),
            "Paused": ("True", "PausedByPerson"),
            "Promoted": ("Unknown", "Paused"),
            "Reconciling": ("True", "Paused"),
        },
    ),
    "one that is being withdrawn has not finished": (
        ReleaseStatus(phase=Phase.WITHDRAWING, reason="Harm", outcome=Verdicted(Phase.ROLLED_BACK, "Harm", "it fails")),
        {"Finished": ("False", "Harm"), "Promoted": ("Unknown", "Harm"), "Reconciling": ("True", "Harm")},
    ),
    "one that was superseded need not be done any more": (
        ReleaseStatus(phase=Phase.SUPERSEDED, reason="Collapsed"),
        {"Finished": ("True", "Collapsed"), "Promoted": ("False", "Collapsed")},
    ),
}


@pytest.mark.parametrize("phase", RolloutPhase)
def test_a_roll_out_is_told_as_kstatus_reads_it(phase: RolloutPhase) -> None:
    spec = PipelineRolloutSpec(PipelineVersion("churn", "1.4.0"), "stable")
    rollout = PipelineRollout(Metadata("churn-stable-1-4-0", generation=3), spec, replace(PipelineRolloutStatus(), phase=phase))
    status = of_rollout(rollout, NOW)
    going_on, halted = phase in (RolloutPhase.PROGRESSING, RolloutPhase.REVERTING), phase is RolloutPhase.HALTED
    said = {one.type: one.status for one in status.conditions}
    assert said == {"Ready": str(not going_on and not halted), "Reconciling": str(going_on), "Stalled": str(halted)}
    assert status.observed_generation == 3


@pytest.mark.parametrize(("status", "expected"), RELEASES.values(), ids=RELEASES.keys())
def test_a_release_is_told(status: ReleaseStatus, expected: dict[str, tuple[str, str]]) -> None:
    assert conditions(of_release(replace(RELEASE, status=status), NOW)) == expected


def test_what_was_paused_and_goes_on_says_so() -> None:
    paused = of_release(replace(RELEASE, status=ReleaseStatus(phase=Phase.ROLLOUT, paused=Pause(NOW, "ada", "lunch"))), NOW)
    resumed = of_release(replace(RELEASE, status=replace(paused, paused=None)), LATER)
    (told,) = [one for one in resumed.conditions if one.type == "Paused"]
    assert (told.status, told.reason, told.last_transition_time) == ("False", "NotPaused", LATER)


def test_a_transition_time_moves_only_when_the_status_flips() -> None:
    first = of_release(replace(RELEASE, status=ReleaseStatus(phase=Phase.TRAINING, reason="RunActive")), NOW)
    second = of_release(replace(RELEASE, status=replace(first, phase=Phase.ROLLOUT, reason="NextStep")), LATER)
    third = of_release(replace(RELEASE, status=replace(second, phase=Phase.PROMOTED, reason="Promoted")), LATER)
    assert {one.last_transition_time for one in second.conditions} == {NOW}
    assert {one.last_transition_time for one in third.conditions} == {LATER}
    assert [one.type for one in third.conditions] == ["Finished", "Promoted"], "it reconciles no more"


def told(model: Model = MODEL, releases: Sequence[Release] = (RELEASE,), **changes: object) -> ModelStatus:
    given = {"serving": "", "problem": "", "wait": "", "monitoring": None, "now": NOW, **changes}
    return of_model(model, releases, **given)  # type: ignore[arg-type]


GONE_WRONG = replace(RELEASE, status=ReleaseStatus(phase=Phase.REJECTED, outcome=Verdicted(Phase.REJECTED, "GateFailed", "auc is 0.5")))
FINE = {"Reconciled": ("True", "UpToDate")}
MODELS = {
    "a champion that serves": (told(), {"Ready": ("True", "Serving"), **FINE}),
    "no champion yet": (told(replace(MODEL, status=ModelStatus())), {"Ready": ("False", "NoChampion"), **FINE}),
    "no champion, and the Release that should have made it one has ended": (
        told(replace(MODEL, status=ModelStatus()), [GONE_WRONG]),
        {"Ready": ("False", "NoChampion"), "Stalled": ("True", "Rejected"), **FINE},
    ),
    "a champion serves on where a Release ended badly": (told(MODEL, [GONE_WRONG]), {"Ready": ("True", "Serving"), **FINE}),
    "a refused Model says why in all": (
        told(replace(MODEL, status=ModelStatus()), problem="spec.serving.gateway: there is no Gateway 'x/y'"),
        {"Ready": ("False", "NoChampion"), "Reconciled": ("False", "Refused"), "Stalled": ("True", "Refused")},
    ),
    "a sentence that begins with its reason gives it": (
        told(problem="OwnershipConflict: 'argo' keeps changing it"),
        {"Ready": ("True", "Serving"), "Reconciled": ("False", "OwnershipConflict"), "Stalled": ("True", "OwnershipConflict")},
    ),
    "what does not answer is waited for": (
        told(wait="MLflow does not answer"),
        {"Ready": ("True", "Serving"), "Reconciled": ("False", "Waiting")},
    ),
    "an InferenceService that is not ready": (told(serving="it is starting"), {"Ready": ("False", "NotServing"), **FINE}),
    "a Model that was deleted": (
        told(replace(MODEL, metadata=replace(MODEL.metadata, deletion_timestamp=NOW))),
        {"Ready": ("False", "Leaving"), **FINE},
    ),
}


@pytest.mark.parametrize(("status", "expected"), MODELS.values(), ids=MODELS.keys())
def test_a_model_is_told(status: ModelStatus, expected: dict[str, tuple[str, str]]) -> None:
    assert conditions(status) == expected
    assert status.observed_generation == 4
    assert {one.observed_generation for one in status.conditions} == {4}


def test_what_was_mended_is_not_stalled_any_more() -> None:
    stalled = told(problem="OwnershipConflict: 'argo' keeps changing it")
    assert "Stalled" not in conditions(told(replace(MODEL, status=stalled)))


def test_what_the_monitor_said_stays_while_it_is_silent() -> None:
    known = MonitoringSummary("none", "nothing moved", NOW)
    before = told(monitoring=known)
    assert told(replace(MODEL, status=before)).monitoring == known


def test_the_newest_release_is_named() -> None:
    newer = replace(RELEASE, metadata=replace(RELEASE.metadata, name="churn-2", creation_timestamp=LATER))
    status = of_model(MODEL, [newer, RELEASE], serving="", problem="", wait="", monitoring=None, now=NOW)
    assert status.last_release
    assert status.last_release.name == "churn-2"


def test_telling_twice_changes_nothing() -> None:
    once = told(problem="x")
    assert told(replace(MODEL, status=once), problem="x", now=LATER) == once


def test_a_message_is_cut_to_what_the_api_allows() -> None:
    made = reconciled((), "x" * 5000, "", 1, NOW)
    assert len(made[0].message) == 1024


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [("SignatureMismatch: no", "SignatureMismatch"), ("spec.serving.gateway: no", "Else"), ("no reason here", "Else"), ("", "Else")],
)
def test_a_reason_is_read_from_a_sentence(sentence: str, reason: str) -> None:
    assert reason_of(sentence, "Else") == reason


def test_an_open_breaker_is_told_by_how_far_data_time_has_come() -> None:
    def failed(number: int) -> Release:
        status = ReleaseStatus(phase=Phase.REJECTED, admitted_data=NOW + timedelta(hours=number))
        made = replace(RELEASE.metadata, name=f"churn-{number}", creation_timestamp=NOW + timedelta(hours=number))
        return replace(RELEASE, metadata=made, status=status)

    def since(days: float, *releases: Release) -> datetime | None:
        summary = MonitoringSummary(watermark=NOW + timedelta(days=days))
        return of_model(MODEL, releases, serving="", problem="", wait="", monitoring=summary, now=NOW).breaker_since

    three = [failed(number) for number in range(3)]
    assert since(1, *three) == NOW + timedelta(hours=2)
    assert since(1, *three[:2]) is None
    assert since(8, *three) is None, "a week later it is closed again"
    assert of_model(MODEL, three, serving="", problem="", wait="", monitoring=None, now=NOW).breaker_since is None
