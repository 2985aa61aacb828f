"""The figures of one window: which columns moved and how far, their distributions beside the reference's, and the metric. Pure."""

from collections.abc import Mapping, Sequence

from trimtab.drawing.page import Figure
from trimtab.drawing.scale import Scale, ticks
from trimtab.drawing.svg import BAD, BLUE, GREY, INK, RULE, SOFT, Drawing, box, legend, line, mark, path, shortened, text_width, words
from trimtab.monitoring.deciding import ColumnCheck
from trimtab.monitoring.performance import Judgement
from trimtab.monitoring.reports.distributions import Distribution
from trimtab.schema import PREDICTION

BARS = 20
NAME = 26
_WIDE, _ROW, _LEFT, _RIGHT = 1000.0, 20.0, 200.0, 170.0
_SMALL = (316.0, 186.0)


def named(column: str) -> str:
    """The column as people call it."""
    return column.replace(PREDICTION, "prediction")


def by_effect(columns: Mapping[str, ColumnCheck]) -> list[tuple[str, ColumnCheck]]:
    """The columns that moved first, each part with the largest effect first."""
    return sorted(columns.items(), key=lambda item: (not item[1].moved, -item[1].effect))


def effects_figure(columns: Mapping[str, ColumnCheck], least: float) -> Figure:
    """Each column's effect as a bar beside the least that counts; filled where it counts as moved."""
    shown = by_effect(columns)[:BARS]
    top = 26.0
    height = top + _ROW * len(shown) + 36
    across = Scale(0.0, max([least * 1.6, *(check.effect * 1.08 for _, check in shown)]), _LEFT, _WIDE - _RIGHT)
    parts = [line(across(tick), top, across(tick), height - 32) for tick in ticks(0.0, across.high)]
    parts += [words(across(tick), height - 18, f"{tick:g}", "middle", colour=SOFT) for tick in ticks(0.0, across.high)]
    parts.append(line(across(least), top - 4, across(least), height - 32, INK, 1.4, "5 3"))
    for place, (name, check) in enumerate(shown):
        y = top + place * _ROW
        colour = BAD if check.moved else GREY
        told = f"{named(name)}: effect {check.effect:.4g}, p = {check.deciding:.2g}, {'moved' if check.moved else 'counts as unmoved'}"
        parts.append(words(_LEFT - 10, y + 14, shortened(named(name), NAME), "end", bold=check.moved))
        parts.append(box(_LEFT, y + 4, across(check.effect) - _LEFT, _ROW - 8, colour, told))
        verdict = f", moved, p = {check.deciding:.1g}" if check.moved else f", p = {check.deciding:.1g}"
        parts.append(
            words(across(check.effect) + 6, y + 14, f"{check.effect:.3g}{verdict}", colour=INK if check.moved else SOFT, halo=True)
        )
    parts.append(words(across(least), top - 9, f"counts from {least:g}", "middle", colour=INK))
    parts.append(words(_LEFT - 10, height - 18, "effect", "end", colour=SOFT))
    rest = len(columns) - len(shown)
    more = f" {rest} more columns are in the table." if rest else ""
    return Figure(
        Drawing(_WIDE, height, "".join(parts)), f"A column moved where its bar passes the line and its p-value is small enough.{more}"
    )


def distribution_figure(found: Distribution, check: ColumnCheck | None) -> Figure:
    """One column, reference filled and live outlined: bars side by side for categories."""
    wide, height = _SMALL
    body = _histogram(found, wide, height) if found.edges else _bars(found, wide, height)
    moved = check is not None and check.moved
    head = words(8, 14, shortened(named(found.column), 30), size=12.5, bold=True, colour=BAD if moved else INK)
    if check is not None:
        head += words(wide - 8, 14, f"effect {check.effect:.3g}", "end", colour=BAD if moved else SOFT)
    missing = ""
    if max(found.missing_live, found.missing_reference) > 0:
        missing = f"Missing: {found.missing_reference:.1%} before, {found.missing_live:.1%} now."
    return Figure(Drawing(wide, height, box(0, 0, wide, height, "#fff", edge=RULE) + head + body), missing)


def _histogram(found: Distribution, wide: float, height: float) -> str:
    most = max([0.01, *found.reference, *found.live])
    across = Scale(found.edges[0], found.edges[-1], 14, wide - 14)
    up = Scale(0.0, most * 1.05, height - 40, 26)
    parts = []
    for left, right, share in zip(found.edges, found.edges[1:], found.reference, strict=False):
        parts.append(box(across(left), up(share), across(right) - across(left) + 0.3, up(0) - up(share), GREY))
    steps: list[tuple[float, float | None]] = []
    for left, right, share in zip(found.edges, found.edges[1:], found.live, strict=False):
        steps += [(across(left), up(share)), (across(right), up(share))]
    parts.append(path([(across(found.edges[0]), up(0)), *steps, (across(found.edges[-1]), up(0))] if steps else [], BLUE, 2))
    parts.append(line(14, up(0), wide - 14, up(0), SOFT))
    for tick in ticks(found.edges[0], found.edges[-1], 5):
        parts.append(words(across(tick), up(0) + 13, f"{tick:g}", "middle", 10, SOFT))
    return "".join(parts) + _key(height)


def _key(height: float) -> str:
    return legend(10, height - 9, [(box(-8, -5, 16, 10, GREY), "reference"), (path([(-9, 0), (9, 0)], BLUE, 2.4), "this window")])


