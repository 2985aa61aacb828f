"""What makes a window's data wrong rather than different: it pages and holds, and nothing is ever retrained on it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from trimtab.monitoring.columns import MINIMUM_ROWS, Floats, Table, as_number, is_missing
from trimtab.monitoring.conversions import conversion, nearest, times
from trimtab.schema import Feature, Schema

TEXT_SHARE = 0.05
NULL_RISE = 0.2
OUTSIDE_SHARE = 0.05
SPANS = 10.0
UNSEEN_SHARE = 0.2
STUCK_SHARE = 0.5
CALM_SHARE = 0.01
BY_CHANCE = 1e-6
CLEAN_WINDOWS = 2
TRAFFIC = "(traffic)"

Check = Literal["missing", "nulls", "type", "range", "unit", "stuck", "unseen", "gone", "doubled"]
HARMLESS = ("unseen", "gone", "doubled")
"""What leaves a window's rows good enough to conclude from: new categories may be the world's, and the rows that came are sound."""


class Break(Struct, frozen=True):
    """One break of one column; `share` of the window's rows (of its values that are not null, for type, range, unit, stuck, unseen).

    Traffic that is gone or doubled is told of the column `(traffic)`; `share` is then the rows that came of those that usually do.
    """

    column: str
    check: Check
    share: float
    sentence: str


def breaks(schema: Schema, reference: Table, rows: Sequence[Mapping[str, Any]], span: float = 0.0) -> list[Break]:
    """The breaks of a window's rows (parsed instances in the order of time) against the version's reference, in the schema's order.

    `span` is the window's time as a share of the reference's (0: unknown; then no column is called stuck). A window with fewer
    than 30 rows is not judged. Of one column at most one break is told: the first of missing, nulls, type, unit, range, stuck,
    unseen.
    """
    if len(rows) < MINIMUM_ROWS:
        return []
    unknown = _unknown(schema, rows)
    found = (_break(feature, reference, rows, span, unknown) for feature in schema.features)
    return [item for item in found if item is not None]


def _unknown(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns that most rows have and the version does not know."""
    known = {*schema.names, schema.label, schema.key, schema.time}
    return [name for name in rows[0] if name not in known and sum(name in row for row in rows) > len(rows) / 2]


def _break(feature: Feature, reference: Table, rows: Sequence[Mapping[str, Any]], span: float, unknown: Sequence[str]) -> Break | None:
    name = feature.name
    if not any(name in row for row in rows):
        renamed = f"; the rows have columns that the version does not know: {', '.join(map(repr, unknown[:5]))}" if unknown else ""
        return Break(name, "missing", 1.0, f"the column {name!r} is missing from every row{renamed}")
    values = [row.get(name) for row in rows]
    present = [value for value in values if not is_missing(value)]
    nulls = 1.0 - len(present) / len(values)
    usual = float(np.isnan(reference[name]).mean())
    if nulls - usual > NULL_RISE:
        return Break(name, "nulls", nulls, f"{nulls:.0%} of {name!r} are null, {usual:.0%} in the reference")
    if not present:
        return None
    return _number_break(name, reference, present, span) if feature.kind == "number" else _category_break(feature, present)


def _number_break(name: str, reference: Table, present: list[Any], span: float) -> Break | None:
    text = sum(not isinstance(value, (int, float)) for value in present) / len(present)
    if text > TEXT_SHARE:
        return Break(name, "type", text, f"{text:.0%} of {name!r} are not numbers")
    known = reference[name][~np.isnan(reference[name])]
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    width = (high - low) or max(abs(high), 1.0)
    numbers = np.array([as_number(value) for value in present])
    read = numbers[~np.isnan(numbers)]
    unit = conversion(known, read)
    if unit:
        return Break(name, "unit", 1.0, f"{name!r} came in another unit: the values are what {unit} the reference's would be")
    outside = float((~((numbers >= low - SPANS * width) & (numbers <= high + SPANS * width))).mean())
    if outside > OUTSIDE_SHARE:
        factor = nearest(known, read)
        guess = f"about {times(factor)} what they were: another unit?" if factor else "another unit?"
        sentence = f"{outside:.0%} of {name!r} are more than {SPANS:g} spans outside the reference's {low:g} to {high:g}: {guess}"
        return Break(name, "range", outside, sentence)
    return _stuck(name, reference[name], read, span)


def _stuck(name: str, reference: Floats, read: Floats, span: float) -> Break | None:
    """Whether a number that always moved stands still for half of the window.

    How long a column stands still by itself is told by the reference, in the order of time: one that does so for as long as half a
    window (a rate of the month, a price of the day) is not judged, nor is a value that many rows have anyway.
    """
    ends = np.flatnonzero(np.diff(read)) + 1
    starts = np.concatenate([[0], ends])
    lengths = np.diff(np.concatenate([starts, [len(read)]]))
    longest = int(lengths.max(initial=0))
    if span <= 0 or longest < max(MINIMUM_ROWS, STUCK_SHARE * len(read)):
        return None
    value = float(read[starts[lengths.argmax()]])
    known = reference[~np.isnan(reference)]
    usual = max(float((known == value).mean()), 1 / len(known))
    stretch = min(max(2, round(STUCK_SHARE * span * len(known))), len(known))
    stretches = np.lib.stride_tricks.sliding_window_view(known, stretch)
    still = float((stretches.min(axis=1) == stretches.max(axis=1)).mean())
    if still > CALM_SHARE or usual**longest * len(read) > BY_CHANCE:
        return None
    share = longest / len(read)
    return Break(name, "stuck", share, f"{name!r} stands still: {longest} rows in a row have the value {value:g}; is the sensor stuck?")


def _category_break(feature: Feature, present: list[Any]) -> Break | None:
    known = set(feature.categories)
    unseen = sum(str(value) not in known for value in present) / len(present)
    if unseen > UNSEEN_SHARE:
        return Break(feature.name, "unseen", unseen, f"{unseen:.0%} of {feature.name!r} are categories that training never saw")
    return None
