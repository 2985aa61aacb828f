"""The report's figures over data time: label and prediction, the error of each window, and the split of the traffic.

All share the same margins and the same span, so that what happened at one time stands at one place.
"""

import html
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from trimtab.drawing.svg import BAD, BLUE, INK, SOFT
from trimtab.events import FindingKind
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.tables import moment
from trimtab.platforms.local.report import Story
from trimtab.platforms.local.report_canvas import GREY, blank, followed, over_time, place, shade, span, told
from trimtab.platforms.local.report_shares import Share

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SYMBOLS: dict[FindingKind, str] = {
    "performance": "diamond",
    "concept": "square",
    "explanation": "triangle-down",
    "covariate": "circle",
    "prediction": "triangle-up",
    "quality": "x",
}


def course(story: Story) -> "Figure | None":
    """Label and prediction over time; None where there is nothing to draw."""
    found = story.course
    if found is None:
        return None
    figure = blank(320)
    over_time(figure, story)
    label = html.escape(story.model.spec.data.label)
    for name, values, colour, dash in ((label, found.label, INK, "solid"), ("prediction", found.prediction, BLUE, "4px,2px")):
        figure.add_scatter(
            x=[place(when) for when in found.times],
            y=[None if value != value else float(value) for value in values],
            name=name,
            mode="lines",
            line={"color": colour, "width": 1.8, "dash": dash},
            hovertemplate="%{y:.4g}",
        )
    for number in story.led:
        finding = story.findings[number]
        figure.add_vline(x=place(finding.cut), line={"color": BAD, "width": 1.4, "dash": "2px,2px"})
        note = {"text": f"{finding.kind} finding", "font": {"size": 12, "color": BAD}, "showarrow": False}
        figure.add_annotation(x=place(finding.cut), y=0, yref="paper", xanchor="right", yanchor="bottom", **note)
    figure.update_layout(hovermode="x unified")
    return figure


def errors(story: Story) -> "Figure | None":
    """Each judged window's error with its interval, its version's validation value and bound; below it the findings."""
    from plotly.subplots import make_subplots

    judged = [record for record in story.windows if record.judgement is not None]
    if not judged and not story.findings:
        return None
    kinds = [kind for kind in SYMBOLS if any(finding.kind == kind for finding in story.findings)]
    base = blank(340 + 30 * len(kinds))
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[300, 24 + 30 * len(kinds)], vertical_spacing=0.03) if kinds else base
    if kinds:
        clothes = base.layout.to_plotly_json()
        figure.update_layout({name: value for name, value in clothes.items() if name not in ("xaxis", "yaxis")})
        figure.update_xaxes(clothes["xaxis"])
        figure.update_yaxes(clothes["yaxis"])
    over_time(figure, story)
    cells = {"row": 1, "col": 1} if kinds else {}
    for name, lines, style in _levels(judged):
        x, y = zip(*lines, strict=True)
        figure.add_scatter(x=x, y=y, name=name, mode="lines", line={"width": 1.6, **style}, hoverinfo="skip", **cells)
    for bad in (False, True):
        _windows(figure, [record for record in judged if _past(record) == bad], bad, cells)
    if kinds:
        _findings(figure, story, kinds)
    return figure


def _past(record: WindowRecord) -> bool:
    judgement = record.judgement
    return judgement is not None and judgement.past


def _levels(judged: Sequence[WindowRecord]) -> list[tuple[str, list[tuple[datetime | None, float | None]], dict[str, str]]]:
    """Validation and bound as lines that break where the version changes."""
    found = []
    for name, field, style in (
        ("validation", "validation", {"color": SOFT, "dash": "5px,3px"}),
        ("bound", "bound", {"color": BAD, "dash": "solid"}),
    ):
        lines: list[tuple[datetime | None, float | None]] = []
        for record, after in zip(judged, [*judged[1:], None], strict=True):
            value = getattr(record.judgement, field)
            lines += [(place(moment(record.start)), value), (place(moment(record.end)), value)]
            if after is None or after.version != record.version:
                lines.append((None, None))
        if any(value is not None for _, value in lines):
            found.append((name, lines, style))
    return found


