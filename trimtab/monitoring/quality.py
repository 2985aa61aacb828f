"""What makes a window's data wrong rather than different: it pages and holds, and nothing is ever retrained on it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from trimtab.monitoring.columns import MINIMUM_ROWS, Table, as_number, is_missing
from trimtab.schema import Feature, Schema

TEXT_SHARE = 0.05
NULL_RISE = 0.2
OUTSIDE_SHARE = 0.05
SPANS = 10.0
UNSEEN_SHARE = 0.2
CLEAN_WINDOWS = 2

Check = Literal["missing", "nulls", "type", "range", "unseen"]


class Break(Struct, frozen=True):
    """One break of one column; `share` of the window's rows (of its values that are not null, for type, range and unseen)."""

    column: str
    check: Check
    share: float
    sentence: str


def breaks(schema: Schema, reference: Table, rows: Sequence[Mapping[str, Any]]) -> list[Break]:
    """The breaks of a window's rows (parsed instances) against the version's reference, in the schema's order.

    A window with fewer than 30 rows is not judged. Of one column at most one break is told: the first of missing, nulls, type,
    range, unseen.
    """
    if len(rows) < MINIMUM_ROWS:
        return []
    found = (_break(feature, reference, rows) for feature in schema.features)
    return [item for item in found if item is not None]


def _break(feature: Feature, reference: Table, rows: Sequence[Mapping[str, Any]]) -> Break | None:
    name = feature.name
    if not any(name in row for row in rows):
        return Break(name, "missing", 1.0, f"the column {name!r} is missing from every row")
    values = [row.get(name) for row in rows]
    present = [value for value in values if not is_missing(value)]
    nulls = 1.0 - len(present) / len(values)
    usual = float(np.isnan(reference[name]).mean())
    if nulls - usual > NULL_RISE:
        return Break(name, "nulls", nulls, f"{nulls:.0%} of {name!r} are null, {usual:.0%} in the reference")
    if not present:
        return None
    return _number_break(name, reference, present) if feature.kind == "number" else _category_break(feature, present)


def _number_break(name: str, reference: Table, present: list[Any]) -> Break | None:
    text = sum(not isinstance(value, (int, float)) for value in present) / len(present)
    if text > TEXT_SHARE:
        return Break(name, "type", text, f"{text:.0%} of {name!r} are not numbers")
    known = reference[name][~np.isnan(reference[name])]
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    span = (high - low) or max(abs(high), 1.0)
    numbers = np.array([as_number(value) for value in present])
    outside = float((~((numbers >= low - SPANS * span) & (numbers <= high + SPANS * span))).mean())
    if outside > OUTSIDE_SHARE:
        sentence = f"{outside:.0%} of {name!r} are more than {SPANS:g} spans outside the reference's {low:g} to {high:g}: another unit?"
        return Break(name, "range", outside, sentence)
    return None


def _category_break(feature: Feature, present: list[Any]) -> Break | None:
    known = set(feature.categories)
    unseen = sum(str(value) not in known for value in present) / len(present)
    if unseen > UNSEEN_SHARE:
        return Break(feature.name, "unseen", unseen, f"{unseen:.0%} of {feature.name!r} are categories that training never saw")
    return None
