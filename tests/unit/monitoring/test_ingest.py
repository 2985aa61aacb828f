from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from trimtab.errors import InvalidInput
from trimtab.events import CloudEvent
from trimtab.monitoring.ingest import Asked, Labelled, arrival, event_time, watermark
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import rows

from .folders import HOUR, NOW, START, answered, asked, model, told

SECONDS = START.timestamp()


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param("2026-01-01 00:00:00", SECONDS, id="a text without a zone is UTC"),
        pytest.param("2026-01-01T02:00:00+02:00", SECONDS, id="a text with a zone is converted"),
        pytest.param("2026-01-01T00:00:00Z", SECONDS, id="Z is UTC"),
        pytest.param("2026-01-01", SECONDS, id="a date is its midnight"),
        pytest.param(date(2026, 1, 1), SECONDS, id="a date object is its midnight"),
        pytest.param(SECONDS, SECONDS, id="a number is seconds"),
        pytest.param(SECONDS * 1000, SECONDS, id="a large number is milliseconds"),
        pytest.param("soon", None, id="a word is no time"),
        pytest.param(True, None, id="a truth value is no time"),
        pytest.param(1e308, None, id="an absurd number is no time"),
        pytest.param(float("nan"), None, id="NaN is no time"),
        pytest.param(["2026-01-01"], None, id="a list is no time"),
        pytest.param("0001-01-01T00:00:00+14:00", None, id="a time before the calendar's first is no time"),
    ],
)
def test_event_time(found: object, expected: float | None) -> None:
    assert event_time(found) == expected


@pytest.mark.parametrize(
    ("instance", "replaying", "expected"),
    [
        pytest.param({"at": START.isoformat()}, True, SECONDS, id="the named column is the event time"),
        pytest.param({"load": 1.0}, False, NOW.timestamp(), id="without the column it is the event's own time"),
        pytest.param({"load": 1.0}, True, None, id="while replaying a row without the column has no time"),
        pytest.param({"at": "soon"}, False, None, id="a time that cannot be read is none, never the event's"),
    ],
)
def test_time_of_a_row(instance: dict[str, object], replaying: bool, expected: float | None) -> None:
    found = arrival(asked(1, [instance]), model(), NOW, replaying=replaying)
    assert isinstance(found, Asked)
    assert found.rows[0].time == expected


def test_a_row_says_who_asked_where_that_was_told(tmp_path: Path) -> None:
    named = asked(1, [{"id": 1}, {"id": 2}])
    named = msgspec.structs.replace(named, extensions={**named.extensions, "trimtabunit": "5f3a"})
    found = [arrival(event, model(), NOW, replaying=False) for event in (named, asked(2, [{"id": 3}]))]
    store = Store(tmp_path / "monitor.db")
    store.write(found, NOW, replaying=False)
    with store.transaction(reading=True) as connection:
        assert connection.execute(sa.select(rows.c.key, rows.c.unit)).all() == [("1", "5f3a"), ("2", "5f3a"), ("3", None)]
    store.close()
    with pytest.raises(InvalidInput, match="the unit may have at most 100 bytes"):
        arrival(msgspec.structs.replace(named, extensions={**named.extensions, "trimtabunit": "x" * 101}), model(), NOW, replaying=False)


@pytest.mark.parametrize(
    ("instance", "key"),
    [
        pytest.param({"id": 7}, "7", id="the named column is the key"),
        pytest.param({}, "r1:0", id="without it the key is the event's id and the row's place"),
        pytest.param({"id": None}, "r1:0", id="null is no key"),
        pytest.param({"id": [1]}, "r1:0", id="a list is no key"),
    ],
)
def test_key_of_a_row(instance: dict[str, object], key: str) -> None:
    found = arrival(asked(1, [instance]), model(), NOW, replaying=False)
    assert isinstance(found, Asked)
    assert found.rows[0].key == key


def test_version_is_the_events_own_or_else_the_given_one() -> None:
    event = asked(1, [{}], version="4")
    bare = msgspec.structs.replace(event, extensions={"inferenceservicename": "demand"})
    found = [arrival(item, model(), NOW, replaying=False, version="9") for item in (event, bare)]
    assert [item.version for item in found if isinstance(item, Asked)] == ["4", "9"]


def test_a_body_by_v2_brings_the_same_rows_and_predictions() -> None:
    inputs = [{"name": "hour", "shape": [2], "data": [7, None]}, {"name": "season", "shape": [2, 1], "data": [["summer"], ["fall"]]}]
    by_row = arrival(asked(1, [{"hour": 7, "season": "summer"}, {"hour": None, "season": "fall"}]), model(), NOW, replaying=False)
    assert arrival(msgspec.structs.replace(asked(1, []), data={"inputs": inputs}), model(), NOW, replaying=False) == by_row
    outputs = [{"name": "predict", "shape": [2, 2], "data": [0.1, 0.9, 0.3, 0.7]}]
    found = arrival(msgspec.structs.replace(answered(1, []), data={"outputs": outputs}), model(), NOW, replaying=False)
    assert found == arrival(answered(1, [[0.1, 0.9], [0.3, 0.7]]), model(), NOW, replaying=False)