def _windows(figure: "Figure", chosen: Sequence[WindowRecord], bad: bool, cells: dict[str, int]) -> None:
    if not chosen:
        return
    every = [record.judgement for record in chosen if record.judgement is not None]
    hover = [
        f"<b>{judgement.metric} {judgement.value:.4g}</b> ({judgement.low:.4g} to {judgement.high:.4g})<br>"
        f"version {html.escape(record.version)}, window {record.window}, {judgement.rows} labelled rows<br>"
        f"{moment(record.start):%Y-%m-%d} to {moment(record.end):%Y-%m-%d}"
        for record, judgement in zip(chosen, every, strict=True)
    ]
    spread = {
        "type": "data",
        "symmetric": False,
        "thickness": 1.2,
        "width": 0,
        "array": [one.high - one.value for one in every],
        "arrayminus": [one.value - one.low for one in every],
    }
    figure.add_scatter(
        x=[place(moment((record.start + record.end) / 2)) for record in chosen],
        y=[one.value for one in every],
        mode="markers",
        name="past the bound" if bad else "window",
        error_y=spread,
        hovertext=hover,
        hoverinfo="text",
        marker={"color": BAD if bad else BLUE, "symbol": "diamond" if bad else "circle", "size": 10 if bad else 8},
        **cells,
    )


def _findings(figure: "Figure", story: Story, kinds: Sequence[FindingKind]) -> None:
    """A row a kind; filled where the finding led to a Release, hollow where it was only watched."""
    for kind in kinds:
        chosen = [(number, finding) for number, finding in enumerate(story.findings) if finding.kind == kind]
        led = [number in story.led for number, _ in chosen]
        ends = [html.escape(followed(story, number)) for number, _ in chosen]
        hover = [f"<b>{kind}</b>, {end}<br>{told(finding.sentence)}" for end, (_, finding) in zip(ends, chosen, strict=True)]
        symbols = [SYMBOLS[kind] if filled else f"{SYMBOLS[kind]}-open" for filled in led]
        figure.add_scatter(
            x=[place(finding.window_end) for _, finding in chosen],
            y=[kind] * len(chosen),
            mode="markers",
            showlegend=False,
            marker={"symbol": symbols, "size": 11, "color": [BAD if filled else GREY for filled in led], "line": {"width": 1.6}},
            hovertext=hover,
            hoverinfo="text",
            row=2,
            col=1,
        )
    figure.update_yaxes(
        row=2, col=1, type="category", categoryorder="array", categoryarray=list(kinds)[::-1], range=[-0.6, len(kinds) - 0.4]
    )


def split(story: Story) -> "Figure | None":
    """The share of the traffic that each version gets, as it was decided."""
    whole = span(story)
    if whole is None or not story.shares:
        return None
    start, end = whole
    figure = blank(200)
    over_time(figure, story, bands=False)
    last = story.shares[-1]
    steps: list[Share] = [*story.shares, Share(max(end, last.start), last.champion, last.candidate, last.weight)]
    x = [place(max(share.start, start)) for share in steps]
    for version in dict.fromkeys(name for share in steps for name in (share.champion, share.candidate) if name):
        y = [100 - share.weight if version == share.champion else share.weight if version == share.candidate else 0 for share in steps]
        figure.add_scatter(
            x=x,
            y=y,
            name=f"version {html.escape(version)}",
            mode="lines",
            stackgroup="traffic",
            fillcolor=shade(story, version),
            line={"shape": "hv", "width": 0.5, "color": shade(story, version)},
            hovertemplate="%{y:.0f}%",
        )
    figure.update_layout(hovermode="x unified")
    figure.update_yaxes(range=[0, 100], ticksuffix="%", dtick=50)
    return figure
