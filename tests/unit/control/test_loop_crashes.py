"""Crash anywhere: killed at any call of any port, or with a port that fails at any call, every story ends as if nothing happened."""

from datetime import timedelta
from typing import Any

import pytest

from tests.unit.control.storage import Trouble
from tests.unit.control.stories import STORIES, Ends
from tests.unit.control.world import World
from trimtab.release import Release

STRIDE = 11
"""Every so many calls one is disturbed; the first one differs from story to story, so that together they cover all kinds of calls."""


def told(world: World) -> dict[str, Any]:
    """How a story ended: Releases and champion, runs, what is served, and what was decided."""
    releases = [
        (one.name, one.status.phase, one.status.reason, one.status.attempt, one.status.candidate, one.status.comparisons)
        for one in world.store.all_of(Release)
    ]
    champion = world.model().status.champion
    return {"releases": releases, "champion": champion, "runs": world.runner.submitted, "alias": dict(world.registry.aliases)}


def undisturbed(ends: Ends) -> tuple[dict[str, Any], int]:
    world = World()
    ends[0](world)
    return told(world), world.calls


def disturbed(ends: Ends, call: int, trouble: Trouble, outage: timedelta) -> dict[str, Any]:
    world = World()
    world.troubles = {call: trouble}
    world.outage = outage
    ends[0](world)
    world.check_rest()
    assert world.crashes == (trouble == "crash")
    return told(world)


def sweep(ends: Ends, trouble: Trouble, start: int, stride: int, outage: timedelta = timedelta(0)) -> None:
    expected, calls = undisturbed(ends)
    for call in range(1 + start % stride, calls + 1, stride):
        assert disturbed(ends, call, trouble, outage) == expected, f"{trouble} at call {call}"


@pytest.mark.parametrize(("start", "ends"), enumerate(STORIES.values()), ids=STORIES.keys())
def test_killed_anywhere_the_end_is_the_same(start: int, ends: Ends) -> None:
    sweep(ends, "crash", start * 5, STRIDE)


@pytest.mark.parametrize("trouble", ["unavailable", "unavailableAfter"])
@pytest.mark.parametrize(("start", "ends"), enumerate(STORIES.values()), ids=STORIES.keys())
def test_a_port_that_fails_once_changes_nothing(start: int, ends: Ends, trouble: Trouble) -> None:
    sweep(ends, trouble, start * 7, 3 * STRIDE)
