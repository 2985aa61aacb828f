"""Whatever happens, in whatever order: every Release ends, once, and leaves nothing behind (hypothesis, fixed seeds)."""

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.control.chaos import BEHAVIOURS, ENDINGS, HAPPENINGS, Event, cooperate, happen
from tests.unit.control.world import Behaviour, World
from trimtab.control.intake import accept
from trimtab.release import Phase

BEGIN: dict[str, list[tuple[Event, int]]] = {
    "anew": [],
    "with a champion": [(("traffic", True), 9)],
    "with a candidate in training": [(("traffic", True), 9), (("finding", (9, "performance")), 1)],
    "with a canary": [(("traffic", True), 9), (("finding", (9, "performance")), 7)],
    "in the bake": [(("traffic", True), 9), (("finding", (9, "performance")), 11)],
}
FEW = settings(max_examples=40, derandomize=True, database=None, deadline=None)


def behave(world: World, name: str, behaviours: list[Behaviour], endings: list[Any]) -> None:
    """The Model's versions are like `behaviours` in turn, its runs end like `endings`; all later ones are good."""
    for number, behaviour in enumerate(behaviours, start=1):
        world.behaviours[(name, str(number))] = Behaviour(**{field: getattr(behaviour, field) for field in behaviour.__struct_fields__})
    world.endings[name] = iter(endings)


def live(world: World, happenings: list[tuple[Event, int]], name: str = "m") -> None:
    """One event after the other, with some ticks between."""
    for event, ticks in happenings:
        happen(world, name, event)
        for _ in range(ticks):
            world.step()
            world.check()
            world.tick()


def rest(world: World) -> None:
    """The world does its part, for a while in small steps of time and then in large ones, until all has ended."""
    cooperate(world)
    for _ in range(40):
        world.step()
        world.check()
        world.tick()
    world.wall = timedelta(hours=1)
    world.run(ticks=400)
    world.check_rest()


@FEW
@given(st.sampled_from(sorted(BEGIN)), HAPPENINGS, BEHAVIOURS, ENDINGS)
def test_every_release_ends_and_leaves_nothing_behind(
    begin: str, happenings: list[tuple[Event, int]], behaviours: list[Behaviour], endings: list[Any]
) -> None:
    world = World()
    first_is_good = begin != "anew"
    behave(world, "m", [Behaviour()] * first_is_good + behaviours, ["candidate"] * first_is_good + endings)
    world.declare()
    live(world, [*BEGIN[begin], *happenings])
    rest(world)
    named = [(release.spec.request.source, release.spec.request.id) for release in world.releases()]
    assert len(set(named)) == len(named), "an event makes one Release"
    promoted = {release.name: release.status for release in world.releases() if release.status.phase is Phase.PROMOTED}
    for name, status in promoted.items():
        assert status.candidate
        assert status.rollout
        made = world.version("m", status.candidate.version)
        assert (made.smoke_ok, made.starts) == (True, True)
        by_hand = any(record.by for record in world.store.records(name) if record.reason in ("NextStep", "PromotionStarted"))
        if status.compared_with and status.rollout.strategy != "direct" and not by_hand:
            assert made.errors <= world.version("m", status.compared_with.version).errors, "what fails online is not promoted"
    champion = world.model().status.champion
    if champion is None:
        assert not promoted
    elif champion.release != "by-hand":
        assert champion.release in promoted


@FEW
@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.lists(st.integers(0, 3), min_size=20, max_size=20))
def test_events_that_come_twice_late_or_out_of_order_make_one_release_each(order: list[int], pauses: list[int]) -> None:
    world = World()
    world.declare()
    world.run()
    events = [world.finding(window, kind) for window in (1, 2, 3) for kind in ("performance", "concept")]
    answers: dict[int, list[str]] = {}
    for number, pause in zip(order, pauses, strict=False):
        answers.setdefault(number, []).append(accept(events[number], world.store).result)
        for _ in range(pause):
            world.step()
            world.check()
            world.tick()
    rest(world)
    assert all(answer == ["created", *["duplicate"] * (len(answer) - 1)] for answer in answers.values())
    assert len(world.releases()) == 1 + len(answers)


@FEW
@given(HAPPENINGS, BEHAVIOURS, ENDINGS)
def test_one_model_is_not_touched_by_what_happens_to_another(
    happenings: list[tuple[Event, int]], behaviours: list[Behaviour], endings: list[Any]
) -> None:
    alone, beside = World(), World()
    told: list[list[Any]] = []
    shared = {"down", "crash", "fail", "traffic", "watermark", "clip", "away"}
    theirs = [(event, ticks) for event, ticks in happenings if event[0] not in shared]
    for world in (alone, beside):
        world.declare("a")
        if world is beside:
            world.declare("b")
            behave(world, "b", behaviours, endings)
        told.append([])
        for number, (event, ticks) in enumerate(theirs):
            if world is beside:
                happen(world, "b", event)
                world.silent = {"b"} if number % 3 == 2 else set()
            if number == 2:
                accept(world.finding(1, name="a"), world.store)
            for _ in range(ticks):
                world.step()
                world.tick()
        rest(world)
        told[-1] = [(r.name, d.at, d.phase, d.reason, d.weight) for r in world.releases("a") for d in world.store.records(r.name)]
    assert told[0] == told[1]
    assert alone.model("a").status.champion == beside.model("a").status.champion
