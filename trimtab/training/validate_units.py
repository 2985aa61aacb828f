"""Unit breaks: a column that is suddenly 10, 1000 or 60 times what it was, in all rows or from some row on.

A factor moves the magnitude of a column (the upper quartile of |x|) by just that factor, at once, and taking it out brings the old
distribution back. Against the champion the rows of the same time are compared where there are some: nothing but their unit can
differ. Within the rows the stretches before and after each place are, and the step must part them: a column that jumps by itself
(rain) or grows steadily is no break.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from trimtab.training.checks import Check
from trimtab.training.validate_rows import Look, Meeting, meeting, numbers
from trimtab.training.validate_stats import distance

FACTORS = (10.0, 100.0, 1000.0, 10_000.0, 1e6, 60.0, 3600.0)
"""Powers of ten, and what hours, minutes and seconds differ by; each as it is and as its inverse."""
TOLERANCE = 0.25
"""By how much log10 of the magnitudes' ratio may differ from a factor's: seasons move a column too, by less than 1.8 times at once."""
FAR, NEARER = 0.35, 0.2
"""The Kolmogorov-Smirnov distance must be at least FAR as it is against the champion, and less by NEARER without the factor."""
CERTAIN = 50.0
"""From this factor on, rows of another time than the champion's stop the run; a season may well bring ten times as much."""
STRETCHES = 40
BESIDE, FURTHER = 3, 12
"""A step is measured between so many stretches (of 40) on each side, and must part all of so many."""
STANDS_OUT = 2.5
"""The step must be so many times the column's next largest."""
_LEAST = 30
_VALUES = 10
_UPPER = 0.75

Floats = np.ndarray[Any, Any]


def units(look: Look) -> Iterator[Check]:
    """Number columns (features and label) that were scaled: at most one check a column."""
    met = meeting(look)
    names = [name for name in (*look.features, look.spec.data.label) if look.rows.kinds[name] == "number"]
    for name in names:
        declared = look.declared.get(name)
        if declared is not None and not (declared.min is declared.max is None):
            continue
        found = _against_champion(look, name, met) or _within(look, name)
        if found is not None:
            yield found


def factor_between(before: Floats, after: Floats, far: float = FAR) -> float | None:
    """The factor by which `after` is a scaled `before`; None where it is not, or where there is too little to say so."""
    left, right = _logs(before), _logs(after)
    if min(len(left), len(right)) < _LEAST or min(len(np.unique(left)), len(np.unique(right))) < _VALUES:
        return None
    factor = _nearest(float(np.quantile(right, _UPPER) - np.quantile(left, _UPPER)))
    if factor is None:
        return None
    apart = distance(left, right)
    return factor if apart >= far and distance(left + math.log10(factor), right) <= apart - NEARER else None


def _nearest(shift: float) -> float | None:
    candidates = [sign * math.log10(factor) for factor in FACTORS for sign in (1, -1)]
    best = min(candidates, key=lambda candidate: abs(candidate - shift))
    return 10.0**best if abs(best - shift) <= TOLERANCE else None


def _logs(values: Floats) -> Floats:
    values = np.abs(values[~np.isnan(values)])
    found: Floats = np.log10(values[values > 0])
    return found


def _against_champion(look: Look, name: str, met: Meeting | None) -> Check | None:
    if met is None or name not in met.reference.column_names:
        return None
    if look.rows.kinds[name] != "number" or not _is_number(met.reference, name):
        return None
    factor = factor_between(numbers(met.reference.column(name)), numbers(met.rows.column(name)))
    if factor is None:
        return None
    rows = look.rows.facts(name).present
    sentence = f"column {name!r} is {_times(factor)} what it was for the champion, in {rows} rows: another unit?"
    certain = met.same or max(factor, 1 / factor) >= CERTAIN
    return Check("unit", name, _times(factor), "the champion's unit", rows, sentence, "stop" if certain else "warn")


def _is_number(table: Any, name: str) -> bool:
    from trimtab.training.frame import kind_of

    return kind_of(table.schema.field(name)) == "number"


def _within(look: Look, name: str) -> Check | None:
    """The place from which on a column is scaled, if there is one; only rows in the order of time have such a place."""
    if look.spec.data.time is None:
        return None
    values = look.rows.numbers(name)
    count = min(STRETCHES, len(values) // (2 * _LEAST))
    if count < 2 * BESIDE:
        return None
    stretches = np.array_split(values, count)
    place = _step([_size(stretch) for stretch in stretches])
    if place is None:
        return None
    left, right = stretches[max(0, place - BESIDE) : place], stretches[place + 1 : place + 1 + BESIDE]
    factor = factor_between(np.concatenate(left), np.concatenate(right), far=NEARER)
    if factor is None:
        return None
    rows = round((count - place) / count * look.rows.count)
    where = f"from about the newest {rows} of {look.rows.count} rows on"
    sentence = f"column {name!r} is {_times(factor)} what it was, {where}: another unit?"
    return Check("unit", name, _times(factor), "one unit", rows, sentence)


def _size(values: Floats) -> float:
    """The magnitude of a stretch, log10 of the upper quartile of |x|; NaN where it is mostly zero or missing."""
    found = _logs(values)
    return float(np.quantile(found, _UPPER)) if len(found) >= _LEAST / 2 else math.nan


def _step(sizes: list[float]) -> int | None:
    """The stretch within which the one step is that stands out of all others and parts what is before from what is after it."""
    levels = [_level(sizes[place + 1 : place + 1 + BESIDE]) - _level(sizes[max(0, place - BESIDE) : place]) for place in range(len(sizes))]
    heights = np.nan_to_num(np.abs(levels))
    top = int(np.argmax(heights))
    others = [height for place, height in enumerate(heights) if abs(place - top) > 2 * BESIDE]
    if heights[top] < 1 - TOLERANCE or heights[top] < STANDS_OUT * max(others, default=0.0):
        return None
    near = [place for place in range(top - BESIDE, top + BESIDE + 1) if 0 < place < len(sizes) - 1]
    return next((place for place in sorted(near, key=lambda place: -heights[place]) if _parts(sizes, place)), None)


def _parts(sizes: list[float], place: int) -> bool:
    before = [size for size in sizes[max(0, place - FURTHER) : place] if not math.isnan(size)]
    after = [size for size in sizes[place + 1 : place + 1 + FURTHER] if not math.isnan(size)]
    if not before or not after:
        return False
    middle = (_level(before[-BESIDE:]) + _level(after[:BESIDE])) / 2
    return max(before) < middle < min(after) or max(after) < middle < min(before)


def _level(sizes: list[float]) -> float:
    known = [size for size in sizes if not math.isnan(size)]
    return float(np.median(known)) if known else math.nan


def _times(factor: float) -> str:
    return f"{factor:g} times" if factor > 1 else f"1/{1 / factor:g} of"
