"""What all the report's figures share: colours, the span of data time, and each champion's reign as background.

Colours are Okabe and Ito's, which colour-blind people can tell apart, and nothing is told by colour alone. Text from data is
escaped, because Plotly reads markup in it.
"""

import html
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from trimtab.drawing.svg import INK, RULE, SOFT
from trimtab.platforms.local.report import Story, idle
from trimtab.platforms.local.report_shares import reigns

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

GREY = "#6b7680"
TINTS = ("#e3eef8", "#fdf0d5", "#dcf2ea", "#f6e6f0", "#e6e6fa", "#f0efe0")
SOLIDS = ("#8fbbdd", "#f2bf57", "#74c7a9", "#d99fc3", "#a6a6dd", "#c3c08a")
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"


def told(text: str, width: int = 64) -> str:
    """Text from data as Plotly may show it: escaped, and broken into lines."""
    return "<br>".join(html.escape(line) for line in textwrap.wrap(text, width))


def place(when: datetime) -> datetime:
    """A time as Plotly draws it: UTC, without the zone that it would not read."""
    return when.astimezone(UTC).replace(tzinfo=None)


def followed(story: Story, number: int) -> str:
    """What came of a finding, by its place."""
    release = story.asked.get(number)
    if release is None:
        return "watched"
    return f"asked for {release.name}: {release.status.phase.lower()}" if idle(release) else f"led to {release.name}"


def shade(story: Story, version: str, shades: Sequence[str] = SOLIDS) -> str:
    """The version's colour: by the order in which versions were served."""
    order = list(dict.fromkeys(name for share in story.shares for name in (share.champion, share.candidate) if name))
    return shades[order.index(version) % len(shades)] if version in order else shades[-1]


def span(story: Story) -> tuple[datetime, datetime] | None:
    """From when to when (data time) there is something to draw; None before the first request."""
    starts = [one.first for one in story.traffic if one.first]
    ends = [one.last for one in story.traffic if one.last]
    return (min(starts), max(ends)) if starts and ends else None


def blank(height: int) -> "Figure":
    """An empty figure in the report's clothes."""
    from plotly.graph_objects import Figure

    axis = {"gridcolor": RULE, "zeroline": False, "linecolor": RULE, "ticks": "", "automargin": False}
    figure = Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 88, "r": 12, "t": 44, "b": 36},
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"bgcolor": "#ffffff", "bordercolor": RULE, "font": {"family": FONT, "size": 13, "color": INK}, "align": "left"},
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "font": {"size": 12},
            "traceorder": "normal",
            "itemclick": False,
            "itemdoubleclick": False,
        },
        dragmode=False,
        xaxis=dict(axis),
        yaxis=dict(axis),
    )
    return figure


def over_time(figure: "Figure", story: Story, *, bands: bool = True) -> None:
    """Give the figure the story's span of data time, and each champion's reign as background."""
    whole = span(story)
    if whole is None:
        return
    start, end = whole
    figure.update_xaxes(range=[place(start), place(end + (end - start) / 80)], type="date", showgrid=False)
    for version, since, until in reigns(story.shares, end) if bands else ():
        since, until = max(since, start), min(until, end)
        if until <= since:
            continue
        figure.add_shape(
            type="rect",
            xref="x",
            yref="paper",
            x0=place(since),
            x1=place(until),
            y0=0,
            y1=1,
            fillcolor=shade(story, version, TINTS),
            line={"width": 0},
            layer="below",
        )
        figure.add_annotation(
            x=place(since),
            y=1,
            xref="x",
            yref="paper",
            xanchor="left",
            yanchor="top",
            showarrow=False,
            text=f"version {html.escape(version)}" if (until - since) / (end - start) > 0.1 else html.escape(version),
            font={"size": 12, "color": SOFT},
        )
