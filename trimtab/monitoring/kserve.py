"""KServe's own payload logger, on a port of its own because it cannot authenticate (design §10).

What comes here feeds distributions only: requests and responses, never labels or findings; its rows get keys that no label has, and
move the watermark to their receipt at most. It knows neither the path nor the version: bodies are V1 or V2 as they went over
the wire, health calls among them, and the version is the champion's, for KServe does not log canaries.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from math import prod
from typing import Any

import msgspec
from aiohttp import web
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.events import BATCH, REQUEST, RESPONSE, STRUCTURED, CloudEvent, parse
from trimtab.monitoring.commit import GroupCommit
from trimtab.monitoring.http import SINGLE_LIMIT, errors, limited
from trimtab.monitoring.ingest import Answered, Arrival, model_of, overheard_source
from trimtab.monitoring.monitor import Monitor, UnknownModel

VERSION = "trimtab.dev/version"


class _Tensor(Struct):
    name: str
    shape: tuple[int, ...]
    data: list[Any]


class _Body(Struct):
    instances: list[Any] | None = None
    inputs: list[_Tensor] | None = None
    predictions: list[Any] | None = None
    outputs: list[_Tensor] | None = None


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

    app = web.Application(middlewares=[errors])
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
        content = msgspec.convert(event.data if isinstance(event.data, dict) else {}, _Body)
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
        answers = _answers(content)
        if not answers:
            return None
        return Answered(overheard_source(event), event.id, watched.id, tuple(msgspec.json.encode(item) for item in answers))
    names = [feature.name for feature in monitor.reference(watched.champion).schema.features]
    instances = _instances(content, names)
    return monitor.overhear(event, instances, _version(event) or watched.champion.version, now) if instances else None


def _version(event: CloudEvent) -> str:
    """The version by the pod's annotations, where KServe was told to pass them on."""
    try:
        found: dict[str, str] = msgspec.json.decode(event.extensions.get("annotations", "{}"), type=dict[str, str])
    except msgspec.DecodeError:
        return ""
    return found.get(VERSION, "")


def _instances(body: _Body, names: list[str]) -> list[dict[str, Any]] | None:
    if body.instances is not None:
        return [_named(row, names) for row in body.instances]
    if body.inputs is None:
        return None
    if len(body.inputs) == 1 and body.inputs[0].name not in names:
        return [_named(row, names) for row in _rows(body.inputs[0])]
    columns = {tensor.name: _rows(tensor) for tensor in body.inputs}
    if len({len(column) for column in columns.values()}) > 1:
        msg = "the inputs of the logged request have unequal numbers of rows"
        raise InvalidInput(msg)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _named(row: Any, names: list[str]) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    if isinstance(row, Sequence) and len(row) == len(names) and not isinstance(row, str):
        return dict(zip(names, row, strict=True))
    msg = f"a row of the logged request is neither an object nor a list of {len(names)} values, one a feature"
    raise InvalidInput(msg)


def _answers(body: _Body) -> list[Any] | None:
    return body.predictions if body.outputs is None else _rows(body.outputs[0]) if body.outputs else None


def _rows(tensor: _Tensor) -> list[Any]:
    """A V2 tensor's rows: single values where it has one column. V2 allows nested data, or flat in row-major order."""
    values = tensor.data
    while values and all(isinstance(part, list) for part in values):
        values = [value for part in values for value in part]
    width = prod(tensor.shape[1:])
    if not tensor.shape or width < 1 or len(values) != tensor.shape[0] * width:
        msg = f"the tensor {tensor.name!r} has {len(values)} values, which its shape {list(tensor.shape)} does not say"
        raise InvalidInput(msg)
    return values if width == 1 else [values[start : start + width] for start in range(0, len(values), width)]
