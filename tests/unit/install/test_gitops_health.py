"""Argo CD's health checks, run by a real Lua 5.1 with no more of its libraries than Argo CD gives, over statuses that Trimtab writes."""

from datetime import UTC, datetime

import lupa.lua51 as lua
import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.install.conftest import ROOT
from tests.unit.platforms.kubernetes.test_conditions import MODEL, RELEASE, told
from trimtab.platforms.kubernetes.conditions import of_release
from trimtab.platforms.kubernetes.crds import UNSEEN
from trimtab.release import Pause, Phase, ReleaseStatus, Verdicted
from trimtab.spec import ModelStatus

HEALTH = ROOT / "examples" / "gitops" / "argocd" / "health"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOT_GIVEN = ("string", "math", "io", "os", "debug", "coroutine", "package", "require", "python")
UNSEEN_YET = ("Progressing", "Trimtab has not looked at it yet")


def health(kind, body):
    """What the script of a kind says of an object: status and message."""
    runtime = lua.LuaRuntime(register_eval=False, register_builtins=False)
    runtime.execute("getmetatable('').__index = nil")
    for name in NOT_GIVEN:
        runtime.globals()[name] = None
    runtime.globals().obj = runtime.table_from(body, recursive=True)
    said = dict(runtime.execute((HEALTH / f"{kind}.lua").read_text()).items())
    assert set(said) == {"status", "message"}
    return said["status"], said["message"]


def stored(item, status=None, **metadata):
    """The object as an API server keeps it."""
    body = msgspec.to_builtins(item)
    return {**body, "metadata": {**body["metadata"], **metadata}, "status": body["status"] if status is None else status}


# --- Model ---

EMPTY = replace(MODEL, status=ModelStatus())


def model(of=MODEL, releases=(RELEASE,), **changes):
    return stored(replace(of, status=told(of, releases, **changes)))


def ended(phase, sentence):
    return replace(RELEASE, status=ReleaseStatus(phase=phase, outcome=Verdicted(phase, "Why", sentence)))


MODELS = {
    "one that was just applied": (stored(EMPTY, UNSEEN), UNSEEN_YET),
    "one of an older CRD, whose status is absent at first": (stored(EMPTY, {}), UNSEEN_YET),
    "one without even that": ({"metadata": {"name": "churn", "generation": 1}}, UNSEEN_YET),
    "one that was edited since Trimtab looked": ({**model(), "metadata": {"name": "churn", "generation": 5}}, UNSEEN_YET),
    "its first version is being made": (
        model(EMPTY, [replace(RELEASE, status=ReleaseStatus(phase=Phase.TRAINING))]),
        ("Progressing", "no version has been promoted yet; Release churn-1: Training"),
    ),
    "no Release of it is there yet": (model(EMPTY, []), ("Progressing", "no version has been promoted yet")),
    "its first version waits for a person": (
        model(EMPTY, [replace(RELEASE, status=ReleaseStatus(phase=Phase.AWAITING_APPROVAL))]),
        ("Suspended", "Release churn-1 waits for a person's approval"),
    ),
    "its first version did not pass its gates": (
        model(EMPTY, [ended(Phase.REJECTED, "roc_auc is 0.61, allowed is 0.7")]),
        ("Degraded", "Rejected: Release churn-1: roc_auc is 0.61, allowed is 0.7"),
    ),
    "its champion serves": (model(), ("Healthy", "version 3 serves")),
    "its champion serves, whatever became of the next version": (
        model(MODEL, [ended(Phase.ROLLED_BACK, "it fails")]),
        ("Healthy", "version 3 serves"),
    ),
    "its champion does not serve": (
        model(serving="the InferenceService is not ready: no endpoints"),
        ("Degraded", "the InferenceService is not ready: no endpoints"),
    ),
    "somebody has to mend something": (
        model(problem="OwnershipConflict: 'helm' keeps changing it"),
        ("Degraded", "OwnershipConflict: 'helm' keeps changing it"),
    ),
    "MLflow does not answer, and the champion serves on": (model(wait="MLflow does not answer"), ("Healthy", "version 3 serves")),
}


@pytest.mark.parametrize(("body", "expected"), MODELS.values(), ids=MODELS.keys())
def test_a_model(body, expected):
    assert health("Model", body) == expected


# --- Release ---

