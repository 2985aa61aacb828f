"""A page as one picture, for a chat, a ticket or a slide: its title, its verdict and its figures; tables stay in the HTML.

PNG is made by resvg: a renderer of SVG alone, written in a memory-safe language, one wheel of 1.4 MB that needs no libraries of the
system. Its only font is the one beside this file, so that the same page is the same picture on every machine.
"""

import textwrap
from pathlib import Path

from trimtab.drawing.page import Figure, Page, Section
from trimtab.drawing.svg import BAD, GOOD, RULE, SOFT, Drawing, box, line, words
from trimtab.errors import InvalidInput

WIDTH = 1032.0
TALLEST = 8000.0
_FAMILY = "DejaVu Sans"
_FONT = Path(__file__).with_name("DejaVuSans.ttf")
_EDGE, _GAP, _LETTER = 16.0, 24.0, 0.6


def png(page: Page, zoom: float = 2.0) -> bytes:
    """The page's picture; a picture of `zoom` 2 is sharp on any screen."""
    import resvg_py

    try:
        return resvg_py.svg_to_bytes(
            svg_string=picture(page).svg,
            zoom=zoom,
            background="#ffffff",
            skip_system_fonts=True,
            font_files=[str(_FONT)],
            font_family=_FAMILY,
            sans_serif_family=_FAMILY,
        )
    except ValueError as error:
        msg = f"the page {page.title!r} cannot be made a picture: {error}"
        raise InvalidInput(msg) from error


def picture(page: Page) -> Drawing:
    """Title, verdict and figures, one below the other."""
    parts: list[str] = []
    top = _text(parts, page.title, _EDGE, 20)
    top = _text(parts, page.verdict, top + 2, 13, GOOD if page.good else BAD)
    for section in page.sections:
        if section.figures and top < TALLEST:
            top = _section(parts, section, top)
    return Drawing(WIDTH, top + _EDGE, box(0, 0, WIDTH, top + _EDGE, "#fff") + "".join(parts))


def _section(parts: list[str], section: Section, top: float) -> float:
    parts.append(line(_EDGE, top + 34, WIDTH - _EDGE, top + 34, RULE))
    top = _text(parts, section.title, top + 8, 15) + 8
    for sentence in section.sentences:
        top = _text(parts, sentence, top, 11.5, SOFT)
    left, lowest = _EDGE, top
    for figure in section.figures:
        if left > _EDGE and left + figure.drawing.width > WIDTH - _EDGE:
            left, top = _EDGE, lowest + 8
        lowest = max(lowest, _figure(parts, figure, left, top + 6))
        left += figure.drawing.width + _GAP
    return lowest


def _figure(parts: list[str], figure: Figure, left: float, top: float) -> float:
    drawing = figure.drawing
    parts.append(f'<g transform="translate({left:.1f} {top:.1f})">{drawing.svg}</g>')
    return _text(parts, figure.caption, top + drawing.height, 10.5, SOFT, left, drawing.width)


def _text(parts: list[str], text: str, top: float, size: float, colour: str = "#1f2933", left: float = _EDGE, width: float = 0) -> float:
    """Write the text in as many lines as it takes; returns where the next thing may begin."""
    letters = max(10, int((width or WIDTH - 2 * _EDGE) / (size * _LETTER)))
    for written in textwrap.wrap(text, letters):
        top += size * 1.45
        parts.append(words(left, top - size * 0.3, written, "start", size, colour))
    return top
