"""Plots as a few lines of SVG: crisp at any size, small, and readable without a script. Text from data is escaped here.

Colours are Okabe and Ito's, which colour-blind people can tell apart; nothing is told by colour alone.
"""

import html
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

INK, SOFT, RULE, BLUE, BAD, GOOD, GREY = "#1f2933", "#5c6873", "#dfe4e8", "#0072b2", "#c04a00", "#00805c", "#b9c3cb"
SERIES = (
    ("#0072b2", ""),
    ("#c04a00", "7 3"),
    ("#00805c", "2 2"),
    ("#a6477f", "9 3 2 3"),
    ("#7a6a00", "4 2"),
    ("#3a86b8", "1 3"),
)
"""A line's colour and dashes, by its place."""

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_WIDTH_OF_A_LETTER = 0.56

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float | None]
Mark = Literal["circle", "square", "diamond", "triangle", "wedge", "cross"]


class Drawing(Struct, frozen=True):
    """Elements of SVG on a sheet of so many pixels."""

    width: float
    height: float
    content: str

    @property
    def svg(self) -> str:
        """The drawing as one SVG element."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:g}" height="{self.height:g}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" font-family="{FONT}" font-size="11" fill="{INK}">{self.content}</svg>'
        )


def readable(text: str) -> str:
    """The text without what neither a person nor XML can read; question marks stand for it."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def safe(value: object) -> str:
    """Anything, as it may stand in SVG and HTML."""
    return html.escape(readable(str(value)))


def shortened(text: str, most: int) -> str:
    """The text with at most so many letters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def text_width(text: str, size: float = 11) -> float:
    """About how many pixels a text takes."""
    return len(text) * size * _WIDTH_OF_A_LETTER


def words(
    x: float, y: float, text: object, anchor: Anchor = "start", size: float = 11, colour: str = INK, halo: bool = False, bold: bool = False
) -> str:
    """A text whose baseline is at y; a `halo` keeps it readable over lines."""
    look = f' text-anchor="{anchor}"' if anchor != "start" else ""
    look += f' font-size="{size:g}"' if size != 11 else ""
    look += f' fill="{colour}"' if colour != INK else ""
    look += ' stroke="#fff" stroke-width="3" paint-order="stroke" stroke-linejoin="round"' if halo else ""
    look += ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{look}>{safe(text)}</text>'


def line(x0: float, y0: float, x1: float, y1: float, colour: str = RULE, width: float = 1, dashes: str = "") -> str:
    """A straight line."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'


def path(points: Sequence[Point], colour: str = BLUE, width: float = 1.8, dashes: str = "") -> str:
    """A line through the points, broken where one has no y."""
    parts, down = [], False
    for x, y in points:
        parts.append("" if y is None else f"{'L' if down else 'M'}{x:.1f} {y:.1f}")
        down = y is not None
    drawn = "".join(parts)
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{drawn}" fill="none" stroke="{colour}" stroke-width="{width:g}" stroke-linejoin="round"{dashed}/>' if drawn else ""


def dots(points: Sequence[Point], colour: str, size: float) -> str:
    """A dot of so many pixels at each point that has a y, all in one element: for many of them."""
    drawn = "".join(f"M{x:.1f} {y:.1f}h.01" for x, y in points if y is not None)
    return f'<path d="{drawn}" stroke="{colour}" stroke-width="{size:g}" stroke-linecap="round"/>' if drawn else ""


def box(x: float, y: float, width: float, height: float, fill: str, told: str = "", edge: str = "") -> str:
    """A filled rectangle; `told` is what a pointer over it says."""
    outline = f' stroke="{edge}"' if edge else ""
    start = f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" fill="{fill}"{outline}'
    return f"{start}><title>{safe(told)}</title></rect>" if told else f"{start}/>"


def mark(x: float, y: float, shape: Mark, colour: str, filled: bool = True, told: str = "", size: float = 4.5) -> str:
    """A mark around a point, hollow where it is not `filled`; `told` is what a pointer over it says."""
    look = f'fill="{colour if filled else "#fff"}" stroke="{colour}" stroke-width="1.6"'
    hint = f"<title>{safe(told)}</title>" if told else ""
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:g}" {look}>{hint}</circle>'
    if shape == "cross":
        arms = f"M{x - size:.1f} {y - size:.1f}l{2 * size:g} {2 * size:g}m0 {-2 * size:g}l{-2 * size:g} {2 * size:g}"
        return f'<path d="{arms}" fill="none" stroke="{colour}" stroke-width="{2.4 if filled else 1.6}">{hint}</path>'
    corners = {
        "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "diamond": ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        "triangle": ((0, -1.25), (1.2, 1), (-1.2, 1)),
        "wedge": ((0, 1.25), (1.2, -1), (-1.2, -1)),
    }[shape]
    points = " ".join(f"{x + size * across:.1f},{y + size * down:.1f}" for across, down in corners)
    return f'<polygon points="{points}" {look}>{hint}</polygon>'


def legend(x: float, y: float, entries: Sequence[tuple[str, str]]) -> str:
    """Keys in a row: a sample, drawn in a box of 20 by 10 pixels around (0, 0), and its name."""
    parts = []
    for sample, name in entries:
        parts.append(f'<g transform="translate({x + 10:.1f} {y - 4:.1f})">{sample}</g>' + words(x + 26, y, name, colour=SOFT))
        x += 26 + text_width(name) + 18
    return "".join(parts)
