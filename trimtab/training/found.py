"""What steps leave for the steps after them, by the files' names; `checks.py` has the validation's."""

from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

GATES = "gates.json"
REPORT, REPORT_PAGE = "report.md", "report.html"
BEGUN = "begun.json"


Source = Literal["", "champion"]
"""Where a run's rows are from: data.uri, or what the champion was made from."""


class Begun(Struct, frozen=True, rename="camel", omit_defaults=True):
    """When a run began, up to which data time (ISO 8601) its rows really are, and whether they are the champion's own."""

    at: datetime
    cut: str
    snapshot: Source = ""


def snapshot_digest(dataset: Path) -> str:
    """The digest that the snapshot is named by; empty where there is none."""
    return next((path.stem for path in sorted(dataset.glob("*.parquet"))), "")


def write_begun(dataset: Path, begun: Begun) -> None:
    """Leave it beside the snapshot."""
    (dataset / BEGUN).write_bytes(msgspec.json.encode(begun))


def read_begun(dataset: Path) -> Begun | None:
    """What `write_begun` left; None beside a snapshot that Trimtab's own `ingest` did not make."""
    path = dataset / BEGUN
    return msgspec.json.decode(path.read_bytes(), type=Begun) if path.is_file() else None
