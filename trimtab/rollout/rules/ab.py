"""Rule 16b, of strategy ab, whose one step is the candidate's share of the callers: what their labels say ends it, or a person is asked."""

from trimtab.release import Decision, Observed, Phase
from trimtab.rollout.rules.common import hold, rollout_of, status_of, withdraw

AWAITS = "WinnerAwaitsPerson"
"""Who has won waits on while its estimate swings about the effect, so that no swing is a decision."""


def decided(observed: Observed) -> Decision | None:
    """16b. A loser is rolled back, no difference that is worth a new version ends it, and a winner waits where a person is asked.

    A person who promotes it speaks for a candidate that wins, or makes no difference; not for one that loses.
    """
    status, verdict = status_of(observed), observed.verdict
    rollout = rollout_of(observed)
    if rollout.strategy != "ab" or status.promotion or status.step < 0:
        return None
    if verdict.says == "loses":
        return withdraw(observed, Phase.ROLLED_BACK, "Loses", verdict.sentence, verdict=verdict)
    if status.promote_to:
        return None
    if verdict.says == "equal":
        return withdraw(observed, Phase.INCONCLUSIVE, "NoWorthwhileDifference", verdict.sentence, verdict=verdict)
    won = verdict.says == "wins" or (verdict.says == "hold" and status.reason == AWAITS)
    if won and rollout.ab.winner == "ask":
        return hold(observed, AWAITS, f"the candidate wins, and a person is asked to promote it: {verdict.sentence}")
    return None
