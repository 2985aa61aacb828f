"""What is told of a request: its rows and predictions as two CloudEvents, without the columns that nobody may see.

The events are KServe's own logger's in type, source and extensions, and say beside that which version answered, and how many requests
each stands for where only a sample is told.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from serving.predictor.protocol import Predictions, Row
from trimtab.events import REQUEST, RESPONSE

_WHOLE = 1 << 64


class Identity(Struct, frozen=True):
    """Whose requests these are; goes into each event."""

    name: str
    namespace: str
    version: str


class Told(Struct, frozen=True):
    """Which share of the requests is told (0 excluded, up to 1), and the columns that are left out of what is."""

    sample: float = 1.0
    redact: frozenset[str] = frozenset()

    def chosen(self, exchange_id: str) -> bool:
        """Whether the exchange is in the sample. It follows from the id alone: a request that is sent again is told again, or never."""
        if self.sample >= 1:
            return True
        return int.from_bytes(hashlib.blake2b(exchange_id.encode(), digest_size=8).digest()) < self.sample * _WHOLE


class Exchange(Struct, frozen=True):
    """A request's rows and, unless it failed, its predictions; `size` is the request's length in bytes."""

    id: str
    time: datetime
    rows: Sequence[Row]
    predictions: Predictions | None
    size: int

    @property
    def events(self) -> int:
        """How many events the exchange becomes."""
        return 1 if self.predictions is None else 2


class Encoded(Struct, frozen=True):
    """An exchange as its events in JSON, joined by commas and without a line break."""

    events: int
    body: bytes


def encoded(exchange: Exchange, who: Identity, told: Told) -> Encoded:
    """The exchange as it is sent and spooled; raises what msgspec raises where a value cannot be encoded."""
    return Encoded(exchange.events, b",".join(map(msgspec.json.encode, events_of(exchange, who, told))))


def events_of(exchange: Exchange, who: Identity, told: Told) -> list[dict[str, Any]]:
    """The exchange as CloudEvents in JSON format. Request and response share one id; a failed request has no response."""
    common = {
        "specversion": "1.0",
        "id": exchange.id,
        "source": f"http://{who.name}.{who.namespace}",
        "time": exchange.time,
        "datacontenttype": "application/json",
        "inferenceservicename": who.name,
        "namespace": who.namespace,
        "component": "predictor",
        "endpoint": "",
        "trimtabversion": who.version,
        **({"trimtabweight": f"{1 / told.sample:g}"} if told.sample < 1 else {}),
    }
    rows = list(exchange.rows)
    if told.redact:
        rows = [{name: value for name, value in row.items() if name not in told.redact} for row in rows]
    request = {**common, "type": REQUEST, "data": {"instances": rows}}
    if exchange.predictions is None:
        return [request]
    return [request, {**common, "type": RESPONSE, "data": {"predictions": exchange.predictions}}]
