"""Rule 16b and what follows it: an A/B's share, its winner, its loser, and no difference that is worth a new version."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.rollout.cases import DARK, GOOD, HARM, NOW, ROLLOUT, UNSURE, ago, check, model, see, served
from trimtab.release import Act, DecisionRecord, Observed, Pause, Phase, PromoteTo, Promotion, Verdict
from trimtab.spec import Ab

SPLIT = {"rollout": replace(ROLLOUT, strategy="ab", ab=Ab(share=20)), "weight": 20}
ASKED = {"rollout": replace(ROLLOUT, strategy="ab", ab=Ab(share=20, winner="ask")), "weight": 20}
WINS = Verdict("wins", "label: better")
LOSES = Verdict("loses", "label: worse")
EQUAL = Verdict("equal", "label: no difference")
SAID = PromoteTo(1, "ada", "ada asked to promote")
READY = {**DARK, **SPLIT, "smoked": True, "weight": 0}
PAUSE = Pause(NOW, "ada", "ada asked to pause")


def told(*reasons: str) -> tuple[DecisionRecord, ...]:
    """Decisions with these reasons."""
    return tuple(DecisionRecord(n, NOW, Phase.ROLLOUT, reason, "", 20, "", "", "") for n, reason in enumerate(reasons, 1))


CASES = {
    "the share at once, without evidence": (
        see(Phase.ROLLOUT, READY),
        {"reason": "NextStep", "act": Act.SERVE, "step": 0, "weight": 20, "said": "step 1 of 1: 20%", "soon": False},
    ),
    "a first version is compared with nobody": (
        see(Phase.ROLLOUT, {**READY, "compared_with": None}, model=model(None), serving=served(0, champion=False)),
        {"reason": "PromotionStarted", "weight": 100, "said": "there is no champion yet"},
    ),
    "too early holds": (see(Phase.ROLLOUT, SPLIT, verdict=UNSURE), {"reason": "NotEnoughEvidence", "step": 0, "verdict": UNSURE}),
    "requests that nobody counts hold": (see(Phase.ROLLOUT, SPLIT), {"reason": "NoTraffic", "promotion": None}),
    "errors that are not worse are no winner": (see(Phase.ROLLOUT, SPLIT, verdict=GOOD), {"step": 0, "promotion": None, "weight": 20}),
    "errors end it at once": (see(Phase.ROLLOUT, SPLIT, verdict=HARM), {"reason": "Harm", "ends": Phase.ROLLED_BACK}),
    "a winner is promoted": (
        see(Phase.ROLLOUT, SPLIT, verdict=WINS),
        {
            "reason": "PromotionStarted",
            "weight": 100,
            "promotion": Promotion(started_at=NOW),
            "verdict": WINS,
            "said": "the candidate wins",
        },
    ),
    "a loser is rolled back": (see(Phase.ROLLOUT, SPLIT, verdict=LOSES), {"reason": "Loses", "ends": Phase.ROLLED_BACK, "verdict": LOSES}),
    "no difference worth it keeps the champion, and nobody did harm": (
        see(Phase.ROLLOUT, SPLIT, verdict=EQUAL),
        {"reason": "NoWorthwhileDifference", "ends": Phase.INCONCLUSIVE, "verdict": EQUAL},
    ),
    "a winner waits where a person is asked": (
        see(Phase.ROLLOUT, ASKED, verdict=WINS),
        {"reason": "WinnerAwaitsPerson", "promotion": None, "weight": 20, "verdict": WINS, "soon": False},
    ),
    "and waits on while its estimate swings about the effect": (
        see(Phase.ROLLOUT, {**ASKED, "reason": "WinnerAwaitsPerson"}, verdict=UNSURE),
        {"reason": "WinnerAwaitsPerson", "promotion": None},
    ),
    "whatever held it since": (
        see(
            Phase.ROLLOUT,
            {**ASKED, "reason": "NoTraffic", "decisions": told("NextStep", "WinnerAwaitsPerson", "NoTraffic")},
            verdict=UNSURE,
        ),
        {"reason": "WinnerAwaitsPerson", "promotion": None},
    ),
    "a winner of an earlier comparison is none": (
        see(Phase.ROLLOUT, {**ASKED, "decisions": told("WinnerAwaitsPerson", "ChampionChanged", "NextStep")}, verdict=UNSURE),
        {"reason": "NotEnoughEvidence"},
    ),
    "a pause puts off what makes no difference": (
        see(Phase.ROLLOUT, {**SPLIT, "paused": PAUSE}, verdict=EQUAL),
        {"reason": "Paused", "outcome": None},
    ),
    "but no loser": (see(Phase.ROLLOUT, {**SPLIT, "paused": PAUSE}, verdict=LOSES), {"reason": "Loses", "ends": Phase.ROLLED_BACK}),
    "but not where nothing is worth it any more": (
        see(Phase.ROLLOUT, {**ASKED, "reason": "WinnerAwaitsPerson"}, verdict=EQUAL),
        {"reason": "NoWorthwhileDifference"},
    ),
    "until the person says so": (
        see(Phase.ROLLOUT, {**ASKED, "promote_to": SAID}, verdict=WINS),
        {"reason": "PromotionStarted", "weight": 100, "said": "ada asked to promote"},
    ),
    "a person may also promote what makes no difference": (
        see(Phase.ROLLOUT, {**ASKED, "promote_to": SAID}, verdict=EQUAL),
        {"reason": "PromotionStarted", "weight": 100},
    ),
    "but nobody one that loses": (
        see(Phase.ROLLOUT, {**ASKED, "promote_to": SAID}, verdict=LOSES),
        {"reason": "Loses", "ends": Phase.ROLLED_BACK},
    ),
    "or too much time has passed": (
        see(Phase.ROLLOUT, {**ASKED, "phase_since": ago(hours=3)}, verdict=WINS),
        {"reason": "DeadlinePassed", "ends": Phase.INCONCLUSIVE},
    ),
    "a loser waits for nobody": (see(Phase.ROLLOUT, ASKED, verdict=LOSES), {"reason": "Loses"}),
    "an open quality finding holds a winner": (
        see(Phase.ROLLOUT, SPLIT, verdict=WINS, quality_findings=("nulls in temp",)),
        {"reason": "QualityFindingOpen", "promotion": None},
    ),
    "and keeps a loser from being called one": (
        see(Phase.ROLLOUT, SPLIT, verdict=LOSES, quality_findings=("nulls in temp",)),
        {"reason": "QualityFindingOpen"},
    ),
}


@pytest.mark.parametrize(("observed", "expected"), CASES.values(), ids=CASES.keys())
def test_an_ab(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)
