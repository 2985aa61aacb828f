"""Rules 9-14: a registered candidate until it is served and its smoke test is passed."""

from typing import Any

import pytest

from tests.unit.rollout.cases import (
    CROWNED,
    DARK,
    DOWN,
    FIRST,
    FRESH,
    GOOD,
    NOW,
    OTHER,
    ago,
    check,
    model,
    person,
    see,
    served,
)
from trimtab.release import Act, Evidence, GuardState, Observed, Phase
from trimtab.spec import ApprovalPolicy

MANUAL = model(approval="manual")
DUTIES = model(approval="manual", approval_policy=ApprovalPolicy("24h", separation_of_duties=True))
LOOKED = Evidence({"at": 5}, GuardState(100, 1, 100, 2, harm=(0.5,), step=(0.25,)))

LOCK = {
    "another champion: back to 0%, and the candidate is compared with it": (
        see(Phase.ROLLOUT, {"evidence": LOOKED, "verdict": GOOD}, model=model(OTHER)),
        {
            "reason": "ChampionChanged",
            "act": Act.SERVE,
            "phase": Phase.COMPARING,
            "compared_with": OTHER,
            "comparisons": 1,
            "attempt": 2,
            "step": -1,
            "weight": 0,
            "evidence": Evidence(),
            "verdict": None,
        },
    ),
    "a second time too": (
        see(Phase.ROLLOUT, {"comparisons": 1, "attempt": 2}, model=model(OTHER)),
        {"phase": Phase.COMPARING, "comparisons": 2, "attempt": 3},
    ),
    "not a third time": (
        see(Phase.ROLLOUT, {"comparisons": 2, "attempt": 3}, model=model(OTHER)),
        {"reason": "ChampionChanged", "ends": Phase.SUPERSEDED, "comparisons": 2},
    ),
    "what was approved has to be approved again, for who said yes knew another comparison": (
        see(Phase.ROLLOUT, {"approved": True}, model=model(OTHER, approval="manual")),
        {"phase": Phase.COMPARING, "approved": False, "said": "approved again"},
    ),
    "while it waits for approval as well": (
        see(Phase.AWAITING_APPROVAL, model=model(OTHER, approval="manual")),
        {"phase": Phase.COMPARING, "comparisons": 1},
    ),
    "a first champion came while this candidate was trained against none": (
        see(Phase.ROLLOUT, FRESH | {"compared_with": None}, model=model(FIRST)),
        {"phase": Phase.COMPARING, "compared_with": FIRST},
    ),
    "the champion was taken away": (
        see(Phase.ROLLOUT, FRESH, model=model(None)),
        {"phase": Phase.COMPARING, "compared_with": None, "said": "none is champion"},
    ),
    "this very version became champion by another way: nothing is left to do": (
        see(Phase.ROLLOUT, model=model(CROWNED)),
        {"reason": "AlreadyChampion", "ends": Phase.SUPERSEDED},
    ),
    "the time that it was not ready before is not counted on while it is compared": (
        see(Phase.ROLLOUT, {"unready_since": ago(seconds=20), "weight_off_since": ago(seconds=20)}, model=model(OTHER)),
        {"phase": Phase.COMPARING, "unready_since": None, "weight_off_since": None},
    ),
}

APPROVAL = {
    "a person has to say yes before anything is deployed": (
        see(Phase.ROLLOUT, FRESH, model=MANUAL),
        {"reason": "ApprovalMissing", "phase": Phase.AWAITING_APPROVAL, "act": Act.SERVE, "deployed": False, "soon": False},
    ),
    "it goes on waiting": (
        see(Phase.AWAITING_APPROVAL, {"phase_since": ago(hours=71)}, model=MANUAL),
        {"reason": "ApprovalMissing", "phase": Phase.AWAITING_APPROVAL, "phase_since": ago(hours=71)},
    ),
    "it says until when, and who may not": (
        see(Phase.AWAITING_APPROVAL, request={"by": "ada"}, model=DUTIES),
        {"reason": "ApprovalMissing", "said": "a person other than ada has to approve it until 2026-03-02 12:00"},
    ),
    "nobody in person asked for it, so anybody may": (
        see(Phase.AWAITING_APPROVAL, model=DUTIES),
        {"sentence": "a person has to approve it until 2026-03-02 12:00"},
    ),
    "a person says yes": (
        see(Phase.AWAITING_APPROVAL, model=MANUAL, actions=person("approve", "looks right")),
        {"reason": "Approved", "phase": Phase.ROLLOUT, "approved": True, "said": "ada asked to approve: looks right", "phase_since": NOW},
    ),
    "the Model no longer asks for approval": (
        see(Phase.AWAITING_APPROVAL, model=model()),
        {"reason": "ApprovalNotNeeded", "phase": Phase.ROLLOUT, "approved": False},
    ),
    "the Model asks for approval in the middle of a canary: back to 0% until somebody says yes": (
        see(Phase.ROLLOUT, {"evidence": LOOKED}, model=MANUAL, verdict=GOOD),
        {"phase": Phase.AWAITING_APPROVAL, "act": Act.SERVE, "weight": 0, "step": -1, "evidence": Evidence()},
    ),
    "what was approved stays approved": (
        see(Phase.ROLLOUT, {"approved": True}, model=MANUAL),
        {"phase": Phase.ROLLOUT, "reason": "NoTraffic"},
    ),
}

