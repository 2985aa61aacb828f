"""What the shipper has yet to send: a bounded queue in memory, the spool behind it, and the threads that empty and fill them.

While the monitor is away events wait; where there is a spool, a thread moves the older half of them to disk. Where neither has room the
oldest in memory are dropped. At any time received and found = delivered + dropped + held in memory + spooled, and what is dropped is
counted by its reason.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence

from serving.predictor.counters import CLOSED, FULL, REFUSED, SPOILED, UNENCODABLE, Board, State
from serving.predictor.exchange import Encoded, Encoder, Exchange
from serving.predictor.frames import BREATH
from serving.predictor.sender import Answer, Sender
from serving.predictor.spool import Segment, Spool, read
from serving.predictor.waiting import Waiting

log = logging.getLogger("trimtab.capture")

LINGER_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0
SPOOL_PAUSE_SECONDS = 1.0
# A thread that is to run on an idle processor may have to wait for one at the end.
STARVED_SECONDS = 3.0


class Delivery:
    """The bounded queue, the thread that empties it into `sender`, and the one that fills the spool."""

    def __init__(
        self,
        sender: Sender,
        encoder: Encoder,
        board: Board,
        bound: int,
        spool: Spool | None = None,
        lower: Callable[[], None] = lambda: None,
    ) -> None:
        """`bound` is how many events may wait in memory; the counters are written to `board`.

        The thread that sends calls `lower` to become one that others go before. It cannot take that back, so where too much waits
        for it another thread is put in its place until there is time again.
        """
        self._sender, self._encoder, self._board, self._spool = sender, encoder, board, spool
        self._queue = Waiting(bound)
        found = spool.events if spool is not None else 0
        self._counters = dict.fromkeys(State.__struct_fields__, 0) | {"found": found, "spooled": found}
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._closing: float | None = None
        self._count()
        self._lower, self._lowered = lower, False
        self._left: list[Encoded] = []
        with self._changed:
            self._deliverer = self._started()
        self._filler = None if spool is None else threading.Thread(target=self._fill, args=(spool,), name="spool", daemon=True)
        if self._filler is not None:
            self._filler.start()

    def take(self, exchanges: Sequence[Exchange]) -> None:
        """Queue what the predictor told. Never waits for the monitor or the disk."""
        with self._changed:
            before, whole, crowded = self._queue.events, self._queue.whole, self._queue.crowded
            dropped = self._queue.add(exchanges)
            self._count(received=sum(one.events for one in exchanges), **{FULL: dropped})
            if self._queue.crowded:
                self._hurry()
            if not before or (self._queue.whole and not whole) or (self._queue.crowded and not crowded):
                self._changed.notify_all()

    def close(self, seconds: float) -> None:
        """Send what is queued for at most `seconds`; then spool the rest, or drop it, and end the threads."""
        with self._changed:
            self._closing = time.monotonic() + seconds
            self._hurry()
            self._changed.notify_all()
        for thread in (self._deliverer, self._filler):
            if thread is not None:
                thread.join(max(0.0, self._closing + STARVED_SECONDS - time.monotonic()))
        self._keep(self._left)
        while batch := self._batch():
            self._keep(self._encoded(batch))

    def _count(self, **more: int) -> None:
        """Add to the counters, all at one moment; to be called with the lock."""
        for name, events in more.items():
            self._counters[name] += events
        self._board.write(State(**self._counters))

    def _started(self, before: threading.Thread | None = None) -> threading.Thread:
        thread = threading.Thread(target=self._run, args=(before,), name="deliver", daemon=True)
        thread.start()
        return thread

    def _hurry(self) -> None:
        """Put a thread of the usual priority in the place of one that gave it up; to be called with the lock."""
        if self._lowered:
            self._lowered = False
            self._deliverer = self._started(self._deliverer)

    def _replaced(self) -> bool:
        """Whether another thread is to go on with what this one does."""
        return self._deliverer is not threading.current_thread()

    def _run(self, before: threading.Thread | None) -> None:
        if before is not None:
            before.join()
            left, self._left = self._left, []
            self._ship(left)
        while True:
            with self._changed:
                if self._replaced():
                    return
                if not self._lowered and self._closing is None and not self._queue.crowded and not self._counters["spooled"]:
                    self._lowered = True
                    self._lower()
                self._changed.wait_for(
                    lambda: self._queue.events or self._closing is not None or (self._spool is not None and self._spool.oldest())
                )
            if self._closing is not None and time.monotonic() > self._closing:
                return
            if self._spool is not None and (segment := self._spool.oldest()) is not None:
                if not self._empty(self._spool, segment):
                    return
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._queue.whole or self._closing is not None, LINGER_SECONDS)
            if batch := self._batch():
                self._ship(self._encoded(batch))
            elif self._closing is not None:
                return

    def _ship(self, batch: list[Encoded]) -> None:
        """Deliver a batch, leave it to the thread that replaces this one, or keep it beyond the end of the process."""
        left = self._deliver(batch)
        if left and self._replaced():
            self._left = left
        else:
            self._keep(left)

    def _empty(self, spool: Spool, segment: Segment) -> bool:
        """Deliver a segment; False where the process ends before all of it was sent: then it stays."""
        batch = read(segment)
        spoiled = segment.events - sum(one.events for one in batch)
        if self._deliver(batch, spooled=True):
            return False
        with self._changed:
            self._count(**{SPOILED: spoiled}, spooled=-spoiled)
        spool.remove(segment)
        return True

    def _batch(self) -> list[Exchange]:
        with self._changed:
            return self._queue.batch()

    def _encoded(self, batch: Sequence[Exchange]) -> list[Encoded]:
        found = []
        for place, exchange in enumerate(batch):
            if place % BREATH == 0:
                os.sched_yield()
            try:
                found.append(self._encoder.encoded(exchange))
            except Exception as error:  # what a caller nested too deep must not end the thread
                log.warning("a captured exchange was dropped: it cannot be encoded (%s)", type(error).__name__)
                with self._changed:
                    self._count(**{UNENCODABLE: exchange.events})
        return found

    def _deliver(self, batch: list[Encoded], *, spooled: bool = False) -> list[Encoded]:
        """Send until it is taken; a batch that is refused for good is halved until the refused exchange stands alone and is dropped.

        Returns what could not be sent before the process ends or another thread takes over. `spooled` exchanges are on the disk as well.
        """
        pause = 0.1
        while batch:
            answer, events = self._sender.send(batch), sum(one.events for one in batch)
            gone = {"spooled": -events} if spooled else {}
            with self._changed:
                if answer is Answer.TAKEN:
                    self._count(delivered=events, **gone)
                    return []
                if answer is Answer.REFUSED and len(batch) == 1:
                    self._count(failures=1, **{REFUSED: events}, **gone)
                    return []
                self._count(failures=1)
            if answer is Answer.REFUSED:
                half = len(batch) // 2
                return [*self._deliver(batch[:half], spooled=spooled), *self._deliver(batch[half:], spooled=spooled)]
            if (self._closing is not None and time.monotonic() + pause > self._closing) or (self._replaced() and not spooled):
                return batch
            if pause == LONGEST_PAUSE_SECONDS:
                with self._changed:
                    state = State(**self._counters)
                log.warning("the monitor takes no events; %d wait", state.held + state.spooled)
            with self._changed:
                self._changed.wait_for(lambda: self._closing is not None, pause)
            pause = 0.1 if self._closing is not None else min(2 * pause, LONGEST_PAUSE_SECONDS)
        return []

    def _keep(self, left: list[Encoded]) -> None:
        """What the end of the process leaves: to the spool, or dropped."""
        if left and not (self._spool is not None and self._spooled(self._spool, left)):
            with self._changed:
                self._count(**{CLOSED: sum(one.events for one in left)})

    def _spooled(self, spool: Spool, batch: list[Encoded]) -> bool:
        with self._writing:
            added = spool.add(batch)
        if added:
            with self._changed:
                self._count(spooled=sum(one.events for one in batch))
        return added

    def _fill(self, spool: Spool) -> None:
        """Move the oldest events in memory to the spool while it is crowded there."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue.crowded or self._closing is not None)
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
            self._count(**{FULL: self._queue.put_back([exchange for exchange, _ in pairs])})
            self._changed.notify_all()
        return False
