"""The monitor's tables. Times are seconds since 1970 (UTC), `model` is `namespace/name`, JSON is kept as bytes.

A row's `window` is NULL until its window closes and LATE if it came after that; a row whose event time nobody knows
has `time` NULL and belongs to no window. Its `event` is the number of the arrival that brought it. `unit` is a hash of what its caller
was assigned to the version by, NULL where nothing did. A window whose rows were deleted
(`retention.py`) says at which watermark in `cleared`.

`streams` has the greatest time of a model's labels by their value, of a regression's labels by an empty one.

`arrivals` is what exactly-once rests on: a digest of (source, id, type) of each event, numbered as they came. `waiting` are answers
whose request has not come. `tallies` count what was accepted, so that nobody counts rows.

SQLite and PostgreSQL hold them alike; `findings` are read in the order in which they were made, which is SQLite's own `rowid` and
on PostgreSQL a column of that name.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DDL, BigInteger, Column, Connection, Dialect, Float, Index, Integer, LargeBinary, MetaData, String, Table, event
from sqlalchemy.dialects import postgresql, sqlite

LATE = -1


class Bytes(LargeBinary):
    """Bytes as both drivers take them: SQLAlchemy would wrap each value, which is a tenth of what an insert costs."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        """Nothing is done to a value."""


metadata = MetaData()
_Count = BigInteger().with_variant(Integer, "sqlite")

arrivals = Table(
    "arrivals",
    metadata,
    Column("seq", _Count, primary_key=True, autoincrement=False),
    Column("identity", Bytes, nullable=False),
    Column("received", Float, nullable=False),
    Index("arrivals_identity", "identity", unique=True),
)
rows = Table(
    "rows",
    metadata,
    Column("seq", _Count, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("event", _Count, nullable=False),
    Column("id", String, nullable=False),
    Column("position", Integer, nullable=False),
    Column("key", String, nullable=False),
    Column("time", Float),
    Column("received", Float, nullable=False),
    Column("features", Bytes, nullable=False),
    Column("prediction", Bytes),
    Column("window", Integer),
    Column("unit", String),
    Index("rows_event", "event", "position", unique=True),
    Index("rows_key", "model", "key"),
    Index("rows_window", "model", "version", "window", "time"),
)
waiting = Table(
    "waiting",
    metadata,
    Column("identity", Bytes, primary_key=True),
    Column("received", Float, nullable=False),
    Column("predictions", Bytes, nullable=False),
)
labels = Table(
    "labels",
    metadata,
    Column("model", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", Bytes, nullable=False),
    Column("time", Float, nullable=False),
    Column("received", Float, nullable=False),
    sqlite_with_rowid=False,
)
watermarks = Table("watermarks", metadata, Column("model", String, primary_key=True), Column("time", Float, nullable=False))
streams = Table(
    "streams",
    metadata,
    Column("model", String, primary_key=True),
    Column("value", Bytes, primary_key=True),
    Column("time", Float, nullable=False),
)
tallies = Table(
    "tallies",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("what", String, primary_key=True),
    Column("count", _Count, nullable=False),
)
windows = Table(
    "windows",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("window", Integer, primary_key=True),
    Column("start", Float, nullable=False),
    Column("end", Float, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("closed", Float, nullable=False),
    Column("quality", Bytes),
    Column("drift", Bytes),
    Column("performance", Bytes),
    Column("cleared", Float),
    Column("estimate", Bytes),
    Column("explanation", Bytes),
)
findings = Table(
    "findings",
    metadata,
    Column("id", String, primary_key=True),
    Column("model", String, nullable=False, index=True),
    Column("version", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("window", Integer, nullable=False),
    Column("event", Bytes, nullable=False),
    Column("open", Integer, nullable=False),
    Column("emitted", Float),
)
event.listen(
    findings,
    "after_create",
    DDL("ALTER TABLE findings ADD COLUMN rowid BIGINT GENERATED ALWAYS AS IDENTITY").execute_if(dialect="postgresql"),  # type: ignore[no-untyped-call]
)
appearances = Table(
    "appearances",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("since", Float, nullable=False),
)
scores = Table(
    "scores",
    metadata,
    Column("model", String, primary_key=True),
    Column("version", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("row", _Count, nullable=False),
    Column("prediction", Bytes),
    sqlite_with_rowid=False,
)


def add(connection: Connection, found: Mapping[tuple[str, str, str], int]) -> None:
    """Add to the tallies of (model, version, what)."""
    upsert = insert(connection, tallies)
    grown = upsert.on_conflict_do_update(
        index_elements=["model", "version", "what"], set_={"count": tallies.c.count + upsert.excluded.count}
    )
    values = [
        {"model": model, "version": version, "what": what, "count": count} for (model, version, what), count in found.items() if count
    ]
    if values:
        connection.execute(grown, values)


def moment(seconds: float) -> datetime:
    """The stored time as a datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that can say what becomes of a row that is there already, in the database's own words."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def insert_new(connection: Connection, table: Table, found: Sequence[dict[str, Any]]) -> None:
    """Insert the rows; those whose key is taken stay as they are."""
    if found:
        connection.execute(insert(connection, table).on_conflict_do_nothing(), found)
