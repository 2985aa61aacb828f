"""The work queue: which object is to be looked at when. An object is in it once, at the earliest time that anybody asked for."""

import heapq
import itertools
import threading
import time
from typing import Generic, TypeVar

K = TypeVar("K")


class WorkQueue(Generic[K]):
    """Keys with due times. A key that is being worked on is handed to nobody else; asked for meanwhile, it waits until it is done."""

    def __init__(self) -> None:
        """Empty."""
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._busy: set[K] = set()
        self._numbers = itertools.count()
        self._closed = False

    def add(self, key: K, after: float = 0.0) -> None:
        """Look at the key in `after` seconds, or earlier where that was asked for."""
        due = time.monotonic() + after
        with self._changed:
            if self._due.get(key, float("inf")) <= due:
                return
            self._due[key] = due
            if key not in self._busy:
                self._push(key, due)

    def take(self) -> K | None:
        """The next key, once it is due; None after `close`. The taker says `done` when it has looked."""
        with self._changed:
            while not self._closed:
                pause = self._pause()
                if pause == 0.0:
                    key = heapq.heappop(self._heap)[2]
                    del self._due[key]
                    self._busy.add(key)
                    return key
                self._changed.wait(pause)
            return None

    def done(self, key: K) -> None:
        """The key was looked at."""
        with self._changed:
            self._busy.discard(key)
            if key in self._due:
                self._push(key, self._due[key])

    def close(self) -> None:
        """Let every taker go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """How many keys wait."""
        with self._changed:
            return len(self._due)

    def _push(self, key: K, due: float) -> None:
        heapq.heappush(self._heap, (due, next(self._numbers), key))
        self._changed.notify()

    def _pause(self) -> float | None:
        """Seconds until the first key is due, None where there is none; entries that an earlier one overtook are dropped."""
        while self._heap:
            due, _, key = self._heap[0]
            if self._due.get(key) == due and key not in self._busy:
                return max(0.0, due - time.monotonic())
            heapq.heappop(self._heap)
        return None
