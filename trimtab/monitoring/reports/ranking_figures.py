"""What a version's answers rest on: a window's features beside training's, and how far their order moved over a model's life. Pure."""

from trimtab.drawing.page import Figure
from trimtab.drawing.scale import Scale, ticks
from trimtab.drawing.svg import BAD, BLUE, GREY, INK, SOFT, Drawing, Point, box, dots, legend, line, mark, path, shortened, words
from trimtab.monitoring.explanation import Ranking
from trimtab.monitoring.reports.course import LEFT, WIDE, Course, grid

BARS = 12
_ROW, _NAMES, _RIGHT = 24.0, 200.0, 170.0


def ranking_figure(ranking: Ranking) -> Figure:
    """The features in the order of training: their shares of the attributions then and now, and the rank that each has now."""
    shown = ranking.features[:BARS]
    top, height = 8.0, 8.0 + _ROW * len(shown) + 50
    across = Scale(0.0, max([0.01, *(max(one.reference, one.live) for one in shown)]) * 1.05, _NAMES, WIDE - _RIGHT)
    parts = []
    for tick in ticks(0.0, across.high):
        parts.append(line(across(tick), top, across(tick), height - 46))
        parts.append(words(across(tick), height - 32, f"{tick:.0%}", "middle", colour=SOFT))
    for place, one in enumerate(shown):
        y, moved = top + place * _ROW, one.before != one.now
        parts.append(words(_NAMES - 10, y + 16, shortened(f"{one.before}. {one.feature}", 26), "end", bold=moved))
        parts.append(box(_NAMES, y + 3, across(one.reference) - _NAMES, 8, GREY, f"{one.feature}: {one.reference:.1%} in training"))
        parts.append(box(_NAMES, y + 12, across(one.live) - _NAMES, 8, BLUE, f"{one.feature}: {one.live:.1%} in this window"))
        said = f"{one.live:.1%}" + (f", rank {one.now} now" if moved else "")
        parts.append(words(across(max(one.reference, one.live)) + 6, y + 16, said, colour=INK if moved else SOFT, halo=True))
    parts.append(words(_NAMES - 24, height - 32, "share of the attributions", "end", colour=SOFT))
    entries = [(box(-8, -5, 16, 10, GREY), "training"), (box(-8, -5, 16, 10, BLUE), "this window")]
    return Figure(Drawing(WIDE, height, "".join(parts) + legend(_NAMES, height - 8, entries)), "")


def ndcg_figure(course: Course) -> Figure | None:
    """Each window's NDCG with its interval, against the bound."""
    asked = [(record, record.explanation) for record in course.records if record.explanation is not None]
    known = [(record, ranking, ranking.ndcg) for record, ranking in asked if ranking.ndcg is not None]
    if not known:
        return None
    least = min(min(ranking.low, ranking.bound) for _, ranking, _ in known)
    up = Scale(max(0.0, least - 0.1 * (1.0 - least)), 1.0, 140, 22)
    bounds: list[Point] = []
    spans: dict[str, list[Point]] = {BLUE: [], BAD: []}
    still, moved = [], []
    for record, ranking, value in known:
        x, colour = course.middle(record), BAD if ranking.moved else BLUE
        bounds += [(0.0, None), *((course.time(at), up(ranking.bound)) for at in (record.start, record.end))]
        spans[colour] += [(0.0, None), (x, up(ranking.low)), (x, up(ranking.high))]
        if ranking.moved:
            told = f"window {record.window} of version {record.version}: NDCG {value:.3f} ({ranking.low:.3f} to {ranking.high:.3f})"
            moved.append(mark(x, up(value), "diamond", BAD, told=told, size=3.4))
        else:
            still.append((x, up(value)))
    lines = [path(bounds, BAD, 1.5), *(path(points, colour, 1.6) for colour, points in spans.items())]
    body = [grid(up, ticks(up.low, 1.0, 4)), *lines, dots(still, BLUE, 6.8), *moved]
    entries = [
        (mark(0, 0, "circle", BLUE, size=3.4), "NDCG"),
        (mark(0, 0, "diamond", BAD, size=3.4), "below the bound"),
        (line(-9, 0, 9, 0, BAD, 1.5), "bound"),
    ]
    body.append(legend(LEFT, 180, entries))
    return Figure(Drawing(WIDE, 188, course.frame(18, 140) + "".join(body)), "")
