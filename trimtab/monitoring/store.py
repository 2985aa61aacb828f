"""What arrived, exactly once by (source, id, type): one transaction a batch, on disk before it is acknowledged.

SQLite in WAL mode, or PostgreSQL by its URL. Either way one writer at a time: SQLite has no other, PostgreSQL is asked for a lock,
so that what was written for the one holds for the other.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from trimtab.errors import InvalidInput, Unavailable
from trimtab.monitoring.ingest import Answered, Arrival, Asked, Labelled, watermark
from trimtab.monitoring.tables import events, insert, labels, metadata, moment, responses, rows, watermarks

_CHUNK = 500
_WRITER = 8_745_136
Item = TypeVar("Item")
Identity = tuple[str, str]


class Written(msgspec.Struct, frozen=True):
    """What became of a batch: which of its arrivals were new, in order, and how many new labels had a key that no row has yet."""

    fresh: tuple[bool, ...]
    unknown_keys: int


class Store:
    """The monitor's database. Reads may come from any thread; raises Unavailable where the disk or the file fails."""

    def __init__(self, place: Path | str) -> None:
        """`place` is a file of SQLite, or a URL (`postgresql://user:password@host/database`); the tables are made if they are not there."""
        self._engine = _postgres(place) if isinstance(place, str) else _sqlite(place)
        reading = {"isolation_level": "REPEATABLE READ"} if isinstance(place, str) else {}
        self._reader = self._engine.execution_options(reading=True, **reading)
        with self.transaction() as connection:
            metadata.create_all(connection)

    @contextmanager
    def transaction(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        """A connection in one transaction, committed at the end; `reading` ones never wait for a writer."""
        try:
            with (self._reader if reading else self._engine).begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", None) or error).splitlines()
            msg = f"the monitor's database cannot be used: {(said or [''])[0][:200]}"
            raise Unavailable(msg) from error

    def ping(self) -> None:
        """Raises Unavailable where the database does not answer."""
        with self.transaction(reading=True) as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Give the file, or the connections, back."""
        self._engine.dispose()

    def write(self, arrivals: Sequence[Arrival], received: datetime, *, replaying: bool) -> Written:
        """Keep the arrivals, all or none."""
        with self.transaction() as connection:
            fresh = _note(connection, arrivals)
            new = [item for item, first in zip(arrivals, fresh, strict=True) if first]
            asked = [item for item in new if isinstance(item, Asked)]
            answered = {(item.id, item.source): item.predictions for item in new if isinstance(item, Answered)}
            labelled = [item for item in new if isinstance(item, Labelled)]
            if asked:
                _keep_rows(connection, asked, answered, received)
                _advance(connection, asked, received, replaying)
            if answered:
                _keep_answers(connection, answered, received)
            unknown = _keep_labels(connection, labelled, received) if labelled else 0
        return Written(tuple(fresh), unknown)

    def watermark(self, model: str) -> datetime | None:
        """The greatest accepted event time of the model, or None before the first row."""
        with self.transaction(reading=True) as connection:
            found = connection.scalar(sa.select(watermarks.c.time).where(watermarks.c.model == model))
        return None if found is None else moment(found)

    def counts(self, model: str) -> dict[str, int]:
        """How many rows, rows without an answer, rows without a time, labels, and labels whose key no row has."""
        ours = rows.c.model == model
        known = sa.exists().where(rows.c.model == labels.c.model, rows.c.key == labels.c.key)
        of_labels = sa.select(sa.func.count()).select_from(labels).where(labels.c.model == model)
        of_rows = sa.select(sa.func.count()).select_from(rows).where(ours)
        questions = {
            "rows": of_rows,
            "rowsWithoutAnswer": of_rows.where(rows.c.prediction.is_(None)),
            "rowsWithoutTime": of_rows.where(rows.c.time.is_(None)),
            "labels": of_labels,
            "labelsUnknownKey": of_labels.where(~known),
        }
        with self.transaction(reading=True) as connection:
            return {name: int(connection.scalar(question) or 0) for name, question in questions.items()}

    def row_counts(self) -> dict[tuple[str, str], int]:
        """How many rows each (model, version) has."""
        question = sa.select(rows.c.model, rows.c.version, sa.func.count()).group_by(rows.c.model, rows.c.version)
        with self.transaction(reading=True) as connection:
            return {(model, version): int(count) for model, version, count in connection.execute(question)}


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
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


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


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    every = list(items)
    return (every[start : start + _CHUNK] for start in range(0, len(every), _CHUNK))


def _note(connection: sa.Connection, arrivals: Sequence[Arrival]) -> list[bool]:
    """Which arrivals are new; they are noted as seen."""
    seen: set[tuple[str, str, str]] = set()
    for ids in _chunks({item.id for item in arrivals}):
        question = sa.select(events.c.id, events.c.source, events.c.type).where(events.c.id.in_(ids))
        seen.update((row.id, row.source, row.type) for row in connection.execute(question))
    fresh, notes = [], []
    for item in arrivals:
        identity = (item.id, item.source, item.type)
        fresh.append(identity not in seen)
        if fresh[-1]:
            seen.add(identity)
            notes.append({"id": item.id, "source": item.source, "type": item.type})
    if notes:
        connection.execute(sa.insert(events), notes)
    return fresh


def _keep_rows(connection: sa.Connection, asked: list[Asked], answered: dict[Identity, tuple[bytes, ...]], received: datetime) -> None:
    """Insert the rows, with their answers where these came before or come in the same batch (then taken out of `answered`)."""
    waiting = _waiting(connection, [item for item in asked if (item.id, item.source) not in answered])
    found = []
    for item in asked:
        identity = (item.id, item.source)
        answers = answered.pop(identity, None) or waiting.get(identity, ())
        shared = {"model": item.model, "version": item.version, "source": item.source, "id": item.id, "received": received.timestamp()}
        found += [
            {
                **shared,
                "position": row.position,
                "key": row.key,
                "time": row.time,
                "features": row.features,
                "prediction": answers[row.position] if row.position < len(answers) else None,
            }
            for row in item.rows
        ]
    if found:
        connection.execute(sa.insert(rows), found)


def _waiting(connection: sa.Connection, asked: list[Asked]) -> dict[Identity, tuple[bytes, ...]]:
    """The answers that came before these requests; they leave the waiting table."""
    wanted = {(item.id, item.source) for item in asked}
    found: dict[Identity, tuple[bytes, ...]] = {}
    for ids in _chunks({item.id for item in asked}):
        for row in connection.execute(sa.select(responses).where(responses.c.id.in_(ids))):
            if (row.id, row.source) in wanted:
                found[(row.id, row.source)] = tuple(bytes(part) for part in msgspec.json.decode(row.predictions, type=list[msgspec.Raw]))
    if found:
        condition = (responses.c.id == sa.bindparam("i")) & (responses.c.source == sa.bindparam("s"))
        connection.execute(sa.delete(responses).where(condition), [{"i": key, "s": source} for key, source in found])
    return found


def _keep_answers(connection: sa.Connection, answered: dict[Identity, tuple[bytes, ...]], received: datetime) -> None:
    """Give the answers to rows that are there; those whose request has not come wait for it."""
    present: set[Identity] = set()
    for ids in _chunks({key for key, _ in answered}):
        question = sa.select(rows.c.id, rows.c.source).where(rows.c.id.in_(ids), rows.c.position == 0)
        present.update((row.id, row.source) for row in connection.execute(question))
    updates = [
        {"i": identity[0], "s": identity[1], "p": position, "answer": answer}
        for identity, answers in answered.items()
        if identity in present
        for position, answer in enumerate(answers)
    ]
    if updates:
        condition = (rows.c.id == sa.bindparam("i")) & (rows.c.source == sa.bindparam("s")) & (rows.c.position == sa.bindparam("p"))
        connection.execute(sa.update(rows).where(condition).values(prediction=sa.bindparam("answer")), updates)
    early = [
        {"id": key, "source": source, "received": received.timestamp(), "predictions": b"[" + b",".join(answers) + b"]"}
        for (key, source), answers in answered.items()
        if (key, source) not in present
    ]
    if early:
        connection.execute(sa.insert(responses), early)


def _keep_labels(connection: sa.Connection, found: list[Labelled], received: datetime) -> int:
    """Keep the labels, the last by time for a key; returns how many have a key that no row has yet."""
    upsert = insert(connection, labels)
    newest = upsert.on_conflict_do_update(
        index_elements=["model", "key"],
        set_={"value": upsert.excluded.value, "time": upsert.excluded.time, "received": upsert.excluded.received},
        where=upsert.excluded.time >= labels.c.time,
    )
    now = received.timestamp()
    values = [{"model": item.model, "key": item.key, "value": item.value, "time": item.time, "received": now} for item in found]
    connection.execute(newest, values)
    known: set[tuple[str, str]] = set()
    for keys in _chunks({item.key for item in found}):
        for model in {item.model for item in found}:
            question = sa.select(rows.c.key).where(rows.c.model == model, rows.c.key.in_(keys))
            known.update((model, row.key) for row in connection.execute(question))
    return sum((item.model, item.key) not in known for item in found)


def _advance(connection: sa.Connection, asked: list[Asked], received: datetime, replaying: bool) -> None:
    upsert = insert(connection, watermarks)
    later = upsert.on_conflict_do_update(
        index_elements=["model"], set_={"time": upsert.excluded.time}, where=upsert.excluded.time > watermarks.c.time
    )
    for item in asked:
        time = watermark(item.rows, received, replaying=replaying)
        if time is not None:
            connection.execute(later, {"model": item.model, "time": time})
