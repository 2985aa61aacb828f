"""CloudEvents become rows, predictions and labels: pure, so that what an event means never depends on when it is read.

A row's key and event time come from the instance's columns that the Model names. Where the instance lacks the time, it is the
event's own; but not while replaying, when the event's own time is years from the data's: such a row, like one whose time cannot
be read, is kept and counted without a time and can never move the watermark. Unless replaying, nobody's clock is believed beyond
what clocks do: a time more than a day after receipt or a year before it is none, the watermark is at most the receipt, and so is a
label's time, which else would stand against every correction.
"""

import hashlib
import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.events import LABEL, REQUEST, RESPONSE, CloudEvent, Label, aware, data_of
from trimtab.monitoring import payload
from trimtab.monitoring.payload import Payload
from trimtab.spec import Model

T = TypeVar("T")

AHEAD = timedelta(days=1)
BEHIND = timedelta(days=366)
LARGEST = 1e100
MOST_ROWS = 100_000
ROW_BYTES = 100_000
NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
IDENTITY_BYTES = 2000
KEY_BYTES = 1000
VERSION_BYTES = 200
UNIT_BYTES = 100
STREAM_BYTES = 200
_MILLISECONDS = 1e11


class Row(Struct, frozen=True):
    """One instance of a request; `time` in seconds since 1970, None if unknown; `features` is the instance as compact JSON."""

    position: int
    key: str
    time: float | None
    features: bytes


class Clock(Struct, frozen=True):
    """When an event happened by its `own` word, and when it was received, in seconds since 1970."""

    own: float
    received: float
    replaying: bool

    def believed(self, time: float | None) -> float | None:
        """The time, unless it is none or farther from the receipt than clocks go wrong; while replaying all are believed."""
        if time is None or self.replaying or -BEHIND.total_seconds() <= time - self.received <= AHEAD.total_seconds():
            return time
        return None


class Asked(Struct, frozen=True):
    """A request that a version got; `unit` is who asked, as a pseudonym, empty where that was not told."""

    source: str
    id: str
    model: str
    version: str
    rows: tuple[Row, ...]
    unit: str = ""
    type: str = REQUEST


class Answered(Struct, frozen=True):
    """The predictions of the request with the same source and id, one JSON value a row."""

    source: str
    id: str
    model: str
    predictions: tuple[bytes, ...]
    type: str = RESPONSE


class Labelled(Struct, frozen=True):
    """A label that became known at `time` (seconds since 1970); `stream` is its value where the task has classes, else empty."""

    source: str
    id: str
    model: str
    key: str
    value: bytes
    time: float
    stream: bytes = b""
    type: str = LABEL


Arrival = Asked | Answered | Labelled


def identity(source: str, name: str, kind: str) -> bytes:
    """What tells an event from all others: 16 bytes of its source, id and type (BLAKE2b), none of which has a zero byte."""
    return hashlib.blake2b(f"{source}\0{name}\0{kind}".encode(), digest_size=16).digest()


def model_of(event: CloudEvent) -> str:
    """The model, as `namespace/name`, that a request, response or label is about; raises InvalidInput where it names none."""
    if event.type == LABEL:
        label = data_of(event, Label)
        return model_id(event, label.namespace, label.model)
    name = event.extensions.get("inferenceservicename", "")
    if not name:
        msg = f'event {event.id!r} of type {event.type}: the extension "inferenceservicename" is missing; it names the model'
        raise InvalidInput(msg)
    return model_id(event, event.extensions.get("namespace") or "default", name)


def model_id(event: CloudEvent, namespace: str, name: str) -> str:
    """`namespace/name`; raises InvalidInput where one of them is no name that an object can have."""
    for text in (namespace, name):
        if not NAME.fullmatch(text):
            msg = f"event {event.id!r} of type {event.type}: {text[:80]!r} is no name; small letters, digits, hyphens and dots are allowed"
            raise InvalidInput(msg)
    return f"{namespace}/{name}"


def arrival(event: CloudEvent, model: Model, received: datetime, *, replaying: bool, version: str = "") -> Arrival:
    """What the event brings; raises InvalidInput with a sentence where its data is not as its type asks.

    `version` is whose rows these are if the event does not say. What is kept as the source begins with the model: nobody who may
    send for one model can answer, or use up the identity of, another's events.
    """
    name = model_of(event)
    source = _source(event, name)
    if event.type == LABEL:
        label = data_of(event, Label)
        key, known = _storable(event, "the key", str(label.key), KEY_BYTES), _seconds(event, label.time)
        value = _label(event, label.value, model)
        time = known if replaying else min(known, received.timestamp())
        stream = value if model.spec.task != "regression" and len(value) <= STREAM_BYTES else b""
        return Labelled(source, event.id, name, key, value, time, stream)
    if event.type == RESPONSE:
        answers = _told(event, payload.answers, "predictions", "outputs")
        return Answered(source, event.id, name, tuple(msgspec.json.encode(answer) for answer in answers))
    instances = _told(event, payload.rows, "instances", "inputs")
    own = _seconds(event, event.time or received)
    clock = Clock(own, received.timestamp(), replaying)
    rows = tuple(_row(event, index, instance, model, clock) for index, instance in enumerate(instances))
    said = _storable(event, "the version", event.extensions.get("trimtabversion") or version, VERSION_BYTES)
    unit = _storable(event, "the unit", event.extensions.get("trimtabunit", ""), UNIT_BYTES)
    return Asked(source, event.id, name, said, rows, unit)