def _bars(found: Distribution, wide: float, height: float) -> str:
    reference = found.reference or (0.0,) * len(found.names)
    live = found.live or (0.0,) * len(found.names)
    rows = list(zip(found.names, reference, live, strict=True))[:7]
    room = (height - 52) / max(len(rows), 1)
    tall = min(room, 34.0)
    across = Scale(0.0, max([0.01, *reference, *live]) * 1.02, 110, wide - 48)
    parts = []
    for place, (name, before, now) in enumerate(rows):
        y = 24 + place * tall
        parts.append(words(104, y + tall / 2 + 4, shortened(name, 17), "end", 10.5))
        parts.append(box(110, y + 2, across(before) - 110, tall / 2 - 2.5, GREY, f"{name}: {before:.1%} in the reference"))
        parts.append(box(110, y + tall / 2, across(now) - 110, tall / 2 - 2.5, BLUE, f"{name}: {now:.1%} in this window"))
        parts.append(words(max(across(before), across(now)) + 5, y + tall / 2 + 4, f"{now:.1%}", size=10, colour=SOFT))
    rest = len(found.names) - len(rows)
    if rest > 0:
        parts.append(words(wide - 8, height - 9, f"and {rest} more", "end", 10, SOFT))
    return "".join(parts) + legend(10, height - 9, [(box(-8, -5, 16, 10, GREY), "reference"), (box(-8, -5, 16, 10, BLUE), "this window")])


def metric_figure(lines: Sequence[tuple[str, float, float, float, bool]], judgement: Judgement | None) -> Figure:
    """Values with their intervals (name, value, low, high, whether it is past its bound) on one axis with validation and bound."""
    levels = [("validation", judgement.validation), ("bound", judgement.bound)] if judgement else []
    known = [(name, value) for name, value in levels if value is not None]
    every = [number for _, value, low, high, _ in lines for number in (value, low, high)] + [value for _, value in known]
    low, high = min(every), max(every)
    pad = (high - low) * 0.12 or max(abs(high) * 0.1, 0.1)
    top, row = 40.0, 30.0
    height = top + row * len(lines) + 30
    across = Scale(low - pad, high + pad, _LEFT, _WIDE - _RIGHT)
    parts = []
    for tick in ticks(low - pad, high + pad, 7):
        parts += [line(across(tick), top, across(tick), height - 26), words(across(tick), height - 10, f"{tick:g}", "middle", colour=SOFT)]
    taken = -1e9
    for name, value in sorted(known, key=lambda item: item[1]):
        colour = BAD if name == "bound" else SOFT
        parts.append(line(across(value), top - 6, across(value), height - 26, colour, 1.8, "" if name == "bound" else "5 3"))
        text = f"{name} {value:.4g}"
        y = top - 12 if across(value) - taken > text_width(text) + 12 else top - 26
        taken = across(value)
        parts.append(words(across(value), y, text, "middle", colour=colour))
    for place, (name, value, least, most, bad) in enumerate(lines):
        y, colour = top + row * place + row / 2, BAD if bad else BLUE
        parts.append(words(_LEFT - 10, y + 4, shortened(name, NAME), "end"))
        parts.append(line(across(least), y, across(most), y, colour, 3))
        parts.append(mark(across(value), y, "diamond" if bad else "circle", colour, not name.startswith("estimate"), f"{name} {value:.5g}"))
        parts.append(words(across(most) + 8, y + 4, f"{value:.4g} ({least:.4g} to {most:.4g})", colour=INK, halo=True))
    return Figure(Drawing(_WIDE, height, "".join(parts)), "Bars are 95% intervals; hollow is an estimate.")


def slices_figure(slices: Sequence[tuple[str, Judgement]]) -> Figure:
    """Each part's metric with its interval, and beside it its own validation (hollow) and bound."""
    shown = slices[:BARS]
    every = [number for _, one in shown for number in (one.low, one.high, one.validation, one.bound) if number is not None]
    pad = (max(every) - min(every)) * 0.08 or max(abs(max(every)) * 0.1, 0.1)
    top, row = 6.0, 26.0
    height = top + row * len(shown) + 54
    across = Scale(min(every) - pad, max(every) + pad, _LEFT, _WIDE - _RIGHT - 60)
    parts = []
    for tick in ticks(across.low, across.high, 7):
        parts += [line(across(tick), top, across(tick), height - 50), words(across(tick), height - 36, f"{tick:g}", "middle", colour=SOFT)]
    for place, (name, one) in enumerate(shown):
        y, colour = top + row * place + row / 2, BAD if one.past else BLUE
        parts.append(words(_LEFT - 10, y + 4, shortened(name, NAME), "end", bold=one.past))
        parts.append(line(across(one.low), y, across(one.high), y, colour, 3))
        if one.validation is not None:
            parts.append(mark(across(one.validation), y, "square", SOFT, False, f"{name}: {one.validation:.5g} in its validation", 3.4))
        if one.bound is not None:
            parts.append(line(across(one.bound), y - 8, across(one.bound), y + 8, BAD, 1.8))
        parts.append(mark(across(one.value), y, "diamond" if one.past else "circle", colour, told=f"{name}: {one.value:.5g}"))
        beside = max(one.high, one.value, one.validation or one.high, one.bound or one.high)
        parts.append(words(across(beside) + 8, y + 4, f"{one.value:.4g} ({one.low:.4g} to {one.high:.4g})", colour=INK, halo=True))
    entries = [
        (mark(0, 0, "circle", BLUE), "this window"),
        (mark(0, 0, "diamond", BAD), "past its bound"),
        (mark(0, 0, "square", SOFT, False, size=3.4), "its own validation"),
        (line(0, -7, 0, 7, BAD, 1.8), "its bound"),
    ]
    return Figure(Drawing(_WIDE, height, "".join(parts) + legend(_LEFT, height - 8, entries)), "")
