"""Stores of older programs: carried over as they are opened, or left as they are."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import LABEL, REQUEST, RESPONSE
from trimtab.monitoring.engines import engine_of
from trimtab.monitoring.ingest import arrival
from trimtab.monitoring.records import Records
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import metadata
from trimtab.monitoring.windows import Closed

from .folders import NOW, START, answered, asked, model, told
from .postgres import database

STORES = Path(__file__).parent / "stores"
ID = "default/demand"
SOURCE = f"{ID} /predictor"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    return tmp_path / "old.db" if request.param == "sqlite" else request.getfixturevalue("postgres")


@pytest.fixture
def old(place: Path | str) -> Path | str:
    """A store as the program before the first migration left it: 1,203 requests, two answers of which one is early, two labels."""
    dialect = "postgresql" if isinstance(place, str) else "sqlite"
    engine = engine_of(place)
    with engine.begin() as connection:
        for statement in (STORES / f"before-0001.{dialect}.sql").read_text().split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        for number in range(1203):
            _insert(connection, "events", id=f"r{number}", source=SOURCE, type=REQUEST)
            row = msgspec.json.encode({"id": number, "at": START.isoformat()})
            common: dict[str, Any] = {"source": SOURCE, "id": f"r{number}", "position": 0, "features": row}
            _insert(
                connection,
                "rows",
                seq=number + 1,
                model=ID,
                version="1",
                key=str(number),
                time=None if number == 2 else START.timestamp() + number,
                received=NOW.timestamp(),
                prediction=b"1.5" if number == 1 else None,
                window=-1 if number == 0 else None,
                **common,
            )
        if dialect == "postgresql":
            connection.exec_driver_sql("SELECT setval('rows_seq_seq', 1203)")
        for name in ("r1", "early"):
            _insert(connection, "events", id=name, source=SOURCE, type=RESPONSE)
        _insert(connection, "responses", id="early", source=SOURCE, received=1.0, predictions=b"[7.5]")
        _insert(connection, "events", id="l1", source=f"{ID} /labels", type=LABEL)
        for key in ("1", "unknown"):
            _insert(connection, "labels", model=ID, key=key, value=b"2.0", time=START.timestamp(), received=1.0)
        _insert(connection, "watermarks", model=ID, time=START.timestamp())
        _insert(connection, "windows", model=ID, version="0", window=0, start=0.0, end=1.0, rows=0, closed=1.0, quality=b"[]")
        for name in ("b", "a"):
            event = b'{"id":"%s","source":"/m","type":"t","data":{"kind":"quality"}}' % name.encode()
            _insert(connection, "findings", id=name, model=ID, version="1", kind="quality", window=0, event=event, open=1)
    engine.dispose()
    return place


def _insert(connection: sa.Connection, table: str, **values: Any) -> None:
    connection.execute(sa.table(table, *map(sa.column, values)).insert(), values)


def shape(place: Path | str) -> dict[str, Any]:
    """Every table's columns, key and indexes, in no order."""
    engine = engine_of(place)
    look = sa.inspect(engine)
    found: dict[str, Any] = {}
    for name in look.get_table_names():
        columns = {column["name"]: (str(column["type"]), column["nullable"]) for column in look.get_columns(name)}
        indexes = {str(index["name"]): (tuple(index["column_names"]), index["unique"]) for index in look.get_indexes(name)}
        found[name] = (columns, set(look.get_pk_constraint(name)["constrained_columns"]), indexes)
    engine.dispose()
    return found


def test_an_old_store_and_a_fresh_one_end_up_the_same(old: Path | str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    fresh = database(request.getfixturevalue("postgres_server")) if isinstance(old, str) else tmp_path / "fresh.db"
    for place in (old, fresh):
        Store(place).close()
    assert shape(old) == shape(fresh)
    engine = engine_of(old)
    with engine.connect() as connection:
        told = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert [change for change in told if not (change[0] == "remove_column" and change[3].name == "rowid")] == []


def test_what_an_old_store_holds_is_carried_over(old: Path | str) -> None:
    store = Store(old)
    expected = {"rows": 1203, "rowsWithoutAnswer": 1202, "rowsWithoutTime": 1, "rowsLate": 1, "labels": 2, "labelsUnknownKey": 1}
    assert store.counts(ID) == expected
    assert store.watermark(ID) == START
    assert store.label_times(ID) == {b"": START.timestamp(), b"2.0": START.timestamp()}
    records = Records(store)
    assert [event.id for event in records.findings(ID)] == ["b", "a"]
    assert [record.window for record in records.recent(ID, "0", 2)] == [0]
    seqs, times = records.open_rows(ID, "1")
    assert len(seqs) == 1201
    records.close(ID, "1", [Closed(times[0], times[0], 0, 1)], seqs, times[0])
    found = records.content(ID, "1", 0)
    assert (found.instances[0]["id"], found.predictions, found.labels) == (1, [1.5], [2.0])
    store.close()


def test_events_of_an_old_store_that_come_again_are_known(old: Path | str) -> None:
    store = Store(old)
    again = [asked(1, [{"id": 1}]), answered(1, [9.0]), told(1, 9.0, NOW)]
    new = [answered(1202, [4.0]), msgspec.structs.replace(asked(0, [{"id": 5000}]), id="early"), asked(5000, [{"id": 7}])]
    arrivals = [arrival(event, model(), NOW, replaying=True) for event in again + new]
    assert store.write(arrivals, NOW, replaying=True).fresh == (False, False, False, True, True, True)
    assert store.counts(ID) | {"rows": 1205, "rowsWithoutAnswer": 1202} == store.counts(ID)
    store.close()


def test_opening_twice_migrates_once(old: Path | str) -> None:
    Store(old).close()
    store = Store(old)
    assert store.counts(ID)["rows"] == 1203
    store.close()


def test_a_store_that_is_newer_is_refused_and_left_as_it_is(place: Path | str) -> None:
    Store(place).close()
    engine = engine_of(place)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = shape(place)
    with pytest.raises(InvalidInput, match="written by a newer Trimtab: its tables are '9999', this program's '0004'"):
        Store(place)
    assert shape(place) == before
    engine.dispose()


def test_a_migration_that_breaks_off_has_done_nothing(old: Path | str) -> None:
    """A row whose event is not there cannot be numbered: the whole migration is undone, and the store is as it was."""
    engine = engine_of(old)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM events WHERE id = 'r7'")
    before = shape(old)
    with pytest.raises(Unavailable, match="cannot be used"):
        Store(old)
    assert shape(old) == before
    with engine.begin() as connection:
        _insert(connection, "events", id="r7", source=SOURCE, type=REQUEST)
    engine.dispose()
    store = Store(old)
    assert store.counts(ID)["rows"] == 1203
    store.close()
