"""Capture: each request and its answer become two CloudEvents, sent off the request path, and nothing is lost uncounted.

The request path only appends to a bounded queue; one thread encodes and sends. While the monitor is away events wait; where there is
a spool, another thread moves the older half of them to disk. Where neither has room the oldest in memory are dropped. At any time
captured = delivered + dropped + queued, and what is dropped is counted by its reason.
"""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from serving.predictor.exchange import Encoded, Exchange, Identity, Told, encoded
from serving.predictor.protocol import Predictions, Row
from serving.predictor.sender import Answer, Sender
from serving.predictor.spool import Segment, Spool, read

log = logging.getLogger("trimtab.capture")

BATCH_EVENTS = 200
BATCH_BYTES = 1 << 20
QUEUE_BYTES = 64 << 20
LINGER_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0
SPOOL_PAUSE_SECONDS = 1.0

FULL, REFUSED, UNENCODABLE, SPOILED, CLOSED = "full", "refused", "unencodable", "spoiled", "closed"
REASONS = (FULL, REFUSED, UNENCODABLE, SPOILED, CLOSED)
"""Why events are dropped: no room; refused for good; a value that JSON cannot hold; a fault of the disk; the end of the process."""


class Counts(Struct, frozen=True):
    """Events since the start; captured = delivered + dropped + queued. What an earlier process left in the spool counts as captured.

    `dropped` is by reason. `skipped` events are not in the sample, and not captured; `failures` counts sendings that were not taken.
    """

    captured: int
    delivered: int
    dropped: dict[str, int]
    queued: int
    skipped: int
    failures: int

    @property
    def lost(self) -> int:
        """All that were dropped."""
        return sum(self.dropped.values())


