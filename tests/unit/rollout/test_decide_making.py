"""Rules 6-8: admission, the training run, and what it left behind."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.rollout.cases import CANDIDATE, DATA_NOW, FIRST, NOW, OTHER, ROLLOUT, ago, check, model, see
from trimtab.package import BUILT_IN
from trimtab.release import Act, Admit, CandidateOutcome, InvalidDataOutcome, Observed, Phase, Refuse, RejectedOutcome, Wait
from trimtab.spec import PipelineVersion, Version

MADE = CandidateOutcome("2", "b" * 64, compared_with="1")
STOPPED = RejectedOutcome("rmse", 12.5, 11.0, (12.1, 12.9))
BACK = {"version": Version("2", "b" * 64)}
BY_HAND = {"run": "run-7"}

PENDING = {
    "admitted: the rollout and the champion of that moment are frozen": (
        see(Phase.PENDING, admission=Admit()),
        {
            "reason": "Admitted",
            "phase": Phase.TRAINING,
            "rollout": ROLLOUT,
            "admitted_at": NOW,
            "admitted_data": DATA_NOW,
            "compared_with": FIRST,
            "attempt": 0,
            "soon": True,
        },
    ),
    "admitted without a champion: there is nothing to be compared with": (
        see(Phase.PENDING, model=model(None)),
        {"phase": Phase.TRAINING, "compared_with": None},
    ),
    "a version that served before is brought back without a canary": (
        see(Phase.PENDING, request=BACK),
        {"phase": Phase.TRAINING, "rollout": replace(ROLLOUT, strategy="direct")},
    ),
    "not yet: it waits and says why": (
        see(Phase.PENDING, admission=Wait(DATA_NOW + timedelta(hours=3), "Cooldown", "the last one ended 1 h ago")),
        {"reason": "Cooldown", "phase": Phase.PENDING, "said": "1 h ago", "act": Act.NOTHING, "soon": False, "phase_since": NOW},
    ),
    "it waits for something else than time": (
        see(Phase.PENDING, admission=Wait(None, "OneAtATime", "another one is under way")),
        {"reason": "OneAtATime", "phase": Phase.PENDING, "soon": False},
    ),
    "refused": (
        see(Phase.PENDING, admission=Refuse("BreakerOpen", "three failures in a row")),
        {"reason": "BreakerOpen", "phase": Phase.WITHDRAWING, "ends": Phase.REFUSED},
    ),
    "another one speaks for it": (
        see(Phase.PENDING, admission=Refuse("Collapsed", "m-y speaks for it", Phase.SUPERSEDED)),
        {"phase": Phase.WITHDRAWING, "ends": Phase.SUPERSEDED},
    ),
}

TRIED = PipelineVersion("shop", "1.4.0", "d" * 64)
NO_RUN = {
    "a package that must not run ends the Release before anything is submitted": (
        see(Phase.TRAINING, {"pipeline": TRIED}, pipeline_fault="PackageRefused: 'pipeline.yaml' was changed"),
        {"act": Act.NOTHING, "reason": "PackageRefused", "ends": Phase.FAILED, "attempt": 0, "said": "'pipeline.yaml' was changed"},
    ),
    "nor is a comparison made by one": (
        see(Phase.COMPARING, {"pipeline": TRIED}, pipeline_fault="PackageRefused: it was changed"),
        {"act": Act.NOTHING, "reason": "PackageRefused", "ends": Phase.FAILED},
    ),
    "the first attempt is written with the act that submits it": (
        see(Phase.TRAINING),
        {"act": Act.SUBMIT, "reason": "RunSubmitted", "attempt": 1, "phase": Phase.TRAINING, "soon": False},
    ),
    "an attempt that was written and not submitted is submitted under the same number": (
        see(Phase.TRAINING, {"attempt": 2, "attempts_failed": 1}),
        {"act": Act.SUBMIT, "attempt": 2, "attempts_failed": 1},
    ),
    "a comparison is submitted as the attempt that the champion lock wrote": (
        see(Phase.COMPARING),
        {"act": Act.SUBMIT, "attempt": 2, "phase": Phase.COMPARING, "said": "compared with the new champion"},
    ),
    "an announced run that left no outcome is a failure, and nothing is trained instead": (
        see(Phase.TRAINING, request=BY_HAND),
        {"act": Act.NOTHING, "reason": "RunUnknown", "ends": Phase.FAILED, "said": "run-7"},
    ),
    "an announced run that there is none of is one too, and the reason is told": (
        see(Phase.TRAINING, request=BY_HAND, run_fault="there is no run 'run-7'"),
        {"reason": "RunUnknown", "ends": Phase.FAILED, "said": "has left no outcome: there is no run"},
    ),
    "an announced candidate can be compared again": (
        see(Phase.COMPARING, {"attempt": 1}, request=BY_HAND),
        {"act": Act.SUBMIT, "attempt": 1},
    ),
}

RUN = {
    "a run under way is waited for": (
        see(Phase.TRAINING, {"attempt": 1}, run="active"),
        {"act": Act.NOTHING, "reason": "RunActive", "phase": Phase.TRAINING, "soon": False},
    ),
    "an outcome counts only when the run has ended": (
        see(Phase.TRAINING, {"attempt": 1}, run="active", outcome=MADE),
        {"reason": "RunActive", "phase": Phase.TRAINING, "candidate": None},
    ),
    "a rejection too": (see(Phase.TRAINING, {"attempt": 1}, run="active", outcome=STOPPED), {"reason": "RunActive"}),
    "a candidate starts the rollout": (
        see(Phase.TRAINING, {"attempt": 1}, run="ended", outcome=MADE),
        {
            "reason": "CandidateReady",
            "phase": Phase.ROLLOUT,
            "candidate": CANDIDATE,
            "compared_with": FIRST,
            "deployed": False,
            "weight": 0,
        },
    ),
    "an outcome outlives the memory of its run": (
        see(Phase.TRAINING, {"attempt": 1}, run="absent", outcome=MADE),
        {"reason": "CandidateReady", "phase": Phase.ROLLOUT},
    ),
    "an outcome stands although the run's process ended badly": (
        see(Phase.TRAINING, {"attempt": 1}, run="ended", run_fault="exit code 1", outcome=MADE),
        {"reason": "CandidateReady"},
    ),
    "a gate's verdict is final and tells value, bound and interval": (
        see(Phase.TRAINING, {"attempt": 1}, run="ended", outcome=STOPPED),
        {
            "reason": "GateFailed",
            "ends": Phase.REJECTED,
            "said": "'rmse' stopped the candidate: value 12.5, allowed 11, 95% interval of the value [12.1, 12.9]",
        },
    ),
    "a gate without a number says so": (
        see(Phase.TRAINING, {"attempt": 1}, run="ended", outcome=RejectedOutcome("auc", None, None)),
        {"reason": "GateFailed", "said": "value unknown, allowed unknown"},
    ),
    "bad data is final and tells the checks": (
        see(Phase.TRAINING, {"attempt": 1}, run="ended", outcome=InvalidDataOutcome(("no rows", "label is constant"))),
        {"reason": "InvalidData", "ends": Phase.REJECTED, "said": "no rows; label is constant"},
    ),
    "a run that left nothing is repeated": (
        see(Phase.TRAINING, {"attempt": 1}, run="ended", run_fault="out of memory"),
        {"reason": "RunRetried", "attempt": 2, "attempts_failed": 1, "phase": Phase.TRAINING, "said": "out of memory", "soon": True},
    ),
    "and once more": (
        see(Phase.TRAINING, {"attempt": 2, "attempts_failed": 1}, run="ended"),
        {"reason": "RunRetried", "attempt": 3, "attempts_failed": 2, "said": "it left no outcome"},
    ),
    "the third failure is the last": (
        see(Phase.TRAINING, {"attempt": 3, "attempts_failed": 2}, run="ended", run_fault="disk full"),
        {"reason": "RunFailed", "ends": Phase.FAILED, "attempt": 3, "said": "3 attempts failed; the last: disk full"},
    ),
    "a version that serves already needs no rollout": (
        see(Phase.TRAINING, run="absent", outcome=CandidateOutcome("1", "a" * 64), request={"version": Version("1", "a" * 64)}),
        {"reason": "AlreadyChampion", "ends": Phase.SUPERSEDED},
    ),
    "a version that served before begins at its rollout": (
        see(Phase.TRAINING, outcome=CandidateOutcome("2", "b" * 64), request=BACK),
        {
            "reason": "CandidateReady",
            "phase": Phase.ROLLOUT,
            "attempt": 0,
            "said": "served before and is brought back",
            "compared_with": FIRST,
        },
    ),
    "an announced run that was compared with this champion goes on": (
        see(Phase.TRAINING, outcome=MADE, request=BY_HAND),
        {"reason": "CandidateReady", "phase": Phase.ROLLOUT, "compared_with": FIRST},
    ),
    "one that was compared with nothing, or with another, has to be compared first": (
        see(Phase.TRAINING, outcome=CandidateOutcome("2", "b" * 64, compared_with="0"), request=BY_HAND),
        {"reason": "CandidateReady", "phase": Phase.ROLLOUT, "compared_with": None},
    ),
    "an announced run says itself which pipeline it was, whatever the Model is retrained by": (
        see(Phase.TRAINING, {"pipeline": TRIED}, outcome=replace(MADE, pipeline=BUILT_IN), request=BY_HAND),
        {"reason": "CandidateReady", "pipeline": BUILT_IN},
    ),
    "one of a published pipeline": (
        see(Phase.TRAINING, outcome=replace(MADE, pipeline=TRIED), request=BY_HAND),
        {"reason": "CandidateReady", "pipeline": TRIED},
    ),
    "one that names what no pipeline can be called is not believed": (
        see(Phase.TRAINING, {"pipeline": TRIED}, outcome=replace(MADE, pipeline=replace(TRIED, version="newest")), request=BY_HAND),
        {"reason": "CandidateReady", "pipeline": TRIED},
    ),
    "an older one's outcome does not say": (
        see(Phase.TRAINING, {"pipeline": TRIED}, outcome=MADE, request=BY_HAND),
        {"reason": "CandidateReady", "pipeline": TRIED},
    ),
    "of a run that was submitted it is known, whatever its outcome says": (
        see(Phase.TRAINING, {"pipeline": TRIED}, run="ended", outcome=replace(MADE, pipeline=BUILT_IN)),
        {"reason": "CandidateReady", "pipeline": TRIED},
    ),
    "a comparison that was passed goes back to the rollout": (
        see(Phase.COMPARING, {"compared_with": OTHER}, run="ended", outcome=CandidateOutcome("2", "b" * 64), model=model(OTHER)),
        {"reason": "CandidateReady", "phase": Phase.ROLLOUT, "compared_with": OTHER, "comparisons": 1, "phase_since": NOW},
    ),
    "a comparison that was lost is a rejection": (
        see(Phase.COMPARING, run="ended", outcome=STOPPED),
        {"reason": "GateFailed", "ends": Phase.REJECTED},
    ),
    "a comparison that left nothing is repeated": (
        see(Phase.COMPARING, run="ended"),
        {"reason": "RunRetried", "attempt": 3, "phase": Phase.COMPARING},
    ),
    "a candidate of an announced run is compared only once with the same champion": (
        see(Phase.COMPARING, run="ended", outcome=CandidateOutcome("2", "b" * 64), request=BY_HAND),
        {"reason": "CandidateReady", "compared_with": FIRST},
    ),
}


@pytest.mark.parametrize(("observed", "expected"), PENDING.values(), ids=PENDING.keys())
def test_the_governor_speaks_first(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


@pytest.mark.parametrize(("observed", "expected"), NO_RUN.values(), ids=NO_RUN.keys())
def test_a_run_that_shall_be_and_is_not_is_submitted(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


@pytest.mark.parametrize(("observed", "expected"), RUN.values(), ids=RUN.keys())
def test_a_run_and_its_outcome(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


def test_waiting_does_not_move_the_start_of_the_wait() -> None:
    waited = see(Phase.PENDING, {"phase_since": ago(days=3)}, admission=Wait(None, "Cooldown", "still"))
    check(waited, {"phase_since": ago(days=3)})
