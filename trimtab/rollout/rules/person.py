"""Rule 4, and 16c: what people say to a Release, each word heard once and in the order in which they were said.

A word is obeyed or refused at the look that hears it, and what it asks for is written to the status with it: no crash can lose a word or
have it acted on twice. A promotion is only noted here, as the step that it leads to. It replaces the judge's "not worse" in rule
17a and no other rule: what keeps a candidate from its next step otherwise keeps it from one that a person asked for.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from trimtab.release import Act, ActionSpec, Decision, Observed, Pause, Phase, PromoteTo, Release, ReleaseAction, ReleaseStatus
from trimtab.rollout.rules.common import elapsed, hold, move, next_word, obeyed, paused_for, status_of, steps_of, withdraw
from trimtab.spec import Model
from trimtab.units import duration

PAUSED_AT_MOST = timedelta(days=7)

_ENDINGS = {
    "abort": (Phase.CANCELLED, "AbortedByPerson"),
    "reject": (Phase.REJECTED, "RejectedByPerson"),
    "rollback": (Phase.ROLLED_BACK, "RolledBackByPerson"),
}


def word(observed: Observed) -> Decision | None:
    """4. What a person said: obeyed, or told why not. A promotion under way hears nobody before its bake."""
    status, said = status_of(observed), next_word(observed)
    if said is None or (status.promotion and status.phase is Phase.ROLLOUT):
        return None
    if why := refusal(observed.release, observed.model, said.spec, said.metadata.creation_timestamp or observed.now):
        return obeyed(observed, said, move(observed, Act.NOTHING, "ActionRefused", f"{said.spec.sentence}; refused: {why}"))
    if said.spec.action in _ENDINGS:
        phase, reason = _ENDINGS[said.spec.action]
        return None if status.phase is Phase.BAKING else obeyed(observed, said, withdraw(observed, phase, reason, said.spec.sentence))
    return obeyed(observed, said, _OBEY[said.spec.action](observed, said))


def paused(observed: Observed) -> Decision | None:
    """16c. A person paused it: it stands where it is, until it is resumed or promoted."""
    status = status_of(observed)
    if status.paused is None or status.promotion or status.promote_to:
        return None
    ends = status.paused.since + PAUSED_AT_MOST
    return hold(observed, "Paused", f"{status.paused.sentence}; it stands at {status.weight}%, and is taken back on {ends:%Y-%m-%d %H:%M}")


# --- what is refused ---


def refusal(release: Release, model: Model | None, said: ActionSpec, at: datetime) -> str:
    """Why a word that is said at that time cannot change anything of the Release, or may not; empty where it can and may."""
    status = release.status
    if release.terminal:
        return f"{release.name} has ended as {status.phase}; nothing can be said to it any more"
    if status.phase is Phase.WITHDRAWING:
        ending = f" as {status.outcome.phase}" if status.outcome else ""
        return f"{release.name} is being withdrawn and ends{ending}; nothing can be said to it any more"
    if said.action not in _REFUSE:
        return f"{said.action} is said to a PipelineRollout, and {release.name} is a Release"
    return _REFUSE[said.action](release, model, said, at)


def _no_ending(release: Release, model: Model | None, said: ActionSpec, at: datetime) -> str:  # noqa: ARG001
    return f"{release.name} is promoted already; use `trimtab rollback {release.name}`" if release.status.promotion else ""


def _no_rollback(release: Release, model: Model | None, said: ActionSpec, at: datetime) -> str:  # noqa: ARG001
    status = release.status
    if status.promotion and (status.compared_with is None or status.promotion.old_dropped):
        return f"{release.name} has no previous champion that is kept warm; use `trimtab rollback {release.spec.model}`"
    return ""


def _no_approval(release: Release, model: Model | None, said: ActionSpec, at: datetime) -> str:
    status, by = release.status, release.spec.request.by
    if status.phase is not Phase.AWAITING_APPROVAL:
        return f"{release.name} is in phase {status.phase}; only a Release in {Phase.AWAITING_APPROVAL} can be approved"
    if model is None:
        return ""
    policy = model.spec.approval_policy
    if policy.separation_of_duties and said.user == by:
        return f"{by} asked for {release.name}, and who asked for it may not approve it (approvalPolicy.separationOfDuties)"
    if elapsed(status.phase_since, at) > duration(policy.expiry):
        return f"the {policy.expiry} within which {release.name} could be approved are over"
    return ""


def _no_pause(release: Release, model: Model | None, said: ActionSpec, at: datetime) -> str:  # noqa: ARG001
    status = release.status
    if status.paused:
        return f"{release.name} is paused already: {status.paused.sentence}"
    return _not_rolling(release, "paused")


def _no_resume(release: Release, model: Model | None, said: ActionSpec, at: datetime) -> str:  # noqa: ARG001
    return "" if release.status.paused else f"{release.name} is not paused"


def _no_promotion(release: Release, model: Model | None, said: ActionSpec, at: datetime) -> str:  # noqa: ARG001
    status = release.status
    if why := _not_rolling(release, "promoted"):
        return why
    steps, reached = steps_of(status), asked_step(status)
    if said.step and not steps:
        return f"{release.name} has no steps; leave the step out"
    if said.step and said.step > len(steps):
        return f"{release.name} has no step {said.step}; allowed are 1 to {len(steps)}, or 100%"
    if reached >= len(steps) and status.promote_to:
        return f"{status.promote_to.sentence}, and nothing is beyond 100%"
    if said.step and said.step - 1 <= reached:
        return f"{release.name} is at step {reached + 1} already, or was asked to go there; it only goes forward"
    return ""


def _not_rolling(release: Release, done: str) -> str:
    status = release.status
    if status.promotion:
        return f"{release.name} is at 100% already; only a {Phase.ROLLOUT} whose promotion has not begun can be {done}"
    if status.phase is not Phase.ROLLOUT:
        return f"{release.name} is in phase {status.phase}; only a Release in {Phase.ROLLOUT} can be {done}"
    return ""


_REFUSE: dict[str, Callable[[Release, Model | None, ActionSpec, datetime], str]] = {
    "abort": _no_ending,
    "reject": _no_ending,
    "rollback": _no_rollback,
    "approve": _no_approval,
    "pause": _no_pause,
    "resume": _no_resume,
    "promote": _no_promotion,
}


# --- what is obeyed ---


def asked_step(status: ReleaseStatus) -> int:
    """The place in rollout.steps that it stands at, or that a person sent it to."""
    return status.promote_to.step if status.promote_to else status.step


def _approve(observed: Observed, said: ReleaseAction) -> Decision:
    return move(observed, Act.NOTHING, "Approved", said.spec.sentence, look_again=0.0, phase=Phase.ROLLOUT, approved=True)


def _pause(observed: Observed, said: ReleaseAction) -> Decision:
    status = status_of(observed)
    given_up = f"; what {status.promote_to.user} asked before is given up" if status.promote_to else ""
    standing = Pause(observed.now, said.spec.user, said.spec.sentence)
    return move(observed, Act.NOTHING, "Paused", said.spec.sentence + given_up, paused=standing, promote_to=None)


def _resume(observed: Observed, said: ReleaseAction) -> Decision:
    status = status_of(observed)
    seconds = status.paused_seconds + paused_for(status, observed.now).total_seconds()
    return move(observed, Act.NOTHING, "Resumed", said.spec.sentence, paused=None, paused_seconds=seconds)


def _promote(observed: Observed, said: ReleaseAction) -> Decision:
    status = status_of(observed)
    last = len(steps_of(status))
    step = last if said.spec.full else said.spec.step - 1 if said.spec.step else min(asked_step(status) + 1, last)
    return move(observed, Act.NOTHING, "PromoteAsked", said.spec.sentence, promote_to=PromoteTo(step, said.spec.user, said.spec.sentence))


_OBEY: dict[str, Callable[[Observed, ReleaseAction], Decision]] = {
    "approve": _approve,
    "pause": _pause,
    "resume": _resume,
    "promote": _promote,
}
