"""What arrived, exactly once by (source, id, type): one transaction a batch, on disk before it is acknowledged."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from trimtab.errors import TrimtabError, Unavailable
from trimtab.monitoring import writing
from trimtab.monitoring.engines import engine_of, reading
from trimtab.monitoring.ingest import Arrival
from trimtab.monitoring.migrating import migrate
from trimtab.monitoring.tables import moment, streams, tallies, watermarks
from trimtab.monitoring.writing import Written


class Store:
    """The monitor's database. Reads may come from any thread; raises Unavailable where the disk or the file fails."""

    def __init__(self, place: Path | str) -> None:
        """`place` is a file of SQLite, or a URL (`postgresql://user:password@host/database`); its tables are made or migrated."""
        self._engine = engine_of(place)
        self._reader = reading(self._engine)
        try:
            with self.transaction() as connection:
                migrate(connection, datetime.now(UTC))
        except TrimtabError:
            self.close()
            raise

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
            return writing.write(connection, arrivals, received, replaying=replaying)

    def watermark(self, model: str) -> datetime | None:
        """The greatest accepted event time of the model, or None before the first row."""
        with self.transaction(reading=True) as connection:
            found = connection.scalar(sa.select(watermarks.c.time).where(watermarks.c.model == model))
        return None if found is None else moment(found)

    def watermarks(self) -> dict[str, datetime]:
        """The watermark of each model that has one."""
        with self.transaction(reading=True) as connection:
            return {model: moment(time) for model, time in connection.execute(sa.select(watermarks.c.model, watermarks.c.time))}

    def label_times(self, model: str) -> dict[bytes, float]:
        """The greatest time of the model's labels (seconds since 1970) by their value as JSON, of a regression's by an empty one."""
        with self.transaction(reading=True) as connection:
            found = connection.execute(sa.select(streams.c.value, streams.c.time).where(streams.c.model == model))
            return {bytes(row.value): row.time for row in found}

    def progress(self) -> dict[str, int]:
        """How much of each model was ever kept: rows, answers, labels; it grows whenever something new is."""
        every = sa.select(tallies.c.model, sa.func.sum(tallies.c.count)).where(tallies.c.what != writing.UNKNOWN)
        with self.transaction(reading=True) as connection:
            return {model: int(count) for model, count in connection.execute(every.group_by(tallies.c.model))}

    def counts(self, model: str) -> dict[str, int]:
        """How many rows, rows without an answer, rows without a time, rows that came too late, labels, and labels whose key no row has.

        All that was ever accepted, but for the last: deleted rows and labels count on.
        """
        question = sa.select(tallies.c.what, sa.func.sum(tallies.c.count)).where(tallies.c.model == model).group_by(tallies.c.what)
        with self.transaction(reading=True) as connection:
            found = {what: int(count) for what, count in connection.execute(question)}
        return {
            "rows": found.get(writing.ROWS, 0),
            "rowsWithoutAnswer": found.get(writing.ROWS, 0) - found.get(writing.ANSWERED, 0),
            "rowsWithoutTime": found.get(writing.UNTIMED, 0),
            "rowsLate": found.get(writing.LATE_ROWS, 0),
            "labels": found.get(writing.LABELS, 0),
            "labelsUnknownKey": found.get(writing.UNKNOWN, 0),
        }

    def tallies(self) -> dict[tuple[str, str, str], int]:
        """What was ever accepted: by model, version (empty for labels) and what it is (the words of `writing.py`)."""
        with self.transaction(reading=True) as connection:
            return {(model, version, what): int(count) for model, version, what, count in connection.execute(sa.select(tallies))}
