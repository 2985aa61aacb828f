"""What steps leave for the steps after them: the files' names, and the validation's sentences that stop a run or only warn."""

from pathlib import Path

import msgspec
from msgspec import Struct

CHECKS, CHECKS_PAGE = "checks.json", "checks.html"
GATES = "gates.json"
REPORT, REPORT_PAGE = "report.md", "report.html"


def snapshot_digest(dataset: Path) -> str:
    """The digest that the snapshot is named by; empty where there is none."""
    return next((path.stem for path in sorted(dataset.glob("*.parquet"))), "")


class _Check(Struct, frozen=True):
    sentence: str
    severity: str = "stop"


def stops(dataset: Path) -> tuple[str, ...]:
    """The sentences of what stops a run, in the snapshot's `checks.json`."""
    return _sentences(dataset, "stop")


def warnings(dataset: Path) -> tuple[str, ...]:
    """The sentences of what only warns."""
    return _sentences(dataset, "warn")


def _sentences(dataset: Path, severity: str) -> tuple[str, ...]:
    found = msgspec.json.decode((dataset / CHECKS).read_bytes(), type=tuple[str | _Check, ...])
    checks = [_Check(one) if isinstance(one, str) else one for one in found]
    return tuple(check.sentence for check in checks if check.severity == severity)
