"""The loop in a simulated world: every story ends as it should, and leaves nothing behind."""

import pytest

from tests.unit.control.stories import STORIES, Ends
from tests.unit.control.world import World


@pytest.mark.parametrize("ends", STORIES.values(), ids=STORIES.keys())
def test_a_story_ends_as_it_should(ends: Ends) -> None:
    story, phases, champion = ends
    world = World()
    story(world)
    assert [(release.status.phase, release.status.reason) for release in world.releases()] == phases
    found = world.model().status.champion
    assert (found and (found.version, found.generation)) == champion
    world.check_rest()
