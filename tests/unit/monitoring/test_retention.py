"""Rows go when nothing asks for them any more, and come back as nothing new."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from trimtab.events import CloudEvent
from trimtab.monitoring import tables
from trimtab.monitoring.ingest import arrival
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.pairing import Scored, Scores
from trimtab.monitoring.records import Records
from trimtab.monitoring.retention import Kept, Retention
from trimtab.monitoring.store import Store
from trimtab.monitoring.windows import Closed

from .folders import HOUR, NOW, START, MemoryFleet, ScipyDetector, answered, asked, model, told

ID = "default/demand"
DAY = timedelta(days=1)
WINDOWS = 40


def keep(store: Store, events: list[CloudEvent], now: datetime = NOW) -> tuple[bool, ...]:
    return store.write([arrival(event, model(), now, replaying=True) for event in events], now, replaying=True).fresh


def row(number: int, time: datetime) -> dict[str, Any]:
    return {"id": number, "at": time.isoformat()}


@pytest.fixture
def full(store: Store) -> Store:
    """40 windows of a day with a row each, tested but for the last; then an open row, one too late, one without a time; labels for all."""
    numbers = range(WINDOWS)
    for number in numbers:
        keep(store, [asked(number, [row(number, START + number * DAY)]), answered(number, [1.0]), told(number, 2.0, START + number * DAY)])
    records = Records(store)
    seqs, times = records.open_rows(ID, "1")
    records.close(ID, "1", [Closed(times[n], times[n], n, n + 1) for n in numbers], seqs, times[-1])
    for record in records.recent(ID, "1", WINDOWS)[:-1]:
        records.say(ID, record, {"quality": [], "drift": {}}, [])
    scores = Scores(store)
    unscored = scores.unscored(ID, "1", START - HOUR)
    scores.keep(ID, "1", unscored, Scored([b"1.0"] * len(unscored)))
    last = START + WINDOWS * DAY
    keep(store, [asked("open", [row(900, last)]), asked("late", [row(901, START)]), asked("untimed", [{"id": 902, "at": "soon"}])])
    keep(store, [told(903, 1.0, START), told(904, 1.0, last)])
    records.open_rows(ID, "1")
    return store


def left(store: Store, table: sa.Table, column: str = "key") -> list[Any]:
    with store.transaction(reading=True) as connection:
        found = sorted(connection.scalars(sa.select(table.c[column])), key=str)
    return [int(key) for key in found] if column == "key" else found


def retire(
    store: Store, keep_days: float, delay_days: float = 0.0, now: datetime = NOW, versions: tuple[str, ...] = ("1",)
) -> dict[str, int]:
    watermark = store.watermark(ID)
    assert watermark is not None
    retention = Retention(store, lambda: True)
    kept = Kept(ID, versions, watermark, keep_days * DAY, delay_days * DAY)
    return retention.clear(kept, now) | retention.forget(now)


OF_WINDOWS = list(range(WINDOWS))


@pytest.mark.parametrize(
    ("keep_days", "delay_days", "versions", "rows_left"),
    [
        pytest.param(400, 0, ("1",), [*OF_WINDOWS, 900, 901, 902], id="what is young stays"),
        pytest.param(30, 0, ("1",), [*OF_WINDOWS[10:], 900, 902], id="what ended before the cut goes, a row that came too late with it"),
        pytest.param(28, 2, ("1",), [*OF_WINDOWS[10:], 900, 902], id="the label delay is kept beside it"),
        pytest.param(1, 0, ("1",), [*OF_WINDOWS[15:], 900, 902], id="the newest 25 windows of a version that serves stay"),
        pytest.param(1, 0, ("2",), [39, 900, 902], id="not those of one that does not; its open rows have an age of their own"),
    ],
)
def test_what_goes(full: Store, keep_days: float, delay_days: float, versions: tuple[str, ...], rows_left: list[int]) -> None:
    retire(full, keep_days, delay_days, versions=versions)
    assert sorted(left(full, tables.rows)) == sorted(rows_left)
    assert set(left(full, tables.labels)) - {903, 904} == set(rows_left) & set(OF_WINDOWS)
    assert sorted(left(full, tables.scores)) == sorted(set(rows_left) & set(OF_WINDOWS))
    assert (903 in left(full, tables.labels), 904 in left(full, tables.labels)) == (keep_days == 400, True)
    counts = full.counts(ID)
    assert (counts["rows"], counts["labels"], counts["labelsUnknownKey"]) == (43, 42, 2 if keep_days == 400 else 1)
    assert len(Records(full).recent(ID, "1", 100)) == WINDOWS


def test_a_window_that_was_not_tested_keeps_its_rows(full: Store) -> None:
    with full.transaction() as connection:
        connection.execute(sa.update(tables.windows).where(tables.windows.c.window == 3).values(drift=None))
    retire(full, 1)
    assert left(full, tables.rows)[0] == 3 or 3 in left(full, tables.rows)
    assert 2 not in left(full, tables.rows)


def test_rows_without_a_time_go_by_their_receipt(full: Store) -> None:
    retire(full, 30, now=NOW + 31 * DAY)
    assert 902 not in left(full, tables.rows)


@pytest.mark.parametrize(
    ("after", "known"),
    [
        pytest.param(29 * DAY, True, id="within 30 days of receipt an event is known although its row is gone"),
        pytest.param(31 * DAY, False, id="after them it is a new one, which comes too late for any window"),
    ],
)
def test_an_event_that_comes_again_after_its_rows_were_deleted(full: Store, after: timedelta, known: bool) -> None:
    retire(full, 1)
    retire(full, 1, now=NOW + after)
    again = [asked(0, [row(0, START)]), answered(0, [1.0]), told(0, 2.0, START)]
    assert keep(full, again, NOW + after) == (not known,) * 3
    assert Records(full).open_rows(ID, "1")[1] == [(START + WINDOWS * DAY).timestamp()]


def test_an_identity_stays_as_long_as_its_rows(full: Store) -> None:
    retire(full, 400, now=NOW + 300 * DAY)
    assert keep(full, [asked(3, [row(3, START)]), asked("open", [row(900, START)])], NOW + 300 * DAY) == (False, False)
    assert len(left(full, tables.arrivals, "seq")) == WINDOWS + 3


def test_an_answer_whose_request_never_comes_goes_too(store: Store) -> None:
    keep(store, [asked(1, [row(1, START)]), answered(2, [1.0])])
    retire(store, 400, now=NOW + 29 * DAY)
    assert len(left(store, tables.waiting, "received")) == 1
    retire(store, 400, now=NOW + 31 * DAY)
    assert left(store, tables.waiting, "received") == []


def test_it_stops_between_two_transactions_and_goes_on_at_the_next(full: Store) -> None:
    keep(full, [asked("many", [{"id": number, "at": START.isoformat()} for number in range(1000, 4500)])])
    Records(full).open_rows(ID, "1")
    watermark = full.watermark(ID)
    assert watermark is not None
    kept = Kept(ID, ("1",), watermark, DAY, timedelta(0))
    assert Retention(full, lambda: False).clear(kept, NOW)["rows"] == 15 + 1000
    assert Retention(full, lambda: True).clear(kept, NOW)["rows"] == 3501 - 1000
    assert len(left(full, tables.rows)) == 27


def test_a_monitor_deletes_by_itself(tmp_path: Path, fleet: MemoryFleet) -> None:
    monitor = Monitor(tmp_path / "monitor.db", fleet, ScipyDetector(), lambda _: None, replaying=True)
    monitor.accept([asked("old", [row(1, START - 900 * DAY)]), asked("new", [row(2, START)])], NOW)
    with monitor.store.transaction() as connection:
        connection.execute(sa.update(tables.rows).where(tables.rows.c.key == "1").values(window=tables.LATE))
    monitor.tick(NOW)
    monitor.settle()
    assert left(monitor.store, tables.rows) == [2]
    assert monitor.counters.values()["trimtab_monitor_deleted_total"][("what", "rows"),] == 1
    monitor.stop()
