"""The rows as validation looks at them: all of them by SQL in bounded memory, and a seeded sample of them as Arrow, in their order."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.schema import Schema
from trimtab.spec import Expectation, ModelSpec
from trimtab.training.frame import kind_of
from trimtab.training.source import connect, identifier, literal

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pyarrow as pa

SAMPLE = 50_000
_SEED = 7
_EXACT = 1_000_000
"""Up to so many rows different values are counted, beyond them estimated (HyperLogLog, about 2% off)."""


class Facts(Struct, frozen=True):
    """One column over all rows: how many values are there (neither null nor NaN), how many different, and for numbers their range."""

    kind: str
    present: int
    different: int
    low: float | None = None
    high: float | None = None
    infinite: int = 0


class Champion(Struct, frozen=True):
    """What the data looked like before: the serving version's schema, and the sample of its rows that was kept with it."""

    schema: Schema
    reference: Any = None


class Rows:
    """The labelled rows of a snapshot. `sample` holds at most 50,000 of them, drawn evenly; `numbers` those as floats."""

    def __init__(self, connection: Any, sample: "pa.Table", count: int) -> None:
        self.connection, self.sample, self.count = connection, sample, count
        self.kinds = {field.name: kind_of(field) for field in sample.schema}
        self._facts: dict[str, Facts] = {}

    def one(self, select: str) -> tuple[Any, ...]:
        """The single row of an aggregate over all rows."""
        found: tuple[Any, ...] = self.connection.execute(f"SELECT {select} FROM rows").fetchall()[0]  # noqa: S608
        return found

    def count_where(self, condition: str) -> int:
        """How many of all rows meet an SQL condition."""
        return int(self.one(f"count(*) FILTER (WHERE {condition})")[0])

    def different(self, name: str) -> int:
        """How many different values a column has, counted."""
        return int(self.one(f"count(DISTINCT {identifier(name)})")[0])

    def facts(self, name: str) -> Facts:
        """What is known of a column over all rows."""
        if name not in self._facts:
            column, kind = identifier(name), self.kinds[name]
            distinct = f"count(DISTINCT {column})" if self.count <= _EXACT else f"approx_count_distinct({column})"
            if kind != "number":
                present, different = self.one(f"count({column}), {distinct if kind == 'text' else '0'}")
                self._facts[name] = Facts(kind, present, different)
            else:
                value = f"CAST({column} AS DOUBLE)"
                finite = f"FILTER (WHERE isfinite({value}))"
                asked = f"count({column}) FILTER (WHERE NOT isnan({value})), {distinct}, min({value}) {finite}, max({value}) {finite}"
                self._facts[name] = Facts(kind, *self.one(f"{asked}, count({column}) FILTER (WHERE isinf({value}))"))
        return self._facts[name]

    def numbers(self, name: str) -> "np.ndarray[Any, Any]":
        """A column's sampled values as float64, NaN where they are missing or infinite."""
        return numbers(self.sample.column(name))

    def newest(self, share: float) -> "pa.Table":
        """The newest part of the sample (the last in the rows' order)."""
        rows = self.sample.num_rows
        return self.sample.slice(rows - int(rows * share))


class Look(Struct, frozen=True):
    """All that a check is given."""

    rows: Rows
    spec: ModelSpec
    features: tuple[str, ...]
    champion: Champion | None = None
    cut: "datetime | None" = None

    @property
    def declared(self) -> dict[str, Expectation]:
        """What the document says of columns, by their names."""
        return {expected.column: expected for expected in self.spec.data.expect}


MEETING = 100
"""So many rows of the champion's reference and of the sample must be of one time, for what is said of both to be of the same rows."""


class Meeting(Struct, frozen=True):
    """The champion's reference and the sampled rows, of the time that both have: `same`, or all of both where there is none."""

    reference: Any
    rows: Any
    same: bool


def meeting(look: Look) -> Meeting | None:
    """What can be held against each other; None without a champion's reference."""
    import numpy as np
    import pyarrow as pa

    reference, sample = look.champion.reference if look.champion else None, look.rows.sample
    if reference is None or reference.num_rows == 0:
        return None
    time = look.spec.data.time
    before, now = moments(reference, time), moments(sample, time)
    if before is None or now is None:
        return Meeting(reference, sample, time is None)
    start, stop = max(before.min(), now.min()), min(before.max(), now.max())
    ours, theirs = (now >= start) & (now <= stop), (before >= start) & (before <= stop)
    if min(ours.sum(), theirs.sum()) < MEETING:
        return Meeting(reference, sample, same=False)
    return Meeting(reference.take(pa.array(np.flatnonzero(theirs))), sample.take(pa.array(np.flatnonzero(ours))), same=True)


def moments(table: "pa.Table", time: str | None) -> "np.ndarray[Any, Any] | None":
    """A time column in microseconds since 1970; None where there is none, or it lacks values or is of another kind."""
    import pyarrow as pa

    if time is None or time not in table.column_names or not table.num_rows:
        return None
    column = table.column(time)
    if not pa.types.is_timestamp(column.type) or column.null_count:
        return None
    found: np.ndarray[Any, Any] = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64()).to_numpy()
    return found


def numbers(column: Any) -> "np.ndarray[Any, Any]":
    """Arrow values as float64, NaN where they are missing or infinite."""
    import numpy as np
    import pyarrow as pa

    values: np.ndarray[Any, Any] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(values), values, np.nan)


@contextmanager
def looking(source: "Path | pa.Table") -> Iterator[Rows]:
    """The rows in a Parquet file, or in a table, to be looked at."""
    with connect() as connection:
        if isinstance(source, Path):
            connection.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet({literal(str(source))})")  # noqa: S608
            sample, count = _drawn_from_file(source)
        else:
            connection.register("rows", source)
            sample, count = source.take(_chosen(source.num_rows)), source.num_rows
        yield Rows(connection, sample.combine_chunks(), count)


def _chosen(count: int) -> "np.ndarray[Any, Any]":
    import numpy as np

    if count <= SAMPLE:
        return np.arange(count)
    return np.sort(np.random.default_rng(_SEED).choice(count, SAMPLE, replace=False))


def _drawn_from_file(path: Path) -> "tuple[pa.Table, int]":
    """The sampled rows of a Parquet file, read one row group at a time, and the number of all its rows."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        count = file.metadata.num_rows
        chosen, parts, start = _chosen(count), [], 0
        for group in range(file.num_row_groups):
            stop = start + file.metadata.row_group(group).num_rows
            here = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, stop)] - start
            parts.append(file.read_row_group(group).take(pa.array(here)))
            start = stop
        return pa.concat_tables(parts) if parts else file.read(), count
