"""The judge's word on every canary as one figure: each guard's difference and interval against nothing and against its margin.

Differences of shares and ratios share one axis: 0 is the champion, 1 is the margin, and what lies between is measured in parts of it
(for a ratio, of its logarithm).
"""

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trimtab.drawing.svg import BAD, GOOD, INK, SOFT
from trimtab.platforms.local.report import Story
from trimtab.platforms.local.report_canvas import GREY, blank, told
from trimtab.release import GuardVerdict, Release

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SAYS = {
    "harm": (BAD, "x", "harm"),
    "loses": (BAD, "x", "loses"),
    "notWorse": (GOOD, "circle", "not worse"),
    "wins": (GOOD, "circle", "wins"),
    "hold": (GREY, "diamond", "not decided"),
    "equal": (GREY, "diamond", "no worthwhile difference"),
}
LEAST, POINT, PERCENT = 1.6, 0.01, 0.01


def judged_canaries(story: Story) -> list[tuple[Release, GuardVerdict]]:
    """The guards of every canary that the judge said something of."""
    found = ((release, release.status.verdict) for release in story.releases)
    return [(release, guard) for release, verdict in found if verdict for guard in verdict.guards if guard.difference is not None]


def in_margins(guard: GuardVerdict, value: float) -> float:
    """A difference or ratio in parts of the guard's margin; a margin of nothing counts as one point, or as one percent."""
    asked = guard.margin or 0.0
    if guard.relative:
        return math.log(max(value, 1e-6)) / (abs(math.log(asked)) if asked > 0 and asked != 1 else PERCENT)
    return value / (abs(asked) or POINT)


def forest(story: Story) -> "Figure | None":
    """Each guard of each canary in a row; None where the judge has said nothing yet."""
    found = judged_canaries(story)
    if not found:
        return None
    rows = [(html.escape(f"version {_version(release)}: {guard.guard}"), guard) for release, guard in found]
    known = [in_margins(guard, value) for _, guard in rows for value in (guard.difference, guard.lower, guard.upper) if value is not None]
    low, high = min(-LEAST, *known), max(LEAST, *known)
    ends = (low - 0.08 * (high - low), high + 0.08 * (high - low))
    figure = blank(104 + 46 * len(rows))
    figure.add_vline(x=0, line={"color": INK, "width": 1})
    for says, (colour, symbol, word) in SAYS.items():
        chosen = [(name, guard) for name, guard in rows if guard.says == says]
        if chosen:
            _rows(figure, chosen, ends, word, {"color": colour, "symbol": symbol, "size": 11})
    margins = [(in_margins(guard, guard.margin), name) for name, guard in rows if guard.margin is not None]
    mark = {"symbol": "line-ns", "size": 22, "line": {"width": 2.6, "color": INK}}
    x, y = zip(*margins, strict=True) if margins else ((), ())
    figure.add_scatter(x=x, y=y, name="margin", mode="markers", marker=mark, hoverinfo="skip")
    names = [name for name, _ in rows]
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=names[::-1], automargin=True, range=[-0.6, len(rows) - 0.4], showgrid=False
    )
    title = {"text": "0: as the champion. 1: the margin.", "font": {"size": 12, "color": SOFT}}
    figure.update_xaxes(title=title, range=list(ends))
    figure.update_layout(margin={"b": 52})
    return figure


def _version(release: Release) -> str:
    return release.status.candidate.version if release.status.candidate else "?"


def _rows(
    figure: "Figure", chosen: Sequence[tuple[str, GuardVerdict]], ends: tuple[float, float], word: str, marker: dict[str, Any]
) -> None:
    """Draw rows of one verdict; where an interval is not bounded yet it reaches to the figure's edge."""
    middles = [in_margins(guard, guard.difference or 0.0) for _, guard in chosen]
    lows = [ends[0] if guard.lower is None else in_margins(guard, guard.lower) for _, guard in chosen]
    highs = [ends[1] if guard.upper is None else in_margins(guard, guard.upper) for _, guard in chosen]
    spread = {
        "type": "data",
        "symmetric": False,
        "thickness": 2.4,
        "width": 4,
        "array": [max(high - middle, 0.0) for high, middle in zip(highs, middles, strict=True)],
        "arrayminus": [max(middle - low, 0.0) for low, middle in zip(lows, middles, strict=True)],
    }
    figure.add_scatter(
        x=middles,
        y=[name for name, _ in chosen],
        name=word,
        mode="markers",
        marker=marker,
        error_x=spread,
        hovertext=[f"<b>{word}</b><br>{told(guard.sentence)}" for _, guard in chosen],
        hoverinfo="text",
    )
