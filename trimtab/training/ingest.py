"""The snapshot: exactly the rows that a run may know at its cut, in a file named by its content.

A row's label counts only where the row's time is at most cut - labelDelay: a later row is left out, because at the cut its label
was not known. Equal rows give equal bytes, so the file's SHA-256 says which data a version was made from. Rows stream from DuckDB,
which sorts on disk what it cannot hold, into the file: ten million of them need no more memory than one million.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.addresses import shown
from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import aware
from trimtab.spec import Data, ModelSpec
from trimtab.training.source import first_line, identifier, reading
from trimtab.units import duration

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

_ROWS_A_GROUP = 65_536
_ROWS_A_BATCH = 65_536
_KNOWN, _TIE = "__known", "__tie"
_TIMES = ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "DATE", "VARCHAR")


class Snapshot(Struct, frozen=True):
    """A snapshot's file `<sha256>.parquet`, its digest, its rows, and how many rows had no label (or no time) and were left out."""

    path: Path
    digest: str
    rows: int
    unlabelled: int


def told_apart(spec: ModelSpec) -> tuple[str, ...]:
    """The columns by whose values an evaluation tells rows apart. They are kept also where they are never features."""
    return (*spec.training.slices, *spec.training.sensitive, *(gate.slice for gate in spec.gates if gate.slice))


def snapshot(data: Data, cut: datetime | None, folder: Path, kept: tuple[str, ...] = ()) -> Snapshot:
    """Write the rows known at `cut` to `<folder>/<sha256>.parquet`, in the order of time.

    Without `data.time` all rows are taken, ordered by a hash of their content: the last fifth, which is the holdout, is then a
    random one, and a row falls on the same side in the next run. Columns in `data.exclude` that are not `kept` are left out.
    Raises InvalidInput where the data does not have the columns it should have.
    """
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "snapshot.tmp"

    def write(schema: "pa.Schema", batches: "Iterator[pa.RecordBatch]") -> None:
        with pq.ParquetWriter(draft, schema, compression="zstd") as writer:
            for group in _regrouped(schema, batches):
                writer.write_table(group, row_group_size=_ROWS_A_GROUP)

    try:
        rows, unlabelled = _known_rows(data, cut, write, kept)
    except OSError as error:
        msg = f"the snapshot of {shown(data.uri)!r} cannot be written: {error.strerror or error}"
        raise Unavailable(msg) from error
    with draft.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    path = folder / f"{digest}.parquet"
    draft.rename(path)
    log.info("snapshot %s: %d rows, %d without a label left out", digest[:12], rows, unlabelled)
    return Snapshot(path, digest, rows, unlabelled)


def read(data: Data, cut: datetime | None) -> "tuple[pa.Table, int]":
    """The labelled rows known at `cut`, and the number of rows up to the cut that have no label yet or no readable time."""
    import pyarrow as pa

    found: list[pa.Table] = []

    def keep(schema: "pa.Schema", batches: "Iterator[pa.RecordBatch]") -> None:
        found[:] = [pa.Table.from_batches(batches, schema)]

    _, unlabelled = _known_rows(data, cut, keep)
    return found[0].combine_chunks(), unlabelled


def _known_rows(
    data: Data, cut: datetime | None, take: "Callable[[pa.Schema, Iterator[pa.RecordBatch]], None]", kept: tuple[str, ...] = ()
) -> tuple[int, int]:
    """Give the labelled rows to `take`, in order; returns how many they were, and how many up to the cut have no label yet."""
    counted = [0, 0]

    def labelled(reader: Any) -> "Iterator[pa.RecordBatch]":
        counted[:] = [0, 0]
        for batch in _speaking(reader, data.uri):
            known = batch.filter(batch.column(_KNOWN)).drop_columns([_KNOWN])
            counted[0] += known.num_rows
            counted[1] += batch.num_rows - known.num_rows
            yield known

    def work(connection: Any, rows: Any) -> None:
        import pyarrow as pa

        check_columns(data, rows.columns)
        connection.register("found", rows)
        reader = connection.sql(_query(data, cut, rows.columns, rows.types, kept)).to_arrow_reader(_ROWS_A_BATCH)
        schema = pa.schema([field for field in reader.schema if field.name != _KNOWN])
        take(schema, labelled(reader))

    reading(data.uri, work)
    return counted[0], counted[1]


