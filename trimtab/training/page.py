"""A page of sections as Markdown and as HTML that needs nothing beside it: what the KFP UI, MLflow and a mail can show.

A section is sentences, a table and figures; a figure is SVG and is left out of the Markdown. Text from data is escaped in both.
"""

import html
from collections.abc import Sequence

from msgspec import Struct

INK, SOFT, RULE, BLUE, BAD, GOOD = "#1f2933", "#5c6873", "#dfe4e8", "#0072b2", "#c04a00", "#00805c"
"""Okabe and Ito's colours, which colour-blind people can tell apart; nothing is told by colour alone."""

_STYLE = f"""
body {{ font: 14px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; color: {INK}; margin: 24px auto;
  max-width: 1040px; padding: 0 16px; background: #fff; }}
h1 {{ font-size: 22px; margin: 0 0 8px; }} h2 {{ font-size: 16px; margin: 28px 0 6px; border-bottom: 1px solid {RULE}; }}
p {{ margin: 4px 0; }} .verdict {{ font-weight: 600; }} .good {{ color: {GOOD}; }} .bad {{ color: {BAD}; }}
.table {{ overflow-x: auto; }} table {{ border-collapse: collapse; margin: 8px 0; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid {RULE}; vertical-align: top; }}
th {{ color: {SOFT}; font-weight: 600; white-space: nowrap; }} .figures {{ display: flex; flex-wrap: wrap; gap: 24px; margin: 8px 0; }}
figure {{ margin: 0; }} figcaption {{ color: {SOFT}; font-size: 12px; }}
"""


class Figure(Struct, frozen=True):
    """A drawing as SVG, and what it shows."""

    svg: str
    caption: str


class Section(Struct, frozen=True):
    """One part of a page. A cell that is "yes" or "NO" is a verdict."""

    title: str
    sentences: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    figures: tuple[Figure, ...] = ()


class Page(Struct, frozen=True):
    """A title, a verdict in one sentence, whether it is a good one, and sections."""

    title: str
    verdict: str
    good: bool
    sections: tuple[Section, ...]


def markdown(page: Page) -> str:
    """The page as Markdown with tables."""
    lines = [f"# {_plain(page.title)}", "", f"**{_plain(page.verdict)}**"]
    for section in page.sections:
        lines += ["", f"## {section.title}", ""]
        lines += [line for sentence in section.sentences for line in (_plain(sentence), "")]
        if section.rows:
            lines += [_row(section.header), _row(["---"] * len(section.header))]
            lines += [_row([_plain(cell) if cell != "NO" else "**NO**" for cell in row]) for row in section.rows]
    return "\n".join(lines).rstrip() + "\n"


def to_html(page: Page) -> str:
    """The page as one HTML file."""
    parts = [f"<h1>{_safe(page.title)}</h1>", f'<p class="verdict {"good" if page.good else "bad"}">{_safe(page.verdict)}</p>']
    for section in page.sections:
        parts.append(f"<h2>{_safe(section.title)}</h2>")
        parts += [f"<p>{_safe(sentence)}</p>" for sentence in section.sentences]
        if section.figures:
            drawn = "".join(f"<figure>{one.svg}<figcaption>{_safe(one.caption)}</figcaption></figure>" for one in section.figures)
            parts.append(f'<div class="figures">{drawn}</div>')
        if section.rows:
            head = "".join(f"<th>{_safe(name)}</th>" for name in section.header)
            body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in section.rows)
            parts.append(f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')
    head = f'<meta charset="utf-8"><title>{_safe(page.title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    escaped = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{letter}" if letter in "|`*_[]" else letter for letter in escaped)


def _safe(text: str) -> str:
    return html.escape(text)


def _cell(text: str) -> str:
    kind = {"yes": ' class="good"', "NO": ' class="bad"'}.get(text, "")
    return f"<td{kind}>{_safe(text)}</td>"
