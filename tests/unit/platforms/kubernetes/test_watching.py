"""Lists and watches keep the cache, and tell what changed or vanished: once, and whatever comes in between."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.platforms.kubernetes.api_server import ApiServer, Asked
from trimtab.errors import Unavailable
from trimtab.platforms.kubernetes import watching as module
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.cache import Cache
from trimtab.platforms.kubernetes.resources import HTTP_ROUTES, MODELS, RELEASES, Resource
from trimtab.platforms.kubernetes.watching import Watching


class World:
    def __init__(self, server: ApiServer, *namespaces: str) -> None:
        self.server, self.woken = server, []  # type: ignore[var-annotated]
        api = Api(server.client())
        self.cache = Cache(api, (MODELS, RELEASES, HTTP_ROUTES))
        self.watching = Watching(
            api, self.cache, namespaces, lambda resource, item: self.woken.append((resource.kind, item["metadata"]["name"]))
        )

    def told(self) -> list[tuple[str, str]]:
        """What was told since the last time."""
        found, self.woken = self.woken, []
        return found

    def resync(self) -> list[tuple[str, str]]:
        self.watching.resync()
        return self.told()

    def during_a_list_of(self, resource: Resource, work: Callable[[], Any]) -> None:
        """Do the work once, after the API server has made up its list and before the cache gets it."""
        answer = self.server.answer

        def late(asked: Asked) -> tuple[int, bytes]:
            found = answer(asked)
            if asked.path.endswith(f"/{resource.plural}"):
                self.server.answer = answer  # type: ignore[method-assign]
                work()
            return found

        self.server.answer = late  # type: ignore[method-assign]


@pytest.fixture
def world(server: ApiServer) -> World:
    return World(server)


def test_a_resync_tells_what_is_new_what_changed_and_what_vanished_and_nothing_else(server: ApiServer, world: World) -> None:
    for name in ("a", "b", "c"):
        server.put(MODELS, "crm", name)
    server.put(RELEASES, "crm", "a-1")
    assert world.resync() == [("Model", "a"), ("Model", "b"), ("Model", "c"), ("Release", "a-1")]
    assert world.resync() == []
    server.put(MODELS, "crm", "b", spec={"x": 1})
    server.remove(MODELS, "crm", "c")
    server.put(MODELS, "crm", "d")
    assert sorted(world.resync()) == [("Model", "b"), ("Model", "c"), ("Model", "d")]
    assert [one["metadata"]["name"] for one in world.cache.list(MODELS)] == ["a", "b", "d"]


def test_a_kind_that_is_not_installed_has_no_objects(server: ApiServer, world: World) -> None:
    server.put(MODELS, "crm", "a")
    server.absent = {"httproutes"}
    assert world.resync() == [("Model", "a")]


@pytest.mark.parametrize(("namespaces", "names"), [((), ["a", "b", "c"]), (("crm",), ["a"]), (("crm", "ads"), ["a", "b"])])
def test_only_the_named_namespaces_are_listed(server: ApiServer, namespaces: tuple[str, ...], names: list[str]) -> None:
    for name, namespace in (("a", "crm"), ("b", "ads"), ("c", "hr")):
        server.put(MODELS, namespace, name)
    world = World(server, *namespaces)
    assert [name for _, name in world.resync()] == names
    assert [name for _, name in world.resync()] == []


def test_an_event_wakes_where_it_is_news(server: ApiServer, world: World) -> None:
    old = server.put(MODELS, "crm", "a")
    new = server.put(MODELS, "crm", "a", metadata={"uid": old["metadata"]["uid"]})
    tell = world.watching.told
    for kind, item, told in ((None, old, 1), ("MODIFIED", new, 1), ("MODIFIED", new, 0), ("ADDED", old, 0), ("DELETED", new, 1)):
        tell(MODELS, kind, item)
        assert len(world.told()) == told, (kind, item["metadata"]["resourceVersion"])
    assert world.cache.list(MODELS) == []


def test_what_was_made_anew_outlives_the_end_of_the_former(server: ApiServer, world: World) -> None:
    former, anew = server.put(MODELS, "crm", "a"), server.put(MODELS, "crm", "a")
    for kind, item in (("ADDED", former), ("ADDED", anew), ("DELETED", former)):
        world.watching.told(MODELS, kind, item)
    assert world.cache.list(MODELS) == [anew]


def test_what_comes_while_a_list_is_under_way_is_neither_lost_nor_a_fault(server: ApiServer, world: World) -> None:
    server.put(MODELS, "crm", "a")
    world.resync()
    world.during_a_list_of(MODELS, lambda: world.watching.told(MODELS, "ADDED", server.put(MODELS, "crm", "b")))
    assert world.resync() == [("Model", "b")], "told by the watch"
    assert sorted(one["metadata"]["name"] for one in world.cache.list(MODELS)) == ["a", "b"]


def test_what_goes_while_a_list_is_under_way_does_not_come_back(server: ApiServer, world: World) -> None:
    item = server.put(MODELS, "crm", "a")
    world.resync()
    world.during_a_list_of(MODELS, lambda: (server.remove(MODELS, "crm", "a"), world.watching.told(MODELS, "DELETED", item)))
    world.resync()
    assert world.cache.list(MODELS) == []


def test_what_changes_while_a_list_is_under_way_stays_the_newer(server: ApiServer, world: World) -> None:
    uid = server.put(MODELS, "crm", "a")["metadata"]["uid"]
    world.resync()
    newer: list[Any] = []

    def change() -> None:
        newer.append(server.put(MODELS, "crm", "a", metadata={"uid": uid}, spec={"x": 1}))
        world.watching.told(MODELS, "MODIFIED", newer[0])

    world.during_a_list_of(MODELS, change)
    world.resync()
    assert world.cache.list(MODELS) == newer


def test_an_answer_to_a_write_of_ours_that_is_late_does_not_bring_back_what_was_deleted(server: ApiServer, world: World) -> None:
    item = server.put(MODELS, "crm", "a")
    world.watching.told(MODELS, "ADDED", item)
    world.watching.told(MODELS, "DELETED", item)
    assert not world.cache.put(MODELS, item)
    assert world.cache.get(MODELS, "crm", "a") is None


def test_what_is_listed_of_a_kind_that_cannot_be_listed_stays_as_it_was(server: ApiServer, world: World) -> None:
    server.put(MODELS, "crm", "a")
    world.resync()
    server.canned = (503, b"{}")
    with pytest.raises(Unavailable):
        world.watching.resync()
    assert world.told() == []
    assert [one["metadata"]["name"] for one in world.cache.list(MODELS)] == ["a"]


def test_nothing_is_watched_before_everything_was_listed(server: ApiServer, world: World) -> None:
    server.canned = (503, b"{}")
    with pytest.raises(Unavailable):
        world.watching.start()
    assert not [thread for thread in threading.enumerate() if thread.name in ("watches", "resync")]


def test_watches_that_break_off_begin_again_with_a_list(server: ApiServer, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    began, ended = threading.Semaphore(0), threading.Event()

    async def broken() -> None:
        began.release()
        raise ZeroDivisionError

    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(world.watching, "_operate", broken)
    world.watching.start()
    try:
        assert began.acquire(timeout=20)
        server.canned = (503, b"{}")
        for _ in range(5):
            assert began.acquire(timeout=20), "also while the API server is away"
        server.canned = None
        server.put(MODELS, "crm", "a")
        for _ in range(3):
            assert began.acquire(timeout=20)
        assert ("Model", "a") in world.told()
    finally:
        world.watching.stop()
        ended.set()
    assert not [thread for thread in threading.enumerate() if thread.name in ("watches", "resync")]