def _speaking(reader: Any, uri: str) -> "Iterator[pa.RecordBatch]":
    """The reader's batches; what DuckDB meets while it reads comes through Arrow, and becomes a sentence here."""
    import pyarrow as pa

    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException) as error:
            msg = f"data.uri {shown(uri)!r} could not be read: {first_line(error)}"
            raise (Unavailable if "Out of Memory" in msg else InvalidInput)(msg) from error
        yield batch


def _regrouped(schema: "pa.Schema", batches: "Iterator[pa.RecordBatch]") -> "Iterator[pa.Table]":
    """The same rows in tables of `_ROWS_A_GROUP`, so that the file does not depend on how they came."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        while count >= _ROWS_A_GROUP:
            table = pa.Table.from_batches(held, schema)
            yield table.slice(0, _ROWS_A_GROUP).combine_chunks()
            held = table.slice(_ROWS_A_GROUP).to_batches()
            count -= _ROWS_A_GROUP
    if count:
        yield pa.Table.from_batches(held, schema).combine_chunks()


def _query(data: Data, cut: datetime | None, columns: list[str], kinds: list[Any], kept: tuple[str, ...]) -> str:
    """All rows up to the cut, whether their label is known at it, in the order of time and then of their content."""
    label = identifier(data.label)
    never = set(data.exclude) - {data.label, data.key, data.time, *kept}
    made = {name: _column(name, kind, data) for name, kind in zip(columns, kinds, strict=True) if name not in never}
    kind = str(dict(zip(columns, kinds, strict=True))[data.label])
    known = f"{label} IS NOT NULL" + (f" AND NOT isnan({label})" if kind in ("DOUBLE", "FLOAT") else "")
    upto, order = "TRUE", _TIE
    if data.time is not None:
        time = identifier(data.time)
        order = f"{time}, {_TIE}"
        known += f" AND {time} IS NOT NULL"
        if cut is not None:
            upto = f"({time} IS NULL OR {_between(time, data, aware(cut))})"
            known += f" AND {time} <= {_moment(aware(cut) - duration(data.label_delay))}"
    values = ", ".join(f"{column} AS {identifier(name)}" for name, column in made.items())
    texts = ", ".join(f"coalesce(CAST({identifier(name)} AS VARCHAR), chr(30))" for name in made)
    rows = f"SELECT *, ({known}) AS {_KNOWN}, md5_number(concat_ws(chr(31), {texts})) AS {_TIE} FROM (SELECT {values} FROM found)"  # noqa: S608
    return f"SELECT * EXCLUDE ({_TIE}) FROM ({rows}) WHERE {upto} ORDER BY {order}"  # noqa: S608


def check_columns(data: Data, columns: list[str]) -> None:
    """Raise InvalidInput, naming the columns that exist, where a column that the document names is not among `columns`."""
    named = {"data.label": data.label, "data.time": data.time, "data.key": data.key}
    named |= {f"data.exclude[{index}]": name for index, name in enumerate(data.exclude)}
    for field, name in named.items():
        if name is not None and name not in columns:
            msg = f"{field}: there is no column {name!r} in {shown(data.uri)!r}; its columns are {', '.join(map(repr, columns))}"
            raise InvalidInput(msg)


def _between(time: str, data: Data, cut: datetime) -> str:
    upto = f"{time} <= {_moment(cut)}"
    return upto if data.history is None else f"{upto} AND {time} > {_moment(cut - duration(data.history))}"


def _column(name: str, kind: Any, data: Data) -> str:
    """The column as it is kept: times in UTC, and numbers and texts of rare types as common ones."""
    quoted, text = identifier(name), str(kind)
    if name == data.time:
        if text not in _TIMES:
            msg = f"data.time: column {name!r} holds {text}, a date, a time stamp or an ISO 8601 text is allowed"
            raise InvalidInput(msg)
        return f"TRY_CAST({quoted} AS TIMESTAMPTZ)"
    if text.startswith("DECIMAL") or text in ("HUGEINT", "UHUGEINT"):
        return f"CAST({quoted} AS DOUBLE)"
    if text.startswith("ENUM") or text == "UUID":
        return f"CAST({quoted} AS VARCHAR)"
    return quoted


def _moment(at: datetime) -> str:
    return f"TIMESTAMPTZ '{at.isoformat()}'"