RELEASES = {
    Phase.PENDING: "Progressing",
    Phase.TRAINING: "Progressing",
    Phase.COMPARING: "Progressing",
    Phase.AWAITING_APPROVAL: "Suspended",
    Phase.ROLLOUT: "Progressing",
    Phase.BAKING: "Progressing",
    Phase.WITHDRAWING: "Progressing",
    Phase.PROMOTED: "Healthy",
    Phase.REJECTED: "Degraded",
    Phase.ROLLED_BACK: "Degraded",
    Phase.INCONCLUSIVE: "Healthy",
    Phase.FAILED: "Degraded",
    Phase.REFUSED: "Healthy",
    Phase.SUPERSEDED: "Healthy",
    Phase.CANCELLED: "Healthy",
}


def release(status):
    made = replace(RELEASE, status=status)
    return stored(replace(made, status=of_release(made, NOW)))


@pytest.mark.parametrize("phase", Phase)
def test_a_release_in_each_phase(phase):
    body = release(ReleaseStatus(phase=phase, reason="Why", sentence="so it is"))
    assert health("Release", body) == (RELEASES[phase], f"{phase}: so it is")


PAUSE = Pause(NOW, "ada", "ada asked to pause: lunch")
OTHERS = {
    "a paused one stands still": (release(ReleaseStatus(phase=Phase.ROLLOUT, paused=PAUSE)), ("Suspended", f"Rollout: {PAUSE.sentence}")),
    "what is withdrawn goes on, paused or not": (
        release(ReleaseStatus(phase=Phase.WITHDRAWING, sentence="going", paused=PAUSE)),
        ("Progressing", "Withdrawing: going"),
    ),
    "the verdict is told, not the last act of its withdrawal": (
        release(
            ReleaseStatus(phase=Phase.ROLLED_BACK, sentence="the route is clear", outcome=Verdicted(Phase.ROLLED_BACK, "Harm", "it fails"))
        ),
        ("Degraded", "RolledBack: it fails"),
    ),
    "no sentence yet": (release(ReleaseStatus()), ("Progressing", "Pending")),
    "nobody looked at it yet": (stored(RELEASE, UNSEEN), UNSEEN_YET),
    "its status is absent": (stored(RELEASE, {}), UNSEEN_YET),
    "its status speaks of an older generation": (
        {**release(ReleaseStatus()), "metadata": {"name": "churn-1", "generation": 2}},
        UNSEEN_YET,
    ),
}


@pytest.mark.parametrize(("body", "expected"), OTHERS.values(), ids=OTHERS.keys())
def test_a_release_besides(body, expected):
    assert health("Release", body) == expected


# --- PipelineRollout ---


def rollout(phase, reason="Why", observed=1):
    status = {"phase": phase, "reason": reason, "sentence": "3 of 20 Models run it", "observedGeneration": observed, "conditions": []}
    return {"metadata": {"name": "crm-stable-1-4-0", "generation": 1}, "status": status}


ROLLOUTS = {
    "under way": (rollout("Progressing"), ("Progressing", "Progressing: 3 of 20 Models run it")),
    "it halted by itself": (rollout("Halted", "TooManyBad"), ("Degraded", "Halted: 3 of 20 Models run it")),
    "a person halted it": (rollout("Halted", "HaltedByPerson"), ("Suspended", "Halted: 3 of 20 Models run it")),
    "all run it": (rollout("Complete"), ("Healthy", "Complete: 3 of 20 Models run it")),
    "it is being taken back": (rollout("Reverting"), ("Progressing", "Reverting: 3 of 20 Models run it")),
    "it was taken back": (rollout("Reverted"), ("Healthy", "Reverted: 3 of 20 Models run it")),
    "a newer version came": (rollout("Superseded"), ("Healthy", "Superseded: 3 of 20 Models run it")),
    "nobody looked at it yet": ({"metadata": {"generation": 1}, "status": UNSEEN}, UNSEEN_YET),
    "its status is absent": ({"metadata": {"generation": 1}}, UNSEEN_YET),
    "its status speaks of an older generation": (rollout("Complete", observed=0), UNSEEN_YET),
}


@pytest.mark.parametrize(("body", "expected"), ROLLOUTS.values(), ids=ROLLOUTS.keys())
def test_a_pipeline_rollout(body, expected):
    assert health("PipelineRollout", body) == expected
