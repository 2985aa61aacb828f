"""The monitor over HTTP: events in, questions answered. Everything but /healthz and /metrics wants the bearer secret."""

import asyncio
import contextlib
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import BATCH, CANDIDATE, FINDING, LABEL, NEW_DATA, REQUEST, RESPONSE, CloudEvent, aware, parse
from trimtab.monitoring import prometheus, views
from trimtab.monitoring.commit import GroupCommit
from trimtab.monitoring.ingest import Arrival
from trimtab.monitoring.monitor import Monitor, UnknownModel
from trimtab.monitoring.ports import Sink

log = logging.getLogger(__name__)
SINGLE_LIMIT = 1 << 20
BATCH_LIMIT = 16 << 20
STORED = (REQUEST, RESPONSE, LABEL)
SUNK = (FINDING, CANDIDATE, NEW_DATA)
_VIEWS: dict[str, Callable[[Monitor, str], Any]] = {
    "state": views.state,
    "windows": views.windows,
    "findings": views.findings,
    "performance": views.performance,
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _TooLarge(InvalidInput):
    """A body above its limit."""


_STATUS: tuple[tuple[type[Exception], int], ...] = ((UnknownModel, 404), (_TooLarge, 413), (InvalidInput, 400), (Unavailable, 503))


def make_app(monitor: Monitor, secret: str, sink: Sink, interval: float = 0.5) -> web.Application:
    """The application; it ticks the monitor every `interval` seconds and stops it at its own end.

    `sink` takes the events that ask for a Release; it is called from a thread.
    """
    api = _Api(monitor, secret, sink)
    app = web.Application(middlewares=[_errors, api.authorize])
    app.add_routes(
        [
            web.post("/events", api.events),
            web.get("/healthz", api.healthz),
            web.get("/metrics", api.metrics),
            web.get("/models/{namespace}/{name}/{view:state|windows|findings|performance}", api.view),
            web.get("/models/{namespace}/{name}/paired", api.paired),
        ]
    )

    async def ticking(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_tick(monitor, interval))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(monitor.stop)

    app.cleanup_ctx.append(ticking)
    return app


async def _tick(monitor: Monitor, interval: float) -> None:
    while True:
        await asyncio.to_thread(monitor.tick, datetime.now(UTC))
        await asyncio.sleep(interval)


def _failure(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status)


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < web.HTTPBadRequest.status_code:
            raise
        return _failure(error.status, f"{request.method} {request.path}: {error.reason}")
    except (InvalidInput, Unavailable) as error:
        return _failure(next(status for kind, status in _STATUS if isinstance(error, kind)), str(error))


class _Api:
    def __init__(self, monitor: Monitor, secret: str, sink: Sink) -> None:
        self._monitor = monitor
        self._expected = f"Bearer {secret}".encode()
        self._sink = sink
        self._commit = GroupCommit(lambda arrivals: monitor.keep(arrivals, datetime.now(UTC)))

    @web.middleware
    async def authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if request.path not in ("/healthz", "/metrics") and not hmac.compare_digest(given, self._expected):
            return _failure(401, 'the header "Authorization: Bearer <secret>" is missing or its secret is wrong')
        return await handler(request)

    async def events(self, request: web.Request) -> web.Response:
        """Keep or pass on the request's events; 202 once they are on disk or with the sink."""
        batched = request.content_type == BATCH
        body = await _body(request, BATCH_LIMIT if batched else SINGLE_LIMIT, "a batch" if batched else "a single event")
        counters = self._monitor.counters
        try:
            found = _parsed(request, body)
            stored = [event for event in found if event.type in STORED]
            now = datetime.now(UTC)
            fresh = await self._commit.keep(await asyncio.to_thread(self._read, stored, now)) if stored else []
        except (InvalidInput, Unavailable) as error:
            counters.add("trimtab_monitor_events_total", type="any", result="refused" if isinstance(error, InvalidInput) else "failed")
            raise
        for event, new in zip(stored, fresh, strict=True):
            counters.add("trimtab_monitor_events_total", type=event.type, result="accepted" if new else "duplicate")
        for event in found:
            if event.type in SUNK:
                await self._pass_on(event)
        return web.json_response({"accepted": len(found)}, status=202)

    def _read(self, events: Sequence[CloudEvent], now: datetime) -> list[Arrival]:
        try:
            return self._monitor.read(events, now)
        except RecursionError as error:
            msg = "an event's data is nested too deeply"
            raise InvalidInput(msg) from error

    async def _pass_on(self, event: CloudEvent) -> None:
        answer = await asyncio.to_thread(self._sink, event)
        self._monitor.counters.add("trimtab_monitor_events_total", type=event.type, result=answer.says)
        if answer.says == "unknown":
            raise UnknownModel(answer.sentence)
        if answer.says == "refused":
            raise InvalidInput(answer.sentence)

    async def healthz(self, _request: web.Request) -> web.Response:
        """The process answers."""
        return web.json_response({"status": "ok"})

    async def metrics(self, _request: web.Request) -> web.Response:
        """Prometheus text."""
        text = await asyncio.to_thread(views.metrics, self._monitor, datetime.now(UTC))
        return web.Response(body=text.encode(), headers={"Content-Type": prometheus.CONTENT_TYPE})

    async def view(self, request: web.Request) -> web.Response:
        """One of the views of a model."""
        return _json(await asyncio.to_thread(_VIEWS[request.match_info["view"]], self._monitor, _model(request)))

    async def paired(self, request: web.Request) -> web.Response:
        """The losses of two versions on the same rows."""
        champion, candidate, since = (_asked(request, name) for name in ("champion", "candidate", "since"))
        try:
            start = aware(datetime.fromisoformat(since))
        except (ValueError, OverflowError) as error:
            msg = f"since={since!r} is not a time such as 2026-01-31T12:00:00Z"
            raise InvalidInput(msg) from error
        return _json(await asyncio.to_thread(views.paired, self._monitor, _model(request), champion, candidate, start))


def _parsed(request: web.Request, body: bytes) -> list[CloudEvent]:
    try:
        found = parse(request.headers, body)
    except RecursionError as error:
        msg = "the event's body is nested too deeply"
        raise InvalidInput(msg) from error
    for event in found:
        if event.type not in (*STORED, *SUNK):
            msg = f"event {event.id!r}: the type {event.type!r} is not known; known are {', '.join((*STORED, *SUNK))}"
            raise InvalidInput(msg)
    return found


async def _body(request: web.Request, limit: int, what: str) -> bytes:
    received = bytearray()
    declared = request.content_length or 0
    while declared <= limit and len(received) <= limit:
        part = await request.content.readany()
        if not part:
            return bytes(received)
        received += part
    msg = f"the body of {what} may have at most {limit:,} bytes, this one has {f'{declared:,}' if declared else 'more'}"
    raise _TooLarge(msg)


def _model(request: web.Request) -> str:
    return f"{request.match_info['namespace']}/{request.match_info['name']}"


def _asked(request: web.Request, name: str) -> str:
    value = request.query.get(name, "")
    if not value:
        msg = f'the question lacks "{name}"; champion, candidate and since are required'
        raise InvalidInput(msg)
    return value


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
