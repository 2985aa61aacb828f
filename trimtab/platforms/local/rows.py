"""Rows of any file as live traffic: read in time order, checked against what the model takes, ready to be sent.

What a caller could not know when it asks (the label, and every excluded column) is never part of a request.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.events import aware
from trimtab.manifest import sha256
from trimtab.spec import Data
from trimtab.training.source import identifier, reading


class Row(Struct, frozen=True):
    """One request to come: its place in the file's time order, its event time, the instance, and the label it will have."""

    index: int
    time: datetime
    key: str
    instance: dict[str, Any]
    label: float | int | str | bool | None


class Rows(Struct, frozen=True):
    """The rows of a file after a time, and the file's digest."""

    digest: str
    rows: list[Row]


def read_rows(path: Path, data: Data, features: list[str], after: datetime, until: datetime | None) -> Rows:
    """The rows with `after` < time <= `until`, oldest first.

    Raises InvalidInput where the file cannot be read or lacks a column that the Model or its champion names.
    """
    if not path.is_file():
        msg = f"there is no file {str(path)!r} to play"
        raise InvalidInput(msg)
    if data.time is None or data.key is None:
        msg = "to play rows the Model must name spec.data.time (their order) and spec.data.key (what their labels are joined by)"
        raise InvalidInput(msg)
    order = f"{identifier(data.time)}, {identifier(data.key)}"

    def work(_: Any, given: Any) -> tuple[list[str], list[tuple[Any, ...]]]:
        _check_columns(path, given.columns, data, features)
        ordered = given.order(order)
        return ordered.columns, ordered.fetchall()

    columns, found = reading(str(path), work)
    hidden = {data.label, *data.exclude}
    rows = []
    for index, values in enumerate(found):
        record = dict(zip(columns, values, strict=True))
        moment = _moment(record[data.time], path, data.time)
        if after < moment and (until is None or moment <= until):
            instance = {name: plain(value) for name, value in record.items() if name not in hidden}
            rows.append(Row(index, moment, str(record[data.key]), instance, plain(record[data.label])))
    if not rows:
        msg = f"{str(path)!r} has no rows after {after:%Y-%m-%d %H:%M}" + (f" and until {until:%Y-%m-%d %H:%M}" if until else "")
        raise InvalidInput(msg)
    return Rows(sha256(path), rows)


def _check_columns(path: Path, columns: list[str], data: Data, features: list[str]) -> None:
    for name in [data.time, data.key, data.label, *features]:
        if name is not None and name not in columns:
            msg = f"{str(path)!r} has no column {name!r}; its header is {', '.join(columns)}"
            raise InvalidInput(msg)


def _moment(value: Any, path: Path, column: str) -> datetime:
    try:
        return aware(value if isinstance(value, datetime) else datetime.fromisoformat(str(value)))
    except ValueError as error:
        msg = f"{str(path)!r}, column {column!r}: {value!r} is not a time (ISO 8601 is allowed)"
        raise InvalidInput(msg) from error


def plain(value: Any) -> Any:
    """The value as JSON has it: what is no number, text or truth value becomes a text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
