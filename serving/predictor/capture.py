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

from msgspec import structs

from serving.predictor.counters import CLOSED, FULL, Counts, Ledger
from serving.predictor.frames import ANSWERED, HEADER, V2
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

_pack = HEADER.pack


def _events(content: bytes | None) -> int:
    """How many events an exchange becomes whose answer is this."""
    return 1 if content is None else 2


class Capture:
    """What the request path tells, on its way to the shipper. `take` is for the event loop's thread alone."""

    def __init__(self, settings: Settings, part: Part | None = None) -> None:
        """Start the shipper; `part` is its part of the spool, which is locked here, so that each next shipper finds the same."""
        self._settings = structs.replace(settings, prefix=uuid.uuid4().hex)
        self._part = part
        self._all = settings.told.sample >= 1
        self._number = self._taken = self._skipped = 0
        self._fresh: list[tuple[int, bool, bytes, bytes, bytes | None]] = []
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

    def take(self, v2: bool, body: bytes, content: bytes | None, given: bytes = b"") -> None:
        """Queue one exchange: a request's body by V1 or V2, and its answer's, None where it failed. Waits for nothing.

        `given` is the caller's own event id, if it gave one, as KServe's logger keeps it: a request asked twice then counts once.
        """
        self._fresh.append((time.time_ns(), v2, given, body, content))
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
            chosen = {True: self._taken, False: self._skipped}
            for number, (_, _, given, _, content) in enumerate(list(self._fresh), self._number + 1):
                chosen[self._chosen(number, given)] += _events(content)
            state = None if self._shipping is None else self._shipping.board.read()
            return self._ledger.counts(chosen[True], chosen[False], self._dropped, state)

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
            frames, events = self._framed()
            shipping = self._shipping
            if shipping is not None and not self._late and not self._partial and shipping.ring.put(frames):
                self._given += events
            elif events:
                self._wait(frames, events)
            if shipping is not None:
                self._write(shipping)
                shipping.ring.tell()

    def _framed(self) -> tuple[bytes, int]:
        """The frames of what was taken since the last time, as far as it is in the sample, and their number of events."""
        fresh, self._fresh = self._fresh, []
        pieces: list[bytes] = []
        taken = 0
        for number, (moment, v2, given, body, content) in enumerate(fresh, self._number + 1):
            if not self._chosen(number, given):
                self._skipped += _events(content)
                continue
            taken += _events(content)
            answer = content or b""
            flags = V2 * v2 + ANSWERED * (content is not None)
            pieces += (_pack(flags, moment, number, len(given), len(body), len(answer)), given, body, answer)
        self._number += len(fresh)
        self._taken += taken
        return b"".join(pieces), taken

    def _chosen(self, number: int, given: bytes) -> bool:
        """Whether the exchange of this number, or of the id that its caller gave, is in the sample."""
        return self._all or self._settings.told.chosen(given.decode("latin-1") or f"{self._settings.prefix}-{number}")

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
