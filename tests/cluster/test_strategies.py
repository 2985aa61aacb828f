"""A candidate in shadow on a cluster, with the product's own images: it answers copies that nobody hears, and is promoted after that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.test_crashes import ROLLOUT, ask, wait
from tests.cluster.tools import eventually, needs_cluster
from tests.cluster.world import Player, World, fresh, get

pytestmark = [needs_cluster, pytest.mark.timeout(900)]
SHADOW = {**ROLLOUT, "strategy": "shadow", "steps": [], "shadow": {"rows": 50, "agreement": 0.5, "difference": 1.0}}


@pytest.fixture(scope="module")
def world(installation: None) -> Iterator[World]:
    del installation
    world = World(fresh("shadow"), rollout=SHADOW, retraining={"on": ["newData"]}).prepare().connect()
    world.apply()
    with world.telling():
        eventually("the first version's promotion", lambda: world.phase("recipe") == "Promoted", 240)
    yield world
    world.delete()


@pytest.fixture
def player(world: World, tmp_path: Path) -> Iterator[Player]:
    player = Player(world, tmp_path)
    player.play(40)
    yield player
    player.stop()


def test_a_candidate_in_shadow_answers_copies_alone_and_is_promoted_without_a_failed_request(world: World, player: Player) -> None:
    name = ask(world)
    mirror = f"{world.name}-trimtab-shadow"
    with world.telling():
        eventually("the route of copies", lambda: get("httproute", world.namespace, mirror), 180)
        before = player.counts
        eventually("requests meanwhile", lambda: player.counts.answered > before.answered + 100, 60)
    seen = player.counts
    assert get("httproute", world.namespace, mirror), "it is still in shadow, so what was answered was answered then"
    assert set(seen.versions) == {"1"}, "nobody gets an answer of a candidate that is in shadow"
    wait(world, name, "Promoted")
    release = get("ttr", world.namespace, name)
    assert release
    reasons = [one["reason"] for one in world.decisions(release)]
    assert reasons.index("ShadowStarted") < reasons.index("PromotionStarted")
    found = release["status"]["shadow"]
    assert found["says"] == "agrees"
    assert found["copies"] > 100
    assert get("httproute", world.namespace, mirror) is None
    eventually("answers of the new champion", lambda: "2" in player.counts.versions, 30)
    assert player.counts.failed == 0
    print(f"\nshadow: {found['sentence']}; {found['copies']} copies, {player.counts.answered} answers, 0 failed")
