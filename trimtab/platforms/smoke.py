"""The smoke test of a served version: recorded rows must give the recorded predictions through the served protocol."""

import http.client
import math
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import InvalidInput, Unavailable
from trimtab.schema import PREDICTION, REFERENCE, read_schema

SMOKE_ROWS = 20
SMOKE_SECONDS = 10.0
RELATIVE, ABSOLUTE = 1e-4, 1e-6


def smoke(folder: Path, url: str) -> tuple[bool, str]:
    """Whether 20 rows spread over the reference get their recorded predictions from `url` (V1, uncaptured), and a sentence."""
    try:
        rows = _reference_rows(folder)
    except InvalidInput as error:
        return False, f"smoke test: {error}"
    expected = list(_flat([row.pop(PREDICTION) for row in rows]))
    instances = [{name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()} for row in rows]
    status, answer = _post(url, msgspec.json.encode({"instances": instances}))
    if status is None:
        msg = f"smoke test: the version did not answer ({answer})"
        raise Unavailable(msg)
    if status != http.HTTPStatus.OK:
        return False, f"smoke test: the version answered {status}: {answer:.300}"
    found = list(_flat(msgspec.json.decode(answer)["predictions"]))
    if len(found) != len(expected):
        return False, f"smoke test: {len(expected)} predictions were recorded, {len(found)} were answered"
    wrong = [pair for pair in zip(expected, found, strict=True) if not math.isclose(*pair, rel_tol=RELATIVE, abs_tol=ABSOLUTE)]
    if wrong:
        return False, f"smoke test: {len(wrong)} of {len(found)} predictions differ; recorded {wrong[0][0]:.6g}, answered {wrong[0][1]:.6g}"
    return True, f"smoke test: {len(rows)} reference rows got their recorded predictions"


def _reference_rows(folder: Path) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*read_schema(folder).names, PREDICTION]
    try:
        table = pq.read_table(folder / REFERENCE).select(names)
    except (OSError, KeyError, pa.ArrowException) as error:
        msg = f"{REFERENCE} of the model in {folder.name!r} cannot be read, or lacks one of {', '.join(names)}"
        raise InvalidInput(msg) from error
    step = max(1, table.num_rows // SMOKE_ROWS)
    rows: list[dict[str, Any]] = table.take(list(range(0, table.num_rows, step))[:SMOKE_ROWS]).to_pylist()
    return rows


def _post(url: str, body: bytes) -> tuple[int | None, str]:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=SMOKE_SECONDS)
    try:
        connection.request("POST", parts.path, body, {"Content-Type": "application/json", "x-trimtab-capture": "off"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return None, type(error).__name__
    finally:
        connection.close()


def _flat(values: list[Any]) -> Iterator[float]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield float(value)
