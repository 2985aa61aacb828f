"""The gate on a cluster, against an API server that answers reviews as the real one does (the real one: tests/cluster)."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from trimtab.errors import InvalidInput, Unavailable
from trimtab.monitoring.gate import Access, Caller, Forbidden, Unauthenticated
from trimtab.platforms.kubernetes import review
from trimtab.platforms.kubernetes.review import Remembered, ReviewGate

SEND = Access("create", "events", "shop/demand")


class Server:
    """Knows the token `good` for our audience, and lets its owner send for shop/demand."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failure: Exception | None = None
        self.bodies: list[dict[str, Any]] = []

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(body["kind"])
        self.bodies.append(body)
        if self.failure:
            raise self.failure
        spec = body["spec"]
        if body["kind"] == "TokenReview":
            assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
            user = {"username": "system:serviceaccount:shop:demand", "uid": "u1", "groups": ["g1", "g2"], "extra": {"a": ["b"]}}
            known = {
                "good": {"authenticated": True, "audiences": spec["audiences"], "user": user},
                "elsewhere": {"authenticated": True, "audiences": ["api"], "user": user},
                "old": {"authenticated": True, "user": user},
            }
            return {"status": known.get(spec["token"], {"error": "invalid bearer token"})}
        assert path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        wanted = spec["resourceAttributes"]
        place = (wanted["group"], wanted["resource"], wanted["namespace"], wanted["name"])
        verb = (wanted["verb"], wanted["subresource"])
        allowed = place == ("trimtab.dev", "models", "shop", "demand") and verb == ("create", "events")
        assert (spec["user"], spec["groups"]) == ("system:serviceaccount:shop:demand", ("g1", "g2"))
        return {"status": {"allowed": allowed}}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def through(server: Server, clock: Clock, steps: Callable[[ReviewGate], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        gate = ReviewGate(server, clock=clock)
        await steps(gate)
        await gate.close()

    asyncio.run(all_of_it())


@pytest.mark.parametrize(
    ("header", "words"),
    [
        pytest.param("", "is missing", id="no header"),
        pytest.param("Basic Z29vZA==", "is missing", id="another scheme"),
        pytest.param("Bearer", "is missing", id="no token"),
        pytest.param("Bearer é", "is missing", id="a token that is none"),
        pytest.param("Bearer bad", "not for the audience 'trimtab'", id="a token that nobody knows"),
        pytest.param("Bearer elsewhere", "not for the audience 'trimtab'", id="a token for another audience"),
        pytest.param("Bearer old", "not for the audience 'trimtab'", id="an API server that says nothing of audiences"),
    ],
)
def test_who_is_not_let_in(server: Server, clock: Clock, header: str, words: str) -> None:
    async def steps(gate: ReviewGate) -> None:
        with pytest.raises(Unauthenticated, match=words) as failure:
            await gate.caller(header)
        assert header.removeprefix("Bearer ") not in str(failure.value) or len(header) < 12

    through(server, clock, steps)


@pytest.mark.parametrize(
    ("access", "allowed"),
    [
        pytest.param(SEND, True, id="its own model"),
        pytest.param(Access("create", "events", "shop/other"), False, id="another model of its namespace"),
        pytest.param(Access("create", "events", "bank/demand"), False, id="another namespace's model of that name"),
        pytest.param(Access("get", "monitoring", "shop/demand"), False, id="the views of its own model"),
    ],
)
def test_what_rbac_says_is_what_holds(server: Server, clock: Clock, access: Access, allowed: bool) -> None:
    async def steps(gate: ReviewGate) -> None:
        caller = await gate.caller("Bearer good")
        if allowed:
            await gate.check(caller, access)
            return
        namespace, name = access.model.split("/")
        with pytest.raises(
            Forbidden, match=f"demand may not {access.verb} models/{access.part} of trimtab.dev for the Model '{name}'"
        ) as no:
            await gate.check(caller, access)
        assert repr(namespace) in str(no.value)

    through(server, clock, steps)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        pytest.param("/", "for all Models; a ClusterRole can allow it", id="all there are"),
        pytest.param("shop/", "for all Models in namespace 'shop'; a Role can allow it", id="all of a namespace"),
    ],
)
def test_who_asks_of_all_models_needs_a_right_to_all(server: Server, clock: Clock, model: str, words: str) -> None:
    async def steps(gate: ReviewGate) -> None:
        with pytest.raises(Forbidden, match=words):
            await gate.check(await gate.caller("Bearer good"), Access("get", "monitoring", model))

    through(server, clock, steps)


