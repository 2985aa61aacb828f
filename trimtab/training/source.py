"""The rows behind a URI, as DuckDB reads them: local files as they are, everything else brought here first.

A file may be written while it is read, and what was read then never existed. So each read is framed: what the files were before
(size, time, inode; for a remote one ETag or generation) is compared with what they are after it; where that differs the read is
made once more. Pages of Parquet files that carry a checksum are held against it, because DuckDB does not.
"""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlparse

from trimtab.addresses import is_remote, shown
from trimtab.errors import InvalidInput, Unavailable
from trimtab.training import objects, remote
from trimtab.training.remote import Changed

log = logging.getLogger(__name__)

MEMORY = "2GB"
"""What DuckDB may hold; what is more goes to the disk. With Arrow's buffers beside it a task stays below 4 GB."""
THREADS = 2
_PARQUET = (".parquet", ".pq")

T = TypeVar("T")


@contextmanager
def connect() -> Iterator[Any]:
    """A DuckDB connection that reckons in UTC, with the two threads that a task is given; what does not fit in `MEMORY` is spilled."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="trimtab-spill-") as folder, duckdb.connect() as connection:
        connection.execute(f"SET TimeZone = 'UTC'; SET threads = {THREADS}; SET memory_limit = '{MEMORY}'")
        connection.execute(f"SET temp_directory = {literal(folder)}; SET enable_progress_bar = false")
        # A Parquet file's statistics do not tell of NaN, and DuckDB 2.0 takes isnan() for false where they show a range.
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        yield connection


def reading(uri: str, work: Callable[[Any, Any], T]) -> T:
    """`work(connection, rows)` on the rows behind `uri`, a DuckDB relation; both are gone when it returns.

    Raises InvalidInput where there is no such file or it is no table, Unavailable where a remote place does not answer, and
    Changed (which is an Unavailable) where the files changed while they were read, and again the second time.
    """
    try:
        return _once(uri, work)
    except Changed as error:
        log.warning("%s; it is read once more", error)
        return _once(uri, work)


def _once(uri: str, work: Callable[[Any, Any], T]) -> T:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="trimtab-data-") as folder, connect() as connection:
        where, named = _brought(uri, Path(folder))
        files = _files(connection, where, named)
        before = _stamps(files)
        try:
            found = work(connection, _relation(connection, files, named))
        except (InvalidInput, duckdb.Error) as error:
            if _stamps(files) != before:
                raise Changed(named) from error
            if isinstance(error, InvalidInput):
                raise
            msg = f"data.uri {named!r} could not be read: {first_line(error)}"
            raise (Unavailable if isinstance(error, duckdb.OutOfMemoryException) else InvalidInput)(msg) from error
        if _stamps(files) != before:
            raise Changed(named)
        return found


def _brought(uri: str, folder: Path) -> tuple[str, str]:
    """The path or pattern to read here, and the name of the place in sentences."""
    if is_remote(uri):
        return str(remote.download(uri, folder)), shown(uri)
    if objects.is_object(uri):
        return str(objects.bring(uri, folder)), uri
    parts = urlparse(uri)
    if "://" in uri and parts.scheme != "file":
        msg = f"data.uri {uri!r}: {parts.scheme}:// is not read; allowed are a path, file://, s3://, gs://, http:// and https://"
        raise InvalidInput(msg)
    where = unquote(parts.path) if parts.scheme == "file" else uri
    return where, where


def _files(connection: Any, where: str, named: str) -> list[str]:
    import duckdb

    try:
        found = [name for (name,) in connection.execute("SELECT file FROM glob(?) ORDER BY 1", [where]).fetchall()]
    except duckdb.Error as error:
        msg = f"data.uri {named!r} is no pattern that can be read: {first_line(error)}"
        raise InvalidInput(msg) from error
    if not found:
        msg = f"data.uri: no file matches {named!r}"
        raise InvalidInput(msg)
    for name in found:
        if Path(name).is_file() and Path(name).stat().st_size == 0:
            msg = f"data.uri: {(named if len(found) == 1 else Path(name).name)!r} is empty"
            raise InvalidInput(msg)
    return found


def _stamps(files: list[str]) -> list[tuple[int, ...]]:
    """Size, time of writing and inode of each file; nothing of a file that is gone."""
    found: list[tuple[int, ...]] = []
    for name in files:
        try:
            stat = Path(name).stat()
        except OSError:
            found.append(())
            continue
        found.append((stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return found


def _relation(connection: Any, files: list[str], named: str) -> Any:
    import duckdb

    parquet = [name for name in files if name.lower().endswith(_PARQUET)]
    if parquet and len(parquet) < len(files):
        msg = f"data.uri: {named!r} matches {len(parquet)} Parquet files and {len(files) - len(parquet)} others; one kind is allowed"
        raise InvalidInput(msg)
    listed = "[" + ", ".join(map(literal, files)) + "]"
    reader = f"read_parquet({listed})" if parquet else f"read_csv({listed}, sample_size = -1)"
    _check_pages(parquet, named)
    try:
        return connection.sql(f"SELECT * FROM {reader}")  # noqa: S608
    except duckdb.Error as error:
        msg = f"data.uri: {named!r} is not a table in CSV or Parquet: {first_line(error)}"
        raise InvalidInput(msg) from error


def _check_pages(files: list[str], named: str) -> None:
    """Raise InvalidInput where a page of a Parquet file cannot be decoded, or is not what its checksum (if it has one) says."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in files:
        place = f"{named!r}" if len(files) == 1 else f"{Path(name).name!r} of {named!r}"
        try:
            file = pq.ParquetFile(name, page_checksum_verification=True)
        except (OSError, pa.ArrowException, ValueError) as error:
            msg = f"data.uri: {place} is not a table in CSV or Parquet: {first_line(error)}"
            raise InvalidInput(msg) from error
        with file:
            for group in range(file.num_row_groups):
                try:
                    for _ in file.iter_batches(row_groups=[group]):
                        pass
                except (OSError, pa.ArrowException, ValueError) as error:
                    msg = f"data.uri: {place} has a corrupt page in row group {group + 1} of {file.num_row_groups}: write the file anew"
                    raise InvalidInput(msg) from error


def identifier(name: str) -> str:
    """The column's name quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"


def first_line(error: Exception) -> str:
    """What a library says, without its hints on further lines."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
