"""The pieces of HTML that the report is put together from.

Every text that comes from data or from people passes `text()`, which escapes it.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

CONFIG = {"responsive": True, "displayModeBar": False}
SHORT = 26


def text(value: object) -> str:
    """Anything, as it may stand in HTML."""
    return escape(str(value))


def clock(when: datetime | None, *, short: bool = False) -> str:
    """A time in UTC as people read it, empty for none; `short` leaves out the seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M" if short else "%Y-%m-%d %H:%M:%S") if when else ""


def count(number: int, noun: str) -> str:
    """`1 Release`, `2 Releases`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def spelled(constant: str) -> str:
    """`RolledBack` as `rolled back`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", constant).lower()


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def section(identity: str, title: str, how: str, body: str) -> str:
    """A part of the page; `how` says how to read it, `body` is HTML."""
    return f'''<section aria-labelledby="{identity}"><h2 id="{identity}">{text(title)}</h2><p class="how">{text(how)}</p>{body}</section>'''


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str) -> str:
    """A table that scrolls sideways where it is wider than the page; only long cells break into lines."""
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    body = "".join(_row(row) for row in rows)
    opening = f'<div class="scroll" role="region" tabindex="0" aria-label="{text(title)}">'
    return f"{opening}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _row(cells: Sequence[object]) -> str:
    shown = ["" if cell is None else str(cell) for cell in cells]
    return f"<tr>{''.join(_cell(cell, last=place == len(shown) - 1) for place, cell in enumerate(shown))}</tr>"


def _cell(shown: str, *, last: bool) -> str:
    style = "" if len(shown) <= SHORT else ' class="sentence"' if last else ' class="long"'
    return f"<td{style}>{text(shown)}</td>"


def drawn(figure: "Figure", identity: str, label: str) -> str:
    """A figure; `label` tells what it shows to those who cannot see it."""
    made = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=f"plot-{identity}", config=CONFIG, default_height=figure.layout.height
    )
    return f'<figure role="group" aria-label="{text(label)}">{made}</figure>'
