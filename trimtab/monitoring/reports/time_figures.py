"""The figures of a model's life in data time, one below the other on the same axis: metric, drift, columns, findings, traffic. Pure.

Where the version changes the reference changes with it (a promotion re-bases): each version's windows lie on a tint of their own.
"""

from collections.abc import Sequence

from trimtab.drawing.page import Figure
from trimtab.drawing.scale import Scale, powers, ticks
from trimtab.drawing.svg import (
    BAD,
    BLUE,
    GREY,
    INK,
    RULE,
    SERIES,
    SOFT,
    Drawing,
    Mark,
    Point,
    box,
    dots,
    legend,
    line,
    mark,
    path,
    shortened,
    words,
)
from trimtab.events import Finding
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.reports.course import LEFT, RIGHT, WIDE, Course, beside, grid
from trimtab.monitoring.reports.estimates import estimated
from trimtab.monitoring.reports.window_figures import named

LINES, CELLS = 6, 20
SMALLEST_P = 1e-12
SHAPES: dict[str, Mark] = {
    "performance": "diamond",
    "concept": "square",
    "explanation": "wedge",
    "covariate": "circle",
    "prediction": "triangle",
    "quality": "cross",
}
_HEAT = ("#eef2f5", "#c6dbef", "#6baed6", "#2171b5", "#08306b")
_STEPS = (0.5, 1.0, 2.0, 4.0)


def _drawing(course: Course, height: float, body: Sequence[str], top: float = 18.0) -> Drawing:
    return Drawing(WIDE, height + 24, course.frame(top, height) + "".join(body))


def metric_figure(course: Course) -> Figure | None:
    """Each judged window's metric with its interval, validation and bound; estimates without labels are drawn hollow."""
    estimates = estimated(course.records)
    judged = [(record, record.judgement) for record in course.records if record.judgement is not None]
    if not judged and not estimates:
        return None
    values = [number for _, one in judged for number in (one.low, one.high, one.validation, one.bound) if number is not None]
    values += [number for one in estimates for number in (one.low, one.high)]
    pad = (max(values) - min(values)) * 0.06 or max(abs(max(values)) * 0.1, 0.1)
    up = Scale(min(values) - pad, max(values) + pad, 200, 22)
    body = [grid(up, ticks(up.low, up.high))]
    for field, colour, dashes in (("validation", SOFT, "5 3"), ("bound", BAD, "")):
        levels: list[Point] = []
        for place, (record, one) in enumerate(judged):
            value = getattr(one, field)
            if place and judged[place - 1][0].version != record.version:
                levels.append((course.time(record.start), None))
            levels += [(course.time(at), None if value is None else up(value)) for at in (record.start, record.end)]
        body.append(path(levels, colour, 1.5, dashes))
    for known in estimates:
        x, shade = course.middle(known.record) - 3, SOFT if known.doubt else INK
        which = f"window {known.record.window} of version {known.record.version}"
        told = f"{which}: estimate {known.value:.4g} ({known.low:.4g} to {known.high:.4g})"
        body.append(line(x, up(known.low), x, up(known.high), SOFT, 1.2, "2 2" if known.doubt else ""))
        body.append(mark(x, up(known.value), "square", shade, False, f"{told} {known.doubt}", 3.2))
    for record, one in judged:
        bad = one.past
        colour, x = BAD if bad else BLUE, course.middle(record)
        told = f"window {record.window} of version {record.version}: {one.metric} {one.value:.4g} ({one.low:.4g} to {one.high:.4g})"
        body.append(line(x, up(one.low), x, up(one.high), colour, 1.6))
        body.append(mark(x, up(one.value), "diamond" if bad else "circle", colour, told=told, size=3.4))
    entries = [
        (mark(0, 0, "circle", BLUE, size=3.4), judged[-1][1].metric if judged else "metric"),
        (mark(0, 0, "diamond", BAD, size=3.4), "past the bound"),
        (line(-9, 0, 9, 0, SOFT, 1.5, "5 3"), "validation"),
        (line(-9, 0, 9, 0, BAD, 1.5), "bound"),
    ]
    entries += (
        [(mark(0, 0, "square", INK, filled=False, size=3.2), "estimate without labels (dashed: not to be relied on)")] if estimates else []
    )
    body.append(legend(LEFT, 240, entries))
    return Figure(Drawing(WIDE, 248, course.frame(18, 200) + "".join(body)), "")


def first_movers(course: Course, most: int) -> list[str]:
    """The columns that moved in most windows, then those with the largest effects; their names."""
    score: dict[str, tuple[int, float]] = {}
    for record in course.records:
        for name, check in (record.drift.columns if record.drift else {}).items():
            moved, largest = score.get(name, (0, 0.0))
            score[name] = (moved + check.moved, max(largest, check.effect))
    return sorted(score, key=lambda name: score[name], reverse=True)[:most]


def effects_figure(course: Course, least: float) -> Figure | None:
    """The effects of the columns that moved most, against the least that counts."""
    names = first_movers(course, LINES)
    if not names:
        return None
    high = max([least * 1.5, *(_measured(record, name, "effect") or 0.0 for record in course.records for name in names)])
    up = Scale(0.0, high * 1.05, 190, 22)
    body = [grid(up, ticks(0.0, up.high)), line(LEFT, up(least), WIDE - RIGHT, up(least), BAD, 1.6)]
    body.append(words(LEFT + 4, up(least) - 4, f"counts from {least:g}", colour=BAD, halo=True))
    body.append(_lines(course, names, "effect", up))
    return Figure(
        _drawing(course, 190, body), "Effect: Wasserstein-1 in reference standard deviations for numbers, total variation for categories."
    )


