"""The monitor over HTTP: events in, questions answered. Everything but /healthz, /readyz and /metrics passes the gate."""

import asyncio
import contextlib
import logging
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import BATCH, CANDIDATE, FINDING, LABEL, NEW_DATA, REQUEST, RESPONSE, CloudEvent, aware, parse
from trimtab.monitoring import prometheus, views
from trimtab.monitoring.commit import GroupCommit
from trimtab.monitoring.gate import Access, Caller, Forbidden, Gate, about
from trimtab.monitoring.http import HANDLER, PATIENCE, SINGLE_LIMIT, Handler, as_json, errors, limited
from trimtab.monitoring.ingest import NAME, Arrival
from trimtab.monitoring.monitor import Monitor, UnknownModel
from trimtab.monitoring.notified import notifies, wishes, written
from trimtab.monitoring.ports import Sink
from trimtab.monitoring.reports.routes import report_routes

log = logging.getLogger(__name__)
BATCH_LIMIT = 16 << 20
LARGE_AT_ONCE, LARGE_HELD = 1, 8
"""How many bodies above SINGLE_LIMIT are taken apart at a time, and held in memory."""
SMALL = 1 << 14
STORED = (REQUEST, RESPONSE, LABEL)
SUNK = (FINDING, CANDIDATE, NEW_DATA)
_VIEWS: dict[str, Callable[[Monitor, str], Any]] = {
    "state": views.state,
    "windows": views.windows,
    "findings": views.findings,
    "performance": views.performance,
}
_COMPARISONS: dict[str, Callable[[Monitor, str, str, str, datetime], Any]] = {"paired": views.paired, "outcomes": views.outcomes}
_OPEN = ("/healthz", "/readyz", "/metrics")
_CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)


def make_app(monitor: Monitor, gate: Gate, sink: Sink, interval: float = 0.5, patience: float = PATIENCE) -> web.Application:
    """The application; it ticks the monitor every `interval` seconds, at most half of the time, and stops it at its own end.

    `gate` says who may send and ask, `sink` takes the events that ask for a Release; it is called from a thread.
    A body that takes longer than `patience` seconds is given up.
    """
    api = _Api(monitor, gate, sink, patience)
    app = web.Application(middlewares=[errors, api.authorize], handler_args=HANDLER)
    app.add_routes(
        [
            web.post("/events", api.events),
            web.get("/healthz", api.healthz),
            web.get("/readyz", api.readyz),
            web.get("/metrics", api.metrics),
            web.get("/models/{namespace}/{name}/{view:state|windows|findings|performance}", api.view),
            web.get("/models/{namespace}/{name}/{view:paired|outcomes}", api.compared),
            web.get("/models/{namespace}/{name}/agreement", api.agreement),
            *report_routes(monitor, api.asked_of, api.asked_of_all),
        ]
    )

    async def ticking(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_tick(monitor, interval))
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await gate.close()
        await asyncio.to_thread(monitor.stop)

    app.cleanup_ctx.append(ticking)
    return app


async def _tick(monitor: Monitor, interval: float) -> None:
    while True:
        began = time.monotonic()
        await asyncio.to_thread(monitor.tick, datetime.now(UTC))
        await asyncio.sleep(max(interval, time.monotonic() - began))


