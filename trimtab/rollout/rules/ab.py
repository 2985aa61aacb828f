"""Rule 16b, of strategy ab, whose one step is the candidate's share of the callers: what their labels say ends it, or a person is asked."""

from itertools import takewhile

from trimtab.release import Decision, Observed, Phase, ReleaseStatus
from trimtab.rollout.rules.common import hold, rollout_of, status_of, withdraw

AWAITS = "WinnerAwaitsPerson"
"""Who has won waits on while its estimate swings about the effect, so that no swing is a decision."""


def decided(observed: Observed) -> Decision | None:
    """16b. A loser is rolled back, no difference that is worth a new version ends it, and a winner waits where a person is asked.

    A person who promotes it speaks for a candidate that wins, or makes no difference; not for one that loses. A pause puts off all
    but that.
    """
    status, verdict = status_of(observed), observed.verdict
    rollout = rollout_of(observed)
    if rollout.strategy != "ab" or status.promotion or status.step < 0:
        return None
    if verdict.says == "loses":
        return withdraw(observed, Phase.ROLLED_BACK, "Loses", verdict.sentence, verdict=verdict)
    if status.promote_to or status.paused:
        return None
    if verdict.says == "equal":
        return withdraw(observed, Phase.INCONCLUSIVE, "NoWorthwhileDifference", verdict.sentence, verdict=verdict)
    won = verdict.says == "wins" or (verdict.says == "hold" and _has_won(status))
    if won and rollout.ab.winner == "ask":
        return hold(observed, AWAITS, f"the candidate wins, and a person is asked to promote it: {verdict.sentence}")
    return None


def _has_won(status: ReleaseStatus) -> bool:
    """Whether a person was asked for it already, whatever held it since."""
    told = takewhile(lambda one: one.reason != "NextStep", reversed(status.decisions))
    return status.reason == AWAITS or any(one.reason == AWAITS for one in told)
