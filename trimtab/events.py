"""CloudEvents 1.0 as they come over HTTP, and the types that Trimtab speaks.

Only the envelope and the shape of each type's data are checked here; what an event leads to is decided in the rooms that
take it: `monitoring/` stores requests, responses and labels, `control/sink.py` turns the rest into Releases.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from trimtab.errors import InvalidInput

REQUEST = "org.kubeflow.serving.inference.request"
RESPONSE = "org.kubeflow.serving.inference.response"
LABEL = "dev.trimtab.label.v1"
FINDING = "dev.trimtab.finding.v1"
CANDIDATE = "dev.trimtab.candidate.v1"
NEW_DATA = "dev.trimtab.newdata.v1"

PROMOTED = "dev.trimtab.release.promoted.v1"
ROLLED_BACK = "dev.trimtab.release.rolledback.v1"
ESCALATION = "dev.trimtab.escalation.v1"
BREAKER_OPENED = "dev.trimtab.breaker.opened.v1"

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

T = TypeVar("T")
_Text = Annotated[str, Meta(min_length=1, max_length=1024)]
_ATTRIBUTES = ("specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema")


class CloudEvent(Struct, frozen=True, omit_defaults=True):
    """An event's envelope; `extensions` holds the attributes beyond the specification's (CloudEvents 1.0, §3)."""

    id: _Text
    source: _Text
    type: _Text
    specversion: Literal["1.0"] = "1.0"
    time: datetime | None = None
    subject: str = ""
    datacontenttype: str = "application/json"
    data: Any = None
    extensions: dict[str, str] = {}


class Label(Struct, frozen=True, rename="camel"):
    """A label that arrived: `time` is when it became known (data time)."""

    model: _Text
    key: str | int
    value: float | int | str | bool | None
    time: datetime
    namespace: str = "default"


FindingKind = Literal["quality", "covariate", "prediction", "explanation", "concept", "performance"]
Severity = Literal["info", "warning", "critical"]


class Finding(Struct, frozen=True, rename="camel"):
    """What the monitor found in one window; `cut` is the watermark at that moment, `evidence` the numbers behind it.

    `hurts` says whether matured labels (or an estimate) show a worse error; `seasons` how many seasons the reference spans.
    `severity`: answers are worse or cannot be trusted (critical), they may be (warning), something else than harm is known (info).
    """

    model: str
    namespace: str
    model_uid: str
    version: str
    kind: FindingKind
    window: int
    window_start: datetime
    window_end: datetime
    cut: datetime
    sentence: str
    evidence: dict[str, Any] = {}
    hurts: bool | None = None
    seasons: float = 0.0
    severity: Severity = "warning"


class CandidateReady(Struct, frozen=True, rename="camel"):
    """A run that was started by hand has ended and wants a Release that begins at its gates' verdict."""

    model: _Text
    run: _Text
    cut: datetime
    by: str = ""
    sentence: str = ""
    namespace: str = "default"


def finding_event(finding: Finding, source: str) -> CloudEvent:
    """The event of a finding; the same finding twice is the same event, by (source, id)."""
    identity = "|".join((finding.model_uid, finding.version, str(finding.window), finding.kind))
    return CloudEvent(
        id=hashlib.sha256(identity.encode()).hexdigest()[:32],
        source=source,
        type=FINDING,
        time=finding.cut,
        subject=f"{finding.namespace}/{finding.model}",
        data=msgspec.to_builtins(finding),
    )


def structured(event: CloudEvent) -> dict[str, Any]:
    """The event as a structured-mode JSON object (CloudEvents JSON format, §3)."""
    body = {name: value for name, value in msgspec.to_builtins(event).items() if name != "extensions"}
    return {"specversion": event.specversion, **body, **event.extensions}


def _from_object(found: Any, where: str) -> CloudEvent:
    if not isinstance(found, dict):
        msg = f"{where}: a CloudEvent is a JSON object, found {type(found).__name__}"
        raise InvalidInput(msg)
    if "specversion" not in found:
        msg = f'{where}: the attribute "specversion" is missing; "1.0" is required'
        raise InvalidInput(msg)
    known = {name: found[name] for name in (*_ATTRIBUTES, "data") if name in found}
    extensions = {name: str(value) for name, value in found.items() if name not in known}
    try:
        event = msgspec.convert({**known, "extensions": extensions}, CloudEvent)
    except msgspec.ValidationError as error:
        msg = f"{where}: not a CloudEvent 1.0: {error}"
        raise InvalidInput(msg) from error
    return event


def parse(headers: Mapping[str, str], body: bytes) -> list[CloudEvent]:
    """The events of one HTTP request: structured, batched or binary mode (CloudEvents HTTP binding, §3).

    Header names are compared without case. Raises InvalidInput with a sentence where the request is none of the three.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    media = lower.get("content-type", "").split(";")[0].strip().lower()
    if media not in (STRUCTURED, BATCH) and "ce-id" not in lower and "ce-type" not in lower and "ce-specversion" not in lower:
        msg = f'not a CloudEvent: neither "ce-" headers nor content type {STRUCTURED} or {BATCH}, found {media or "none"!r}'
        raise InvalidInput(msg)
    try:
        content = msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"the event's body is not JSON: {error}"
        raise InvalidInput(msg) from error
    if media == BATCH:
        if not isinstance(content, list):
            msg = "a batch of CloudEvents is a JSON array"
            raise InvalidInput(msg)
        return [_from_object(item, f"event {index} of the batch") for index, item in enumerate(content)]
    if media == STRUCTURED:
        return [_from_object(content, "the event")]
    attributes = {name.removeprefix("ce-"): value for name, value in lower.items() if name.startswith("ce-")}
    return [_from_object({**attributes, "datacontenttype": media or "application/json", "data": content}, "the event")]


def data_of(event: CloudEvent, shape: type[T]) -> T:
    """The event's data as `shape`; raises InvalidInput naming the event and the field."""
    try:
        found = msgspec.convert(event.data, shape)
    except msgspec.ValidationError as error:
        msg = f"event {event.id!r} of type {event.type}: its data is not as the type asks: {error}"
        raise InvalidInput(msg) from error
    return found


def aware(moment: datetime) -> datetime:
    """The moment in UTC; one without a zone is taken as UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
