"""A look at a watched place, in a process of its own: `python -m trimtab.training.watching`, with the question in its environment.

It may take long, hang on a network or need an object store's credentials: so neither the laptop's loop nor the cluster's controller looks
themselves. The answer, which may be a fault, is one line of JSON on standard output, and a container's last words.
"""

import glob
import hashlib
import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlparse

import msgspec
from msgspec import Struct

from trimtab.addresses import is_remote, shown
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.last_words import leave
from trimtab.training import objects, remote
from trimtab.training.source import reading

QUESTION = "TRIMTAB_WATCH"
_PARQUET = (".parquet", ".pq")
_PARTITION = re.compile(r"[^=]+=")


class Question(Struct, frozen=True):
    """Which place is looked at, and what tells that something is new there (`spec.retraining.newData`)."""

    uri: str
    by: Literal["count", "digest", "partition"]


class Answer(Struct, frozen=True, omit_defaults=True):
    """What was there: a hash, and how many rows, files or partitions; or why it is not known, and whether a person has to mend that."""

    mark: str = ""
    size: int = 0
    fault: str = ""
    mend: bool = False


class _File(Struct, frozen=True):
    """A file by its path, and what changes when it is written."""

    path: str
    changes: tuple[str | int, ...]


def look(asked: Question) -> Answer:
    """Look once. Only `count` reads anything: the footers of Parquet files that are here or behind s3://, all of any others.

    Raises InvalidInput where there can be no answer, Unavailable where there is none now. A place with nothing in it is one.
    """
    if asked.by == "partition" and is_remote(asked.uri):
        msg = f"{shown(asked.uri)!r} is a single file and has no partitions; by: digest or count is allowed"
        raise InvalidInput(msg)
    files = _files(asked.uri)
    if asked.by == "count":
        rows = _rows(asked.uri, files)
        return Answer(_hash([rows]), rows)
    if asked.by == "digest":
        return Answer(_hash([(file.path, *file.changes) for file in files]), len(files))
    partitions = sorted({_partition(file.path) for file in files})
    return Answer(_hash(partitions), len(partitions))


def _files(uri: str) -> list[_File]:
    if objects.is_object(uri):
        return [_File(key, (size, written)) for key, size, written in objects.listed(uri)]
    if is_remote(uri):
        found = remote.validators(uri)
        if not any(found):
            msg = f"{shown(uri)!r}: its server tells neither ETag nor Last-Modified nor length, so no change can be known"
            raise InvalidInput(msg)
        return [_File(shown(uri), found)]
    stamped = []
    for path in sorted(glob.glob(local(uri), recursive=True)):  # noqa: PTH207 - the pattern may begin anywhere
        try:
            stat = Path(path).stat()
        except OSError:
            continue
        if Path(path).is_file():
            stamped.append(_File(path, (stat.st_size, stat.st_mtime_ns)))
    return stamped


def local(uri: str) -> str:
    """The path or pattern that a path or a file:// URI names."""
    parts = urlparse(uri)
    return unquote(parts.path) if parts.scheme == "file" else uri


def _rows(uri: str, files: list[_File]) -> int:
    if not files:
        return 0
    if all(file.path.lower().endswith(_PARQUET) for file in files):
        if uri.startswith("s3://"):
            return objects.footers(uri)
        if "://" not in uri or uri.startswith("file://"):
            return sum(_footer(file.path) for file in files)
    return int(reading(uri, lambda _, rows: rows.aggregate("count(*)").fetchall()[0][0]))


def _footer(path: str) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowException) as error:
        msg = f"{Path(path).name!r} is no whole Parquet file: {type(error).__name__}"
        raise Unavailable(msg) from error


def _partition(path: str) -> str:
    """The path up to its last folder that is a partition (`dt=2026-03-01`), or all of it where none is."""
    folders = path.split("/")[:-1]
    last = max((number for number, name in enumerate(folders) if _PARTITION.match(name)), default=None)
    return path if last is None else "/".join(folders[: last + 1])


def _hash(content: object) -> str:
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:24]


def main() -> None:
    """Answer the question in the environment; always exit code 0, for a fault is an answer too."""
    try:
        answer = look(msgspec.json.decode(os.environ.get(QUESTION, ""), type=Question))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        answer = Answer(fault=f"{QUESTION} does not hold what is asked: {error}", mend=True)
    except TrimtabError as error:
        answer = Answer(fault=str(error), mend=isinstance(error, InvalidInput))
    said = msgspec.json.encode(answer).decode()
    print(said)
    leave(said)


if __name__ == "__main__":
    main()
