"""Capture: each request and its answer become two CloudEvents, sent off the request path, and nothing is lost uncounted.

The request path only notes what it was asked and what it answered. Every few dozen exchanges, when the work for all of them finds itself in
the processor's caches, their bytes are copied into memory that is shared with a process of its own, the shipper, which does the rest. Where
it does not keep up, they wait here up to a bound, and then the oldest are dropped. A shipper that ends by itself is replaced. At any
time captured = delivered + dropped + queued over both processes, and what is dropped is counted by its reason.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from operator import itemgetter

from msgspec import structs

from serving.predictor.counters import CLOSED, FULL, Counts, Ledger
from serving.predictor.frames import Noted, framed
from serving.predictor.shipper import Settings
from serving.predictor.shipping import Shipping
from serving.predictor.spool import Part

log = logging.getLogger("trimtab.capture")

BATCH = 32
# Of a body: no other is waited for.
LARGE_BYTES = 16 << 10
LINGER_SECONDS = 0.03
WAITING_BYTES = 16 << 20
PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
# What the shipper may take beyond its own seconds to end.
MARGIN_SECONDS = 5.0

_content = itemgetter(4)


def _events(noted: Sequence[Noted]) -> int:
    """How many events these become: two each, one where there is no answer."""
    return 2 * len(noted) - list(map(_content, noted)).count(None)


class Capture:
    """What the request path tells, on its way to the shipper. `take` is for the event loop's thread alone."""

    def __init__(self, settings: Settings, part: Part | None = None) -> None:
        """Start the shipper; `part` is its part of the spool, which is locked here, so that each next shipper finds the same."""
        self._settings = structs.replace(settings, prefix=uuid.uuid4().hex)
        self._part = part
        self.unit = settings.told.unit.lower().encode()
        self._all = settings.told.sample >= 1
        self._number = self._taken = self._skipped = 0
        self._fresh: list[Noted] = []
        self._late: deque[tuple[bytes, int]] = deque()
        self._late_bytes = self._late_events = 0
        self._partial = memoryview(b"")
        self._given = 0
        self._dropped = {FULL: 0, CLOSED: 0}
        self._armed = False
        self._ledger = Ledger()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._shipping: Shipping | None = Shipping(self._settings, part)
        self._watch = threading.Thread(target=self._tend, args=(self._shipping,), name="shipper", daemon=True)
        self._watch.start()

    def take(self, v2: bool, body: bytes, content: bytes | None, arrived: float, given: bytes = b"", unit: bytes = b"") -> None:
        """Queue one exchange: a request's body by V1 or V2, and its answer's, None where it failed. Waits for nothing.

        `arrived` is when the request did, by the monotonic clock, which is not read again: each call counts here.

        `given` is the caller's own event id, if it gave one, as KServe's logger keeps it: a request asked twice then counts once. `unit` is
        the value of the header that is named `unit` here, where one is.
        """
        self._fresh.append((arrived, v2, given, body, content, unit))
        if len(self._fresh) >= BATCH or len(body) > LARGE_BYTES:
            self._flush()
            if not self._waits():
                return
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._tick)

    def counts(self) -> Counts:
        """The counters, all of one moment."""
        with self._lock:
            fresh = list(self._fresh)
            taken = fresh if self._all else self._chosen(self._number + 1, fresh)
            state = None if self._shipping is None else self._shipping.board.read()
            captured, skipped = self._taken + _events(taken), self._skipped + _events(fresh) - _events(taken)
            return self._ledger.counts(captured, skipped, self._dropped, state)

    def close(self) -> None:
        """Hand over what waits and let the shipper send it for its seconds; then all is delivered, in the spool, or dropped."""
        until = time.monotonic() + self._settings.seconds + MARGIN_SECONDS
        self._closing.set()
        self._flush()
        shipping = self._shipping
        while shipping is not None and self._waits() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, LINGER_SECONDS))
            self._flush()
            shipping = self._shipping
        if shipping is not None:
            shipping.end(until - time.monotonic())
        self._watch.join()
        self._dropped[CLOSED] += self._late_events
        counts = self.counts()
        if counts.lost:
            log.warning("%d of %d captured events were dropped: %s", counts.lost, counts.captured, counts.dropped)

    def _tick(self) -> None:
        self._armed = False
        self._flush()
        if self._waits() and not self._closing.is_set():
            self._armed = True
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._tick)

    def _waits(self) -> bool:
        """Whether there is something that the shipper has not got, or was not told of."""
        return bool(self._late or self._partial) or (self._shipping is not None and self._shipping.ring.silent)

    def _flush(self) -> None:
        """Give the shipper what it has room for, and tell it of all that it has."""
        with self._lock:
            first, taken, events = self._sampled()
            shipping = self._shipping
            if taken:
                pieces = framed(first, taken)
                if shipping is not None and not self._late and not self._partial and shipping.ring.put(*pieces):
                    self._given += events
                else:
                    self._wait(b"".join(pieces), events)
            if shipping is not None:
                self._write(shipping)
                shipping.ring.tell()

    def _sampled(self) -> tuple[int, list[Noted], int]:
        """What was taken since the last time as far as it is in the sample, with the number of the first and how many events it becomes."""
        first, fresh = self._number + 1, self._fresh
        self._fresh = []
        self._number += len(fresh)
        events = _events(fresh)
        if self._all:
            self._taken += events
            return first, fresh, events
        chosen = self._chosen(first, fresh)
        taken = _events(chosen)
        self._taken += taken
        self._skipped += events - taken
        return first, chosen, taken

    def _chosen(self, first: int, fresh: Sequence[Noted]) -> list[Noted]:
        """Those in the sample, each with its id, for their numbers have gaps."""
        chosen: list[Noted] = []
        for number, (arrived, v2, given, body, content, unit) in enumerate(fresh, first):
            name = given or f"{self._settings.prefix}-{number}".encode()
            if self._settings.told.chosen(name.decode("latin-1")):
                chosen.append((arrived, v2, name, body, content, unit))
        return chosen

    def _wait(self, frame: bytes, events: int) -> None:
        """Keep a frame that the shipper has no room for, and drop the oldest where they are more than may wait."""
        self._late.append((frame, events))
        self._late_bytes += len(frame)
        self._late_events += events
        while self._late and (self._late_bytes > WAITING_BYTES or self._late_events > self._settings.bound):
            self._dropped[FULL] += self._oldest()[1]

    def _oldest(self) -> tuple[bytes, int]:
        frame, events = self._late.popleft()
        self._late_bytes -= len(frame)
        self._late_events -= events
        return frame, events

    def _write(self, shipping: Shipping) -> None:
        while self._late or self._partial:
            if not self._partial:
                frame, events = self._oldest()
                self._partial = memoryview(frame)
                self._given += events
            written = shipping.ring.write(self._partial)
            if not written:
                return
            self._partial = self._partial[written:]

    def _tend(self, shipping: Shipping) -> None:
        """Wait for the shipper's end and start the next, unless the end is ours too. For a thread of its own, which mostly sleeps."""
        pause = PAUSE_SECONDS / 2
        while True:
            began = time.monotonic()
            code = shipping.wait()
            with self._lock:
                self._shipping = None
                self._ledger.settle(shipping.board.read(), self._given)
                self._given, self._partial = 0, memoryview(b"")
                shipping.close()
            if self._closing.is_set():
                return
            log.warning("the shipper ended with exit code %d and is started anew", code)
            pause = PAUSE_SECONDS if time.monotonic() - began > LONGEST_PAUSE_SECONDS else min(2 * pause, LONGEST_PAUSE_SECONDS)
            following = None
            while following is None:
                if self._closing.wait(pause):
                    return
                following = self._following()
            shipping = following
            with self._lock:
                self._shipping = shipping

    def _following(self) -> Shipping | None:
        """The next shipper; None where the machine has no room for one now."""
        try:
            return Shipping(self._settings, self._part)
        except OSError as error:
            log.warning("the shipper cannot be started now: %s", error)
            return None
