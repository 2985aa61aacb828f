"""The fleet as a page: what to look at first, and how much of it chance alone would give. Pure."""

from datetime import datetime

from trimtab.drawing.page import Figure, Page, Section
from trimtab.drawing.scale import Scale, powers
from trimtab.drawing.svg import BAD, BLUE, GREY, INK, SOFT, Drawing, box, legend, line, mark, words
from trimtab.monitoring.fleet import Fleet, Row
from trimtab.monitoring.reports.window_figures import named
from trimtab.monitoring.standing import STATES
from trimtab.monitoring.tables import moment

LISTED = 200
_WIDE = 1000.0
_SHADES = {
    "quality": "#7a2b00",
    "performance": BAD,
    "concept": "#d97a3a",
    "explanation": "#8c6bb1",
    "covariate": "#0072b2",
    "prediction": "#56a0d3",
    "watch": "#b3cde3",
    "unknown": "#e4e8eb",
    "none": "#7fbfa8",
}
_MEANS = {
    "quality": "their data is broken",
    "performance": "past the bound",
    "concept": "worse, inputs unmoved",
    "explanation": "answer by other features",
    "covariate": "inputs moved for good",
    "prediction": "predictions moved for good",
    "watch": "moved once, watched",
    "unknown": "nothing tested yet",
    "none": "nothing moved",
}


def fleet_page(fleet: Fleet, now: datetime) -> Page:
    """The whole page."""
    urgent = sum(fleet.states[state] for state in STATES[: STATES.index("watch")])
    verdict = (
        f"{urgent} of {_many(fleet.models, 'model')} need a look" if urgent else f"None of {_many(fleet.models, 'model')} needs a look"
    )
    sections = [
        Section("How they stand", (), figures=(_states(fleet),)),
        Section("What chance would give", _chance(fleet), figures=_ranks(fleet)),
        _list(fleet),
    ]
    return Page(f"The fleet on {now:%Y-%m-%d %H:%M} UTC", f"{verdict}.", urgent == 0, tuple(sections))


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _states(fleet: Fleet) -> Figure:
    shown = [state for state in STATES if fleet.states[state]]
    left, parts = 8.0, []
    for state in shown:
        wide = (_WIDE - 16) * fleet.states[state] / max(fleet.models, 1)
        parts.append(box(left, 4, max(wide - 1, 0.8), 26, _SHADES[state], f"{state}: {_many(fleet.states[state], 'model')}"))
        left += wide
    for place, state in enumerate(shown):
        x, y = 8 + place % 4 * 246, 52 + place // 4 * 20
        parts.append(box(x, y - 10, 14, 11, _SHADES[state], edge=SOFT))
        parts.append(words(x + 20, y, f"{fleet.states[state]:,} {state}: {_MEANS[state]}"))
    return Figure(Drawing(_WIDE, 62 + (len(shown) + 3) // 4 * 20 - 10, "".join(parts)), "")


def _chance(fleet: Fleet) -> tuple[str, ...]:
    if not fleet.tested:
        return ("No window was tested yet.",)
    return (
        f"{_many(fleet.columns, 'column')} of {_many(fleet.tested, 'model')} were tested in the newest windows. At p < 0.05 chance alone "
        f"would give up to {fleet.naive:,.0f} alarms; at the level that Trimtab holds a column against, at most {fleet.by_chance:.2g} "
        "models would have one below it.",
        f"{_many(fleet.moved, 'model')} had a column that moved.",
        f"At a false discovery rate of {fleet.rate:g}, {_many(fleet.discoveries, 'model')} would be called moved (Benjamini and Hochberg, "
        "1995), whatever the effect. This is information: each model decides by its own budget.",
    )


def _ranks(fleet: Fleet) -> tuple[Figure, ...]:
    """Each model's p-value by its rank beside what chance would give."""
    rows = sorted((row for row in fleet.rows if row.p is not None), key=lambda row: row.p or 0.0)
    if len(rows) < 3:
        return ()
    lowest = 1e-12
    across = Scale(1.0, float(len(rows)), 70, _WIDE - 20, log=True)
    up = Scale(lowest, 1.0, 190, 10, log=True)
    parts = [
        line(70, up(tick), _WIDE - 20, up(tick)) + words(62, up(tick) + 4, f"{tick:g}", "end", colour=SOFT) for tick in powers(lowest, 1, 5)
    ]
    for tick in powers(1.0, float(len(rows)), 6):
        parts += [line(across(tick), 190, across(tick), 194, SOFT), words(across(tick), 206, f"{tick:g}", "middle", colour=SOFT)]
    for limit, colour, dashes in ((1.0, GREY, "5 3"), (fleet.rate, INK, "")):
        parts.append(line(across(1), up(limit / len(rows)), across(len(rows)), up(limit), colour, 1.4, dashes))
    for place in _places(len(rows)):
        row = rows[place]
        found = row.q is not None and row.q <= fleet.rate
        told = f"{row.model}: p = {row.p:.2g}, q = {row.q:.2g}"
        parts.append(
            mark(across(place + 1), up(row.p or lowest), "diamond" if found else "circle", BAD if found else BLUE, found, told, 3.2)
        )
    entries = [
        (mark(0, 0, "diamond", BAD, size=3.2), "called moved"),
        (mark(0, 0, "circle", BLUE, filled=False, size=3.2), "not"),
        (line(-9, 0, 9, 0, INK, 1.4), f"false discovery rate {fleet.rate:g}"),
        (line(-9, 0, 9, 0, GREY, 1.4, "5 3"), "if nothing had moved anywhere"),
    ]
    parts.append(legend(70, 230, entries))
    caption = f"Each model's p-value (from {lowest:g} on) by its rank; both axes are logarithmic."
    return (Figure(Drawing(_WIDE, 238, "".join(parts)), caption),)


def _places(count: int) -> list[int]:
    """All places of a short list; of a long one those that can be told apart on a logarithmic axis."""
    if count <= LISTED:
        return list(range(count))
    return sorted({min(count - 1, round(count ** (step / LISTED)) - 1) for step in range(LISTED + 1)})


def _list(fleet: Fleet) -> Section:
    shown = fleet.rows[:LISTED]
    sentence = (
        "What to look at first comes first: broken data, then what is past its bound, then what moved for good, then what is watched."
    )
    if len(fleet.rows) > LISTED:
        sentence += f" The first {LISTED} of {len(fleet.rows):,}; all are in the JSON."
    header = ("model", "version", "state", "in words", "moved", "effect", "q", "metric", "bound", "window until")
    return Section("The list", (sentence,), header, tuple(map(_row, shown)))


def _row(row: Row) -> tuple[str, ...]:
    moved = f"{row.moved} of {row.columns}" if row.columns else ""
    effect = f"{named(row.column)} {row.effect:.2g}" if row.column and row.effect is not None else ""
    metric = f"{row.metric} {row.value:.4g}" if row.value is not None else ""
    until = f"{moment(row.end):%Y-%m-%d %H:%M}" if row.end is not None else ""
    bound = f"{row.bound:.4g}" if row.bound is not None else ""
    return (
        row.model,
        row.version or "",
        row.state,
        row.sentence,
        moved,
        effect,
        f"{row.q:.2g}" if row.q is not None else "",
        metric,
        bound,
        until,
    )
