"""Exchanges as bytes in a ring, from the predictor to its shipper: a header of fixed size, then the caller's id, the body, the answer."""

import itertools
import os
import struct
from collections.abc import Iterator

from serving.predictor.exchange import Exchange
from serving.predictor.ring import Reader

HEADER = struct.Struct("<BqQIII")
"""Flags, time (ns since 1970), the exchange's number, and the lengths of the id (0: made of the number), the body and the answer."""
V2, ANSWERED = 1, 2

READ_BYTES = 1 << 15
BREATH = 8
"""After so many exchanges the shipper lets others have its processor, so that what serves never waits longer than for these."""


class Frames:
    """What arrives in `ring`, which another process writes frames to; `prefix` begins the ids that no caller gave."""

    def __init__(self, ring: Reader, prefix: str) -> None:
        self._ring = ring
        self._prefix = prefix
        self._rest = bytearray()

    def read(self) -> tuple[list[Exchange], int] | None:
        """Wait for something to arrive: the exchanges that are whole by then, and how many bytes came; None at the end."""
        if not (arrived := self._ring.read(READ_BYTES)):
            return None
        self._rest += arrived
        whole = list(self._whole())
        return whole, len(arrived)

    def _whole(self) -> Iterator[Exchange]:
        rest, at = self._rest, 0
        for place in itertools.count():
            if len(rest) < at + HEADER.size:
                break
            if place % BREATH == 0:
                os.sched_yield()
            flags, time, number, id_length, body_length, content_length = HEADER.unpack_from(rest, at)
            given = at + HEADER.size
            body = given + id_length
            content = body + body_length
            end = content + content_length
            if len(rest) < end:
                break
            name = rest[given:body].decode("latin-1") if id_length else f"{self._prefix}-{number}"
            answer = bytes(rest[content:end]) if flags & ANSWERED else None
            yield Exchange(name, time, bool(flags & V2), bytes(rest[body:content]), answer)
            at = end
        del rest[:at]