class Capture:
    """The bounded queue, the thread that empties it into `url` (http or https), and the one that fills the spool."""

    def __init__(
        self, url: str, secret_file: Path, who: Identity, bound: int = 10_000, told: Told | None = None, spool: Spool | None = None
    ) -> None:
        """`bound` is how many events may wait in memory."""
        self._sender = Sender(url, secret_file)
        self._who, self._told, self._bound, self._spool = who, told or Told(), bound, spool
        self._queue: deque[Exchange] = deque()
        self._waiting = self._bytes = 0
        self._captured = self._queued = spool.events if spool is not None else 0
        self._delivered = self._skipped = self._failures = 0
        self._dropped = dict.fromkeys(REASONS, 0)
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._closing: float | None = None
        self._threads = [threading.Thread(target=self._run, name="capture", daemon=True)]
        if spool is not None:
            self._threads.append(threading.Thread(target=self._fill, args=(spool,), name="capture-spool", daemon=True))
        for thread in self._threads:
            thread.start()

    def take(self, rows: Sequence[Row], predictions: Predictions | None, size: int, given: str = "") -> None:
        """Queue one exchange (`size`: the request's bytes). Never waits for the monitor or the disk.

        `given` is the caller's own event id, if it gave one, as KServe's logger keeps it: a request asked twice then counts once.
        """
        exchange = Exchange(given or uuid.uuid4().hex, datetime.now(UTC), rows, predictions, size)
        chosen = self._told.chosen(exchange.id)
        with self._changed:
            if not chosen:
                self._skipped += exchange.events
                return
            before, crowded = self._waiting, self._crowded()
            self._queue.append(exchange)
            self._captured += exchange.events
            self._queued += exchange.events
            self._waiting += exchange.events
            self._bytes += size
            self._trim()
            if len(self._queue) == 1 or before < BATCH_EVENTS <= self._waiting or (self._crowded() and not crowded):
                self._changed.notify_all()

    def counts(self) -> Counts:
        """The counters, all of one moment."""
        with self._changed:
            return Counts(self._captured, self._delivered, dict(self._dropped), self._queued, self._skipped, self._failures)

    def close(self, seconds: float) -> None:
        """Send what is queued for at most `seconds`; then spool the rest, or drop it, and end the threads."""
        with self._changed:
            self._closing = time.monotonic() + seconds
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, self._closing + 0.5 - time.monotonic()))
        while batch := self._batch():
            self._keep(self._encoded(batch))
        if self._spool is not None:
            self._spool.close()
        counts = self.counts()
        if counts.lost:
            log.warning("%d of %d captured events were dropped: %s", counts.lost, counts.captured, counts.dropped)

    def _pop(self) -> Exchange:
        exchange = self._queue.popleft()
        self._bytes -= exchange.size
        self._waiting -= exchange.events
        return exchange

    def _crowded(self) -> bool:
        """Whether more than half of the room in memory is taken."""
        return 2 * self._waiting > self._bound or 2 * self._bytes > QUEUE_BYTES

    def _trim(self) -> None:
        while self._queue and (self._waiting > self._bound or self._bytes > QUEUE_BYTES):
            self._drop(FULL, self._pop().events)

    def _drop(self, reason: str, events: int) -> None:
        self._dropped[reason] += events
        self._queued -= events

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._queue or self._closing is not None or (self._spool is not None and self._spool.oldest())
                )
            if self._closing is not None and time.monotonic() > self._closing:
                return
            if self._spool is not None and (segment := self._spool.oldest()) is not None:
                if not self._empty(self._spool, segment):
                    return
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._waiting >= BATCH_EVENTS or self._closing is not None, LINGER_SECONDS)
            if batch := self._batch():
                self._keep(self._deliver(self._encoded(batch)))
            elif self._closing is not None:
                return

    def _empty(self, spool: Spool, segment: Segment) -> bool:
        """Deliver a segment; False where the process ends before all of it was sent: then it stays."""
        batch = read(segment)
        spoiled = segment.events - sum(one.events for one in batch)
        if self._deliver(batch):
            return False
        with self._changed:
            self._drop(SPOILED, spoiled)
        spool.remove(segment)
        return True

    def _batch(self) -> list[Exchange]:
        """The oldest exchanges in memory, as many as go into one sending."""
        with self._changed:
            batch: list[Exchange] = []
            events = size = 0
            while self._queue:
                first = self._queue[0]
                if events + first.events > BATCH_EVENTS or (batch and size + first.size > BATCH_BYTES):
                    break
                exchange = self._pop()
                events, size = events + exchange.events, size + exchange.size
                batch.append(exchange)
            return batch

    def _encoded(self, batch: Sequence[Exchange]) -> list[Encoded]:
        found = []
        for exchange in batch:
            try:
                found.append(encoded(exchange, self._who, self._told))
            except Exception as error:  # what a caller nested too deep must not end the thread
                log.warning("a captured exchange was dropped: it cannot be encoded (%s)", type(error).__name__)
                with self._changed:
                    self._drop(UNENCODABLE, exchange.events)
        return found

    def _deliver(self, batch: list[Encoded]) -> list[Encoded]:
        """Send until it is taken; a batch that is refused for good is halved until the refused exchange stands alone and is dropped.

        Returns what could not be sent before the process ends.
        """
        pause = 0.1
        while batch:
            answer, events = self._sender.send(batch), sum(one.events for one in batch)
            with self._changed:
                if answer is Answer.TAKEN:
                    self._delivered += events
                    self._queued -= events
                    return []
                self._failures += 1
                if answer is Answer.REFUSED and len(batch) == 1:
                    self._drop(REFUSED, events)
                    return []
            if answer is Answer.REFUSED:
                half = len(batch) // 2
                return [*self._deliver(batch[:half]), *self._deliver(batch[half:])]
            if self._closing is not None and time.monotonic() + pause > self._closing:
                return batch
            if pause == LONGEST_PAUSE_SECONDS:
                log.warning("the monitor takes no events; %d wait", self.counts().queued)
            with self._changed:
                self._changed.wait_for(lambda: self._closing is not None, pause)
            pause = 0.1 if self._closing is not None else min(2 * pause, LONGEST_PAUSE_SECONDS)
        return []

    def _keep(self, left: list[Encoded]) -> None:
        """What the end of the process leaves: to the spool, or dropped."""
        if left and not (self._spool is not None and self._spooled(self._spool, left)):
            with self._changed:
                self._drop(CLOSED, sum(one.events for one in left))

    def _spooled(self, spool: Spool, batch: list[Encoded]) -> bool:
        with self._writing:
            return spool.add(batch)

    def _fill(self, spool: Spool) -> None:
        """Move the oldest events in memory to the spool while it is crowded there."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._crowded() or self._closing is not None)
                if self._closing is not None:
                    return
            if not self._move(spool):
                with self._changed:
                    self._changed.wait_for(lambda: self._closing is not None, SPOOL_PAUSE_SECONDS)

    def _move(self, spool: Spool) -> bool:
        """Move one batch to the spool; False where it has no room: then the batch stays the oldest in memory."""
        pairs = [(exchange, made) for exchange in self._batch() for made in self._encoded([exchange])]
        if not pairs or self._spooled(spool, [made for _, made in pairs]):
            with self._changed:
                self._changed.notify_all()
            return True
        with self._changed:
            for exchange, _ in reversed(pairs):
                self._queue.appendleft(exchange)
                self._waiting += exchange.events
                self._bytes += exchange.size
            self._trim()
        return False
