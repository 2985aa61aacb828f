"""How Releases come to be: an event, a changed recipe, a person's word; and which events make none."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.control.world import SPEC, World
from trimtab.control.intake import Accepted, UnknownModel, accept, recipe_release, release_for
from trimtab.errors import InvalidInput
from trimtab.events import CANDIDATE, FINDING, NEW_DATA, CloudEvent
from trimtab.release import Phase, Release, Request
from trimtab.spec import Data, recipe

CUT = "2011-07-01T00:00:00Z"
CANDIDATE_DATA = {"model": "m", "run": "run-7", "cut": CUT}


@pytest.fixture
def world() -> World:
    made = World()
    made.declare()
    return made


def event(kind: str, data: Any, name: str = "1", source: str = "tests") -> CloudEvent:
    return CloudEvent(id=name, source=source, type=kind, data=data)


def test_a_finding_that_retrains_is_a_release_with_the_event_in_its_spec(world: World) -> None:
    found = accept(world.finding(1), world.store)
    (release,) = world.releases()
    assert found == Accepted("created", release.name, "it is worse")
    assert (release.status.phase, release.spec.request.trigger) == (Phase.PENDING, "performance")
    assert release.spec.request.cut == world.data_now
    assert release.spec.request.event["window"] == 1
    assert release.spec.recipe == recipe(SPEC)
    assert release.spec.model_uid == world.model().metadata.uid


def test_the_same_event_twice_is_a_duplicate(world: World) -> None:
    first, again = accept(world.finding(1), world.store), accept(world.finding(1), world.store)
    assert (first.result, again.result, again.release) == ("created", "duplicate", first.release)
    assert len(world.releases()) == 1


def test_it_is_a_duplicate_after_its_release_has_ended_too(world: World) -> None:
    found = world.finding(1)
    accept(found, world.store)
    world.run()
    assert accept(found, world.store).result == "duplicate"
    assert len(world.releases()) == 2


def test_an_event_that_comes_before_the_first_version_does_not_stand_in_its_way(world: World) -> None:
    accept(event(NEW_DATA, {"model": "m", "cut": CUT}), world.store)
    world.edit(retraining=replace(SPEC.retraining, on=("newData",)))
    world.run(lambda: len(world.releases()) == 2 and world.quiet())
    assert {release.spec.request.trigger: release.status.phase for release in world.releases()} == {
        "recipe": Phase.PROMOTED,
        "newData": Phase.SUPERSEDED,
    }


def test_source_and_id_together_tell_events_apart(world: World) -> None:
    names = {accept(event(CANDIDATE, CANDIDATE_DATA, name, source), world.store).release for name in "12" for source in "ab"}
    assert len(names) == 4
    odd = [accept(event(CANDIDATE, CANDIDATE_DATA, name, source), world.store).release for source, name in (("a|b", "c"), ("a", "b|c"))]
    assert odd[0] != odd[1]


@pytest.mark.parametrize(
    ("kind", "changes", "result"),
    [
        ("quality", {}, "recorded"),
        ("covariate", {}, "recorded"),
        ("prediction", {"hurts": False, "seasons": 9.0}, "recorded"),
        ("covariate", {"hurts": True}, "recorded"),
        ("concept", {}, "created"),
        ("performance", {}, "created"),
    ],
    ids=lambda part: str(part),
)
def test_only_a_finding_that_asks_for_a_retraining_makes_a_release(world: World, kind: str, changes: dict[str, Any], result: str) -> None:
    found = world.finding(1, kind)
    answer = accept(replace(found, data={**found.data, **changes}), world.store)
    assert answer.result == result
    assert answer.sentence
    assert len(world.releases()) == (result == "created")


def test_a_drift_makes_a_release_where_the_policy_names_it(world: World) -> None:
    world.edit(retraining=replace(SPEC.retraining, on=("drift",)))
    found = world.finding(1, "covariate")
    answer = accept(replace(found, data={**found.data, "hurts": True}), world.store)
    assert (answer.result, world.releases()[0].spec.request.trigger) == ("created", "drift")


def test_a_finding_about_a_model_that_was_deleted_and_made_anew_asks_for_nothing(world: World) -> None:
    old = world.finding(1)
    world.store.drop(world.model())
    world.declare()
    assert accept(old, world.store).result == "recorded"
    assert world.releases() == []


def test_a_run_started_by_hand_asks_for_a_release_that_begins_at_its_outcome(world: World) -> None:
    answer = accept(event(CANDIDATE, {**CANDIDATE_DATA, "by": "ada"}), world.store)
    (release,) = world.releases()
    assert answer.result == "created"
    assert (release.spec.request.run, release.spec.request.by, release.spec.request.trigger) == ("run-7", "ada", "person")
    assert "by hand" in release.spec.request.sentence


def test_new_data_asks_for_a_release(world: World) -> None:
    answer = accept(event(NEW_DATA, {"model": "m", "cut": "2011-07-02T02:00:00+02:00"}), world.store)
    (release,) = world.releases()
    assert (answer.result, answer.sentence) == ("created", "new data arrived")
    assert release.spec.request.cut == datetime(2011, 7, 2, tzinfo=UTC)


BAD = {
    "an unknown model": (CANDIDATE, {**CANDIDATE_DATA, "model": "n"}, "there is no Model 'n' in namespace 'default'; known are m"),
    "another namespace": (CANDIDATE, {**CANDIDATE_DATA, "namespace": "crm"}, "there is no Model 'm' in namespace 'crm'"),
    "a finding for an unknown model": (NEW_DATA, {"model": "", "cut": CUT}, "there is no Model ''"),
    "no data": (CANDIDATE, None, "its data is not as the type asks"),
    "data that is a list": (FINDING, [1, 2], "its data is not as the type asks"),
    "a missing run": (CANDIDATE, {"model": "m", "cut": CUT}, "missing required field `run`"),
    "a run without a name": (CANDIDATE, {**CANDIDATE_DATA, "run": ""}, "length >= 1"),
    "a cut that is no time": (NEW_DATA, {"model": "m", "cut": "yesterday"}, "`$.cut`"),
    "a cut before all time": (NEW_DATA, {"model": "m", "cut": "0001-01-01T00:00:00+14:00"}, "0001-01-01"),
    "a kind of finding that nobody knows": (FINDING, {"model": "m", "kind": "vibes"}, "its data is not as the type asks"),
    "a type of event that asks for nothing": ("dev.other.v1", {}, "'dev.other.v1' asks for nothing that Trimtab knows; known are"),
}


@pytest.mark.parametrize(("kind", "data", "sentence"), BAD.values(), ids=BAD.keys())
def test_what_cannot_be_used_is_refused_with_a_sentence_and_makes_nothing(world: World, kind: str, data: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput) as told:
        accept(event(kind, data), world.store)
    assert sentence in str(told.value)
    assert "\n" not in str(told.value)
    assert world.releases() == []


def test_the_sentence_for_an_unknown_model_where_there_is_none() -> None:
    with pytest.raises(UnknownModel, match="known are none"):
        accept(event(CANDIDATE, CANDIDATE_DATA), World().store)


# --- recipes ---


def test_a_model_without_releases_asks_for_its_first_version(world: World) -> None:
    asked = recipe_release(world.model(), [], world.data_now)
    assert asked
    assert (asked.spec.request.trigger, asked.spec.request.sentence, asked.spec.request.cut) == (
        "recipe",
        "the first version",
        world.data_now,
    )


def test_a_changed_recipe_makes_exactly_one_new_release(world: World) -> None:
    world.run()
    world.edit(data=Data(uri="more.csv", label="y"))
    world.run(lambda: len(world.releases()) == 2 and world.quiet())
    for _ in range(5):
        world.step()
        world.tick()
    first, second = world.releases()
    assert (first.spec.recipe != second.spec.recipe, second.status.phase) == (True, Phase.PROMOTED)
    assert second.spec.request.sentence == "task, data, training or gates were changed"


def test_there_and_back_again_is_two_releases(world: World) -> None:
    world.run()
    for uri in ("more.csv", "rows.csv"):
        world.edit(data=Data(uri=uri, label="y"))
        world.run(lambda: world.quiet() and world.releases()[-1].spec.recipe == recipe(world.model().spec))
    assert [release.status.phase for release in world.releases()] == [Phase.PROMOTED] * 3


def test_an_edit_of_anything_else_makes_none(world: World) -> None:
    world.run()
    world.edit(approval="manual")
    world.edit(rollout=replace(SPEC.rollout, steps=(1,)))
    for _ in range(3):
        world.step()
        world.tick()
    assert len(world.releases()) == 1


def test_an_event_that_was_accepted_with_the_recipe_before_the_edit_asks_for_no_second_one(world: World) -> None:
    """The sink read the Model before the edit and created its Release after the loop had made the new recipe's."""
    world.run()
    before = world.model()
    world.edit(data=Data(uri="more.csv", label="y"))
    world.step()
    world.tick()
    world.store.create(release_for(before, Request("person", "tests", "late", world.data_now)))
    world.run()
    assert [release.status.phase for release in world.releases()] == [Phase.PROMOTED, Phase.PROMOTED, Phase.SUPERSEDED]
    world.check_rest()


def test_a_model_that_was_deleted_and_made_anew_begins_anew(world: World) -> None:
    world.run()
    world.store.drop(world.model())
    world.declare()
    world.run(lambda: len(world.releases()) == 2 and world.quiet())
    mine = [release for release in world.store.all_of(Release) if release.spec.model_uid == world.model().metadata.uid]
    assert [release.status.phase for release in mine] == [Phase.PROMOTED]


def test_names_of_releases_fit_whatever_the_models_name(world: World) -> None:
    long = world.declare("a" * 28 + "-" + "b" * 11)
    name = release_for(long, Request("person", "s", "1", world.data_now)).name
    assert len(name) <= 40
    assert name.startswith("a" * 28)
