"""Exchanges as bytes in a ring, from the predictor to its shipper: some dozens at a time in MessagePack, after the length of that.

MessagePack because one call of C makes it of all of them, and one takes it apart: in the predictor what Python does once for each request
costs several times what it costs in a loop.
"""

import os
import struct
import time
from collections.abc import Iterator, Sequence

import msgspec

from serving.predictor.exchange import Exchange
from serving.predictor.ring import Reader

Noted = tuple[float, bool, bytes, bytes, bytes | None, bytes]
"""Of one exchange: arrival (monotonic seconds), by V2 or V1, the caller's id (empty: made of the number), body, answer or None,
the value of the header that says who asked."""

READ_BYTES = 1 << 15
BREATH = 8
"""After so many exchanges the shipper lets others have its processor, so that what serves never waits longer than for these."""
_LENGTH = struct.Struct("<I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, int, list[Noted]]).decode


def framed(first: int, noted: Sequence[Noted]) -> tuple[bytes, bytes]:
    """The two pieces of a frame: the first exchange has the number `first`, the next the next. It knows when the monotonic clock began."""
    content = _encode((first, time.time_ns() - time.monotonic_ns(), noted))
    return _LENGTH.pack(len(content)), content


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
        while len(rest) >= at + _LENGTH.size:
            (length,) = _LENGTH.unpack_from(rest, at)
            start = at + _LENGTH.size
            if len(rest) < start + length:
                break
            first, epoch, noted = _decode(rest[start : start + length])
            for number, (arrived, v2, given, body, content, unit) in enumerate(noted, first):
                if number % BREATH == 0:
                    os.sched_yield()
                name = given.decode("latin-1") or f"{self._prefix}-{number}"
                yield Exchange(name, epoch + int(arrived * 1e9), v2, body, content, unit)
            at = start + length
        del rest[:at]
