"""KServe's own payload logger, on a port of its own because it cannot authenticate (design §10).

What comes here feeds distributions only: requests and responses, never labels or findings; its rows get keys that no label has, and
move the watermark to their receipt at most. It knows neither the path nor the version: bodies are V1 or V2 as they went over
the wire, health calls among them, and the version is the champion's, for KServe does not log canaries.
"""

import asyncio
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from aiohttp import web

from trimtab.errors import InvalidInput
from trimtab.events import BATCH, REQUEST, RESPONSE, STRUCTURED, CloudEvent, parse
from trimtab.monitoring.commit import GroupCommit
from trimtab.monitoring.http import HANDLER, SINGLE_LIMIT, errors, limited
from trimtab.monitoring.ingest import MOST_ROWS, Answered, Arrival, model_of, overheard_source
from trimtab.monitoring.monitor import Monitor, UnknownModel
from trimtab.monitoring.payload import Payload, answers, rows
from trimtab.monitoring.ports import WatchedVersion
from trimtab.schema import read_schema

VERSION = "trimtab.dev/version"


def make_kserve_app(monitor: Monitor) -> web.Application:
    """The application: POST anywhere, one binary-mode CloudEvent each. Whoever runs it stops it before the monitor."""
    commit = GroupCommit(lambda arrivals: monitor.keep(arrivals, datetime.now(UTC)))

    async def logged(request: web.Request) -> web.Response:
        body = await limited(request, SINGLE_LIMIT, "a logged request or response")
        result = "refused"
        try:
            found = await asyncio.to_thread(read, monitor, request.headers, body, datetime.now(UTC))
            result = "ignored" if found is None else "accepted" if (await commit.keep([found]))[0] else "duplicate"
        finally:
            monitor.counters.add("trimtab_monitor_kserve_events_total", result=result)
        return web.json_response({"accepted": int(found is not None)}, status=202)

    app = web.Application(middlewares=[errors], handler_args=HANDLER)
    app.add_routes([web.post("/{path:.*}", logged)])
    return app


def read(monitor: Monitor, headers: Any, body: bytes, now: datetime) -> Arrival | None:
    """What a logged request or response brings; None for what is neither, such as a health call.

    Raises InvalidInput with a sentence for anything else, UnknownModel for a model that is not watched or has no champion.
    """
    if headers.get("content-type", "").split(";")[0].strip().lower() in (BATCH, STRUCTURED):
        msg = "only binary-mode CloudEvents, as KServe's logger sends them, are taken on this port"
        raise InvalidInput(msg)
    try:
        event = parse(headers, body)[0]
        content = msgspec.convert(event.data if isinstance(event.data, dict) else {}, Payload)
    except RecursionError as error:
        msg = "the event's body is nested too deeply"
        raise InvalidInput(msg) from error
    except msgspec.ValidationError as error:
        msg = f"the logged body is neither V1 nor V2: {error}"
        raise InvalidInput(msg) from error
    if event.type not in (REQUEST, RESPONSE):
        msg = f"the type {event.type!r} is not taken on this port; {REQUEST} and {RESPONSE} are"
        raise InvalidInput(msg)
    watched = monitor.watched(model_of(event))
    if watched.champion is None:
        msg = f"the model {watched.id!r} has no champion yet"
        raise UnknownModel(msg)
    if event.type == RESPONSE:
        found = answers(content)
        if not found:
            return None
        return Answered(overheard_source(event), event.id, watched.id, tuple(msgspec.json.encode(item) for item in found))
    instances = rows(content, _names(watched.champion))
    if len(instances or ()) > MOST_ROWS:
        msg = f"a request may have at most {MOST_ROWS:,} rows"
        raise InvalidInput(msg)
    return monitor.overhear(event, instances, _version(event) or watched.champion.version, now) if instances else None


@lru_cache(maxsize=10_000)
def _names(version: WatchedVersion) -> list[str]:
    """The version's features in their order; of all that a version has only this is needed here."""
    return read_schema(version.folder).names


def _version(event: CloudEvent) -> str:
    """The version by the pod's annotations, where KServe was told to pass them on."""
    try:
        found: dict[str, str] = msgspec.json.decode(event.extensions.get("annotations", "{}"), type=dict[str, str])
    except msgspec.DecodeError:
        return ""
    return found.get(VERSION, "")
