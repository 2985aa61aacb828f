"""What steps leave for the steps after them, by the files' names; `checks.py` has the validation's."""

from pathlib import Path

GATES = "gates.json"
REPORT, REPORT_PAGE = "report.md", "report.html"


def snapshot_digest(dataset: Path) -> str:
    """The digest that the snapshot is named by; empty where there is none."""
    return next((path.stem for path in sorted(dataset.glob("*.parquet"))), "")
