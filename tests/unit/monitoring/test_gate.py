"""The gate at the monitor's door: what it refuses is neither kept nor answered."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import test_utils

from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import CANDIDATE, FINDING, NEW_DATA, CloudEvent
from trimtab.monitoring.gate import Access, Caller, Forbidden, Unauthenticated, about
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import SinkAnswer
from trimtab.monitoring.server import make_app
from trimtab.monitoring.store import Store

from .folders import NOW, START, answered, asked, row_counts, told
from .test_server import Client, many, one, renamed

ROW = {"id": 1, "at": START.isoformat(), "load": 1.0}


class Rights:
    """Knows the caller `ann`, who may do what `allowed` says."""

    def __init__(self, *allowed: Access) -> None:
        self.allowed = allowed
        self.failure: Exception | None = None
        self.closed = False

    async def caller(self, authorization: str) -> Caller:
        if self.failure:
            raise self.failure
        if authorization != "Bearer ann":
            raise Unauthenticated("nobody knows you")  # noqa: EM101
        return Caller("ann")

    async def check(self, caller: Caller, access: Access) -> None:
        if access not in self.allowed:
            msg = f"{caller.user} may not {access.verb} {access.part} of {access.model}"
            raise Forbidden(msg)

    async def close(self) -> None:
        self.closed = True


SEND = Access("create", "events", "default/demand")
LOOK = Access("get", "monitoring", "default/demand")
ANN = {"Authorization": "Bearer ann"}


def run(monitor: Monitor, gate: Rights, steps: Callable[[Client], Awaitable[None]], sunk: list[CloudEvent] | None = None) -> None:
    def sink(event: CloudEvent) -> SinkAnswer:
        if sunk is not None:
            sunk.append(event)
        return SinkAnswer("accepted")

    async def all_of_it() -> None:
        async with test_utils.TestClient(test_utils.TestServer(make_app(monitor, gate, sink, interval=0.05))) as client:
            await steps(client)

    asyncio.run(all_of_it())
    assert gate.closed


def finding(name: str, namespace: str = "default", kind: str = FINDING) -> CloudEvent:
    return CloudEvent("f1", "/x", kind, data={"model": name, "namespace": namespace})


@pytest.mark.parametrize(
    ("message", "headers", "status", "words"),
    [
        pytest.param(one(asked(1, [ROW])), ANN, 202, "", id="an event for a model that the caller may send for"),
        pytest.param(one(asked(1, [ROW])), {}, 401, "nobody knows you", id="nobody"),
        pytest.param(({"content-type": "text/plain"}, b"x"), {}, 401, "nobody knows you", id="nobody, with a body that is none"),
        pytest.param(one(asked(1, [ROW], name="other")), ANN, 403, "default/other", id="a model that the caller may not send for"),
        pytest.param(many(asked(1, [ROW]), asked(2, [ROW], name="other")), ANN, 403, "default/other", id="a batch with one such event"),
        pytest.param(one(told(1, 2.0, NOW, name="other")), ANN, 403, "default/other", id="a label of another model"),
        pytest.param(one(finding("other")), ANN, 403, "default/other", id="a finding of another model"),
        pytest.param(one(finding("demand", "shop")), ANN, 403, "shop/demand", id="a finding of another namespace's model"),
        pytest.param(one(finding("demand", kind=CANDIDATE)), ANN, 202, "", id="a candidate of its own model"),
        pytest.param(one(finding("other", kind=NEW_DATA)), ANN, 403, "default/other", id="new data of another model"),
        pytest.param(one(renamed(finding("x"), data=None)), ANN, 400, 'lacks "model"', id="a finding that names no model"),
        pytest.param(one(finding("../pods")), ANN, 400, "'../pods' is no name", id="a name that is a path"),
        pytest.param(one(finding("demand", "a/models/b")), ANN, 400, "'a/models/b' is no name", id="a namespace that is a path"),
        pytest.param(one(told(1, 2.0, NOW, name="Demand")), ANN, 400, "'Demand' is no name", id="a name that no object can have"),
    ],
)
def test_events(
    monitor: Monitor, message: tuple[dict[str, str], bytes], headers: dict[str, str], status: int, words: str, tmp_path: Path
) -> None:
    sunk: list[CloudEvent] = []

    async def steps(client: Client) -> None:
        head, body = message
        answer = await client.post("/events", headers={**head, **headers}, data=body)
        content = await answer.json()
        assert (answer.status, words in content.get("error", "")) == (status, True), content

    run(monitor, Rights(SEND), steps, sunk)
    if status != 202:
        again = Store(tmp_path / "monitor.db")
        assert (row_counts(again), sunk) == ({}, [])
        again.close()


PAIRED, OUTCOMES = (f"{what}?champion=1&candidate=2&since=2026-01-01" for what in ("paired", "outcomes"))
AGREEMENT = f"{PAIRED.replace('paired', 'agreement')}&difference=0.2"
VIEWS = [
    "state",
    "windows",
    "findings",
    "performance",
    "windows/0",
    "windows/0/report",
    "report",
    "report.png",
    PAIRED,
    OUTCOMES,
    AGREEMENT,
]


@pytest.mark.parametrize("view", VIEWS)
def test_the_views_need_a_right_of_their_own(monitor: Monitor, view: str) -> None:
    async def refused(client: Client) -> None:
        for path in (
            f"/models/default/demand/{view}",
            f"/models/shop/demand/{view}",
            "/fleet",
            "/fleet?namespace=default",
            "/fleet/report",
        ):
            answer = await client.get(path, headers=ANN)
            assert (answer.status, "may not get monitoring" in (await answer.json())["error"]) == (403, True)

    run(monitor, Rights(SEND), refused)


def test_whoever_may_look_sees(monitor: Monitor) -> None:
    async def steps(client: Client) -> None:
        for path in ("/models/default/demand/state", "/models/default/demand/report"):
            assert (await client.get(path, headers=ANN)).status == 200
        assert (await client.get("/fleet", headers=ANN)).status == 403, "a model's viewer may not see all models"
        headers, body = one(asked(1, [ROW]))
        assert (await client.post("/events", headers={**headers, **ANN}, data=body)).status == 403

    run(monitor, Rights(LOOK), steps)


def test_while_nobody_can_say_senders_are_told_to_try_again(monitor: Monitor) -> None:
    gate = Rights(SEND)
    gate.failure = Unavailable("it cannot be said now who may do this")

    async def steps(client: Client) -> None:
        headers, body = many(asked(1, [ROW]), answered(1, [2.0]))
        assert (await client.post("/events", headers={**headers, **ANN}, data=body)).status == 503
        assert (await client.get("/healthz")).status == 200
        gate.failure = None
        answer = await client.post("/events", headers={**headers, **ANN}, data=body)
        assert await answer.json() == {"accepted": 2}

    run(monitor, gate, steps)


def test_ready_once_the_fleet_was_seen(monitor: Monitor, fleet: Any) -> None:
    seen = fleet.watched

    def away() -> Any:
        raise Unavailable("the API server does not answer")  # noqa: EM101

    fleet.watched = away

    async def steps(client: Client) -> None:
        answer = await client.get("/readyz")
        assert (answer.status, await answer.json()) == (503, {"error": "the watched models were not seen yet"})
        headers, body = one(asked(1, [ROW]))
        assert (await client.post("/events", headers={**headers, **ANN}, data=body)).status == 503
        fleet.watched = seen
        while (await client.get("/readyz")).status != 200:
            await asyncio.sleep(0.02)
        fleet.watched = away
        assert (await client.get("/readyz")).status == 200
        assert (await client.post("/events", headers={**headers, **ANN}, data=body)).status == 202

    run(monitor, Rights(SEND), steps)


@pytest.mark.parametrize("kind", [FINDING, CANDIDATE, NEW_DATA])
def test_what_an_event_is_about(kind: str) -> None:
    assert about(CloudEvent("1", "/x", kind, data={"model": "demand"})) == "default/demand"
    with pytest.raises(InvalidInput, match="is no name"):
        about(CloudEvent("1", "/x", kind, data={"model": ""}))
