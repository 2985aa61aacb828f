"""What every rule uses: how a Decision is put together, and how an Observed is read."""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from trimtab.release import (
    Act,
    ActionSpec,
    Decision,
    Observed,
    Phase,
    ReleaseStatus,
    ServedVersion,
    Verdicted,
)
from trimtab.spec import Champion, Model, Rollout, Version


def move(observed: Observed, act: Act, reason: str, sentence: str, *, look_again: float = 0.0, by: str = "", **changes: Any) -> Decision:
    """A decision that changes the status by `changes`; a new phase starts its clock. `by` is the person whose word it follows."""
    before = observed.release.status
    seen = {"evidence": observed.evidence, "plan": observed.plan or before.plan, "shadow": observed.shadow or before.shadow}
    status = replace(observed.release.status, reason=reason, sentence=sentence, **{**seen, **changes})
    if status.phase is not observed.release.status.phase or status.phase_since is None:
        status = replace(status, phase_since=observed.now)
    return Decision(act, reason, sentence, status, look_again, by)


def hold(observed: Observed, reason: str, sentence: str) -> Decision:
    """Nothing changes but the reason why nothing does, and the evidence that this look added."""
    changes: dict[str, Any] = {} if observed.verdict.says == "noData" else {"verdict": observed.verdict}
    return move(observed, Act.NOTHING, reason, sentence, look_again=1.0, **changes)


def withdraw(observed: Observed, phase: Phase, reason: str, sentence: str, **changes: Any) -> Decision:
    """Record the verdict; the phase turns terminal only when nothing of the candidate is left."""
    verdict = Verdicted(phase, reason, sentence)
    return move(observed, Act.NOTHING, reason, sentence, phase=Phase.WITHDRAWING, outcome=verdict, **changes)


def status_of(observed: Observed) -> ReleaseStatus:
    """The status of the Release that is looked at."""
    return observed.release.status


def leaving(model: Model) -> bool:
    """Whether the Model was deleted and only waits until what is out of its Release was withdrawn."""
    return model.metadata.deletion_timestamp is not None


def gone(observed: Observed) -> bool:
    """Whether the Model is gone or leaving; one that was made anew under the same name is another Model."""
    model = observed.model
    return model is None or model.metadata.uid != observed.release.spec.model_uid or leaving(model)


def champion_of(observed: Observed) -> Champion | None:
    """The Model's champion, None where there is none or no Model."""
    return observed.model.status.champion if observed.model else None


def same(one: Version | None, other: Version | None) -> bool:
    """Whether both are the same version, or both none."""
    if one is None or other is None:
        return one is other
    return (one.version, one.digest) == (other.version, other.digest)


def served_of(observed: Observed, version: Version | None) -> ServedVersion | None:
    """The version as it is served, None where it is not."""
    return next((served for served in observed.serving if version and served.version == version.version), None)


def rollout_of(observed: Observed) -> Rollout:
    """The rollout that was frozen at admission."""
    return status_of(observed).rollout or Rollout()


def asked_for(observed: Observed, *kinds: str) -> ActionSpec | None:
    """The newest of these words that a person said, None where nobody did."""
    return next((said for said in reversed(observed.actions) if said.action in kinds), None)


def elapsed(moment: datetime | None, now: datetime) -> timedelta:
    """The time since `moment`; none where it never was."""
    return now - moment if moment else timedelta(0)
