"""Notifications of object stores, read as what they mean here: new data for each Model that reads the object. Pure.

What comes, as a CloudEvent, is one of these: a record of an S3 notification (AWS, MinIO, Ceph), bare or below `Records`, by the CloudEvents
adapter for AWS S3 or by TriggerMesh; Amazon EventBridge's `Object Created`; Google's `google.cloud.storage.object.v1.finalized`. What is
told of objects that were removed, restored or tagged asks for nothing.

A storm of them is one wish: the event that is made is known by its Model and the five minutes that the object was written in, so that a
thousand objects make one Release in each five minutes at most, and the governor lets those that wait collapse into the last.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.events import NEW_DATA, CloudEvent, aware
from trimtab.patterns import matches
from trimtab.spec import Model

TOGETHER = timedelta(minutes=5)
EVENTBRIDGE = "Object Created"
GOOGLE = "google.cloud.storage.object.v1."
_AMAZON = re.compile(r"^com\.amazon(aws)?\.(s3[.:]?)*(?P<what>\w+)", re.IGNORECASE)
_BRIDGED = re.compile(r"^Object [A-Z]")
_BUCKET = re.compile(r"^//storage\.googleapis\.com/projects/[^/]+/buckets/(?P<bucket>[^/]+)$")


class Written(Struct, frozen=True):
    """An object that was written, and when."""

    uri: str
    at: datetime


def notifies(event: CloudEvent) -> bool:
    """Whether the event is an object store's, by its type."""
    return event.type.startswith(GOOGLE) or bool(_AMAZON.match(event.type) or _BRIDGED.match(event.type))


def written(event: CloudEvent, now: datetime) -> list[Written]:
    """The objects that a notification says were written; `now` where it tells no time. Raises InvalidInput where it names none."""
    if event.type.startswith(GOOGLE):
        return [_google(event, now)] if event.type == f"{GOOGLE}finalized" else []
    if event.type == EVENTBRIDGE:
        return [_bridged(event, now)]
    amazon = _AMAZON.match(event.type)
    return _records(event, now) if amazon and amazon["what"].lower().startswith("objectcreated") else []


def wishes(objects: Iterable[Written], models: Iterable[Model]) -> list[CloudEvent]:
    """New data for each Model that names it and reads one of the objects, once for each five minutes."""
    made: dict[tuple[str, str], CloudEvent] = {}
    everyone = list(models)
    for written_one in objects:
        for model in everyone:
            if _reads(model, written_one.uri):
                event = _wish(model, written_one)
                made.setdefault((event.source, event.id), event)
    return list(made.values())


def _reads(model: Model, uri: str) -> bool:
    retraining = model.spec.retraining
    if "newData" not in retraining.on:
        return False
    wanted = (retraining.new_data.uri if retraining.new_data else None) or model.spec.data.uri
    scheme, _, pattern = wanted.partition("://")
    found, _, place = uri.partition("://")
    return scheme == found and matches(pattern, place)


def _wish(model: Model, one: Written) -> CloudEvent:
    length = TOGETHER.total_seconds()
    slot = datetime.fromtimestamp(one.at.timestamp() // length * length, UTC)
    namespace, name = model.metadata.namespace, model.name
    sentence = f"{one.uri} was written at {one.at:%Y-%m-%d %H:%M:%S}Z"
    return CloudEvent(
        id=f"{model.metadata.uid}/{slot:%Y-%m-%dT%H:%MZ}",
        source=f"/models/{namespace}/{name}/objects",
        type=NEW_DATA,
        time=one.at,
        subject=f"{namespace}/{name}",
        data={"model": name, "namespace": namespace, "cut": one.at.isoformat(), "sentence": sentence, "object": one.uri},
    )


def _records(event: CloudEvent, now: datetime) -> list[Written]:
    data = _mapping(event.data)
    records = data.get("Records", [data])
    return [_record(event, _mapping(record), now) for record in records] if isinstance(records, list) else [_record(event, {}, now)]


def _record(event: CloudEvent, record: dict[str, Any], now: datetime) -> Written:
    """One record of an S3 notification, or its part `s3`; its key is encoded as in a URL."""
    s3 = _mapping(record.get("s3", record))
    bucket, key = _mapping(s3.get("bucket")).get("name"), _mapping(s3.get("object")).get("key")
    at = record.get("eventTime")
    return _written(event, "s3", bucket, unquote_plus(key) if isinstance(key, str) else key, at, now, "s3.bucket.name and s3.object.key")


def _bridged(event: CloudEvent, now: datetime) -> Written:
    """EventBridge's message, or its part `detail`; its key is as it is."""
    data = _mapping(event.data)
    detail = _mapping(data.get("detail", data))
    bucket, key = _mapping(detail.get("bucket")).get("name"), _mapping(detail.get("object")).get("key")
    return _written(event, "s3", bucket, key, data.get("time"), now, "detail.bucket.name and detail.object.key")


def _google(event: CloudEvent, now: datetime) -> Written:
    """Bucket and name in the data, or else in source and subject."""
    data, source = _mapping(event.data), _BUCKET.match(event.source)
    bucket = data.get("bucket") or (source["bucket"] if source else None)
    key = data.get("name") or event.subject.removeprefix("objects/")
    return _written(event, "gs", bucket, key, data.get("timeCreated"), now, "bucket and name")


def _written(event: CloudEvent, scheme: str, bucket: object, key: object, at: object, now: datetime, needed: str) -> Written:
    if not (isinstance(bucket, str) and bucket and isinstance(key, str) and key):
        msg = f"event {event.id!r} of type {event.type}: its data lacks {needed}, the object that was written"
        raise InvalidInput(msg)
    return Written(f"{scheme}://{bucket}/{key}", _moment(event, at, now))


def _moment(event: CloudEvent, at: object, now: datetime) -> datetime:
    """When the object was written, never later than now: it is what a run reads up to."""
    try:
        told = aware(datetime.fromisoformat(at)) if isinstance(at, str) else aware(event.time) if event.time else now
    except (ValueError, OverflowError) as error:
        msg = f"event {event.id!r} of type {event.type}: {str(at)[:80]!r} is no time such as 2026-01-31T12:00:00Z"
        raise InvalidInput(msg) from error
    return min(told, now)


def _mapping(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}
