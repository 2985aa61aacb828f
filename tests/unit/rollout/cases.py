"""Builders for the table tests of the Release's rules: a case is a sentence, what is observed, and what must be decided."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from trimtab.release import (
    TERMINAL,
    Act,
    ActionSpec,
    Decision,
    Observed,
    Phase,
    Promotion,
    Release,
    ReleaseAction,
    ReleaseSpec,
    ReleaseStatus,
    Request,
    ServedVersion,
    Verdict,
    Verdicted,
)
from trimtab.rollout.decide import decide
from trimtab.spec import Champion, Data, Metadata, Model, ModelSpec, ModelStatus, Rollout, Version, recipe

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DATA_NOW = datetime(2011, 7, 1, tzinfo=UTC)
FIRST = Champion("1", "a" * 64, 1, "m-first")
CANDIDATE = Version("2", "b" * 64)
CROWNED = Champion("2", "b" * 64, 2, "m-x")
OTHER = Champion("3", "c" * 64, 2, "m-other")
ROLLOUT = Rollout(steps=(5, 50))
SPEC = ModelSpec(task="regression", data=Data(uri="rows.csv", label="y"), rollout=ROLLOUT)

HARM = Verdict("harm", "the candidate's errors are more frequent")
GOOD = Verdict("notWorse", "the candidate is not worse")
UNSURE = Verdict("hold", "not enough requests yet")
STARTED = Promotion(started_at=NOW)
SWAPPED = Promotion(started_at=NOW, since=DATA_NOW, since_wall=NOW)
ALIASED = replace(SWAPPED, aliased=True)


def ago(**time: float) -> datetime:
    """A moment so long before `NOW`."""
    return NOW - timedelta(**time)


def model(champion: Champion | None = FIRST, **spec: Any) -> Model:
    """A Model with this champion and these fields of its spec changed."""
    metadata = Metadata("m", uid="model-uid", resource_version="7")
    return Model("trimtab.dev/v1alpha1", "Model", metadata, replace(SPEC, **spec), ModelStatus(champion))


OTHER_RECIPE = model(data=Data(uri="other.csv", label="y"))
_TRAINING = {"rollout": ROLLOUT, "admitted_at": NOW, "admitted_data": DATA_NOW, "compared_with": FIRST}
_CANDIDATE = {**_TRAINING, "attempt": 1, "candidate": CANDIDATE}
_CANARY = {**_CANDIDATE, "deployed": True, "deployed_at": NOW, "ready": True, "smoked": True, "step": 0, "weight": 5}
_PROMOTING = {**_CANARY, "step": 1, "weight": 100, "promotion": STARTED}
_BAKING = {**_PROMOTING, "promotion": ALIASED}
_USUAL: dict[Phase, dict[str, Any]] = {
    Phase.PENDING: {},
    Phase.TRAINING: _TRAINING,
    Phase.COMPARING: {**_CANDIDATE, "attempt": 2, "comparisons": 1},
    Phase.AWAITING_APPROVAL: _CANDIDATE,
    Phase.ROLLOUT: _CANARY,
    Phase.BAKING: _BAKING,
}
FRESH = {"deployed": False, "deployed_at": None, "ready": False, "smoked": False, "step": -1, "weight": 0}
"""What differs in a Rollout that has just begun."""
DARK = {**FRESH, "deployed": True, "deployed_at": NOW, "ready": True}
"""What differs once the candidate is ready and has no traffic yet."""
PROMOTING = {"step": 1, "weight": 100, "promotion": STARTED}
DOWN = ServedVersion("2", ready=False, weight=5)


def withdrawal(phase: Phase, **changes: Any) -> dict[str, Any]:
    """A status that is on its way to a terminal `phase`."""
    return {**_CANARY, "outcome": Verdicted(phase, "Why", "because"), **changes}


def served(weight: int = 5, champion: bool = True, **changes: Any) -> tuple[ServedVersion, ...]:
    """The champion, and the candidate at `weight`."""
    candidate = replace(ServedVersion("2", ready=True, weight=weight), **changes)
    return (ServedVersion("1", ready=True, weight=100 - weight), candidate) if champion else (candidate,)


def see(phase: Phase, status: dict[str, Any] | None = None, *, request: dict[str, Any] | None = None, **changes: Any) -> Observed:
    """What is observed of a Release in `phase`: all is well and nobody says anything, but for `status` and `changes`."""
    asked = replace(Request("person", "tests", "1", DATA_NOW), **(request or {}))
    made = replace(ReleaseStatus(phase=phase, phase_since=NOW), **{**_USUAL.get(phase, {}), **(status or {})})
    spec = ReleaseSpec("m", "model-uid", recipe(SPEC), asked)
    release = Release(Metadata("m-x", uid="release-uid", resource_version="3"), spec, made)
    looked_at: dict[str, Any] = {"now": NOW, "data_now": DATA_NOW, "model": model(CROWNED if phase is Phase.BAKING else FIRST)}
    if made.deployed:
        looked_at["serving"] = served(made.weight)
    observed = Observed(release=release, **{**looked_at, **changes})
    return replace(observed, recipe=changes.get("recipe", recipe(observed.model.spec) if observed.model else ""), evidence=made.evidence)


def person(action: Any, reason: str = "", user: str = "ada", said: datetime = NOW, **to: Any) -> tuple[ReleaseAction, ...]:
    """A person's word on the Release; two that differ in nothing are the same one."""
    name = f"{action}-{user}-{reason}-{to}-{said}"
    return (ReleaseAction(Metadata(name, uid=name, creation_timestamp=said), ActionSpec(action, user, "m-x", reason=reason, **to)),)


def check(observed: Observed, expected: dict[str, Any]) -> Decision:
    """The rules decide `expected`: act, reason, said (a part of the sentence), soon (look again at once), or fields of the status."""
    decision = decide(observed)
    wanted = dict(expected)
    found: dict[str, Any] = {}
    for name in wanted:
        if name == "said":
            found[name] = wanted[name] if wanted[name] in decision.sentence else decision.sentence
        elif name == "soon":
            found[name] = decision.look_again == 0
        elif name == "ends":
            found[name] = decision.status.outcome.phase if decision.status.outcome else None
        else:
            found[name] = getattr(decision if name in ("act", "reason") else decision.status, name)
    assert found == wanted, f"{decision.reason} ({decision.sentence}): found {found}, wanted {wanted}"
    _always(observed, decision)
    return decision


def _always(observed: Observed, decision: Decision) -> None:
    """What holds for every decision, whatever the case."""
    before, after = observed.release.status, decision.status
    assert decision == decide(observed), "the same observation, the same decision"
    assert decision.sentence or before.phase in TERMINAL
    if before.phase in TERMINAL:
        assert after == before
        return
    if after.phase in TERMINAL:
        assert before.phase in (Phase.WITHDRAWING, Phase.BAKING)
        assert after.finished == observed.now
    if after.phase is Phase.WITHDRAWING:
        assert after.outcome is not None
        assert after.outcome.phase in TERMINAL
    if after.phase is not before.phase:
        assert after.phase_since == observed.now
    assert not (decision.act is Act.SUBMIT and observed.pipeline_fault), "nothing is submitted that must not run"
    assert (after.reason, after.sentence) == (decision.reason, decision.sentence)
