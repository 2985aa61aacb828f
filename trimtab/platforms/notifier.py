"""Tells a webhook what was decided: follows the audit chains from a kept cursor, and posts the events that they hold, in order.

Nothing is queued but numbers: what was not delivered is still in the chain. A cursor moves only after its event was delivered, so
that a crash at any moment tells an event once more rather than never. The loop waits for none of this.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol

from trimtab.audit.record import AuditRecord
from trimtab.control.notices import of_record
from trimtab.errors import TrimtabError, Unavailable
from trimtab.events import CloudEvent
from trimtab.platforms.queue import WorkQueue
from trimtab.platforms.webhook import Delivery, Pause, Refused

log = logging.getLogger("trimtab.notifications")

BATCH = 50
"""How many records of one chain are passed before another chain gets its turn, and without an event before the cursor is kept."""


class Trail(Protocol):
    """The audit chains, as they are followed."""

    def after(self, namespace: str, sequence: int) -> Iterator[AuditRecord]:
        """The next records of a chain after that number that are kept, in order."""

    def older(self, namespace: str, moment: datetime) -> int:
        """The number of a chain's last record from before `moment`, 0 where there is none."""


class Cursors(Protocol):
    """How far each chain was told; survives a crash."""

    def began(self, otherwise: datetime) -> datetime:
        """Since when there is a notifier, which is kept; `otherwise` where there was none before."""

    def all(self) -> dict[str, int]:
        """By namespace the number of the last record that was told of, or needed no telling."""

    def move(self, namespace: str, sequence: int) -> None:
        """Keep a cursor."""


class Notifier:
    """Follows chains in a thread of its own, from `start` to `close`. What was decided before the first one there ever was is not told."""

    def __init__(
        self,
        trail: Trail,
        cursors: Cursors,
        delivery: Delivery,
        may: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`may` is False while another process has the right to tell."""
        self._trail, self._cursors, self.delivery, self._may, self._clock = trail, cursors, delivery, may, clock
        self._born = datetime.now(UTC)
        self._queue: WorkQueue[str] = WorkQueue()
        self._told: dict[str, int] = {}
        self._kept: dict[str, int] = {}
        self._heads: dict[str, int] = {}
        self._partly: dict[str, set[str]] = {}
        self._since: datetime | None = None
        self._pause, self._pauses = Pause(clock), dict[str, Pause]()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)

    @property
    def behind(self) -> int:
        """How many records that are known of were not passed yet."""
        return sum(max(0, head - self._told[namespace]) for namespace, head in list(self._heads.items()) if namespace in self._told)

    def recorded(self, record: AuditRecord) -> None:
        """A record was added to its chain: costs its writer nothing."""
        self._heads[record.namespace] = max(record.sequence, self._heads.get(record.namespace, 0))
        self._queue.add(record.namespace)

    def start(self, *namespaces: str) -> None:
        """Follow these chains, in which may be what a process that ended had not told, and all that are added to."""
        for namespace in namespaces:
            self._queue.add(namespace)
        self._thread.start()

    def close(self) -> None:
        """End after the event that is under way, at most a second later: what was not delivered by then is in the chain."""
        self._stopping.set()
        self._queue.close()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.open()
                break
            except TrimtabError as error:
                log.warning("nothing is told yet: %s", error)
                self._stopping.wait(self._pause.failed())
        while (namespace := self._queue.take()) is not None:
            try:
                due = self.follow(namespace)
            except Exception:
                log.exception("%s: a fault of ours; it is tried again", namespace)
                due = 60.0
            self._queue.done(namespace)
            if due is not None:
                self._queue.add(namespace, due)

    def open(self) -> None:
        """Read the cursors; what the chains of these hold is followed too. Raises Unavailable where they do not answer."""
        self._since = self._cursors.began(self._born)
        self._kept = self._cursors.all()
        self._told = dict(self._kept)
        for namespace in self._told:
            self._queue.add(namespace)

    def follow(self, namespace: str) -> float | None:
        """Tell what is new in a chain; returns the seconds until it is to be tried again, None where all was told."""
        if not self._may():
            return 1.0
        if left := max(self._pause.left, self._pauses[namespace].left if namespace in self._pauses else 0.0):
            return left
        try:
            return self._follow(namespace)
        except TrimtabError as error:
            if not isinstance(error, Refused) and not self._pause.left:
                log.warning("%s: its decisions cannot be followed: %s", namespace, error)
            return self._pause.left or self._pauses.setdefault(namespace, Pause(self._clock)).failed()

    def _follow(self, namespace: str) -> float | None:
        if namespace not in self._told:
            self._told[namespace] = self._trail.older(namespace, self._since or self._born)
        at, passed = self._told[namespace], 0
        self._kept.setdefault(namespace, at)
        for record in islice(self._trail.after(namespace, at), BATCH):
            if self._stopping.is_set():
                break
            self._heads[namespace] = max(record.sequence, self._heads.get(namespace, 0))
            passed, at = passed + 1, record.sequence
            if events := of_record(record):
                done = self._partly.setdefault(namespace, set())
                for event in events:
                    if event.id not in done:
                        self._offer(event)
                        done.add(event.id)
                self._move(namespace, at)
        if at - self._kept[namespace] >= BATCH:
            self._move(namespace, at)
        self._told[namespace] = at
        self._pauses.pop(namespace, None)
        return 0.0 if passed == BATCH else None

    def _offer(self, event: CloudEvent) -> None:
        """Deliver it; a receiver that does not answer is left in peace by all chains, one that refuses an event by that event's."""
        try:
            self.delivery.offer(event)
        except Unavailable:
            self._pause.failed()
            raise
        self._pause.over()

    def _move(self, namespace: str, sequence: int) -> None:
        self._cursors.move(namespace, sequence)
        self._told[namespace] = self._kept[namespace] = sequence
        self._partly.pop(namespace, None)