def test_answers_are_remembered_good_ones_for_a_minute_bad_ones_for_seconds(server: Server, clock: Clock) -> None:
    async def steps(gate: ReviewGate) -> None:
        for clock.now, count in ((0.0, 2), (59.0, 2), (61.0, 4)):
            await gate.check(await gate.caller("Bearer good"), SEND)
            assert len(server.asked) == count
        server.asked.clear()
        for clock.now, count in ((100.0, 1), (104.0, 1), (106.0, 2)):
            with pytest.raises(Unauthenticated):
                await gate.caller("Bearer bad")
            assert len(server.asked) == count

    through(server, clock, steps)


def test_what_is_asked_many_times_at_once_is_asked_once(server: Server, clock: Clock) -> None:
    async def steps(gate: ReviewGate) -> None:
        callers = await asyncio.gather(*(gate.caller("Bearer good") for _ in range(100)))
        await asyncio.gather(*(gate.check(caller, SEND) for caller in callers))
        assert server.asked == ["TokenReview", "SubjectAccessReview"]

    through(server, clock, steps)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(Unavailable("the API server does not answer: POST"), id="the API server is away"),
        pytest.param(InvalidInput("POST: tokenreviews is forbidden"), id="the monitor may not review"),
    ],
)
def test_while_nobody_can_say_nothing_is_let_in_or_refused(server: Server, clock: Clock, failure: Exception) -> None:
    async def steps(gate: ReviewGate) -> None:
        caller = await gate.caller("Bearer good")
        clock.now = 61.0
        server.failure = failure
        with pytest.raises(Unavailable, match="TokenReview: "):
            await gate.caller("Bearer good")
        with pytest.raises(Unavailable, match="SubjectAccessReview: "):
            await gate.check(caller, SEND)
        assert len(server.asked) == 3
        for header in ("Bearer good", "Bearer bad", "Bearer other"):
            with pytest.raises(Unavailable, match="TokenReview: "):
                await gate.caller(header)
        assert len(server.asked) == 3, "for a second nobody waits for what did not answer"
        clock.now += 1.1
        server.failure = None
        await gate.check(await gate.caller("Bearer good"), SEND)

    through(server, clock, steps)


def test_what_is_remembered_is_bounded_and_holds_no_token(server: Server, clock: Clock) -> None:
    async def steps() -> None:
        known: Remembered[int] = Remembered(clock, limit=3)
        calls: list[int] = []

        def ask(number: int) -> int:
            calls.append(number)
            return number

        for number in (1, 2, 3, 4, 4, 3, 2, 1):
            assert await known.get(number, lambda number=number: ask(number)) == number  # type: ignore[misc]
        assert calls == [1, 2, 3, 4, 1]
        known.close()

    asyncio.run(steps())

    async def caller(gate: ReviewGate) -> None:
        assert "good" not in repr(await gate.caller("Bearer good"))

    through(server, clock, caller)


def test_whoever_hangs_up_takes_no_other_with_them(server: Server, clock: Clock) -> None:
    held, going = threading.Event(), threading.Event()
    answer = server.post

    def slow(path: str, body: dict[str, Any]) -> dict[str, Any]:
        going.set()
        held.wait(20)
        return answer(path, body)

    server.post = slow  # type: ignore[method-assign]

    async def steps(gate: ReviewGate) -> None:
        first, second = (asyncio.ensure_future(gate.caller("Bearer good")) for _ in range(2))
        await asyncio.to_thread(going.wait, 20)
        first.cancel()
        await asyncio.sleep(0)
        held.set()
        assert isinstance(await second, Caller)
        assert first.cancelled()
        assert server.asked == ["TokenReview"]

    through(server, clock, steps)


def test_the_time_that_a_lost_right_still_works_is_a_minute() -> None:
    assert (review.GOOD_SECONDS, review.BAD_SECONDS) == (60.0, 5.0)
