"""What shall be served: the champion, and beside it what the Release under way has deployed."""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.rollout.cases import ALIASED, CROWNED, FIRST, FRESH, OTHER, PROMOTING, ROLLOUT, STARTED, SWAPPED, model, see, withdrawal
from trimtab.release import Phase, Release
from trimtab.rolling import Ab
from trimtab.rollout.plan import serving_plan
from trimtab.spec import Champion

SWAPPED_PROMOTION = PROMOTING | {"promotion": SWAPPED}
BACK = withdrawal(Phase.ROLLED_BACK, **SWAPPED_PROMOTION)


def at(phase: Phase, status: dict[str, Any] | None = None) -> Release:
    return see(phase, status).release


PLANS: dict[str, tuple[Champion | None, Release | None, list[tuple[str, int]]]] = {
    "nothing was ever released": (None, None, []),
    "the champion alone": (FIRST, None, [("1", 100)]),
    "a Release that waits changes nothing": (FIRST, at(Phase.PENDING), [("1", 100)]),
    "nor one that trains": (FIRST, at(Phase.TRAINING), [("1", 100)]),
    "nor a candidate that is not deployed yet": (FIRST, at(Phase.ROLLOUT, FRESH), [("1", 100)]),
    "a dark candidate stands beside it": (FIRST, at(Phase.ROLLOUT, {"step": -1, "weight": 0}), [("1", 100), ("2", 0)]),
    "a canary takes its share": (FIRST, at(Phase.ROLLOUT), [("1", 95), ("2", 5)]),
    "a promotion has started, the champion is the old one": (FIRST, at(Phase.ROLLOUT, PROMOTING), [("1", 0), ("2", 100)]),
    "the champion was swapped, the old one stays warm": (CROWNED, at(Phase.ROLLOUT, PROMOTING), [("2", 100), ("1", 0)]),
    "it stays warm in the bake": (CROWNED, at(Phase.BAKING), [("2", 100), ("1", 0)]),
    "until it is dropped": (CROWNED, at(Phase.BAKING, {"promotion": replace(ALIASED, old_dropped=True)}), [("2", 100)]),
    "after the end there is the champion alone": (CROWNED, at(Phase.PROMOTED, PROMOTING), [("2", 100)]),
    "a first version is deployed dark": (None, at(Phase.ROLLOUT, {"compared_with": None, "step": -1, "weight": 0}), [("2", 0)]),
    "a first version is promoted": (None, at(Phase.ROLLOUT, PROMOTING | {"compared_with": None}), [("2", 100)]),
    "the champion was taken away in the middle of a canary": (None, at(Phase.ROLLOUT), [("2", 0)]),
    "a first champion has nothing beside it": (CROWNED, at(Phase.ROLLOUT, PROMOTING | {"compared_with": None}), [("2", 100)]),
    "a canary is withdrawn": (FIRST, at(Phase.WITHDRAWING, withdrawal(Phase.ROLLED_BACK, weight=0)), [("1", 100), ("2", 0)]),
    "and dropped": (FIRST, at(Phase.WITHDRAWING, withdrawal(Phase.ROLLED_BACK, weight=0, deployed=False)), [("1", 100)]),
    "a bake is withdrawn, the champion not yet restored": (CROWNED, at(Phase.WITHDRAWING, BACK), [("2", 100), ("1", 0)]),
    "the champion is restored, the traffic not yet": (FIRST, at(Phase.WITHDRAWING, BACK), [("1", 0), ("2", 100)]),
    "the traffic too": (FIRST, at(Phase.WITHDRAWING, BACK | {"weight": 0}), [("1", 100), ("2", 0)]),
    "while it is compared it keeps 0%": (FIRST, at(Phase.COMPARING, {"deployed": True, "weight": 0}), [("1", 100), ("2", 0)]),
    "a third version that became champion takes the rest": (OTHER, at(Phase.ROLLOUT), [("3", 95), ("2", 5)]),
}


@pytest.mark.parametrize(("champion", "active", "arms"), PLANS.values(), ids=PLANS.keys())
def test_the_plan(champion: Champion | None, active: Release | None, arms: list[tuple[str, int]]) -> None:
    plan = serving_plan(model(champion), active)
    assert [(arm.version.version, arm.weight) for arm in plan.arms] == arms
    assert sum(arm.weight for arm in plan.arms) in (0, 100)
    assert len({arm.version.version for arm in plan.arms}) == len(plan.arms)


def test_a_release_of_a_model_that_was_made_anew_under_the_same_name_is_not_in_its_plan() -> None:
    found = model(FIRST)
    other = replace(found, metadata=replace(found.metadata, uid="another-uid"))
    assert [arm.version.version for arm in serving_plan(other, at(Phase.ROLLOUT)).arms] == ["1"]


def test_the_plan_names_the_digests_to_be_verified() -> None:
    plan = serving_plan(model(FIRST), at(Phase.ROLLOUT, PROMOTING | {"promotion": STARTED}))
    assert [arm.version.digest for arm in plan.arms] == ["a" * 64, "b" * 64]


AB = replace(ROLLOUT, strategy="ab", ab=Ab(header="x-customer"))
STICKY: dict[str, tuple[Champion, Release, str]] = {
    "callers are assigned while both stand there": (FIRST, at(Phase.ROLLOUT, {"rollout": AB}), "x-customer"),
    "from the moment that the candidate does": (FIRST, at(Phase.ROLLOUT, {"rollout": AB, "step": -1, "weight": 0}), "x-customer"),
    "a winner gets all, whoever asks": (FIRST, at(Phase.ROLLOUT, PROMOTING | {"rollout": AB}), ""),
    "nobody is assigned in the bake": (CROWNED, at(Phase.BAKING, {"rollout": AB}), ""),
    "until a loser is gone": (FIRST, at(Phase.WITHDRAWING, withdrawal(Phase.ROLLED_BACK, weight=0, rollout=AB)), "x-customer"),
    "nobody is assigned in a canary": (FIRST, at(Phase.ROLLOUT), ""),
}


@pytest.mark.parametrize(("champion", "active", "header"), STICKY.values(), ids=STICKY.keys())
def test_by_which_header_callers_are_assigned(champion: Champion, active: Release, header: str) -> None:
    assert serving_plan(model(champion), active).sticky == header


def test_what_predictors_tell_of_callers_follows_no_edit_while_a_release_is_under_way() -> None:
    edited = model(FIRST, rollout=replace(ROLLOUT, strategy="ab", ab=Ab(header="x-other")))
    assert serving_plan(edited, None).model.spec.rollout.ab.header == "x-other"
    assert serving_plan(edited, at(Phase.ROLLOUT, {"rollout": AB})).model.spec.rollout.ab.header == "x-customer"
    assert serving_plan(edited, at(Phase.ROLLOUT)).model.spec.rollout == ROLLOUT
    back = see(Phase.ROLLOUT, {"rollout": replace(AB, strategy="direct")}, request={"version": FIRST}).release
    assert serving_plan(edited, back).model.spec.rollout.ab.header == "x-other", "an earlier version comes back as the Model is now"