class _Api:
    def __init__(self, monitor: Monitor, gate: Gate, sink: Sink, patience: float) -> None:
        self._monitor = monitor
        self._gate = gate
        self._sink = sink
        self._patience = patience
        self._large, self._held = asyncio.Semaphore(LARGE_AT_ONCE), asyncio.Semaphore(LARGE_HELD)
        self._commit = GroupCommit(lambda arrivals: monitor.keep(arrivals, datetime.now(UTC)))

    @web.middleware
    async def authorize(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in _OPEN:
            request[_CALLER] = await self._gate.caller(request.headers.get("Authorization", ""))
        return await handler(request)

    async def events(self, request: web.Request) -> web.Response:
        """Keep or pass on the request's events; 202 once they are on disk or with the sink."""
        batched = request.content_type == BATCH
        counters = self._monitor.counters
        try:
            limit, what = (BATCH_LIMIT, "a batch") if batched else (SINGLE_LIMIT, "a single event")
            small = not batched or (request.content_length or limit) <= SINGLE_LIMIT
            async with contextlib.nullcontext() if small else self._held:
                body = await limited(request, limit, what, self._patience)
                async with contextlib.nullcontext() if small else self._large:
                    found, fresh = await self._take(request, body)
        except (InvalidInput, Unavailable) as error:
            counters.add("trimtab_monitor_events_total", type="any", result="refused" if isinstance(error, InvalidInput) else "failed")
            raise
        stored, now = [event for event in found if event.type in STORED], time.time()
        for (kind, new), count in Counter(zip((event.type for event in stored), fresh, strict=True)).items():
            counters.add("trimtab_monitor_events_total", count, type=kind, result="accepted" if new else "duplicate")
        new_ones = (event.time for event, new in zip(stored, fresh, strict=True) if new and event.time)
        counters.observe("trimtab_monitor_event_lag_seconds", [now - aware(moment).timestamp() for moment in new_ones])
        for event in found:
            if event.type in SUNK:
                await self._pass_on(event)
        return web.json_response({"accepted": len(found)}, status=202)

    async def _wished(self, caller: Caller, notifications: Sequence[CloudEvent]) -> list[CloudEvent]:
        """What object stores' notifications ask for, of the Models that the caller may send events of.

        Anybody may name a bucket in a Model: that others read an object too must not refuse the notifications of those who may send them.
        """
        if not notifications:
            return []
        now = datetime.now(UTC)
        models = [self._monitor.watched(name).model for name in self._monitor.models()]
        asked = wishes([one for event in notifications for one in written(event, now)], models)
        allowed, refused = [], None
        for event in asked:
            try:
                await self._gate.check(caller, Access("create", "events", about(event)))
                allowed.append(event)
            except Forbidden as error:
                refused = error
        if refused and not allowed:
            raise refused
        return allowed

    async def _take(self, request: web.Request, body: bytes) -> tuple[list[CloudEvent], list[bool]]:
        """The request's events, and which of those that are stored were new; these are on disk. Of notifications, what they ask for."""
        small = len(body) <= SMALL
        found, models = _parsed(request.headers, body) if small else await asyncio.to_thread(_parsed, request.headers, body)
        for model in models:
            await self._gate.check(request[_CALLER], Access("create", "events", model))
        notifications = [event for event in found if notifies(event)]
        found = [*(event for event in found if not notifies(event)), *await self._wished(request[_CALLER], notifications)]
        stored = [event for event in found if event.type in STORED]
        if not stored:
            return found, []
        at_once = small and self._monitor.knows(models)
        now = datetime.now(UTC)
        return found, await self._commit.keep(self._read(stored, now) if at_once else await asyncio.to_thread(self._read, stored, now))

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

    async def readyz(self, _request: web.Request) -> web.Response:
        """The database answers and the fleet was seen."""
        await asyncio.to_thread(self._monitor.check_ready)
        return web.json_response({"status": "ok"})

    async def metrics(self, _request: web.Request) -> web.Response:
        """Prometheus text."""
        text = await asyncio.to_thread(views.metrics, self._monitor, datetime.now(UTC))
        return web.Response(body=text.encode(), headers={"Content-Type": prometheus.CONTENT_TYPE})

    async def view(self, request: web.Request) -> web.Response:
        """One of the views of a model."""
        return as_json(await asyncio.to_thread(_VIEWS[request.match_info["view"]], self._monitor, await self.asked_of(request)))

    async def compared(self, request: web.Request) -> web.Response:
        """One of the comparisons of two versions since a time."""
        question, comparison = _pair(request), _COMPARISONS[request.match_info["view"]]
        return as_json(await asyncio.to_thread(comparison, self._monitor, await self.asked_of(request), *question))

    async def agreement(self, request: web.Request) -> web.Response:
        """How two versions predicted the same rows."""
        question, difference = _pair(request), _number(request, "difference")
        return as_json(await asyncio.to_thread(views.agreement, self._monitor, await self.asked_of(request), *question, difference))

    async def asked_of(self, request: web.Request) -> str:
        """The model that a question is about, if the caller may ask."""
        model = f"{request.match_info['namespace']}/{request.match_info['name']}"
        await self._gate.check(request[_CALLER], Access("get", "monitoring", model))
        return model

    async def asked_of_all(self, request: web.Request) -> str:
        """The namespace that a question about all models keeps to (empty: every one), if the caller may ask of all in it."""
        namespace = request.query.get("namespace", "")
        if namespace and not NAME.fullmatch(namespace):
            msg = f"namespace={namespace[:80]!r} is no name; small letters, digits, hyphens and dots are allowed"
            raise InvalidInput(msg)
        await self._gate.check(request[_CALLER], Access("get", "monitoring", f"{namespace}/"))
        return namespace


def _parsed(headers: Mapping[str, str], body: bytes) -> tuple[list[CloudEvent], list[str]]:
    """The events, and the models that they are about, each once."""
    try:
        found = _known(parse(headers, body))
        return found, list(dict.fromkeys(about(event) for event in found if not notifies(event)))
    except RecursionError as error:
        msg = "the event's body is nested too deeply"
        raise InvalidInput(msg) from error


def _known(found: list[CloudEvent]) -> list[CloudEvent]:
    for event in found:
        if event.type not in (*STORED, *SUNK) and not notifies(event):
            known = f"{', '.join((*STORED, *SUNK))}, and what object stores tell (docs/triggers.md)"
            msg = f"event {event.id!r}: the type {event.type!r} is not known; known are {known}"
            raise InvalidInput(msg)
    return found


def _pair(request: web.Request) -> tuple[str, str, datetime]:
    """Which two versions a question is about, and since when."""
    champion, candidate, since = (_asked(request, name) for name in ("champion", "candidate", "since"))
    try:
        return champion, candidate, aware(datetime.fromisoformat(since))
    except (ValueError, OverflowError) as error:
        msg = f"since={since!r} is not a time such as 2026-01-31T12:00:00Z"
        raise InvalidInput(msg) from error


def _number(request: web.Request, name: str) -> float:
    text = _asked(request, name)
    number = float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,17})?", text) else -1.0
    if number < 0.0:
        msg = f"{name}={text[:80]!r} is not a number such as 0.2"
        raise InvalidInput(msg)
    return number


def _asked(request: web.Request, name: str) -> str:
    value = request.query.get(name, "")
    if not value:
        msg = f'the question lacks "{name}"; champion, candidate and since are required, and difference where agreement is asked for'
        raise InvalidInput(msg)
    return value
