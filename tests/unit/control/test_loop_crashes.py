"""Crash anywhere: killed at any call of any port, or with a port that fails at any call, every story ends as if nothing happened."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from tests.unit.control.storybook import STORIES, Ends
from tests.unit.control.world import SPEC, World
from trimtab.release import Phase, Release
from trimtab.spec import Model

Kind = Literal["crash", "unavailable", "unavailableAfter"] | Callable[[World], object]
STRIDE = 83
"""Every so many calls one is disturbed; the first one differs from story to story, so that together they cover all kinds of calls."""


def told(world: World) -> dict[str, Any]:
    """How a story ended: Releases and champion, runs, what is served, and what was decided."""
    releases = [
        (one.name, one.status.phase, _why(one), one.status.attempt, one.status.candidate, one.status.comparisons)
        for one in world.store.all_of(Release)
    ]
    champion = world.model().status.champion
    return {"releases": releases, "champion": champion, "runs": world.runner.submitted, "alias": dict(world.registry.aliases)}


def _why(release: Release) -> str:
    """A Release for which another one speaks may be told so before that one begins, or after."""
    return "" if release.status.phase is Phase.SUPERSEDED else release.status.reason


def undisturbed(ends: Ends) -> tuple[dict[str, Any], int]:
    world = World()
    ends[0](world)
    return told(world), world.calls


def disturbed(ends: Ends, call: int, trouble: Kind, outage: timedelta) -> dict[str, Any]:
    world = World()
    world.troubles = {call: trouble if isinstance(trouble, str) else partial(trouble, world)}
    world.outage = outage
    ends[0](world)
    world.check_rest()
    assert world.crashes == (trouble == "crash")
    return told(world)


def sweep(ends: Ends, trouble: Kind, start: int, stride: int, outage: timedelta = timedelta(0)) -> None:
    expected, calls = undisturbed(ends)
    for call in range(1 + start % stride, calls + 1, stride):
        assert disturbed(ends, call, trouble, outage) == expected, f"{trouble} at call {call}"


@pytest.mark.parametrize(("start", "ends"), list(enumerate(STORIES.values())), ids=STORIES.keys())
def test_killed_anywhere_the_end_is_the_same(start: int, ends: Ends) -> None:
    sweep(ends, "crash", start * 5, STRIDE)


@pytest.mark.parametrize("trouble", ["unavailable", "unavailableAfter"])
@pytest.mark.parametrize(("start", "ends"), list(enumerate(STORIES.values())), ids=STORIES.keys())
def test_a_port_that_fails_once_changes_nothing(start: int, ends: Ends, trouble: Kind) -> None:
    sweep(ends, trouble, start * 7, 4 * STRIDE)


def test_an_absence_of_the_loop_is_not_held_against_a_candidate() -> None:
    """The loop was away for five minutes, wherever it died: nobody saw the candidate unready, or the route off, for that time."""
    for name in ("a retrained version is promoted", "a short outage of the candidate"):
        sweep(STORIES[name], "crash", 1, 17, timedelta(minutes=5))


def edit_the_rest(world: World) -> None:
    """A user applies a document with other retraining rules, which are no part of the recipe."""
    if world.store.all_of(Model):
        world.edit(retraining=replace(SPEC.retraining, max_per_day=world.calls + 1))


@pytest.mark.parametrize("name", ["a retrained version is promoted", "one that is worse on the rows of the bake"])
def test_an_edit_between_any_two_calls_loses_no_write_and_changes_nothing(name: str) -> None:
    """Champion and spec are written by compare-and-swap: of two writers one looks again."""
    sweep(STORIES[name], edit_the_rest, 3, 17)
