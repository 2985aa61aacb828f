"""Whatever may happen to a Model, as lists of events that hypothesis draws: people, data, traffic, servers, ports, crashes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple, get_args

from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.control.world import SPEC, Behaviour, World
from trimtab.actions import Word
from trimtab.control.intake import accept, release_for
from trimtab.errors import Conflict
from trimtab.events import CANDIDATE, NEW_DATA, CloudEvent
from trimtab.release import CandidateOutcome, Request
from trimtab.spec import Champion, Data, Version

Event = tuple[str, Any]
PARTS = ("MemoryObjects", "SimulatedRunner", "SimulatedServing", "SimulatedTraffic", "SimulatedRegistry", "SimulatedMonitor")


class Said(NamedTuple):
    """A person's word, and where a promote leads to."""

    word: Word
    step: int | None = None
    full: bool = False


EVENTS: dict[str, st.SearchStrategy[Any]] = {
    "finding": st.tuples(st.integers(1, 3), st.sampled_from(["performance", "concept", "quality"])),
    "announce": st.sampled_from(["good", "nothing"]),
    "newData": st.integers(1, 2),
    "bringBack": st.integers(1, 2),
    "say": st.sampled_from([*(Said(word) for word in get_args(Word)), Said("promote", 2), Said("promote", full=True)]),
    "recipe": st.sampled_from(["rows.csv", "more.csv", "less.csv"]),
    "approval": st.sampled_from(["manual", "automatic"]),
    "rollout": st.sampled_from([{"strategy": "direct"}, {"strategy": "shadow"}, {"steps": (90,)}, {"max_duration": "1m"}]),
    "outage": st.integers(1, 9),
    "rot": st.booleans(),
    "stuck": st.booleans(),
    "quality": st.booleans(),
    "traffic": st.booleans(),
    "watermark": st.booleans(),
    "clip": st.sampled_from([0.0, 4.0]),
    "down": st.tuples(st.sampled_from(PARTS), st.booleans()),
    "crash": st.integers(1, 25),
    "fail": st.integers(1, 25),
    "otherChampion": st.none(),
    "away": st.sampled_from([timedelta(minutes=5), timedelta(hours=3)]),
}
THINGS = st.one_of(*(st.tuples(st.just(name), drawn) for name, drawn in EVENTS.items()))
HAPPENINGS = st.lists(st.tuples(THINGS, st.integers(0, 5)), min_size=3, max_size=12)
GOOD = Behaviour()
BAD = [Behaviour(errors=0.4), Behaviour(loss=3.0), Behaviour(starts=False), Behaviour(digest_ok=False), Behaviour(smoke_ok=False)]
BEHAVIOURS = st.lists(st.sampled_from([GOOD, GOOD, GOOD, *BAD]), max_size=3)
ENDINGS = st.lists(
    st.sampled_from(["candidate", "candidate", "candidate", "rejected", "invalidData", "fault", "vanish", "hang"]), max_size=3
)


def happen(world: World, name: str, event: Event) -> None:
    """One event befalls the Model `name`."""
    what, how = event
    handler: Callable[[World, str, Any], None] = _HANDLERS[what]
    handler(world, name, how)


def cooperate(world: World) -> None:
    """From here on the world does its part."""
    world.down.clear()
    world.silent.clear()
    world.troubles.clear()
    world.monitor.quality.clear()
    world.monitor.knows = world.traffic_on = True
    for site in world.serving.sites.values():
        site.stuck = False


def _finding(world: World, name: str, how: tuple[int, Any]) -> None:
    accept(world.finding(*how, name=name), world.store)


def _announce(world: World, name: str, how: str) -> None:
    if how == "good" and how not in world.registry.by_hand:
        version = world.registry.register(name)
        world.registry.by_hand[how] = CandidateOutcome(version.version, version.digest)
    data = {"model": name, "run": how, "cut": world.data_now.isoformat()}
    accept(CloudEvent(id=f"{name}-{how}", source="tests", type=CANDIDATE, data=data), world.store)


def _new_data(world: World, name: str, how: int) -> None:
    data = {"model": name, "cut": world.data_now.isoformat()}
    accept(CloudEvent(id=f"{name}-{how}", source="tests", type=NEW_DATA, data=data), world.store)


def _bring_back(world: World, name: str, how: int) -> None:
    model = world.model(name)
    previous = model.status.previous
    if previous is None:
        return
    version = Version(previous.version, previous.digest)
    try:
        world.store.create(release_for(model, Request("person", "back", str(how), world.data_now, version=version)))
    except Conflict:
        assert how


def _say(world: World, name: str, how: Said) -> None:
    for release in world.releases(name)[-1:]:
        world.say(how.word, release.name, step=how.step, full=how.full)


def _outage(world: World, name: str, how: int) -> None:
    for server in list(world.serving.site(name).servers.values())[1:]:
        server.down, server.restarts = how, server.restarts + 1


def _rot(world: World, name: str, how: bool) -> None:
    champion = world.model(name).status.champion
    for version in list(world.serving.site(name).servers)[1:]:
        if champion is None or champion.version != version:
            world.version(name, version).digest_ok = how


def _down(world: World, name: str, how: tuple[str, bool]) -> None:
    part, is_down = how
    assert name
    (world.down.add if is_down else world.down.discard)(part)


def _trouble(kind: Any) -> Callable[[World, str, int], None]:
    def plan(world: World, name: str, how: int) -> None:
        assert name
        world.troubles[world.calls + how] = kind

    return plan


def _other_champion(world: World, name: str, how: None) -> None:
    """Somebody changes the champion by hand, to a version that is as good as any."""
    model = world.model(name)
    version = world.registry.register(name)
    world.behaviours[(name, version.version)] = Behaviour()
    generation = model.status.champion.generation + 1 if model.status.champion else 1
    by_hand = Champion(version.version, version.digest, generation, "by-hand")
    assert how is None
    world.store.write_status(replace(model, status=replace(model.status, champion=by_hand, previous=model.status.champion)))


def _away(world: World, name: str, how: timedelta) -> None:
    """The loop's process is away for a while."""
    assert name
    world.restart(how)


_HANDLERS: dict[str, Callable[[World, str, Any], None]] = {
    "finding": _finding,
    "announce": _announce,
    "newData": _new_data,
    "bringBack": _bring_back,
    "say": _say,
    "recipe": lambda world, name, how: world.edit(name, data=Data(uri=how, label="y")),
    "approval": lambda world, name, how: world.edit(name, approval=how),
    "rollout": lambda world, name, how: world.edit(name, rollout=replace(SPEC.rollout, **how)),
    "outage": _outage,
    "rot": _rot,
    "stuck": lambda world, name, how: setattr(world.serving.site(name), "stuck", how),
    "quality": lambda world, name, how: world.monitor.quality.update({name: ["nulls"] if how else []}),
    "traffic": lambda world, _, how: setattr(world, "traffic_on", how),
    "clip": lambda world, _, how: setattr(world.monitor, "clip", how),
    "watermark": lambda world, _, how: setattr(world.monitor, "knows", how),
    "down": _down,
    "crash": _trouble("crash"),
    "fail": _trouble("unavailable"),
    "otherChampion": _other_champion,
    "away": _away,
}
assert _HANDLERS.keys() == EVENTS.keys()
