"""How much is taken on: requests at once, and seconds a request. What is past either is refused before the model is asked.

The event loop scores small requests one after the other, so the queue under load is the loop's own: requests that were read and wait
for their turn. `Arrivals` stamps each with its time and with how many are before it, when its first byte is read. A request whose body
came at once needs no timer, which would cost as much as decoding it.
"""

import time
from typing import Any

from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ARRIVED = "trimtab.arrived"
AHEAD = "trimtab.ahead"
WHOLE = "trimtab.whole"
# Envoy tells the upstream how long it will wait (its router filter's documentation, "HTTP headers"), in milliseconds.
TIMEOUT_HEADER = b"x-envoy-expected-rq-timeout-ms"


class Limits(Struct, frozen=True):
    """`in_flight`: requests that one process holds at once; `seconds`: from a request's arrival to the latest useful answer.

    A small request is answered in less than a millisecond, so 256 of them wait for a quarter of a second at most.
    """

    in_flight: int = 256
    seconds: float = 30.0

    def allowed(self, headers: dict[bytes, bytes]) -> float:
        """The seconds that this request has: the limit, or what Envoy says it waits if that is less."""
        given = headers.get(TIMEOUT_HEADER)
        if given is None or not given.isdigit() or len(given) > 9 or int(given) == 0:
            return self.seconds
        return min(self.seconds, int(given) / 1000)


class Arrivals(HttpToolsProtocol):
    """uvicorn's protocol of a connection, which puts the arrival of a request into its ASGI scope."""

    scope: Any

    def on_message_begin(self) -> None:
        """Called by the parser at a request's first byte."""
        super().on_message_begin()
        self.scope[ARRIVED] = time.monotonic()
        self.scope[AHEAD] = len(self.tasks)

    def on_message_complete(self) -> None:
        """Called by the parser at the last byte of a request's body."""
        self.scope[WHOLE] = True
        super().on_message_complete()
