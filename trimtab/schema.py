"""What a model takes: its features in order, their kinds and categories. Part of the version, never of the caller.

Training writes it, the predictor encodes requests by it, and the monitor reads windows by it, so that all three agree.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.spec import Task

SCHEMA = "schema.json"
REFERENCE = "reference.parquet"
# The holdout's rows, with labels and what the twin said of each, in the order of time: far more than the reference has of it.
ANSWERS = "answers.parquet"
METRICS = "metrics.json"
PREDICTION = "__prediction"
HOLDOUT = "__holdout"
# What the twin says of the holdout: a version that was fitted on all rows cannot be held to its own word there.
VALIDATION = "__validation"
MODEL_FILES: dict[str, str] = {"xgboost": "model.json", "skops": "model.skops"}
# The packages whose types a version may hold: training registers and the predictor loads by the same list.
TRUSTED = ("sklearn.", "numpy.", "scipy.")
TRUSTED_NAMES = ", ".join(name.rstrip(".") for name in TRUSTED)


T = TypeVar("T")


class Feature(Struct, frozen=True, omit_defaults=True):
    """One input: a number, or a category out of `categories` (sorted; its code is its place)."""

    name: str
    kind: Literal["number", "category"]
    categories: tuple[str, ...] = ()


Knots = tuple[tuple[float, float], ...]


class Schema(Struct, frozen=True, omit_defaults=True):
    """The inputs of a version, in the model's order, and what its columns mean.

    `calibration`, of a binary model alone: what the model says and the probability that it means, both rising (`calibrated`).
    """

    task: Task
    label: str
    features: tuple[Feature, ...]
    format: Literal["xgboost", "skops"] = "xgboost"
    key: str | None = None
    time: str | None = None
    classes: tuple[str, ...] = ()
    calibration: Knots = ()

    @property
    def names(self) -> list[str]:
        """The features' names in the model's order."""
        return [feature.name for feature in self.features]


class Metrics(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How a version did on its own holdout; `loss_clip` is the 99.5% quantile of a row's loss there."""

    metrics: dict[str, float]
    primary: str
    loss_clip: float
    rows: int
    holdout_rows: int
    baseline: dict[str, float] = {}


def calibrated(knots: Knots, raw: Any) -> Any:
    """What the model says (an array), read off the line through the knots and level beyond the first and last; as it is without any."""
    if not knots:
        return raw
    import numpy as np

    said, meant = zip(*knots, strict=True)
    return np.interp(raw, said, meant)


def read_schema(folder: Path) -> Schema:
    """The schema of the version in `folder`; raises InvalidInput where there is none that can be read."""
    return _read(folder / SCHEMA, Schema)


def read_metrics(folder: Path) -> Metrics:
    """The metrics of the version in `folder`; raises InvalidInput where there are none that can be read."""
    return _read(folder / METRICS, Metrics)


def _read(path: Path, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"{path.name} of the model in {path.parent.name!r} cannot be read: {error}"
        raise InvalidInput(msg) from error


def number(feature: str, value: Any, where: str) -> float:
    """`value` as a float, None as NaN; raises InvalidInput naming the row (`where`) and the feature where it is no number."""
    if value is None:
        return math.nan
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError as error:
            msg = f"{where}, feature {feature!r}: {str(value)[:20]}... is too large for a number"
            raise InvalidInput(msg) from error
    msg = f"{where}, feature {feature!r}: found {value!r:.60}, a number or null is allowed"
    raise InvalidInput(msg)


def code(feature: Feature, value: Any) -> float:
    """The category's place in `categories`; NaN for None and for a category that training never saw."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    try:
        return float(feature.categories.index(str(value)))
    except ValueError:
        return math.nan


def encode(schema: Schema, rows: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """The rows as the model's matrix, one list a row in the schema's order; a feature that a row lacks is an error."""
    features = [(feature.name, feature.kind == "number", feature) for feature in schema.features]
    matrix = []
    for index, row in enumerate(rows):
        try:
            matrix.append(
                [
                    # Nearly every value: two calls less, and they are most of what a request costs here.
                    value if type(value := row[name]) is float and numeric else _encoded(feature, value, index)
                    for name, numeric, feature in features
                ]
            )
        except KeyError as error:
            msg = f"row {index}: the feature {error.args[0]!r} is missing; required are {', '.join(schema.names)}"
            raise InvalidInput(msg) from error
    return matrix


def encode_columns(schema: Schema, columns: Mapping[str, Sequence[Any]]) -> list[list[float]]:
    """The same rows that came by column: one list a feature, in the schema's order; a column that is missing is an error."""
    found = []
    for feature in schema.features:
        try:
            values = columns[feature.name]
        except KeyError as error:
            msg = f"the feature {feature.name!r} is missing; required are {', '.join(schema.names)}"
            raise InvalidInput(msg) from error
        if feature.kind == "category":
            found.append(_codes(feature, values))
        elif {*map(type, values)} == {float}:
            found.append(list(values))
        else:
            found.append([number(feature.name, value, f"row {index}") for index, value in enumerate(values)])
    return found


def _codes(feature: Feature, values: Sequence[Any]) -> list[float]:
    known: dict[str, float] = {}
    codes = []
    for value in values:
        if type(value) is not str:
            codes.append(code(feature, value))
            continue
        if value not in known:
            known[value] = code(feature, value)
        codes.append(known[value])
    return codes


def _encoded(feature: Feature, value: Any, index: int) -> float:
    return number(feature.name, value, f"row {index}") if feature.kind == "number" else code(feature, value)
