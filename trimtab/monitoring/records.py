"""What the monitor found: windows, what was said of each, and findings, which leave only after they were written here."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, get_args

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from trimtab.events import CloudEvent
from trimtab.monitoring.deciding import Drift
from trimtab.monitoring.estimate import Estimate, State, states
from trimtab.monitoring.explanation import Ranking
from trimtab.monitoring.performance import Judgement
from trimtab.monitoring.quality import HARMLESS, Break
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import LATE, add, findings, insert_new, labels, rows, windows
from trimtab.monitoring.traffic import Span
from trimtab.monitoring.windows import Closed
from trimtab.monitoring.writing import LATE_ROWS

Said = Literal["quality", "drift", "performance", "estimate", "explanation"]
SAYINGS: tuple[Said, ...] = get_args(Said)


class WindowRecord(Struct, frozen=True):
    """A closed window and what was said of it so far; times in seconds since 1970."""

    version: str
    window: int
    start: float
    end: float
    rows: int
    breaks: tuple[Break, ...] | None = None
    drift: Drift | None = None
    judged: bool = False
    judgement: Judgement | None = None
    estimate: Estimate | None = None
    explanation: Ranking | None = None

    @property
    def spoiled(self) -> bool:
        """Whether its data is too broken to conclude from."""
        return any(item.check not in HARMLESS for item in self.breaks or ())

    @property
    def span_days(self) -> float:
        """The data time between its first and its last row, in days."""
        return (self.end - self.start) / 86_400


class Content(Struct, frozen=True):
    """A window's rows in event-time order: instances, predictions and labels as parsed JSON (None where there is none), event times."""

    instances: list[dict[str, Any]]
    predictions: list[Any]
    labels: list[Any]
    labelled: int
    times: list[float]


