"""What may go: rows, labels, scores and identities that nothing asks for any more, a few at a time.

A window's rows go together, once it ended longer ago than `monitoring.retention` and the label delay (data time), if all that is
said at its closing was said, and never those of the newest 25 windows of a version that serves: rows that an open, a sliding or an
unjudged window needs stay. Rows that are in no window go by their own age. With rows go their labels, scores and identities; but an
identity stays for at least 30 days after receipt, so that an event that comes again is known although its rows are gone. Windows
and findings stay: they are the record, and small.

Every transaction deletes at most 1,000 rows of a table, and others may write between two.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from trimtab.monitoring.ports import Watched
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import LATE, add, arrivals, labels, rows, scores, tallies, waiting, windows
from trimtab.monitoring.writing import UNKNOWN, chunks
from trimtab.units import duration

IDENTITIES = timedelta(days=30)
NEWEST = 25
STEP = 1000
MOST_STEPS = 2000


class Kept(Struct, frozen=True):
    """What a model keeps: rows younger than `keep`, labels for `delay` longer; `versions` are those that serve."""

    model: str
    versions: tuple[str, ...]
    watermark: datetime
    keep: timedelta
    delay: timedelta

    @property
    def cut(self) -> float:
        """What ended before (seconds since 1970) may go."""
        return (self.watermark - self.keep - self.delay).timestamp()


class Retention:
    """Deletes in small transactions; `pause` is called between two, and says by False that it is enough for now."""

    def __init__(self, store: Store, pause: Callable[[], bool]) -> None:
        self._store = store
        self._pause = pause
        self._labels: dict[str, str] = {}
        self._swept = 0

    def round(self, fleet: Sequence[Watched], now: datetime) -> dict[str, int]:
        """One pass over the fleet; returns how many of what went."""
        found: Counter[str] = Counter()
        watermarks = self._store.watermarks()
        for watched in fleet:
            if watched.id in watermarks:
                spec, versions = watched.model.spec, tuple(version.version for version in watched.versions)
                keep, delay = duration(spec.monitoring.retention), duration(spec.data.label_delay)
                found.update(self.clear(Kept(watched.id, versions, watermarks[watched.id], keep, delay), now))
        found.update(self.forget(now))
        return dict(found)

    def clear(self, kept: Kept, now: datetime) -> dict[str, int]:
        """Delete what the model does not keep; returns how many rows, labels and scores went."""
        found: Counter[str] = Counter()
        for version in self._versions(kept.model):
            served = version in kept.versions
            for window in self._windows(kept, version, served):
                ours = rows.c.window == window
                if self._rows(kept.model, (rows.c.version == version) & ours, now, found):
                    self._cleared(kept, version, window)
            aged = rows.c.time < kept.cut
            aside = [(rows.c.window == LATE) & aged, rows.c.window.is_(None) & rows.c.time.is_(None) & self._unseen(kept, now)]
            for condition in [*aside, *([] if served else [rows.c.window.is_(None) & aged])]:
                self._rows(kept.model, (rows.c.version == version) & condition, now, found)
        found["labels"] += self._orphans(kept)
        return dict(found)

    def forget(self, now: datetime) -> dict[str, int]:
        """Delete identities without rows, and answers that still wait for their request, 30 days after receipt; returns how many went."""
        before = (now - IDENTITIES).timestamp()
        found: Counter[str] = Counter()
        for _ in range(MOST_STEPS):
            ages = sa.select(arrivals.c.seq).where(arrivals.c.seq > self._swept, arrivals.c.received < before).order_by(arrivals.c.seq)
            with self._store.transaction() as connection:
                seqs = list(connection.scalars(ages.limit(STEP)))
                if seqs:
                    between = arrivals.c.seq.between(seqs[0], seqs[-1])
                    unused = ~sa.exists().where(rows.c.event == arrivals.c.seq)
                    found["identities"] += connection.execute(sa.delete(arrivals).where(between, unused)).rowcount
                    self._swept = seqs[-1]
                old = list(connection.scalars(sa.select(waiting.c.identity).where(waiting.c.received < before).limit(STEP)))
                if old:
                    found["answers"] += connection.execute(sa.delete(waiting).where(waiting.c.identity.in_(old))).rowcount
            if not (seqs or old) or not self._pause():
                break
        return dict(found)

    def _versions(self, model: str) -> list[str]:
        question = sa.select(tallies.c.version).where(tallies.c.model == model).distinct()
        with self._store.transaction(reading=True) as connection:
            return list(connection.scalars(question))

    def _windows(self, kept: Kept, version: str, served: bool) -> list[int]:
        """The numbers of windows whose rows may go, oldest first."""
        ours = (windows.c.model == kept.model) & (windows.c.version == version)
        old = ours & windows.c.cleared.is_(None) & (windows.c.end < kept.cut)
        if served:
            last = sa.select(sa.func.max(windows.c.window)).where(ours).scalar_subquery()
            old &= windows.c.quality.is_not(None) & windows.c.drift.is_not(None) & (windows.c.window <= last - NEWEST)
        with self._store.transaction(reading=True) as connection:
            return list(connection.scalars(sa.select(windows.c.window).where(old).order_by(windows.c.window)))

    def _unseen(self, kept: Kept, now: datetime) -> sa.ColumnElement[bool]:
        """Rows without a time go by their receipt."""
        return rows.c.received < (now - kept.keep - kept.delay).timestamp()

    def _rows(self, model: str, condition: sa.ColumnElement[bool], now: datetime, found: Counter[str]) -> bool:
        """Delete the rows with all that is theirs; whether none is left."""
        question = sa.select(rows.c.seq, rows.c.key, rows.c.event).where(rows.c.model == model, condition).limit(STEP)
        while True:
            with self._store.transaction() as connection:
                these = connection.execute(question).all()
                for part in chunks(these):
                    self._delete(connection, model, part, now, found)
            if len(these) < STEP:
                return True
            if not self._pause():
                return False

    def _delete(self, connection: sa.Connection, model: str, these: Sequence[Any], now: datetime, found: Counter[str]) -> None:
        keys, events = [row.key for row in these], {row.event for row in these}
        found["rows"] += connection.execute(sa.delete(rows).where(rows.c.seq.in_([row.seq for row in these]))).rowcount
        alone = labels.c.key.in_(keys) & ~sa.exists().where(rows.c.model == labels.c.model, rows.c.key == labels.c.key)
        found["labels"] += connection.execute(sa.delete(labels).where(labels.c.model == model, alone)).rowcount
        versions = sa.select(tallies.c.version).where(tallies.c.model == model).distinct().scalar_subquery()
        scored = scores.c.version.in_(versions) & scores.c.key.in_(keys) & ~sa.exists().where(rows.c.seq == scores.c.row)
        found["scores"] += connection.execute(sa.delete(scores).where(scores.c.model == model, scored)).rowcount
        unused = ~sa.exists().where(rows.c.event == arrivals.c.seq)
        old = arrivals.c.received < (now - IDENTITIES).timestamp()
        found["identities"] += connection.execute(sa.delete(arrivals).where(arrivals.c.seq.in_(events), old, unused)).rowcount

    def _cleared(self, kept: Kept, version: str, window: int) -> None:
        ours = (windows.c.model == kept.model) & (windows.c.version == version) & (windows.c.window == window)
        with self._store.transaction() as connection:
            connection.execute(sa.update(windows).where(ours).values(cleared=kept.watermark.timestamp()))

    def _orphans(self, kept: Kept) -> int:
        """Delete old labels whose key no row has; each call goes on where the last ended. Returns how many went."""
        after = self._labels.get(kept.model, "")
        question = sa.select(labels.c.key).where(labels.c.model == kept.model, labels.c.key > after).order_by(labels.c.key).limit(STEP)
        alone = ~sa.exists().where(rows.c.model == labels.c.model, rows.c.key == labels.c.key)
        with self._store.transaction() as connection:
            keys = list(connection.scalars(question))
            gone = 0
            for part in chunks(keys):
                ours = (labels.c.model == kept.model) & labels.c.key.in_(part) & (labels.c.time < kept.cut)
                gone += connection.execute(sa.delete(labels).where(ours, alone)).rowcount
            add(connection, {(kept.model, "", UNKNOWN): -gone})
        self._labels[kept.model] = keys[-1] if len(keys) == STEP else ""
        return gone
