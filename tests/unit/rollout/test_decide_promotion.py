"""Rules 17 (promotion) to 19: forward whatever crashes, and the bake that may bring the old champion back."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.rollout.cases import (
    ALIASED,
    CROWNED,
    DATA_NOW,
    FIRST,
    HARM,
    NOW,
    OTHER,
    PROMOTING,
    STARTED,
    SWAPPED,
    UNSURE,
    ago,
    check,
    model,
    person,
    see,
    served,
)
from trimtab.release import Act, Observed, Phase, ServedVersion

DROPPED = replace(ALIASED, old_dropped=True)
ALONE = (ServedVersion("2", ready=True, weight=100),)
NOW_CHAMPION: dict[str, Any] = {"model": model(CROWNED), "serving": served(100)}
BAKED = {"promotion": replace(ALIASED, since=DATA_NOW - timedelta(hours=48))}
LONG_AGO = {"promotion": replace(ALIASED, since_wall=ago(hours=96))}

PROMOTE = {
    "the route does not give it 100% yet": (
        see(Phase.ROLLOUT, PROMOTING, serving=served(50)),
        {"reason": "WaitingForRoute", "act": Act.SERVE, "promotion": STARTED, "soon": False},
    ),
    "it is not seen at all": (see(Phase.ROLLOUT, PROMOTING, serving=served()[:1]), {"reason": "WaitingForRoute", "act": Act.SERVE}),
    "the route gives it 100%: it becomes champion": (
        see(Phase.ROLLOUT, PROMOTING),
        {"reason": "ChampionSwapped", "act": Act.SWAP_CHAMPION, "soon": True, "promotion": STARTED},
    ),
    "it is champion: the old one is kept warm and the bake counts from here": (
        see(Phase.ROLLOUT, PROMOTING, **NOW_CHAMPION),
        {"reason": "OldKeptWarm", "act": Act.SERVE, "promotion": SWAPPED},
    ),
    "then the alias": (
        see(Phase.ROLLOUT, PROMOTING | {"promotion": SWAPPED}, **NOW_CHAMPION),
        {"reason": "AliasSet", "act": Act.SET_ALIAS, "promotion": ALIASED},
    ),
    "then it bakes": (
        see(Phase.ROLLOUT, PROMOTING | {"promotion": ALIASED}, **NOW_CHAMPION),
        {"reason": "Baking", "act": Act.NOTHING, "phase": Phase.BAKING, "phase_since": NOW},
    ),
    "somebody else became champion meanwhile": (
        see(Phase.ROLLOUT, PROMOTING, model=model(OTHER)),
        {"reason": "ChampionChanged", "ends": Phase.SUPERSEDED},
    ),
    "somebody else made the candidate itself champion meanwhile": (
        see(Phase.ROLLOUT, PROMOTING, model=model(replace(CROWNED, generation=3, release="by-hand")), serving=served(100)),
        {"reason": "ChampionChanged", "ends": Phase.SUPERSEDED},
    ),
    "the Model went away": (see(Phase.ROLLOUT, PROMOTING, model=None), {"reason": "ModelGone", "ends": Phase.SUPERSEDED}),
    "the first version becomes champion where there was none": (
        see(Phase.ROLLOUT, PROMOTING | {"compared_with": None, "step": -1}, model=model(None), serving=ALONE),
        {"reason": "ChampionSwapped", "act": Act.SWAP_CHAMPION},
    ),
}

BAKE = {
    "nothing is known: it bakes on": (
        see(Phase.BAKING),
        {"reason": "Baking", "phase": Phase.BAKING, "act": Act.NOTHING, "soon": False, "said": "2011-07-03 00:00"},
    ),
    "nothing bad is known: it bakes on and remembers": (
        see(Phase.BAKING, bake_verdict=UNSURE),
        {"reason": "Baking", "bake_verdict": UNSURE},
    ),
    "it is worse on the same rows: the old one comes back": (
        see(Phase.BAKING, bake_verdict=HARM),
        {"reason": "BakeHarm", "ends": Phase.ROLLED_BACK, "bake_verdict": HARM, "phase": Phase.WITHDRAWING},
    ),
    "harm at the last moment still counts": (
        see(Phase.BAKING, BAKED, bake_verdict=HARM),
        {"reason": "BakeHarm", "ends": Phase.ROLLED_BACK},
    ),
    "a person wants the old one back": (
        see(Phase.BAKING, actions=person("rollback", "strange")),
        {"reason": "RolledBackByPerson", "ends": Phase.ROLLED_BACK, "said": "strange"},
    ),
    "the data time of the bake is over: the old one is dropped": (
        see(Phase.BAKING, BAKED),
        {"reason": "BakeOver", "act": Act.SERVE, "promotion": replace(BAKED["promotion"], old_dropped=True), "soon": False},
    ),
    "a second before, it is not": (
        see(Phase.BAKING, BAKED, data_now=DATA_NOW - timedelta(seconds=1)),
        {"reason": "Baking", "phase": Phase.BAKING},
    ),
    "no data comes any more: twice the time on the wall is enough": (see(Phase.BAKING, LONG_AGO), {"reason": "BakeOver"}),
    "the old one is still there": (
        see(Phase.BAKING, {"promotion": DROPPED}),
        {"reason": "WaitingForDrop", "act": Act.SERVE, "phase": Phase.BAKING, "soon": False},
    ),
    "the old one is gone: it has won": (
        see(Phase.BAKING, {"promotion": DROPPED}, serving=ALONE),
        {"reason": "Promoted", "phase": Phase.PROMOTED, "finished": NOW, "act": Act.NOTHING},
    ),
    "once the old one is dropped nothing brings it back": (
        see(Phase.BAKING, {"promotion": DROPPED}, serving=ALONE, bake_verdict=HARM),
        {"reason": "Promoted", "phase": Phase.PROMOTED},
    ),
    "the first version has nothing to bake against": (
        see(Phase.BAKING, {"compared_with": None}, serving=ALONE),
        {"reason": "BakeOver", "promotion": DROPPED},
    ),
    "and has won at once": (
        see(Phase.BAKING, {"compared_with": None, "promotion": DROPPED}, serving=ALONE),
        {"reason": "Promoted", "phase": Phase.PROMOTED},
    ),
    "somebody else became champion during the bake": (
        see(Phase.BAKING, model=model(FIRST)),
        {"reason": "ChampionChanged", "ends": Phase.SUPERSEDED},
    ),
    "the Model went away during the bake": (see(Phase.BAKING, model=None), {"reason": "ModelGone", "ends": Phase.SUPERSEDED}),
    "a wait of 30 days is no deadline for a bake": (see(Phase.BAKING, {"phase_since": ago(days=30)}), {"reason": "Baking"}),
}


@pytest.mark.parametrize(("observed", "expected"), PROMOTE.values(), ids=PROMOTE.keys())
def test_a_promotion_takes_its_steps_in_order(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


@pytest.mark.parametrize(("observed", "expected"), BAKE.values(), ids=BAKE.keys())
def test_the_bake(observed: Observed, expected: dict[str, Any]) -> None:
    check(observed, expected)


def test_a_bake_that_ends_without_a_word_of_the_judge_says_so() -> None:
    check(see(Phase.BAKING, BAKED), {"said": "nothing spoke against it"})
    check(see(Phase.BAKING, BAKED, bake_verdict=UNSURE), {"said": UNSURE.sentence, "bake_verdict": UNSURE})


def test_a_bake_of_zero_is_over_at_once() -> None:
    rollout = replace(model().spec.rollout, bake=replace(model().spec.rollout.bake, duration="0s"))
    check(see(Phase.BAKING, {"rollout": rollout}), {"reason": "BakeOver"})