class Records:
    """Windows and findings in the monitor's database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open_rows(self, model: str, version: str) -> tuple[list[int], list[float]]:
        """The version's rows that are in no window, by event time: their numbers and times. Rows that came too late are set aside."""
        ours = (rows.c.model == model) & (rows.c.version == version) & rows.c.window.is_(None) & rows.c.time.is_not(None)
        question = sa.select(rows.c.seq, rows.c.time).where(ours).order_by(rows.c.time, rows.c.seq)
        last = self.recent(model, version, 1)
        with self._store.transaction(reading=True) as connection:
            found = connection.execute(question).all()
        late = [seq for seq, time in found if last and time < last[-1].end]
        if late:
            self._assign([(seq, LATE) for seq in late], tally={(model, version, LATE_ROWS): len(late)})
        return [seq for seq, _ in found[len(late) :]], [time for _, time in found[len(late) :]]

    def open_times(self, model: str, version: str, places: Sequence[int]) -> list[float | None]:
        """The event times of those of the version's rows in no window that have these places by time; None where there are fewer."""
        ours = (rows.c.model == model) & (rows.c.version == version) & rows.c.window.is_(None) & rows.c.time.is_not(None)
        question = sa.select(rows.c.time).where(ours).order_by(rows.c.time).limit(1)
        with self._store.transaction(reading=True) as connection:
            return [connection.scalar(question.offset(place)) for place in places]

    def close(self, model: str, version: str, closed: Sequence[Closed], seqs: Sequence[int], watermark: float) -> None:
        """Number the closed windows on from the version's last, and put their rows (places in `seqs`) into them."""
        last = self.recent(model, version, 1)
        first = last[-1].window + 1 if last else 0
        for number, window in enumerate(closed, first):
            self._assign(
                [(seq, number) for seq in seqs[window.first : window.stop]],
                {
                    "model": model,
                    "version": version,
                    "window": number,
                    "start": window.start,
                    "end": window.end,
                    "rows": window.stop - window.first,
                    "closed": watermark,
                },
            )

    def _assign(
        self, numbers: list[tuple[int, int]], window: dict[str, Any] | None = None, tally: dict[tuple[str, str, str], int] | None = None
    ) -> None:
        put = sa.update(rows).where(rows.c.seq == sa.bindparam("s")).values(window=sa.bindparam("w"))
        with self._store.transaction() as connection:
            connection.execute(put, [{"s": seq, "w": number} for seq, number in numbers])
            if window:
                connection.execute(sa.insert(windows), window)
            add(connection, tally or {})

    def recent(self, model: str, version: str | None, count: int) -> list[WindowRecord]:
        """The newest windows of a version, or of all (None), oldest first."""
        ours = windows.c.model == model if version is None else (windows.c.model == model) & (windows.c.version == version)
        question = sa.select(windows).where(ours).order_by(windows.c.end.desc(), windows.c.window.desc()).limit(count)
        with self._store.transaction(reading=True) as connection:
            return [read_row(row) for row in connection.execute(question)][::-1]

    def spans(self, model: str, since: float, until: float) -> list[Span]:
        """When the model's windows that end in that time (seconds since 1970) began and ended and how many rows each has, oldest first."""
        ours = (windows.c.model == model) & (windows.c.end > since) & (windows.c.end <= until)
        question = sa.select(windows.c.start, windows.c.end, windows.c.rows).where(ours).order_by(windows.c.end)
        with self._store.transaction(reading=True) as connection:
            return [Span(row.start, row.end, row.rows) for row in connection.execute(question)]

    def before(self, model: str, version: str, window: int, count: int) -> list[WindowRecord]:
        """The version's windows before this one, at most `count`, oldest first."""
        return self._windows(model, version, windows.c.window < window, count)

    def unfinished(self, model: str, version: str) -> set[Said]:
        """What some window of the version lacks."""
        told = {what: sa.func.count(windows.c[what]).label(what) for what in SAYINGS}
        question = sa.select(sa.func.count().label("every"), *told.values()).where(windows.c.model == model, windows.c.version == version)
        with self._store.transaction(reading=True) as connection:
            found = connection.execute(question).one()._mapping
        return {what for what in SAYINGS if found[what] < found["every"]}

    def unsaid(self, model: str, version: str, what: Said, count: int, until: float = math.inf) -> list[WindowRecord]:
        """The version's windows that ended by `until` (data time) of which this was not said yet, the newest `count`, oldest first."""
        ended = sa.true() if math.isinf(until) else windows.c.end <= until
        return self._windows(model, version, windows.c[what].is_(None) & ended, count)

    def _windows(self, model: str, version: str, condition: sa.ColumnElement[bool], count: int) -> list[WindowRecord]:
        ours = (windows.c.model == model) & (windows.c.version == version) & condition
        question = sa.select(windows).where(ours).order_by(windows.c.window.desc()).limit(count)
        with self._store.transaction(reading=True) as connection:
            return [read_row(row) for row in connection.execute(question)][::-1]

    def content(self, model: str, version: str, window: int, panes: int = 1) -> Content:
        """The window's rows with their labels; with `panes` also those of the windows before it, so many in all."""
        these = rows.c.window.between(max(0, window - panes + 1), window)
        ours = (rows.c.model == model) & (rows.c.version == version) & these
        joined = rows.outerjoin(labels, (labels.c.model == rows.c.model) & (labels.c.key == rows.c.key))
        question = sa.select(rows.c.features, rows.c.prediction, labels.c.value, rows.c.time).select_from(joined).where(ours)
        with self._store.transaction(reading=True) as connection:
            found = connection.execute(question.order_by(rows.c.time, rows.c.seq)).all()
        return Content(
            [msgspec.json.decode(row.features) for row in found],
            [parsed(row.prediction) for row in found],
            [parsed(row.value) for row in found],
            sum(row.value not in (None, b"null") for row in found),
            [row.time for row in found],
        )

    def labelled(self, model: str, version: str, window: int) -> int:
        """How many of the window's rows have a label; one that says that there is none (null) is none."""
        ours = (rows.c.model == model) & (rows.c.version == version) & (rows.c.window == window) & (labels.c.value != b"null")
        joined = rows.join(labels, (labels.c.model == rows.c.model) & (labels.c.key == rows.c.key))
        with self._store.transaction(reading=True) as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(joined).where(ours)) or 0)

    def say(self, model: str, record: WindowRecord, said: dict[str, Any], events: Sequence[CloudEvent]) -> None:
        """Write what was said of the window, by the names of its columns, and the findings it led to, together."""
        ours = (windows.c.model == model) & (windows.c.version == record.version) & (windows.c.window == record.window)
        values = {name: msgspec.json.encode(value) for name, value in said.items()}
        found = [
            {
                "id": event.id,
                "model": model,
                "version": record.version,
                "kind": event.data["kind"],
                "window": record.window,
                "event": msgspec.json.encode(event),
                "open": int(event.data["kind"] == "quality"),
            }
            for event in events
        ]
        with self._store.transaction() as connection:
            connection.execute(sa.update(windows).where(ours).values(**values))
            insert_new(connection, findings, found)

    def pending(self) -> list[CloudEvent]:
        """The findings that have not left, oldest first."""
        return self._events(findings.c.emitted.is_(None))

    def emitted(self, event: str, now: datetime) -> None:
        """Note that the finding has left."""
        with self._store.transaction() as connection:
            connection.execute(sa.update(findings).where(findings.c.id == event).values(emitted=now.timestamp()))

    def findings(self, model: str) -> list[CloudEvent]:
        """All findings of the model, oldest first."""
        return self._events(findings.c.model == model)

    def told(self, model: str, version: str, kind: str, since: int) -> bool:
        """Whether a finding of that kind was made in the version's window `since` or after it."""
        ours = (findings.c.model == model) & (findings.c.version == version) & (findings.c.kind == kind) & (findings.c.window >= since)
        with self._store.transaction(reading=True) as connection:
            return connection.scalar(sa.select(findings.c.id).where(ours).limit(1)) is not None

    def open_quality(self, model: str) -> list[CloudEvent]:
        """The model's quality findings that are open, oldest first."""
        return self._events((findings.c.model == model) & (findings.c.open == 1))

    def close_quality(self, model: str) -> None:
        """Close all open quality findings of the model."""
        with self._store.transaction() as connection:
            connection.execute(sa.update(findings).where(findings.c.model == model, findings.c.open == 1).values(open=0))

    def finding_counts(self) -> dict[str, int]:
        """How many findings there are of each kind."""
        with self._store.transaction(reading=True) as connection:
            found = connection.execute(sa.select(findings.c.kind, sa.func.count()).group_by(findings.c.kind))
            return {kind: int(count) for kind, count in found}

    def _events(self, condition: sa.ColumnElement[bool]) -> list[CloudEvent]:
        question = sa.select(findings.c.event).where(condition).order_by(sa.text("findings.rowid"))
        with self._store.transaction(reading=True) as connection:
            return [msgspec.json.decode(row.event, type=CloudEvent) for row in connection.execute(question)]