def p_figure(course: Course) -> Figure | None:
    """The p-values of the same columns, each divided by the level that its window allows a column: below 1 it counts."""
    names = first_movers(course, LINES)
    if not names:
        return None
    up = Scale(SMALLEST_P, 1e4, 170, 22, log=True)
    body = [grid(up, powers(SMALLEST_P, 1e4, 6)), line(LEFT, up(1.0), WIDE - RIGHT, up(1.0), BAD, 1.6)]
    body.append(words(LEFT + 4, up(1.0) + 13, "below the line: too rare for chance", colour=BAD, halo=True))
    body.append(_lines(course, names, "p", up))
    caption = f"p-value over the level of a column in that window, from {SMALLEST_P:g} on; the axis is logarithmic."
    return Figure(_drawing(course, 170, body), caption)


def _measured(record: WindowRecord, name: str, what: str) -> float | None:
    check = record.drift.columns.get(name) if record.drift else None
    if check is None or record.drift is None:
        return None
    return check.effect if what == "effect" else max(check.deciding / (record.drift.level or 1.0), SMALLEST_P)


def _lines(course: Course, names: Sequence[str], what: str, up: Scale) -> str:
    parts, ends = [], []
    for (colour, dashes), name in zip(SERIES, names, strict=False):
        points: list[Point] = []
        for place, record in enumerate(course.records):
            if place and course.records[place - 1].version != record.version:
                points.append((0.0, None))
            value = _measured(record, name, what)
            points.append((course.middle(record), None if value is None else up(value)))
        parts.append(path(points, colour, 1.8, dashes))
        known = [y for _, y in points if y is not None]
        parts.append(dots(points, colour, 4.4))
        ends.append((known[-1] if known else up(up.low), named(name), colour, dashes))
    return "".join(parts) + beside(ends, 22, max(up.start, up.stop))


def columns_figure(course: Course, least: float) -> Figure | None:
    """Which columns moved when: a cell a window, the darker the larger its effect; a dot where it counts as moved."""
    names = first_movers(course, CELLS)
    if not names:
        return None
    row, top = 15.0, 18.0
    shades: dict[str, list[str]] = {}
    hits: list[Point] = []
    for place, name in enumerate(names):
        for record in course.records:
            check = record.drift.columns.get(name) if record.drift else None
            if check is None:
                continue
            left, right, y = course.time(record.start), course.time(record.end), top + place * row + 1
            shade = _HEAT[sum(check.effect >= step * least for step in _STEPS)]
            shades.setdefault(shade, []).append(
                f"M{left:.1f} {y:.1f}h{max(right - left - 0.4, 0.8):.1f}v{row - 2:g}h{left - right + 0.4:.1f}z"
            )
            if check.moved:
                hits.append(((left + right) / 2, y + row / 2 - 1))
    body = [f'<path d="{"".join(cells)}" fill="{shade}"/>' for shade, cells in sorted(shades.items())]
    body.append(dots(hits, "#ffb000", 4.4))
    body += [words(LEFT - 8, top + place * row + 11, shortened(named(name), 22), "end") for place, name in enumerate(names)]
    bottom = top + row * len(names) + 2
    words_of = ("effect below half of what counts", "from half", "counts", "from twice", "from four times")
    entries = [(box(-8, -5, 16, 10, shade), text) for shade, text in zip(_HEAT, words_of, strict=True)]
    entries.append((mark(0, 0, "circle", "#ffb000", size=2.2), "moved"))
    body.append(legend(LEFT, bottom + 38, entries))
    return Figure(Drawing(WIDE, bottom + 46, course.frame(top, bottom) + "".join(body)), "")


def findings_figure(course: Course, findings: Sequence[Finding]) -> Figure | None:
    """A row a kind of finding, a mark each in the window that it was made in."""
    kinds = [kind for kind in SHAPES if any(finding.kind == kind for finding in findings)]
    if not kinds:
        return None
    row, top = 24.0, 18.0
    body = []
    for place, kind in enumerate(kinds):
        y = top + place * row + row / 2
        body += [line(LEFT, y, WIDE - RIGHT, y, RULE), words(LEFT - 8, y + 4, kind, "end")]
        for finding in findings:
            when = finding.window_end.timestamp()
            if finding.kind == kind and course.time.low <= when <= course.time.high:
                body.append(mark(course.time(when), y, SHAPES[kind], BAD, told=finding.sentence))
    return Figure(_drawing(course, top + row * len(kinds), body), "")


def traffic_figure(course: Course) -> Figure | None:
    """Rows a day in each window; hatched in colour where its data was broken."""
    rates = [(record, record.rows / record.span_days) for record in course.records if record.span_days > 0]
    if not rates:
        return None
    up = Scale(0.0, max(rate for _, rate in rates) * 1.08, 100, 22)
    body = [grid(up, ticks(0.0, up.high, 3))]
    for record, rate in rates:
        left, right = course.time(record.start), course.time(record.end)
        broken = bool(record.breaks)
        told = f"window {record.window} of version {record.version}: {rate:,.0f} rows a day" + (", its data is broken" if broken else "")
        body.append(box(left, up(rate), max(right - left - 0.6, 0.8), up(0) - up(rate), BAD if broken else GREY, told))
    body.append(legend(LEFT, 138, [(box(-8, -5, 16, 10, GREY), "rows a day"), (box(-8, -5, 16, 10, BAD), "its data had breaks")]))
    return Figure(Drawing(WIDE, 146, course.frame(18, 100) + "".join(body)), "")
