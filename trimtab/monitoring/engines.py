"""SQLite in WAL mode, or PostgreSQL by its URL.

Either way one writer at a time: SQLite has no other, PostgreSQL is asked for a lock, so that what was written for the one holds for
the other. SQLite syncs at each commit (`synchronous=FULL`), PostgreSQL as its server is set (`synchronous_commit`, on by default).
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from trimtab.errors import InvalidInput

_WRITER = 8_745_136


def engine_of(place: Path | str) -> sa.Engine:
    """The engine of a file of SQLite, or of a URL; raises InvalidInput where the URL cannot be read."""
    return _postgres(place) if isinstance(place, str) else _sqlite(place)


def reading(engine: sa.Engine) -> sa.Engine:
    """The same for transactions that only read: they never wait for a writer, and see one moment."""
    level = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    return engine.execution_options(reading=True, **level)


def _sqlite(path: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30.0}, hide_parameters=True)
    sa.event.listen(engine, "connect", _configure)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _postgres(address: str) -> sa.Engine:
    try:
        url = sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError) as error:
        msg = "the database's URL cannot be read; postgresql://user:password@host:5432/database is allowed"
        raise InvalidInput(msg) from error
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
        msg = f"the database's URL begins with {url.drivername!r}; postgresql:// is allowed"
        raise InvalidInput(msg)
    options = {"connect_timeout": 5, "prepare_threshold": None}
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), connect_args=options, hide_parameters=True, pool_pre_ping=True)
    sa.event.listen(engine, "begin", _lock)
    return engine


def _lock(connection: sa.Connection) -> None:
    if not connection.get_execution_options().get("reading", False):
        connection.exec_driver_sql(f"SELECT set_config('statement_timeout', '60s', true), pg_advisory_xact_lock({_WRITER})")