def parsed(stored: bytes | None) -> Any:
    """The JSON value, None where none was stored."""
    return None if stored is None else msgspec.json.decode(stored)


def read_row(row: Any) -> WindowRecord:
    """A row of the table of windows as a record."""
    return WindowRecord(
        row.version,
        row.window,
        row.start,
        row.end,
        row.rows,
        None if row.quality is None else msgspec.json.decode(row.quality, type=tuple[Break, ...]),
        None if row.drift is None else msgspec.json.decode(row.drift, type=Drift),
        row.performance is not None,
        None if row.performance is None else msgspec.json.decode(row.performance, type=Judgement | None),
        None if row.estimate is None else msgspec.json.decode(row.estimate, type=Estimate),
        None if row.explanation is None else msgspec.json.decode(row.explanation, type=Ranking),
    )


def reliance(windows: Sequence[WindowRecord]) -> dict[tuple[str, int], State]:
    """How far each window's estimate can be relied on, by version and window; a version's windows come oldest first."""
    found: dict[tuple[str, int], State] = {}
    for version in {record.version for record in windows}:
        ours = [record for record in windows if record.version == version]
        said = states([(record.estimate, record.judgement) for record in ours])
        found |= {(version, record.window): state for record, state in zip(ours, said, strict=True)}
    return found
