"""One controller at a time: the fence closes before the lease runs out, and another's lease is respected while it changes."""

import copy
from typing import Any

import pytest

from trimtab.errors import Conflict, Unavailable
from trimtab.platforms.kubernetes.lease import DURATION_SECONDS, FENCE_SECONDS, Lease
from trimtab.platforms.kubernetes.resources import Resource


class Server:
    """One Lease with resource versions, as it is installed and kept; `down` makes the server silent."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = {"metadata": {"resourceVersion": "1"}, "spec": {}}
        self.down = False

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        del resource, namespace, name
        self._answer()
        return copy.deepcopy(self.body)

    def merge(self, resource: Resource, namespace: str, name: str, patch: dict[str, Any]) -> dict[str, Any] | None:
        del resource, namespace, name
        self._answer()
        assert self.body is not None
        if patch["metadata"]["resourceVersion"] != self.body["metadata"]["resourceVersion"]:
            raise Conflict
        version = str(int(self.body["metadata"]["resourceVersion"]) + 1)
        self.body = {"metadata": {"resourceVersion": version}, "spec": {**self.body["spec"], **patch["spec"]}}
        return self.body

    def _answer(self) -> None:
        if self.down:
            raise Unavailable


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Server:
    return Server()


def lease(server: Server, identity: str, clock: Clock) -> Lease:
    return Lease(server, "trimtab-system", "trimtab-controller", identity, clock)  # type: ignore[arg-type]


def test_the_fence_is_closed_before_the_lease_is_taken_and_open_after(server: Server) -> None:
    mine = lease(server, "a", Clock())
    with pytest.raises(Unavailable, match="does not hold the Lease"):
        mine.fence()
    assert mine.renew()
    mine.fence()


def test_the_fence_closes_by_itself_before_another_may_take_the_lease(server: Server) -> None:
    clock = Clock()
    mine = lease(server, "a", clock)
    mine.renew()
    server.down = True
    clock.now += FENCE_SECONDS
    assert not mine.renew()
    with pytest.raises(Unavailable):
        mine.fence()
    assert FENCE_SECONDS < DURATION_SECONDS


def test_another_waits_until_the_holder_was_silent_for_the_whole_duration(server: Server) -> None:
    clock = Clock()
    mine, other = lease(server, "a", clock), lease(server, "b", clock)
    mine.renew()
    assert not other.renew()
    clock.now += DURATION_SECONDS - 1
    assert mine.renew(), "the holder is alive"
    clock.now += DURATION_SECONDS - 1
    assert not other.renew(), "it has seen the lease change"
    clock.now += DURATION_SECONDS
    assert other.renew()
    assert not mine.renew()


def test_a_holder_that_gives_the_lease_away_is_followed_at_once(server: Server) -> None:
    clock = Clock()
    mine, other = lease(server, "a", clock), lease(server, "b", clock)
    mine.renew()
    mine.stop()
    assert not mine.held
    assert other.renew()


def test_a_lease_that_was_taken_away_is_not_brought_back(server: Server) -> None:
    clock = Clock()
    mine = lease(server, "a", clock)
    assert mine.renew()
    server.body = None
    assert not mine.renew()
    mine.stop()
    assert server.body is None


def test_a_race_has_one_winner(server: Server) -> None:
    clock = Clock()
    mine, other = lease(server, "a", clock), lease(server, "b", clock)
    assert mine.renew()
    mine.stop()
    stale = copy.deepcopy(server.body)
    assert other.renew()
    server_get = server.get
    server.get = lambda *_: stale  # type: ignore[method-assign]
    assert not mine.renew(), "it read the lease before the other took it"
    server.get = server_get  # type: ignore[method-assign]
    assert other.held
