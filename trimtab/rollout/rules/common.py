"""What every rule uses: how a Decision is put together, and how an Observed is read."""

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from trimtab.actions import heard_with, unheard
from trimtab.release import (
    Act,
    Decision,
    Observed,
    Phase,
    ReleaseAction,
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
    changes |= {"phase": Phase.WITHDRAWING, "outcome": Verdicted(phase, reason, sentence), "paused": None, "promote_to": None}
    return move(observed, Act.NOTHING, reason, sentence, **changes)


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


def crowned(observed: Observed) -> bool:
    """Whether the candidate is champion by this Release's own swap, and not because another hand made it so."""
    champion = champion_of(observed)
    return champion is not None and champion.release == observed.release.name and same(champion, status_of(observed).candidate)


def served_of(observed: Observed, version: Version | None) -> ServedVersion | None:
    """The version as it is served, None where it is not."""
    return next((served for served in observed.serving if version and served.version == version.version), None)


def rollout_of(observed: Observed) -> Rollout:
    """The rollout that was frozen at admission."""
    return status_of(observed).rollout or Rollout()


def next_word(observed: Observed) -> ReleaseAction | None:
    """The first word that was not heard yet, None where all were."""
    return next((said for said in observed.actions if unheard(status_of(observed).heard, said)), None)


def obeyed(observed: Observed, said: ReleaseAction, decision: Decision) -> Decision:
    """The decision as one that hears this word: it is recorded with who said so, and the word is heard for good."""
    heard = heard_with(status_of(observed).heard, said)
    return replace(decision, status=replace(decision.status, heard=heard), by=said.spec.user, word=said.metadata.name)


def asked_for(observed: Observed, *kinds: str) -> ReleaseAction | None:
    """The word that is heard next, where it is one of these; a promotion that was heard is in `status.promote_to`."""
    said = next_word(observed)
    return said if said and said.spec.action in kinds else None


def steps_of(status: ReleaseStatus) -> tuple[int, ...]:
    """The steps that the rollout takes before 100%: none without a champion to be compared with, or by a strategy without steps."""
    rollout = status.rollout or Rollout()
    if status.compared_with is None or rollout.strategy == "direct":
        return ()
    return (rollout.ab.share,) if rollout.strategy == "ab" else rollout.steps


def paused_for(status: ReleaseStatus, now: datetime) -> timedelta:
    """How long the present pause has lasted within this rollout; none where there is no pause, or no rollout."""
    if status.paused is None or status.phase is not Phase.ROLLOUT:
        return timedelta(0)
    return now - max(status.paused.since, status.phase_since or status.paused.since)


def rolling_for(status: ReleaseStatus, now: datetime) -> timedelta:
    """How long the rollout has lasted, without the time in which it was paused."""
    return elapsed(status.phase_since, now) - timedelta(seconds=status.paused_seconds) - paused_for(status, now)


def elapsed(moment: datetime | None, now: datetime) -> timedelta:
    """The time since `moment`; none where it never was."""
    return now - moment if moment else timedelta(0)
