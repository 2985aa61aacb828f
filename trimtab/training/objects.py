"""Objects behind s3:// or gs://, brought here before DuckDB reads them: one object, or all that match a pattern.

DuckDB's own reader of object stores is an extension that it downloads on first use, and no wheel holds it; PyArrow's wheel holds
the clients of both stores. They take their settings where everybody's do: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION, AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, a web identity or the machine's own; and
GOOGLE_APPLICATION_CREDENTIALS, the machine's own, or STORAGE_EMULATOR_HOST. What each object was is compared before and after
(ETag, generation).
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trimtab.errors import InvalidInput, Unavailable
from trimtab.patterns import MAGIC, matches
from trimtab.training.remote import Changed

log = logging.getLogger(__name__)

SCHEMES = ("s3", "gs")
CONNECT_SECONDS = 5.0
SECONDS = 20.0
"""How long a store may say nothing: S3 in each of three attempts, Google's client in all (it gives up a silent connection after 120)."""
_ATTEMPTS = 3
_THREADS = 8
_CHUNK = 8 << 20
_IDENTITY = ("etag", "generation", "last-modified", "updated", "content-length", "size")
_REFUSED = re.compile(
    r"""AWS\ Error\ (NO_SUCH_\w+|ACCESS_DENIED|INVALID_\w+|SIGNATURE_DOES_NOT_MATCH|RESOURCE_NOT_FOUND|EXPIRED_TOKEN
        |UNRECOGNIZED_CLIENT|MISSING_\w+|VALIDATION)\b
    |HTTP\ status\ (code:\ )?(301|40[0-7]|41\d)\b
    |Status\((NOT_FOUND|PERMISSION_DENIED|UNAUTHENTICATED|INVALID_ARGUMENT)\b""",
    re.VERBOSE,
)


def is_object(uri: str) -> bool:
    """Whether `uri` is one that `bring` brings."""
    return uri.split("://", 1)[0] in SCHEMES


def bring(uri: str, folder: Path, seconds: float = SECONDS) -> Path:
    """Download what `uri` names into `folder`; returns the path, or the pattern, by which it is found there.

    A store that says nothing for `seconds` does not answer. The keys keep their folders, so that partitions (`year=2024/`) stay what
    they are. Raises InvalidInput where there is no such bucket or object, or it must not be read from here; Unavailable where the
    store does not answer or the disk is too small; Changed where an object was written meanwhile.
    """
    scheme, bucket, pattern = _parts(uri)
    with _speaking(uri):
        store = _store(scheme, seconds)
        keys = _keys(store, bucket, pattern, uri)
        with ThreadPoolExecutor(_THREADS) as pool:
            before = list(pool.map(lambda key: _copy(store, key, folder / key), keys))
            try:
                after = list(pool.map(lambda key: _identity(store, key), keys))
            except FileNotFoundError as error:
                raise Changed(uri) from error
    if before != after:
        raise Changed(uri)
    log.info("downloaded %s: %d objects", uri, len(keys))
    return folder / bucket / pattern


