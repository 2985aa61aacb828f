"""A window's columns beside the reference's, as shares in bins: never a row, never a single value. Pure.

The bins' edges are round numbers, and the first and last hold all that lies beyond, so that no smallest or largest value can be read
off them. What a Model says to redact was in its training data: such a column is left out on both sides.
"""

from collections.abc import Collection

import numpy as np
from msgspec import Struct

from trimtab.drawing.scale import ticks
from trimtab.monitoring.columns import Floats, Table
from trimtab.schema import PREDICTION, Feature, Schema

BINS = 24
CATEGORIES = 12
UNSEEN = "never seen in training"
_TAIL = 0.005
_LARGEST = 1e150


class Distribution(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Shares of the values that are there, a bin each: between `edges` (one more than bins) for a number, of `names` for a category.

    `missing` are the shares of the rows that have none. `reference` and `live` are empty where nothing is there.
    """

    column: str
    reference: tuple[float, ...]
    live: tuple[float, ...]
    missing_reference: float
    missing_live: float
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()


def distributions(schema: Schema, reference: Table, window: Table, redacted: Collection[str]) -> dict[str, Distribution]:
    """Each feature's and the prediction's distribution by its name, in the schema's order, without those `redacted`."""
    predicted = Feature(PREDICTION, "category", schema.classes) if schema.task == "multiclass" else Feature(PREDICTION, "number")
    found = {}
    for feature in (*schema.features, predicted):
        if feature.name not in redacted:
            draw = _numbers if feature.kind == "number" else _categories
            found[feature.name] = draw(feature, reference[feature.name], window[feature.name])
    return found


def _numbers(feature: Feature, reference: Floats, window: Floats) -> Distribution:
    old, new = (np.clip(side[~np.isnan(side)], -_LARGEST, _LARGEST) for side in (reference, window))
    edges = _edges([side for side in (old, new) if len(side)])
    return Distribution(
        feature.name,
        _shares(np.histogram(np.clip(old, edges[0], edges[-1]), edges)[0]),
        _shares(np.histogram(np.clip(new, edges[0], edges[-1]), edges)[0]),
        _missing(reference),
        _missing(window),
        edges=tuple(float(edge) for edge in edges),
    )


def _edges(sides: list[Floats]) -> Floats:
    """Round numbers around nearly all of what is on either side."""
    ends = [np.quantile(side, [_TAIL, 1 - _TAIL]) for side in sides]
    low = float(min((end[0] for end in ends), default=0.0))
    high = float(max((end[1] for end in ends), default=0.0))
    inner = ticks(low, high, BINS)
    if len(inner) < 2 or not np.all(np.diff(inner) > 0):
        width = max(abs(low) * 0.01, high - low, 0.5)
        return np.array([low - width, high + width])
    step = inner[1] - inner[0]
    whole = all(bool(np.all(side == np.round(side))) for side in sides) and step >= 1
    before = [inner[0] - step] if low < inner[0] else []
    after = [inner[-1] + step] if high > inner[-1] or (whole and high >= inner[-1]) else []
    return np.array([*before, *inner, *after])


def _categories(feature: Feature, reference: Floats, window: Floats) -> Distribution:
    size = len(feature.categories) + 1
    old, new = (np.bincount(side[~np.isnan(side)].astype(int), minlength=size) for side in (reference, window))
    names = [*feature.categories, UNSEEN]
    weight = old / max(old.sum(), 1) + new / max(new.sum(), 1)
    order = [place for place in np.argsort(-weight, kind="stable") if weight[place] > 0]
    shown, rest = order[:CATEGORIES], order[CATEGORIES:]
    counts = [[int(side[place]) for place in shown] + ([int(side[rest].sum())] if rest else []) for side in (old, new)]
    labels = [names[place] for place in shown] + ([f"{len(rest)} others"] if rest else [])
    return Distribution(
        feature.name,
        _shares(np.array(counts[0])),
        _shares(np.array(counts[1])),
        _missing(reference),
        _missing(window),
        names=tuple(labels),
    )


def _shares(counts: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> tuple[float, ...]:
    total = int(counts.sum())
    return tuple(round(float(count) / total, 4) for count in counts) if total else ()


def _missing(values: Floats) -> float:
    return round(float(np.isnan(values).mean()), 4) if len(values) else 0.0
