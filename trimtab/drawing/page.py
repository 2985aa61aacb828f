"""A page of sections as Markdown and as HTML that needs nothing beside it: what the KFP UI, MLflow, a monitor and a mail can show.

A section is sentences, figures and a table; a figure is SVG and is left out of the Markdown. Text from data is escaped in both, and the
HTML forbids itself to load anything or to run a script.
"""

import html
from collections.abc import Sequence

from msgspec import Struct

from trimtab.drawing.svg import BAD, FONT, GOOD, INK, RULE, SOFT, Drawing, readable, safe

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_SHORT = 36
"""Letters of a cell that is kept in one line: a number, an interval, two times."""

_STYLE = f"""
body {{ font: 14px/1.5 {FONT}; color: {INK}; margin: 24px auto; max-width: 1040px; padding: 0 16px; background: #fff; }}
h1 {{ font-size: 22px; margin: 0 0 8px; }} h2 {{ font-size: 16px; margin: 28px 0 6px; border-bottom: 1px solid {RULE}; }}
p {{ margin: 4px 0; }} .verdict {{ font-weight: 600; }} .good {{ color: {GOOD}; }} .bad {{ color: {BAD}; }}
.table {{ overflow-x: auto; }} table {{ border-collapse: collapse; margin: 8px 0; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: 3px 14px 3px 0; border-bottom: 1px solid {RULE}; vertical-align: top; }}
th {{ color: {SOFT}; font-weight: 600; }} th, td {{ white-space: nowrap; }} td.long {{ white-space: normal; }}
.figures {{ display: flex; flex-wrap: wrap; gap: 24px; margin: 8px 0; }}
figure {{ margin: 0; }} figcaption {{ color: {SOFT}; font-size: 12px; }} svg {{ max-width: 100%; height: auto; display: block; }}
@media print {{ body {{ margin: 0; max-width: none; }} figure, tr {{ break-inside: avoid; }} h2 {{ break-after: avoid; }}
  svg rect, svg path, td, th {{ print-color-adjust: exact; }} }}
"""


class Figure(Struct, frozen=True):
    """A drawing, and what it shows."""

    drawing: Drawing
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


def sentence(text: str) -> str:
    """The words as a sentence: with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def markdown(page: Page) -> str:
    """The page as Markdown with tables."""
    lines = [f"# {_plain(page.title)}", "", f"**{_plain(page.verdict)}**"]
    for section in page.sections:
        lines += ["", f"## {_plain(section.title)}", ""]
        lines += [line for sentence in section.sentences for line in (_plain(sentence), "")]
        if section.rows:
            lines += [_row([_plain(name) for name in section.header]), _row(["---"] * len(section.header))]
            lines += [_row([_plain(cell) if cell != "NO" else "**NO**" for cell in row]) for row in section.rows]
    return "\n".join(lines).rstrip() + "\n"


def to_html(page: Page) -> str:
    """The page as one HTML file."""
    parts = [f"<h1>{safe(page.title)}</h1>", f'<p class="verdict {"good" if page.good else "bad"}">{safe(page.verdict)}</p>']
    for section in page.sections:
        parts.append(f"<h2>{safe(section.title)}</h2>")
        parts += [f"<p>{safe(sentence)}</p>" for sentence in section.sentences]
        if section.figures:
            drawn = "".join(f"<figure>{one.drawing.svg}<figcaption>{safe(one.caption)}</figcaption></figure>" for one in section.figures)
            parts.append(f'<div class="figures">{drawn}</div>')
        if section.rows:
            head = "".join(f"<th>{safe(name)}</th>" for name in section.header)
            body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in section.rows)
            parts.append(f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    told = f'<meta charset="utf-8"><title>{safe(page.title)}</title>{policy}'
    head = f'{told}<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    escaped = html.escape(readable(" ".join(text.split())), quote=False)
    return "".join(f"\\{letter}" if letter in "|`*_[]" else letter for letter in escaped)


def _cell(text: str) -> str:
    kind = {"yes": "good", "NO": "bad"}.get(text, "long" if len(text) > _SHORT else "")
    return f'<td class="{kind}">{safe(text)}</td>' if kind else f"<td>{safe(text)}</td>"
