"""What is told of a request: its rows and predictions as two CloudEvents, without the columns that nobody may see.

The events are KServe's own logger's in type, source and extensions, and say beside that which version answered, and how many requests
each stands for where only a sample is told. Where nothing has to be changed, the bodies themselves are the events' data.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

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


class Exchange(Struct, frozen=True, gc=False):
    """A request's body and, unless it failed, its answer's, by V1 or V2; `time` is in nanoseconds since 1970."""

    id: str
    time: int
    v2: bool
    body: bytes
    content: bytes | None

    @property
    def events(self) -> int:
        """How many events the exchange becomes."""
        return 1 if self.content is None else 2

    @property
    def size(self) -> int:
        """The bytes that it holds."""
        return len(self.body) + len(self.content or b"")


class Encoded(Struct, frozen=True):
    """An exchange as its events in JSON, joined by commas and without a line break."""

    events: int
    body: bytes


# Bodies come here once the predictor has answered them, so they are taken apart but not judged again, which is the dearer half.
class _Rows(Struct):
    instances: list[dict[str, Any]]


class _Column(Struct, gc=False):
    name: str
    data: list[Any]


class _Columns(Struct):
    inputs: list[_Column]


class _Output(Struct):
    shape: list[int]
    data: list[Any]


class _Outputs(Struct):
    outputs: list[_Output]


_v1 = msgspec.json.Decoder(_Rows)
_v2 = msgspec.json.Decoder(_Columns)
_v2_answer = msgspec.json.Decoder(_Outputs)


class Encoder:
    """Exchanges as the CloudEvents of one version in JSON format. Request and response share one id; a failed request has no response."""

    def __init__(self, who: Identity, told: Told) -> None:
        self._redact = told.redact
        source = {"specversion": "1.0", "source": f"http://{who.name}.{who.namespace}", "datacontenttype": "application/json"}
        extensions = {
            "inferenceservicename": who.name,
            "namespace": who.namespace,
            "component": "predictor",
            "endpoint": "",
            "trimtabversion": who.version,
            **({"trimtabweight": f"{1 / told.sample:g}"} if told.sample < 1 else {}),
        }
        common = msgspec.json.encode({**source, **extensions})[:-1]
        self._request, self._response = (common + b',"type":' + msgspec.json.encode(kind) + b',"id":' for kind in (REQUEST, RESPONSE))

    def encoded(self, exchange: Exchange) -> Encoded:
        """The exchange as it is sent and spooled; raises msgspec's errors where a body cannot be read again."""
        moment = datetime.fromtimestamp(exchange.time // 1_000_000_000, UTC).replace(microsecond=exchange.time // 1000 % 1_000_000)
        middle = msgspec.json.encode(exchange.id) + b',"time":' + msgspec.json.encode(moment) + b',"data":'
        request = self._request + middle + self._rows(exchange) + b"}"
        if exchange.content is None:
            return Encoded(1, request)
        content = _v1_answer(exchange.content) if exchange.v2 else exchange.content
        return Encoded(2, b"".join((request, b",", self._response, middle, content, b"}")))

    def _rows(self, exchange: Exchange) -> bytes:
        """The request's data: a V1 body as it came, on one line, where no column has to be left out."""
        if not exchange.v2 and not self._redact:
            return msgspec.json.format(exchange.body, indent=-1) if b"\n" in exchange.body else exchange.body
        rows = _by_row(exchange.body) if exchange.v2 else _v1.decode(exchange.body).instances
        if self._redact:
            rows = [{name: value for name, value in row.items() if name not in self._redact} for row in rows]
        return msgspec.json.encode({"instances": rows})


def _by_row(body: bytes) -> list[dict[str, Any]]:
    """The rows of a V2 request; a column of shape [n, 1] may be a list of lists."""
    inputs = _v2.decode(body).inputs
    names = [one.name for one in inputs]
    columns = [[value for (value,) in one.data] if one.data and isinstance(one.data[0], list) else one.data for one in inputs]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _v1_answer(content: bytes) -> bytes:
    """A V2 answer as V1 would have it."""
    output = _v2_answer.decode(content).outputs[0]
    predictions = output.data
    if len(output.shape) == 2:
        width = output.shape[1]
        predictions = [output.data[start : start + width] for start in range(0, len(output.data), width)]
    return msgspec.json.encode({"predictions": predictions})
