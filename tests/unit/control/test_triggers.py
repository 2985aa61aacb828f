"""Schedules and watched places in the loop's simulated world: one Release each, through crashes, outages and restarts."""

from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from trimtab.control.intake import release_for
from trimtab.release import Phase, Release, Request
from trimtab.spec import DataWatch, Retraining, Schedule

from .world import World

DAILY = Retraining(on=("schedule",), cooldown="1h", max_per_day=24, schedule=Schedule("0 3 * * *"))
WATCHED = Retraining(on=("newData",), cooldown="0s", max_per_day=24, new_data=DataWatch(by="count", rows=100))


def lived(retraining: Retraining) -> World:
    """A world whose Model has its first champion and was looked at since."""
    world = World()
    world.declare(retraining=retraining)
    world.run(lambda: world.quiet() and world.model().status.champion is not None)
    world.step()
    return world


def asked(world: World, trigger: str) -> list[Release]:
    return [release for release in world.releases() if release.spec.request.trigger == trigger]


def test_a_schedule_asks_once_a_day_of_data_time() -> None:
    world = lived(DAILY)
    begun = world.data_now
    world.run(lambda: world.data_now >= begun + timedelta(days=3) and world.quiet())
    found = [(datetime.fromisoformat(release.spec.request.event["occurrence"]), release) for release in asked(world, "schedule")]
    assert [moment.hour for moment, _ in found] == [3, 3, 3]
    assert {later - earlier for (earlier, _), (later, _) in pairwise(found)} == {timedelta(days=1)}
    assert all(timedelta(0) <= release.spec.request.cut - moment <= world.data for moment, release in found)
    assert all(release.status.phase is Phase.PROMOTED for _, release in found)


def test_after_an_outage_of_a_week_only_the_newest_occurrence_asks() -> None:
    world = lived(DAILY)
    before = len(asked(world, "schedule"))
    world.data_now += timedelta(days=7)
    world.step()
    made = asked(world, "schedule")[before:]
    assert len(made) == 1
    assert made[0].spec.request.event["occurrence"] == f"{world.data_now.replace(hour=3, minute=0):%Y-%m-%dT%H:%M:%SZ}"


def test_enough_new_rows_ask_once() -> None:
    world = lived(WATCHED)
    world.places.rows += 99
    world.tick()
    world.step()
    assert asked(world, "newData") == []
    world.places.rows += 1
    world.run(lambda: bool(asked(world, "newData")) and world.quiet())
    (made,) = asked(world, "newData")
    assert made.status.phase is Phase.PROMOTED
    assert made.spec.request.sentence == "100 more rows at rows.csv, 1100 in all"


def test_a_place_that_does_not_answer_holds_up_nothing_and_is_told() -> None:
    world = lived(WATCHED)
    world.down.add("SimulatedPlaces")
    world.places.rows += 500
    world.tick()
    world.step()
    assert "SimulatedPlaces.look" in world.loop.waits["default/m"]
    world.store.create(release_for(world.model(), Request("person", "tests", "1", world.data_now, by="ada")))
    world.run(lambda: any(one.spec.request.trigger == "person" and one.terminal for one in world.releases()))
    world.down.clear()
    world.run(lambda: bool(asked(world, "newData")) and world.quiet())
    assert len(asked(world, "newData")) == 1
    assert "default/m" not in world.loop.waits


def calls_of_a_look(retraining: Retraining) -> int:
    """How many calls of ports the look makes at which something asks."""
    world = _about_to_ask(retraining)
    before = world.calls
    world.step()
    return world.calls - before


def _about_to_ask(retraining: Retraining) -> World:
    world = lived(retraining)
    world.data_now += timedelta(days=1)
    world.places.rows += 100
    world.tick()
    return world


@pytest.mark.parametrize("trouble", ["crash", "unavailable", "unavailableAfter"])
@pytest.mark.parametrize(("retraining", "trigger"), [(DAILY, "schedule"), (WATCHED, "newData")], ids=["schedule", "newData"])
def test_whatever_fails_while_it_asks_it_asks_once(retraining: Retraining, trigger: str, trouble: str) -> None:
    """Each call of that look fails in turn, before and after it took effect, and between the Release and the status too."""
    for call in range(1, calls_of_a_look(retraining) + 1):
        world = _about_to_ask(retraining)
        before = len(asked(world, trigger))
        world.troubles[world.calls + call] = trouble  # type: ignore[assignment]
        world.step()
        for _ in range(5):
            world.step()
        assert len(asked(world, trigger)) - before == 1, call
