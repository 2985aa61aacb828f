"""How much is taken on: requests at once, and seconds a request. What is past either is refused before the model is asked.

The event loop scores small requests one after the other, so the queue under load is the loop's own: requests that were read and wait
for their turn. `Arrivals` stamps each with its time and with how many are before it, when its first byte is read. A request whose body
came at once needs no timer, which would cost as much as decoding it.

A connection that brings its headers or a body that nobody waits for too slowly, or nothing at all, is closed: `sweep` looks at all of
them a few times in the time that a request has.
"""

import asyncio
import time
from collections.abc import Set as AbstractSet
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


_SWEEPS = 8
_LONGEST_SECONDS = 5.0
# The front answers what it waits for in vain itself.
_GRACE_SECONDS = 1.0
_TOO_SLOW = b'{"error":"the headers of the request did not come in time"}'
_ANSWER = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
    len(_TOO_SLOW),
    _TOO_SLOW,
)


class Arrivals(HttpToolsProtocol):
    """uvicorn's protocol of a connection, which puts the arrival of a request into its ASGI scope."""

    scope: Any
    opened = 0.0

    def connection_made(self, transport: Any) -> None:
        """Called by the event loop."""
        self.opened = time.monotonic()
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """Called by the parser at a request's first byte."""
        super().on_message_begin()
        self.scope[ARRIVED] = time.monotonic()
        self.scope[AHEAD] = len(self.tasks)

    def on_message_complete(self) -> None:
        """Called by the parser at the last byte of a request's body."""
        self.scope[WHOLE] = True
        super().on_message_complete()

    def end_if_late(self, before: float) -> None:
        """Close the connection if what it brings, since a moment `before` that of the monotonic clock, is still not a whole request.

        One that waits for its next request has uvicorn's own timer, and one whose request is whole waits for us.
        """
        begun, cycle = self.scope is not None, self.cycle
        if (self.scope[ARRIVED] if begun else self.opened) >= before or self.timeout_keep_alive_task or self.transport.is_closing():
            return
        head = begun and (cycle is None or cycle.scope is not self.scope)
        answering = cycle is not None and not cycle.response_complete
        if answering and (head or not cycle.more_body):
            return
        if head:
            self.transport.write(_ANSWER)
        self.transport.close()


async def sweep(connections: AbstractSet[Any], seconds: float) -> None:
    """For ever: close the connections that took more than `seconds` over a request."""
    while True:
        await asyncio.sleep(min(seconds / _SWEEPS, _LONGEST_SECONDS))
        before = time.monotonic() - seconds - _GRACE_SECONDS
        for connection in [one for one in connections if isinstance(one, Arrivals)]:
            connection.end_if_late(before)