def _parts(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket, and key or pattern; raises InvalidInput where one is missing."""
    scheme, place = uri.split("://", 1)
    bucket, _, pattern = place.partition("/")
    if not bucket or not pattern.strip("/") or ".." in pattern.split("/"):
        msg = f"data.uri {uri!r} names no object; {scheme}://BUCKET/KEY, or a pattern such as {scheme}://BUCKET/rows/*.parquet, is allowed"
        raise InvalidInput(msg)
    return scheme, bucket, pattern


def _store(scheme: str, seconds: float) -> Any:
    from pyarrow import fs

    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
        return fs.S3FileSystem(
            region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None,
            endpoint_override=endpoint,
            connect_timeout=CONNECT_SECONDS,
            request_timeout=seconds,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        )
    within = timedelta(seconds=seconds)
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if not emulator:
        return fs.GcsFileSystem(retry_time_limit=within)
    parts = urlsplit(emulator if "://" in emulator else f"http://{emulator}")
    return fs.GcsFileSystem(anonymous=True, scheme=parts.scheme, endpoint_override=parts.netloc, retry_time_limit=within)


def listed(uri: str, seconds: float = SECONDS) -> list[tuple[str, int, int]]:
    """What `uri` names, without reading any of it: of each object `KEY`, its bytes, and when it was written (nanoseconds since 1970).

    Nothing where nothing is there; raises as `bring` does.
    """
    scheme, bucket, pattern = _parts(uri)
    with _speaking(uri):
        found = _matching(_store(scheme, seconds), bucket, pattern, missing_ok=True)
    return sorted((item.path.partition("/")[2], item.size or 0, item.mtime_ns or 0) for item in found)


def footers(uri: str, seconds: float = SECONDS) -> int:
    """How many rows the Parquet objects that `uri` names have by their footers, which alone are read; raises as `bring` does."""
    import pyarrow.parquet as pq

    scheme, bucket, pattern = _parts(uri)

    def rows(path: str) -> int:
        with store.open_input_file(path) as stream:
            return int(pq.read_metadata(stream).num_rows)

    with _speaking(uri):
        store = _store(scheme, seconds)
        with ThreadPoolExecutor(_THREADS) as pool:
            return sum(pool.map(rows, [item.path for item in _matching(store, bucket, pattern, missing_ok=True)]))


def _keys(store: Any, bucket: str, pattern: str, uri: str) -> list[str]:
    """`BUCKET/KEY` of each object that the pattern matches."""
    matching = _matching(store, bucket, pattern)
    if not matching:
        raise FileNotFoundError(uri)
    _room(sum(item.size or 0 for item in matching), uri)
    return sorted(item.path for item in matching)


def _matching(store: Any, bucket: str, pattern: str, *, missing_ok: bool = False) -> list[Any]:
    """What the store says of each object that the pattern matches, as DuckDB matches files."""
    from pyarrow import fs

    magic = MAGIC.search(pattern)
    if magic is None:
        found = [store.get_file_info(f"{bucket}/{pattern}")]
        return [item for item in found if item.type == fs.FileType.File]
    above = pattern[: magic.start()].rpartition("/")[0]
    deep = "/" in pattern[len(above) :].lstrip("/") or "**" in pattern
    found = store.get_file_info(fs.FileSelector(f"{bucket}/{above}".rstrip("/"), recursive=deep, allow_not_found=missing_ok))
    return [item for item in found if item.type == fs.FileType.File and matches(pattern, item.path.partition("/")[2])]


def _copy(store: Any, key: str, path: Path) -> dict[str, bytes]:
    """Download one object; returns what it was."""
    with store.open_input_stream(key) as stream:
        identity = _known(stream.metadata())
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            shutil.copyfileobj(stream, out, _CHUNK)
    return identity


def _identity(store: Any, key: str) -> dict[str, bytes]:
    with store.open_input_stream(key) as stream:
        return _known(stream.metadata())


def _known(metadata: Any) -> dict[str, bytes]:
    return {name.lower(): value for name, value in (metadata or {}).items() if name.lower() in _IDENTITY}


def _room(size: int, uri: str) -> None:
    import tempfile

    free = shutil.disk_usage(tempfile.gettempdir()).free
    if 2 * size > free:
        msg = f"data.uri {uri!r} needs {2 * size:,} bytes of disk, twice its size, and {free:,} are free: give the task more storage"
        raise Unavailable(msg)


@contextmanager
def _speaking(uri: str) -> Iterator[None]:
    """Turn what the stores' clients raise into InvalidInput (refused) or Unavailable (no answer)."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, ValueError) as error:
        said = " ".join(str(error).split())
        why = re.sub(r"^.*?(AWS Error|Status\()", r"\1", said)[:200]
        if isinstance(error, FileNotFoundError) or said.startswith("No such file"):
            msg = f"data.uri: no object matches {uri!r}, or there is no such bucket"
            raise InvalidInput(msg) from error
        if _REFUSED.search(said):
            msg = (
                f"data.uri {uri!r}: the store refuses ({why}): are bucket, key, region and credentials right, and may it be read from here?"
            )
            raise InvalidInput(msg) from error
        msg = f"data.uri {uri!r} could not be read: {why}"
        raise Unavailable(msg) from error
