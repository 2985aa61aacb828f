"""The exchanges that wait in a shipper's memory, oldest first: at most so many events, and so many bytes."""

from collections import deque
from collections.abc import Sequence

from serving.predictor.exchange import Exchange

BATCH_EVENTS = 500
BATCH_BYTES = 1 << 20
QUEUE_BYTES = 64 << 20


class Waiting:
    """A bounded queue. It knows nothing of threads: who calls it holds a lock."""

    def __init__(self, bound: int) -> None:
        """`bound` is in events."""
        self.events = 0
        self._bytes = 0
        self._bound = bound
        self._queue: deque[Exchange] = deque()

    @property
    def crowded(self) -> bool:
        """Whether more than half of the room is taken."""
        return 2 * self.events > self._bound or 2 * self._bytes > QUEUE_BYTES

    @property
    def whole(self) -> bool:
        """Whether one sending is full."""
        return self.events >= BATCH_EVENTS or self._bytes >= BATCH_BYTES

    def add(self, exchanges: Sequence[Exchange]) -> int:
        """Let these wait as the newest, and drop the oldest where there is no room; returns the number of events that were dropped."""
        self._queue.extend(exchanges)
        self._grow(exchanges, 1)
        return self._trim()

    def put_back(self, batch: Sequence[Exchange]) -> int:
        """Let a batch wait on as the oldest; as `add`."""
        self._queue.extendleft(reversed(batch))
        self._grow(batch, 1)
        return self._trim()

    def batch(self) -> list[Exchange]:
        """Take out the oldest, as many as go into one sending."""
        batch: list[Exchange] = []
        events = size = 0
        while self._queue:
            first = self._queue[0]
            if events + first.events > BATCH_EVENTS or (batch and size + first.size > BATCH_BYTES):
                break
            events, size = events + first.events, size + first.size
            batch.append(self._queue.popleft())
        self._grow(batch, -1)
        return batch

    def _grow(self, exchanges: Sequence[Exchange], sign: int) -> None:
        self.events += sign * sum(one.events for one in exchanges)
        self._bytes += sign * sum(one.size for one in exchanges)

    def _trim(self) -> int:
        before = self.events
        while self._queue and (self.events > self._bound or self._bytes > QUEUE_BYTES):
            self._grow((self._queue.popleft(),), -1)
        return before - self.events
