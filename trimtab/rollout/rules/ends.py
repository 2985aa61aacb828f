"""Rules 1-3 and 5: what has ended, what is being withdrawn, and what may not go on."""

from datetime import timedelta

from trimtab.release import Act, Decision, Observed, Phase, Wait
from trimtab.rollout.rules.common import (
    champion_of,
    crowned,
    elapsed,
    gone,
    move,
    rolling_for,
    rollout_of,
    same,
    served_of,
    status_of,
    withdraw,
)
from trimtab.rollout.rules.person import PAUSED_AT_MOST
from trimtab.units import duration

DEADLINES = {
    Phase.PENDING: timedelta(days=7),
    Phase.TRAINING: timedelta(hours=6),
    Phase.COMPARING: timedelta(hours=6),
}


def terminal(observed: Observed) -> Decision | None:
    """1. What has ended stays as it is."""
    if not observed.release.terminal:
        return None
    status = status_of(observed)
    return Decision(Act.NOTHING, status.reason, status.sentence, status, 3600.0)


def withdrawing(observed: Observed) -> Decision | None:
    """2. The next act of a withdrawal: the run ended, the champion back, the route without the candidate, the candidate gone.

    Where the candidate cannot be served any more, its 0% cannot be either: it is dropped at once.
    """
    status = status_of(observed)
    if status.phase is not Phase.WITHDRAWING or status.outcome is None:
        return None
    verdict = status.outcome
    if observed.run == "active":
        return move(observed, Act.CANCEL_RUN, verdict.reason, verdict.sentence, look_again=1.0)
    is_champion = status.candidate is not None and same(champion_of(observed), status.candidate)
    if crowned(observed) and status.promotion and status.compared_with and not same(status.compared_with, status.candidate):
        return move(observed, Act.RESTORE_CHAMPION, verdict.reason, verdict.sentence)
    served = None if is_champion else served_of(observed, status.candidate)
    given = served is not None and (served.weight > 0 or served.mirrored)
    routed = status.weight > 0 or (given and champion_of(observed) is not None)
    if routed and not observed.serving_fault:
        return move(observed, Act.SERVE, verdict.reason, verdict.sentence, look_again=0.2, weight=0)
    if status.deployed or served:
        return move(observed, Act.SERVE, verdict.reason, verdict.sentence, look_again=0.2, weight=0, deployed=False)
    return move(observed, Act.NOTHING, verdict.reason, verdict.sentence, phase=verdict.phase, finished=observed.now)


def superseded(observed: Observed) -> Decision | None:
    """3. The Model is gone, or is made another way now: this Release no longer speaks for it."""
    if status_of(observed).promotion:
        return None
    if gone(observed):
        return withdraw(observed, Phase.SUPERSEDED, "ModelGone", f"the Model {observed.release.spec.model!r} is gone")
    if observed.recipe != observed.release.spec.recipe:
        sentence = "task, data, training or gates of the Model were changed: a Release of the new recipe takes over"
        return withdraw(observed, Phase.SUPERSEDED, "RecipeChanged", sentence)
    return None


def deadline(observed: Observed) -> Decision | None:
    """5. No phase lasts for ever. A wait that ends by itself has no deadline: what was found would be lost without a retrain."""
    status, said = status_of(observed), observed.admission
    endless = isinstance(said, Wait) and not said.ends
    if status.promotion or (status.phase is Phase.PENDING and not endless):
        return None
    if status.paused and elapsed(status.paused.since, observed.now) > PAUSED_AT_MOST:
        sentence = f"{status.paused.sentence}; nobody resumed it within {PAUSED_AT_MOST.days} days"
        return withdraw(observed, Phase.INCONCLUSIVE, "PauseExpired", sentence)
    if status.phase is Phase.AWAITING_APPROVAL and observed.model:
        return _unapproved(observed, observed.model.spec.approval_policy.expiry)
    lasted = elapsed(status.phase_since, observed.now)
    if status.phase is Phase.ROLLOUT:
        limit, lasted = duration(rollout_of(observed).max_duration), rolling_for(status, observed.now)
    else:
        limit = DEADLINES.get(status.phase, timedelta.max)
    if lasted <= limit:
        return None
    if status.phase is Phase.TRAINING:
        return withdraw(observed, Phase.FAILED, "TrainingDeadline", f"the training run did not end within {limit}")
    sentence = f"the phase {status.phase} did not end within {limit}; last: {status.sentence or 'nothing was seen'}"
    return withdraw(observed, Phase.INCONCLUSIVE, "DeadlinePassed", sentence)


def _unapproved(observed: Observed, expiry: str) -> Decision | None:
    if elapsed(status_of(observed).phase_since, observed.now) <= duration(expiry):
        return None
    return withdraw(observed, Phase.INCONCLUSIVE, "ApprovalExpired", f"nobody who may approve it did within {expiry}")