def _label(event: CloudEvent, value: float | int | str | bool | None, model: Model) -> bytes:
    """The value as JSON; raises InvalidInput where it can be no label of the task. None takes a label back."""
    if model.spec.task == "regression" and value is not None and (isinstance(value, (str, bool)) or abs(value) > LARGEST):
        found = {str: "text", bool: "a truth value"}.get(type(value), "more")
        msg = f"event {event.id!r} of type {event.type}: a regression's label is a number of at most {LARGEST:g} or null, found {found}"
        raise InvalidInput(msg)
    return msgspec.json.encode(value)


def _told(event: CloudEvent, read: Callable[[Payload], list[T] | None], *names: str) -> list[T]:
    """What the event's data, a body by V1 or V2, holds."""
    body = data_of(event, Payload)
    try:
        found = read(body)
    except InvalidInput as error:
        msg = f"event {event.id!r} of type {event.type}: {error}"
        raise InvalidInput(msg) from error
    if found is not None and len(found) > MOST_ROWS:
        msg = f"event {event.id!r} of type {event.type}: it has {len(found):,} rows, at most {MOST_ROWS:,} are allowed"
        raise InvalidInput(msg)
    if found is None:
        msg = f"event {event.id!r} of type {event.type}: its data has neither {' nor '.join(map(repr, names))}"
        raise InvalidInput(msg)
    return found


def overheard(
    event: CloudEvent, model: Model, instances: list[dict[str, Any]], version: str, received: datetime, *, replaying: bool
) -> Asked:
    """A request that nobody vouches for: no label ever joins its rows, and they move the watermark to their receipt at most."""
    name = model_of(event)
    now = received.timestamp()
    clock = Clock(min(_seconds(event, event.time or received), now), now, replaying)
    rows = []
    for index, instance in enumerate(instances):
        time = _time(instance, model.spec.data.time, clock)
        late = time if time is None or replaying else min(time, now)
        key = _storable(event, "a row's key", f"kserve/{event.id}:{index}", KEY_BYTES)
        rows.append(Row(index, key, late, _features(event, index, instance)))
    return Asked(overheard_source(event), event.id, name, _storable(event, "the version", version, VERSION_BYTES), tuple(rows))


def overheard_source(event: CloudEvent) -> str:
    """The source under which a request that nobody vouches for, and its response, are kept: apart from all others."""
    return _source(event, f"{model_of(event)} kserve")


def _source(event: CloudEvent, model: str) -> str:
    _storable(event, "source and id", event.source + event.id, IDENTITY_BYTES)
    return f"{model} {event.source}"


def _storable(event: CloudEvent, what: str, text: str, limit: int) -> str:
    """The text, if every database can hold and index it."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        msg = f"event {event.id[:80]!r}: {what} cannot be written in UTF-8"
        raise InvalidInput(msg) from error
    if "\x00" in text or size > limit:
        msg = f"event {event.id[:80]!r}: {what} may have at most {limit:,} bytes, and none of them zero"
        raise InvalidInput(msg)
    return text


def _seconds(event: CloudEvent, time: datetime) -> float:
    try:
        return aware(time).timestamp()
    except (OverflowError, ValueError) as error:
        msg = f"event {event.id!r}: the time {time.isoformat()!r} is out of range"
        raise InvalidInput(msg) from error


def _row(event: CloudEvent, index: int, instance: dict[str, Any], model: Model, clock: Clock) -> Row:
    data = model.spec.data
    key = instance.get(data.key) if data.key else None
    name = f"{event.id}:{index}" if key is None or isinstance(key, (dict, list)) else str(key)
    return Row(
        index,
        _storable(event, "a row's key", name, KEY_BYTES),
        _time(instance, data.time, clock),
        _features(event, index, instance),
    )


def _features(event: CloudEvent, index: int, instance: dict[str, Any]) -> bytes:
    """The instance as JSON; raises InvalidInput where a window of such rows could not be held in memory."""
    found = msgspec.json.encode(instance)
    if len(found) > ROW_BYTES:
        msg = f"event {event.id!r} of type {event.type}: row {index} has {len(found):,} bytes, at most {ROW_BYTES:,} are allowed"
        raise InvalidInput(msg)
    return found


def _time(instance: dict[str, Any], column: str | None, clock: Clock) -> float | None:
    found = None if column is None else instance.get(column)
    if found is not None:
        return clock.believed(event_time(found))
    return None if column is not None and clock.replaying else clock.believed(clock.own)


def event_time(found: Any) -> float | None:
    """Seconds since 1970 of a datetime, an ISO 8601 text (no zone means UTC), or a number of seconds or milliseconds; else None."""
    if isinstance(found, (str, date)):
        try:
            return aware(datetime.fromisoformat(str(found))).timestamp()
        except (ValueError, OverflowError):
            return None
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    try:
        seconds = found / 1000 if abs(found) >= _MILLISECONDS else float(found)
        datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return seconds if math.isfinite(seconds) else None


def watermark(rows: tuple[Row, ...], received: datetime, *, replaying: bool) -> float | None:
    """The greatest event time of the rows; unless replaying at most the receipt, so that no skewed clock runs ahead."""
    times = [row.time for row in rows if row.time is not None]
    if not times:
        return None
    return max(times) if replaying else min(max(times), received.timestamp())
