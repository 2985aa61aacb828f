"""What is told of a request: its body and its answer's as the data of two CloudEvents, without the columns that nobody may see.

The events are KServe's own logger's in type, source, extensions and data, and say beside that which version answered, and how many
requests each stands for where only a sample is told.
"""

import functools
import hashlib
from datetime import UTC, datetime

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
    """Which share of the requests is told (0 excluded, up to 1), the columns that are left out of what is, and who asked.

    `unit` is the header whose value says that; nobody is told the value, only a hash of it. Empty: nothing of who asked.
    """

    sample: float = 1.0
    redact: frozenset[str] = frozenset()
    unit: str = ""

    def chosen(self, exchange_id: str) -> bool:
        """Whether the exchange is in the sample. It follows from the id alone: a request that is sent again is told again, or never."""
        if self.sample >= 1:
            return True
        return int.from_bytes(hashlib.blake2b(exchange_id.encode(), digest_size=8).digest()) < self.sample * _WHOLE


class Exchange(Struct, frozen=True, gc=False):
    """A request's body and, unless it failed, its answer's, by V1 or V2; `time` is in nanoseconds since 1970.

    `unit` is the value of the header that says who asked; empty where there is none.
    """

    id: str
    time: int
    v2: bool
    body: bytes
    content: bytes | None
    unit: bytes = b""

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


@functools.lru_cache(16)
def _second(seconds: int) -> bytes:
    """A whole second since 1970 in ISO 8601, without its zone."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


class Encoder:
    """Exchanges as the CloudEvents of one version in JSON format. Request and response share one id; a failed request has no response."""

    def __init__(self, who: Identity, told: Told) -> None:
        self._redact = told.redact
        self._who = f"{who.namespace}/{who.name}\0".encode()
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
        moment = b"%b.%06dZ" % (_second(exchange.time // 1_000_000_000), exchange.time // 1000 % 1_000_000)
        middle = msgspec.json.encode(exchange.id) + b',"time":"' + moment + b'","data":'
        request = self._request + middle + self._asked(exchange) + self._unit(exchange.unit) + b"}"
        if exchange.content is None:
            return Encoded(1, request)
        return Encoded(2, b"".join((request, b",", self._response, middle, self._answered(exchange, exchange.content), b"}")))

    def _unit(self, value: bytes) -> bytes:
        """Who asked, as a pseudonym: 64 bits of the SHA-256 of model and value. What is not UTF-8 is nobody's, as for the gateway."""
        try:
            value.decode()
        except UnicodeDecodeError:
            return b""
        return b',"trimtabunit":"%b"' % hashlib.sha256(self._who + value).hexdigest()[:16].encode() if value else b""

    def _asked(self, exchange: Exchange) -> bytes:
        """The request's data: the body on one line; where columns are left out, nothing but the others."""
        body = exchange.body
        if not self._redact:
            return msgspec.json.format(body, indent=-1) if b"\n" in body else body
        found = msgspec.json.decode(body)
        if exchange.v2:
            return msgspec.json.encode({"inputs": [one for one in found["inputs"] if one["name"] not in self._redact]})
        return msgspec.json.encode(
            {"instances": [{name: row[name] for name in row if name not in self._redact} for row in found["instances"]]}
        )

    def _answered(self, exchange: Exchange, content: bytes) -> bytes:
        """The response's data: the body, but for what a V2 caller gets back of its own where columns are left out."""
        if not (self._redact and exchange.v2):
            return content
        return msgspec.json.encode({"outputs": msgspec.json.decode(content)["outputs"]})
