"""A promotion is a saga: killed between any two of its steps, on the real adapters, it goes forward, each step done once and seen done."""

from collections.abc import Iterator
from itertools import groupby

import pytest

from tests.local.interleaved import hands
from tests.local.interleaved.chronicle import template
from tests.local.interleaved.nursery import Nursery
from tests.local.interleaved.ports import crash
from tests.local.interleaved.stock import Stock
from tests.local.interleaved.world import Ground, World
from tests.unit.test_signing import write_key
from trimtab.release import Release

SAGA = ["PromotionStarted", "ChampionSwapped", "OldKeptWarm", "AliasSet", "Baking", "BakeOver", "Promoted"]
CRASHES = [
    *(("ledger.append", number) for number in range(1, 7)),
    *(("objects.write_status Release", number) for number in range(1, 7)),
    ("objects.write_status Model", 1),
    ("serving.apply", 1),
    ("registry.project", 1),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A Model that has a champion."""
    folder = tmp_path_factory.mktemp("saga")
    write_key(folder / "tls.key")
    nursery = Nursery(folder / "nursery")
    made = World(Ground(folder, nursery.python, Stock(folder / "stock"), template(folder / "mlflow"), folder / "tls.key"), "saga")
    assert made.reach(lambda: bool(made.releases()) and not made.live(), 60), made.told()
    yield made
    made.close()
    nursery.close()


def told(world: World, release: Release) -> list[str]:
    """What was decided from the beginning of the promotion on, waiting left out.

    A swap that was recorded and not carried out, because the loop and the servers died, is decided again once the route is back.
    """
    reasons = [record.reason for record in world.chronicle.records if record.release == release.name]
    acts = [reason for reason in reasons[reasons.index("PromotionStarted") :] if not reason.startswith("Waiting")]
    return [reason for reason, _ in groupby(acts)]


@pytest.mark.parametrize(("place", "number"), CRASHES, ids=lambda value: str(value))
def test_killed_at_any_step_of_a_promotion_it_goes_forward(world: World, place: str, number: int) -> None:
    before, crashes = world.model().status.champion, world.crashes
    assert before
    hands.wish(world)
    name = world.releases()[-1].name

    assert world.reach(lambda: hands.at(world, "promoting"), 60), world.told()
    world.watch.plan(place, number, "crash", crash, late=False)
    assert world.reach(lambda: hands.at(world, "baking"), 60), world.told()
    hands.time_passes(world, 2)
    assert world.reach(lambda: not world.live(), 60), world.told()
    world.settle()
    assert world.crashes == crashes + 1, f"{place} is not called {number} times in a promotion"
    release = next(release for release in world.releases() if release.name == name)
    champion = world.model().status.champion
    assert champion
    assert release.status.candidate
    assert (champion.version, champion.release) == (release.status.candidate.version, name)
    assert champion.generation == before.generation + 1
    assert told(world, release) == SAGA
