"""The rules of a Release's life (design §6), in their order: the first that fires decides.

Each rule is a pure function of what was observed and answers a Decision or None; the order of `RULES` is the policy. The
status in a Decision is the *desired* state: the loop writes it first and acts then, so that after a crash between the two
the next look finds the same act still to be done.
"""

from collections.abc import Callable

from trimtab.release import Decision, Observed
from trimtab.rollout.rules import ab, canary, ends, making, person, promotion, shadow
from trimtab.rollout.rules.common import hold

Rule = Callable[[Observed], Decision | None]


def no_data(observed: Observed) -> Decision:
    """19. No data, or not enough: hold."""
    if observed.verdict.says == "noData":
        return hold(observed, "NoTraffic", observed.verdict.sentence)
    return hold(observed, "NotEnoughEvidence", observed.verdict.sentence)


RULES: tuple[Rule, ...] = (
    ends.terminal,
    ends.withdrawing,
    ends.superseded,
    person.word,
    ends.deadline,
    making.pending,
    making.no_run,
    making.run,
    canary.champion_lock,
    canary.approval,
    canary.unusable,
    canary.not_serving,
    canary.unstable,
    canary.smoke,
    canary.harm,
    canary.quality_finding,
    shadow.shadowing,
    ab.decided,
    person.paused,
    canary.next_step,
    promotion.promote,
    promotion.baking,
    no_data,
)


def decide(observed: Observed) -> Decision:
    """The one decision that the rules make of what was observed."""
    return next(decision for rule in RULES if (decision := rule(observed)) is not None)
