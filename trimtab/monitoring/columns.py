"""Rows become columns of numbers, the same way for a reference and a window, so that they can be compared.

A table maps a column's name to float64 of shape (rows,). NaN means missing; a category is its place in the schema's list and
`len(categories)` is a category that training never saw. A version's prediction is a column too: the number itself, the
probability of the second class (binary), or the place of the most probable class (multiclass).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from trimtab.schema import PREDICTION, Feature, Schema

Floats = NDArray[np.float64]
Table = dict[str, Floats]
MINIMUM_ROWS = 30


class Column(Struct, frozen=True):
    """A column that is tested: `of` is the feature (or the prediction) that it tells about."""

    name: str
    kind: Literal["number", "category"]
    of: str


def table(schema: Schema, rows: Sequence[Mapping[str, Any]], predictions: Sequence[Any]) -> Table:
    """The rows' features and the predictions (parsed JSON values, None where there is none) as a table."""
    columns = {feature.name: _feature(feature, [row.get(feature.name) for row in rows]) for feature in schema.features}
    given = predicted(schema, predictions)
    if schema.task == "multiclass":
        best = np.argmax(np.nan_to_num(given, nan=-1.0), axis=1).astype(float)
        columns[PREDICTION] = np.where(np.isnan(given).any(axis=1), np.nan, best)
    else:
        columns[PREDICTION] = given
    return columns


def _feature(feature: Feature, values: Sequence[Any]) -> Floats:
    if feature.kind == "number":
        return np.array([as_number(value) for value in values], dtype=float)
    places = {category: float(place) for place, category in enumerate(feature.categories)}
    unseen = float(len(places))
    return np.array([math.nan if is_missing(value) else places.get(str(value), unseen) for value in values], dtype=float)


def is_missing(value: Any) -> bool:
    """Whether the value is None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_number(value: Any) -> float:
    """The value as a float; NaN for what is no number or is beyond a float's range."""
    if isinstance(value, (int, float)):
        try:
            number = float(value)
        except OverflowError:
            return math.nan
        return number if math.isfinite(number) else math.nan
    return math.nan


def predicted(schema: Schema, predictions: Sequence[Any]) -> Floats:
    """Predictions as numbers (rows,), for a multiclass model as probabilities (rows, classes); NaN where one cannot be read.

    A binary model may answer the probability of its second class, or both probabilities.
    """
    if schema.task != "multiclass":
        second = [answer[-1] if isinstance(answer, (list, tuple)) and answer else answer for answer in predictions]
        return np.array([as_number(answer) for answer in second], dtype=float)
    width = max(len(schema.classes), 1)
    empty = [math.nan] * width
    listed = [list(answer) if isinstance(answer, (list, tuple)) and len(answer) == width else empty for answer in predictions]
    return np.array([[as_number(part) for part in answer] for answer in listed], dtype=float).reshape(len(listed), width)


def labelled(schema: Schema, labels: Sequence[Any]) -> Floats:
    """Labels as numbers (rows,), those of a classification as places in `classes`; NaN where one is missing or cannot be read."""
    if schema.task == "regression":
        return np.array([as_number(label) for label in labels], dtype=float)
    classes = schema.classes or ("0", "1")
    places = {name: float(place) for place, name in enumerate(classes)}
    return np.array([next((places[name] for name in _spellings(label) if name in places), math.nan) for label in labels], dtype=float)


def _spellings(label: Any) -> list[str]:
    spelled = [] if is_missing(label) else [str(label)]
    if isinstance(label, bool):
        spelled += [str(label).lower(), str(int(label))]
    elif isinstance(label, float) and label.is_integer():
        spelled.append(str(int(label)))
    elif isinstance(label, int):
        spelled.append(str(float(label)))
    return spelled


def comparable(schema: Schema, reference: Table, window: Table) -> tuple[list[Column], Table, Table]:
    """The columns to test, and both tables with them alone.

    A number that is missing anywhere is tested on its values and, as a column `missing(name)` of its own, on whether it is
    missing; in a category missing is one more category. A number with fewer than 30 values on either side is left out.
    """
    columns: list[Column] = []
    left: Table = {}
    right: Table = {}
    number = "category" if schema.task == "multiclass" else "number"
    for feature in (*schema.features, Feature(PREDICTION, number)):  # type: ignore[arg-type]
        old, new = reference[feature.name], window[feature.name]
        gone, missing = np.isnan(old), np.isnan(new)
        if feature.kind == "category":
            extra = float(len(feature.categories) + 1) if feature.name != PREDICTION else float(len(schema.classes))
            columns.append(Column(feature.name, "category", feature.name))
            left[feature.name], right[feature.name] = np.where(gone, extra, old), np.where(missing, extra, new)
            continue
        if min((~gone).sum(), (~missing).sum()) >= MINIMUM_ROWS:
            columns.append(Column(feature.name, "number", feature.name))
            left[feature.name], right[feature.name] = old, new
        if gone.any() or missing.any():
            name = f"missing({feature.name})"
            columns.append(Column(name, "category", feature.name))
            left[name], right[name] = gone.astype(float), missing.astype(float)
    return columns, left, right