UNEQUAL = [{"name": "hour", "shape": [1], "data": [7]}, {"name": "temp", "shape": [2], "data": [1, 2]}]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        pytest.param(
            msgspec.structs.replace(asked(1, [{}]), data={"inputs": UNEQUAL}), "unequal numbers of rows", id="columns of unequal length"
        ),
        pytest.param(msgspec.structs.replace(asked(1, [{}]), data={"inputs": [{"name": "x"}]}), "shape", id="a tensor without a shape"),
        pytest.param(msgspec.structs.replace(asked(1, [{}]), extensions={}), "inferenceservicename", id="no model is named"),
        pytest.param(msgspec.structs.replace(asked(1, [{}]), data={"rows": []}), "instances", id="a request without instances"),
        pytest.param(msgspec.structs.replace(asked(1, [{}]), data={"instances": [[1, 2]]}), "object", id="an instance that is no object"),
        pytest.param(msgspec.structs.replace(answered(1, []), data=None), "data", id="a response without data"),
        pytest.param(msgspec.structs.replace(told(1, 2, NOW), data={"model": "demand"}), "key", id="a label without a key"),
        pytest.param(
            msgspec.structs.replace(told(1, 2, NOW), data={"model": "demand", "key": 1, "value": 2, "time": "0001-01-01T00:00:00+14:00"}),
            "time",
            id="a label at a time that no clock can show",
        ),
        pytest.param(
            msgspec.structs.replace(asked(1, [{}]), time=datetime.fromisoformat("0001-01-01T00:00:00+14:00")),
            "time",
            id="an event at a time that no clock can show",
        ),
    ],
)
def test_malformed_events_are_refused_with_a_sentence(event: CloudEvent, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        arrival(event, model(), NOW, replaying=False)


@pytest.mark.parametrize(
    ("skew", "replaying", "time", "mark"),
    [
        pytest.param(HOUR, False, HOUR, timedelta(), id="an hour ahead is the row's time, but the watermark is at the receipt"),
        pytest.param(timedelta(days=3), False, None, -HOUR, id="days ahead is no time"),
        pytest.param(timedelta(days=-400), False, None, -HOUR, id="more than a year ago is no time"),
        pytest.param(timedelta(days=-30), False, timedelta(days=-30), -HOUR, id="a month ago is late, but a time"),
        pytest.param(timedelta(days=900), True, timedelta(days=900), timedelta(days=900), id="a replay may be anywhere"),
    ],
)
def test_a_skewed_clock_moves_no_watermark(skew: timedelta, replaying: bool, time: timedelta | None, mark: timedelta) -> None:
    rows = [{"at": (NOW + skew).isoformat()}, {"at": (NOW - HOUR).isoformat()}]
    found = arrival(asked(1, rows), model(), NOW, replaying=replaying)
    assert isinstance(found, Asked)
    assert found.rows[0].time == (None if time is None else (NOW + time).timestamp())
    assert watermark(found.rows, NOW, replaying=replaying) == (NOW + mark).timestamp()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param("5.0", "found text", id="a number as text"),
        pytest.param(True, "found a truth value", id="a truth value"),
        pytest.param(1e308, "found more", id="a number that cannot be squared"),
        pytest.param(-(10**300), "found more", id="a whole number that cannot"),
    ],
)
def test_what_can_be_no_label_of_a_regression_is_refused(value: object, words: str) -> None:
    with pytest.raises(InvalidInput, match=f"a number of at most 1e\\+100 or null, {words}"):
        arrival(told(1, value, NOW), model(), NOW, replaying=True)


def test_a_label_from_a_clock_that_is_ahead_stands_against_no_correction() -> None:
    found = [arrival(told(1, 5.0, NOW + timedelta(days=900)), model(), NOW, replaying=replaying) for replaying in (False, True)]
    assert [item.time for item in found if isinstance(item, Labelled)] == [NOW.timestamp(), (NOW + timedelta(days=900)).timestamp()]


def test_a_request_of_too_many_rows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="it has 100,001 rows, at most 100,000 are allowed"):
        arrival(asked(1, [{}] * 100_001), model(), NOW, replaying=True)


def test_label_keeps_its_value_and_time() -> None:
    found = arrival(told(7, 3.5, NOW), model(), NOW, replaying=False)
    assert found == Labelled("default/demand /labels", "l7", "default/demand", "7", b"3.5", NOW.replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("event", "words"),
    [
        pytest.param(asked("\x00", [{}]), "source and id may have at most 2,000 bytes, and none of them zero", id="a zero byte in the id"),
        pytest.param(asked("é" * 1020, [{}]), "source and id", id="an id of too many bytes"),
        pytest.param(asked(1, [{"id": "k" * 1001}]), "a row's key may have at most 1,000 bytes", id="a row's key"),
        pytest.param(asked(1, [{"id": "a\x00b"}]), "a row's key", id="a zero byte in a row's key"),
        pytest.param(asked(1, [{}], version="v" * 201), "the version may have at most 200 bytes", id="the version"),
        pytest.param(told("k" * 1001, 1.0, NOW), "the key may have at most 1,000 bytes", id="a label's key"),
    ],
)
def test_what_no_database_could_index_is_refused(event: CloudEvent, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        arrival(event, model(), NOW, replaying=True)
