"""The snapshot: exactly the rows that a run may know at its cut, in a file named by its content.

DuckDB reads whatever `data.uri` names; a file behind http:// or https:// is downloaded first. A row's label counts only where
the row's time is at most cut - labelDelay: a later row is left out, because at the cut its label was not known. Equal rows give
equal bytes, so the file's SHA-256 says which data a version was made from.
"""

import hashlib
import logging
import shutil
import tempfile
import weakref
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from msgspec import Struct

from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import aware
from trimtab.spec import Data
from trimtab.training.remote import download, is_remote, shown
from trimtab.units import duration

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

PARQUET = (".parquet", ".pq")
_ROWS_A_GROUP = 65_536


class Snapshot(Struct, frozen=True):
    """A snapshot's file `<sha256>.parquet`, its digest, its rows, and how many rows had no label (or no time) and were left out."""

    path: Path
    digest: str
    rows: int
    unlabelled: int


def location(uri: str) -> str:
    """What DuckDB is given for `data.uri`: a file:// URI becomes its path, everything else stays."""
    parts = urlparse(uri)
    return unquote(parts.path) if parts.scheme == "file" else uri


def connect() -> Any:
    """A DuckDB connection that reckons in UTC and uses the two threads that a task is given."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 2")
    return connection


def source(connection: Any, uri: str) -> Any:
    """The rows behind `uri` as a DuckDB relation; what had to be downloaded is on disk for as long as the connection lives.

    Raises InvalidInput where there is no such file or it is no table, Unavailable where a remote place does not answer.
    """
    import duckdb

    where = str(download(uri, _folder_of(connection))) if is_remote(uri) else location(uri)
    named = shown(uri) if is_remote(uri) else where
    remote = "://" in where
    reader = "read_parquet" if where.lower().split("?")[0].endswith(PARQUET) else "read_csv"
    options = "" if reader == "read_parquet" else ", sample_size = -1"
    if not remote and Path(where).is_file() and Path(where).stat().st_size == 0:
        msg = f"data.uri: {named!r} is empty"
        raise InvalidInput(msg)
    try:
        return connection.sql(f"SELECT * FROM {reader}({literal(where)}{options})")  # noqa: S608
    except (duckdb.IOException, duckdb.HTTPException) as error:
        if remote:
            msg = f"data.uri {uri!r} could not be read: {first_line(error)}"
            raise Unavailable(msg) from error
        msg = f"data.uri: no file matches {where!r}"
        raise InvalidInput(msg) from error
    except duckdb.Error as error:
        msg = f"data.uri: {named!r} is not a table in CSV or Parquet: {first_line(error)}"
        raise InvalidInput(msg) from error


def _folder_of(connection: Any) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="trimtab-data-"))
    weakref.finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    return folder


def snapshot(data: Data, cut: datetime | None, folder: Path) -> Snapshot:
    """Write the rows known at `cut` to `<folder>/<sha256>.parquet`, in the order of time.

    Without `data.time` all rows are taken, ordered by a hash of their content: the last fifth, which is the holdout, is then a
    random one, and a row falls on the same side in the next run. Columns in `data.exclude` are not kept.
    Raises InvalidInput where the data does not have the columns it should have.
    """
    table, unlabelled = read(data, cut)
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "snapshot.tmp"
    pq.write_table(table, draft, compression="zstd", row_group_size=_ROWS_A_GROUP)
    with draft.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    path = folder / f"{digest}.parquet"
    draft.rename(path)
    log.info("snapshot %s: %d rows, %d without a label left out", digest[:12], table.num_rows, unlabelled)
    return Snapshot(path, digest, table.num_rows, unlabelled)


def read(data: Data, cut: datetime | None) -> "tuple[pa.Table, int]":
    """The labelled rows known at `cut`, and the number of rows up to the cut that have no label yet or no readable time."""
    import duckdb

    with connect() as connection:
        rows = source(connection, data.uri)
        check_columns(data, rows.columns)
        label = identifier(data.label)
        drop = [name for name in rows.columns if name in data.exclude and name not in (data.label, data.key, data.time)]
        kept = ", ".join(_column(name, kind, data) for name, kind in zip(rows.columns, rows.types, strict=True) if name not in drop)
        connection.register("found", rows)
        known, order = f"{label} IS NOT NULL", "__tie"
        upto = "TRUE"
        if data.time is not None:
            time = identifier(data.time)
            order = f"{time}, __tie"
            if cut is not None:
                upto = f"({time} IS NULL OR {_between(time, data, aware(cut))})"
                known += f" AND {time} <= {_moment(aware(cut) - duration(data.label_delay))}"
            known += f" AND {time} IS NOT NULL"
        try:
            connection.execute(f"CREATE TEMP TABLE kept AS SELECT {kept}, md5(CAST(found AS VARCHAR)) AS __tie FROM found")  # noqa: S608
            connection.execute(f"DELETE FROM kept WHERE NOT {upto}")  # noqa: S608
            table = connection.sql(f"SELECT * EXCLUDE (__tie) FROM kept WHERE {known} ORDER BY {order}").to_arrow_table()  # noqa: S608
            total = int(connection.execute("SELECT count(*) FROM kept").fetchone()[0])
        except duckdb.Error as error:
            msg = f"data.uri {shown(data.uri)!r} could not be read: {first_line(error)}"
            raise InvalidInput(msg) from error
    return table.combine_chunks(), total - table.num_rows


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
    quoted, text = identifier(name), str(kind)
    if name == data.time:
        if text not in ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_NS", "TIMESTAMP_MS", "TIMESTAMP_S", "DATE", "VARCHAR"):
            msg = f"data.time: column {name!r} holds {text}, a date, a time stamp or an ISO 8601 text is allowed"
            raise InvalidInput(msg)
        return f"TRY_CAST({quoted} AS TIMESTAMPTZ) AS {quoted}"
    if text.startswith("DECIMAL") or text in ("HUGEINT", "UHUGEINT"):
        return f"CAST({quoted} AS DOUBLE) AS {quoted}"
    if text.startswith("ENUM") or text in ("UUID",):
        return f"CAST({quoted} AS VARCHAR) AS {quoted}"
    return quoted


def _moment(at: datetime) -> str:
    return f"TIMESTAMPTZ '{at.isoformat()}'"


def identifier(name: str) -> str:
    """The column's name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def first_line(error: Exception) -> str:
    """What a library says, without its hints on further lines."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
