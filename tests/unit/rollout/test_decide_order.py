"""The order of the rules: where two could fire, the earlier one decides."""

from typing import Any

import pytest

from tests.unit.rollout.cases import (
    CROWNED,
    DARK,
    DOWN,
    FRESH,
    GOOD,
    HARM,
    OTHER,
    OTHER_RECIPE,
    PROMOTING,
    ago,
    check,
    model,
    person,
    see,
    served,
    withdrawal,
)
from trimtab.release import Act, CandidateOutcome, Observed, Phase, Wait
from trimtab.rollout import decide as rules

LATE = {"phase_since": ago(days=30)}
MADE = CandidateOutcome("2", "b" * 64)

EARLIER = {
    "what has ended, before what is withdrawn": (
        see(Phase.REJECTED, withdrawal(Phase.REJECTED), actions=person("abort")),
        {"phase": Phase.REJECTED, "act": Act.NOTHING},
    ),
    "a withdrawal, before a Model that is gone": (
        see(Phase.WITHDRAWING, withdrawal(Phase.CANCELLED), model=None),
        {"reason": "Why", "ends": Phase.CANCELLED},
    ),
    "a withdrawal, before a deadline": (
        see(Phase.WITHDRAWING, withdrawal(Phase.CANCELLED) | LATE),
        {"reason": "Why", "ends": Phase.CANCELLED},
    ),
    "a changed recipe, before a cancel": (see(Phase.ROLLOUT, model=OTHER_RECIPE, actions=person("abort")), {"ends": Phase.SUPERSEDED}),
    "a cancel, before a deadline": (see(Phase.ROLLOUT, LATE, actions=person("abort")), {"ends": Phase.CANCELLED}),
    "a cancel, before a reject": (see(Phase.AWAITING_APPROVAL, actions=(*person("abort"), *person("reject"))), {"ends": Phase.CANCELLED}),
    "a cancel, before harm": (see(Phase.ROLLOUT, actions=person("abort"), verdict=HARM), {"ends": Phase.CANCELLED}),
    "a deadline, before a wait that nothing ends": (
        see(Phase.PENDING, LATE, admission=Wait(None, "NoChampion", "x", ends=False)),
        {"ends": Phase.INCONCLUSIVE},
    ),
    "a deadline, before a candidate that is ready at last": (
        see(Phase.TRAINING, LATE | {"attempt": 1}, run="ended", outcome=MADE),
        {"reason": "TrainingDeadline", "ends": Phase.FAILED},
    ),
    "a deadline, before the champion lock": (see(Phase.ROLLOUT, LATE, model=model(OTHER)), {"reason": "DeadlinePassed"}),
    "a deadline, before harm": (see(Phase.ROLLOUT, LATE, verdict=HARM), {"reason": "DeadlinePassed", "ends": Phase.INCONCLUSIVE}),
    "a deadline, before the last step": (
        see(Phase.ROLLOUT, LATE | {"step": 1, "weight": 50}, verdict=GOOD),
        {"reason": "DeadlinePassed", "promotion": None},
    ),
    "a run under way, before the champion lock": (
        see(Phase.COMPARING, run="active", model=model(OTHER)),
        {"reason": "RunActive", "phase": Phase.COMPARING},
    ),
    "the champion lock, before approval": (
        see(Phase.ROLLOUT, FRESH, model=model(OTHER, approval="manual")),
        {"phase": Phase.COMPARING, "approved": False},
    ),
    "the champion lock, before harm": (see(Phase.ROLLOUT, model=model(OTHER), verdict=HARM), {"phase": Phase.COMPARING}),
    "the champion lock, before the last step": (
        see(Phase.ROLLOUT, {"step": 1, "weight": 50}, model=model(OTHER), verdict=GOOD),
        {"phase": Phase.COMPARING, "promotion": None},
    ),
    "approval, before the deployment": (see(Phase.ROLLOUT, FRESH, model=model(approval="manual")), {"deployed": False}),
    "approval, before a candidate that cannot be used": (
        see(Phase.AWAITING_APPROVAL, model=model(approval="manual"), serving_fault="digest"),
        {"phase": Phase.AWAITING_APPROVAL},
    ),
    "a wrong digest, before one that is never ready": (
        see(Phase.ROLLOUT, DARK | {"ready": False, "deployed_at": ago(hours=1)}, serving=(), serving_fault="digest"),
        {"reason": "CandidateUnusable", "ends": Phase.FAILED},
    ),
    "never ready, before a smoke test": (
        see(Phase.ROLLOUT, DARK | {"ready": False, "deployed_at": ago(hours=1)}, serving=(DOWN,), smoke=(True, "x")),
        {"reason": "NotReady"},
    ),
    "unstable, before a failed smoke test": (
        see(Phase.ROLLOUT, DARK, serving=served(0, restarts=3), smoke=(False, "x")),
        {"reason": "Unstable"},
    ),
    "unstable, before harm": (see(Phase.ROLLOUT, serving=served(restarts=3), verdict=HARM), {"reason": "Unstable"}),
    "a failed smoke test, before an open quality finding": (
        see(Phase.ROLLOUT, DARK, smoke=(False, "x"), quality_findings=("nulls",)),
        {"reason": "SmokeFailed"},
    ),
    "harm, before an open quality finding": (see(Phase.ROLLOUT, verdict=HARM, quality_findings=("nulls",)), {"reason": "Harm"}),
    "an open quality finding, before the next step": (
        see(Phase.ROLLOUT, verdict=GOOD, quality_findings=("nulls",)),
        {"reason": "QualityFindingOpen"},
    ),
    "an open quality finding, before the promotion": (
        see(Phase.ROLLOUT, {"step": 1, "weight": 50}, verdict=GOOD, quality_findings=("nulls",)),
        {"reason": "QualityFindingOpen", "promotion": None},
    ),
    "the route, before the next step": (see(Phase.ROLLOUT, serving=served(0), verdict=GOOD), {"reason": "WaitingForRoute", "step": 0}),
    "a promotion that has started, before its champion is locked out": (
        see(Phase.ROLLOUT, PROMOTING, model=model(CROWNED), serving=served(100), actions=person("abort")),
        {"reason": "OldKeptWarm"},
    ),
    "a person, before the judge of the bake": (
        see(Phase.BAKING, actions=person("rollback"), bake_verdict=HARM),
        {"reason": "RolledBackByPerson"},
    ),
}


@pytest.mark.parametrize(("observed", "expected"), EARLIER.values(), ids=EARLIER.keys())
def test_the_earlier_rule_decides(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


def test_the_rules_stand_in_the_order_of_the_design() -> None:
    """The numbers are those of the design's list; each rule's first words carry its own."""
    numbers = [rule.__doc__.split(" ")[0].rstrip(".") if rule.__doc__ else "" for rule in rules.RULES]
    assert numbers == [*(str(number) for number in range(1, 17)), "16a", "16b", "16c", "17a", "17b", "18", "19"]
