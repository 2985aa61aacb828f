"""What validation found: each check as a record, and all of them as a small page for people."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

CHECKS = "checks.json"
PAGE = "checks.html"

Severity = Literal["stop", "warn"]


class Check(Struct, frozen=True, omit_defaults=True):
    """One thing about one column (about the whole table where `column` is empty) that is not as it should be.

    `rows` is how many rows it concerns. A check that stops ends the run before anything is trained; one that warns is told.
    """

    check: str
    column: str
    found: str
    allowed: str
    rows: int
    sentence: str
    severity: Severity = "stop"


def sentences(checks: Iterable[Check], severity: Severity = "stop") -> tuple[str, ...]:
    """What the checks of that severity say."""
    return tuple(check.sentence for check in checks if check.severity == severity)


def write_checks(folder: Path, checks: Sequence[Check], rows: int) -> None:
    """Write `checks.json` and `checks.html` of a table of `rows` rows."""
    (folder / CHECKS).write_bytes(msgspec.json.format(msgspec.json.encode(list(checks)), indent=1))
    (folder / PAGE).write_text(page(checks, rows), encoding="utf-8")


def read_checks(folder: Path) -> tuple[Check, ...]:
    """What `write_checks` wrote."""
    return msgspec.json.decode((folder / CHECKS).read_bytes(), type=tuple[Check, ...])


_STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:1.5rem;color:#1f2933;background:#fff}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.4rem .7rem;border-bottom:1px solid #d9dee3}
th{font-weight:600;color:#52606d}td.n{text-align:right;font-variant-numeric:tabular-nums}
.stop{color:#a61b1b;font-weight:600}.warn{color:#8d6200;font-weight:600}
""".strip()


def page(checks: Sequence[Check], rows: int) -> str:
    """A self-contained page: what was found where, what is allowed, and how many rows it concerns."""
    stops = len(sentences(checks))
    verdict = f"{stops} checks stop the run" if stops else "nothing stops the run"
    told = (
        f"{rows:,} labelled rows; {verdict}; {len(checks) - stops} warnings." if checks else f"{rows:,} labelled rows; nothing was found."
    )
    body = "".join(
        f'<tr><td class="{check.severity}">{check.severity}</td>{_cells(check.check, check.column, check.found, check.allowed)}'
        f'<td class="n">{check.rows:,}</td>{_cells(check.sentence)}</tr>'
        for check in sorted(checks, key=lambda check: check.severity != "stop")
    )
    head = "".join(f"<th>{name}</th>" for name in ("", "what", "where", "found", "allowed", "rows", "in words"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>" if checks else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Validation</title>'
        f"<style>{_STYLE}</style></head><body><h1>Validation of the data</h1><p>{told}</p>{table}</body></html>\n"
    )


def _cells(*texts: str) -> str:
    return "".join(f"<td>{escape(text)}</td>" for text in texts)
