"""The monitor's tables. Times are seconds since 1970 (UTC), `model` is `namespace/name`, JSON is kept as bytes.

A row's `window` is NULL until its window closes and LATE if it came after that; a row whose event time nobody knows
has `time` NULL and belongs to no window.
"""

from datetime import UTC, datetime

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table

LATE = -1

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("id", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("type", String, primary_key=True),
    sqlite_with_rowid=False,
)
rows = Table(
    "rows",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", String, nullable=False),
    Column("source", String, nullable=False),
    Column("id", String, nullable=False),
    Column("position", Integer, nullable=False),
    Column("key", String, nullable=False),
    Column("time", Float),
    Column("received", Float, nullable=False),
    Column("features", LargeBinary, nullable=False),
    Column("prediction", LargeBinary),
    Column("window", Integer),
    Index("rows_event", "id", "source", "position", unique=True),
    Index("rows_key", "model", "key"),
    Index("rows_window", "model", "version", "window", "time"),
)
responses = Table(
    "responses",
    metadata,
    Column("id", String, primary_key=True),
    Column("source", String, primary_key=True),
    Column("received", Float, nullable=False),
    Column("predictions", LargeBinary, nullable=False),
)
labels = Table(
    "labels",
    metadata,
    Column("model", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("time", Float, nullable=False),
    Column("received", Float, nullable=False),
    sqlite_with_rowid=False,
)
watermarks = Table("watermarks", metadata, Column("model", String, primary_key=True), Column("time", Float, nullable=False))
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
    Column("quality", LargeBinary),
    Column("drift", LargeBinary),
    Column("performance", LargeBinary),
)
findings = Table(
    "findings",
    metadata,
    Column("id", String, primary_key=True),
    Column("model", String, nullable=False, index=True),
    Column("version", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("window", Integer, nullable=False),
    Column("event", LargeBinary, nullable=False),
    Column("open", Integer, nullable=False),
    Column("emitted", Float),
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
    Column("row", Integer, nullable=False),
    Column("prediction", LargeBinary),
    sqlite_with_rowid=False,
)


def moment(seconds: float) -> datetime:
    """The stored time as a datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