DEPLOY = {
    "its files have another digest": (
        see(Phase.ROLLOUT, DARK | {"ready": False}, serving=served()[:1], serving_fault="the digest is wrong"),
        {"reason": "CandidateUnusable", "ends": Phase.FAILED, "said": "the digest is wrong"},
    ),
    "its server says that it cannot load it": (
        see(Phase.ROLLOUT, DARK | {"ready": False}, serving=served(0, ready=False, fault="not a model")),
        {"reason": "CandidateUnusable", "ends": Phase.FAILED, "said": "not a model"},
    ),
    "an old fault of a server that is ready now is nothing": (
        see(Phase.ROLLOUT, serving=served(fault="once")),
        {"phase": Phase.ROLLOUT, "reason": "NoTraffic"},
    ),
    "it is deployed at 0%": (
        see(Phase.ROLLOUT, FRESH),
        {"reason": "Deployed", "act": Act.SERVE, "deployed": True, "deployed_at": NOW, "weight": 0, "step": -1, "soon": False},
    ),
    "it is starting": (
        see(Phase.ROLLOUT, DARK | {"ready": False, "deployed_at": ago(minutes=9)}, serving=served(0, ready=False)),
        {"reason": "WaitingForReady", "act": Act.SERVE, "phase": Phase.ROLLOUT, "soon": False},
    ),
    "it is not even seen yet": (
        see(Phase.ROLLOUT, DARK | {"ready": False}, serving=served()[:1]),
        {"reason": "WaitingForReady", "act": Act.SERVE},
    ),
    "it is ready": (see(Phase.ROLLOUT, DARK | {"ready": False}), {"reason": "Ready", "ready": True, "ready_since": NOW, "soon": True}),
    "it is never ready": (
        see(Phase.ROLLOUT, DARK | {"ready": False, "deployed_at": ago(minutes=10, seconds=1)}, serving=served(0, ready=False)),
        {"reason": "NotReady", "ends": Phase.ROLLED_BACK},
    ),
    "it is ready at the last moment": (
        see(Phase.ROLLOUT, DARK | {"ready": False, "deployed_at": ago(minutes=11)}),
        {"reason": "Ready", "ready": True},
    ),
}

UNSTABLE = {
    "it stops being ready": (
        see(Phase.ROLLOUT, serving=(DOWN,)),
        {"reason": "Unready", "act": Act.SERVE, "unready_since": NOW, "phase": Phase.ROLLOUT},
    ),
    "it is gone": (see(Phase.ROLLOUT, serving=served()[:1]), {"reason": "Unready", "unready_since": NOW}),
    "it is ready again and the time is kept": (
        see(Phase.ROLLOUT, {"unready_since": ago(seconds=20), "unready_seconds": 30.0}),
        {"reason": "ReadyAgain", "unready_since": None, "unready_seconds": 50.0, "ready_since": NOW},
    ),
    "60 s in all are too long": (
        see(Phase.ROLLOUT, {"unready_since": ago(seconds=20), "unready_seconds": 40.0}, serving=(DOWN,)),
        {"reason": "Unstable", "ends": Phase.ROLLED_BACK, "said": "60 s in all"},
    ),
    "one restart too many": (
        see(Phase.ROLLOUT, serving=served(restarts=3)),
        {"reason": "Unstable", "ends": Phase.ROLLED_BACK, "said": "restarted 3 times"},
    ),
    "two restarts are borne": (see(Phase.ROLLOUT, serving=served(restarts=2)), {"phase": Phase.ROLLOUT, "reason": "NoTraffic"}),
    "the route lags behind": (
        see(Phase.ROLLOUT, serving=served(0)),
        {"reason": "WaitingForRoute", "act": Act.SERVE, "weight_off_since": NOW, "soon": False},
    ),
    "the route still lags behind": (
        see(Phase.ROLLOUT, {"weight_off_since": ago(seconds=59)}, serving=served(0)),
        {"reason": "WaitingForRoute", "weight_off_since": ago(seconds=59), "phase": Phase.ROLLOUT},
    ),
    "the route never followed": (
        see(Phase.ROLLOUT, {"weight_off_since": ago(seconds=60)}, serving=served(50)),
        {"reason": "Unstable", "ends": Phase.ROLLED_BACK, "said": "50% instead of 5%"},
    ),
    "the route has followed": (
        see(Phase.ROLLOUT, {"weight_off_since": ago(seconds=59)}),
        {"reason": "RouteConfirmed", "weight_off_since": None, "soon": True},
    ),
}

SMOKE = {
    "the smoke test has not run": (see(Phase.ROLLOUT, DARK), {"reason": "WaitingForSmoke", "phase": Phase.ROLLOUT, "soon": False}),
    "it gives other predictions than recorded": (
        see(Phase.ROLLOUT, DARK, smoke=(False, "row 3 gave 7 instead of 5")),
        {"reason": "SmokeFailed", "ends": Phase.ROLLED_BACK, "said": "row 3"},
    ),
    "it gives the recorded ones": (
        see(Phase.ROLLOUT, DARK, smoke=(True, "32 rows agree")),
        {"reason": "SmokePassed", "smoked": True, "soon": True},
    ),
}

TABLES = {"lock": LOCK, "approval": APPROVAL, "deploy": DEPLOY, "unstable": UNSTABLE, "smoke": SMOKE}
CASES = {f"{table}: {sentence}": case for table, cases in TABLES.items() for sentence, case in cases.items()}


@pytest.mark.parametrize(("observed", "expected"), CASES.values(), ids=CASES.keys())
def test_the_way_of_a_candidate(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)
