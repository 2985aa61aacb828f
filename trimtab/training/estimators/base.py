"""What a search knows of an estimator: its defaults, the space of its settings, and how it is fitted. Each has a file of its own.

Rows are in the order of time, so that "until" is all that separates what may be learned from what is predicted.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct

from trimtab.schema import Schema
from trimtab.spec import Task
from trimtab.training.frame import matrix, targets
from trimtab.training.model import raw_frame

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Settings = Mapping[str, Any]


class Number(Struct, frozen=True):
    """A setting between `low` and `high`, both allowed; `log` searches its order of magnitude."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def admit(self, value: Any) -> float | int | None:
        """The value that is allowed and nearest to the given one; None where that is no number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            return None
        within = min(max(value, self.low), self.high)
        return round(within) if self.integer else float(within)


class Choice(Struct, frozen=True):
    """A setting that is one of a few numbers."""

    options: tuple[float, ...]

    def admit(self, value: Any) -> float | None:
        """The value where it is one of the options, else None."""
        return next((option for option in self.options if option == value), None)


Space = dict[str, Number | Choice]


class Rows:
    """A table in the forms that estimators take; each form is made once, by the first that asks for it."""

    def __init__(self, schema: Schema, table: "pa.Table") -> None:
        """`table` is in the order of time and holds the label."""
        self.schema = schema
        self.table = table
        self.count: int = table.num_rows

    @cached_property
    def labels(self) -> "np.ndarray[Any, Any]":
        """The labels as float64: the value, or the class's place."""
        return targets(self.schema.task, self.schema.classes, self.table.column(self.schema.label))

    @cached_property
    def matrix(self) -> "np.ndarray[Any, Any]":
        """The features as float32, categories as codes: what XGBoost takes."""
        return matrix(self.schema, self.table)

    @cached_property
    def frame(self) -> Any:
        """The features as a pandas data frame of raw values: what a scikit-learn pipeline takes, here and in the predictor."""
        return raw_frame(self.schema, self.table)


class Made(Protocol):
    """A fitted model; `decided` are the settings that the fit found itself, such as its number of rounds."""

    decided: Settings

    def predict(self, start: int, stop: int) -> "np.ndarray[Any, Any]":
        """Predictions for those rows of the `Rows` that it was fitted on, in the shapes that `scores` describes, uncalibrated."""

    def save(self, folder: Path) -> None:
        """Write the model's file into `folder`; equal models make equal bytes."""


class Estimator(Protocol):
    """One kind of estimator."""

    format: Literal["xgboost", "skops"]

    def defaults(self, task: Task) -> dict[str, Any]:
        """Sound settings: within the space, one for each of its names."""

    def space(self, task: Task) -> Space:
        """What a search may set."""

    def fit(self, rows: Rows, until: int, settings: Settings, seed: int) -> Made:
        """Fit on the rows before `until`; the same rows, settings and seed make the same model."""


def weights(rows: Rows, until: int, settings: Settings) -> "np.ndarray[Any, Any] | None":
    """How much each row before `until` counts, 1 on average; None where all count alike.

    `half_life`: a row that lies this share of the rows further back counts half as much. `balance`: rows of the rarer of two classes
    count (common / rare)^balance times as much; probabilities that are learned so need a calibration.
    """
    import numpy as np

    half_life, balance = settings.get("half_life", 0.0), settings.get("balance", 0.0)
    if not half_life and not balance:
        return None
    age = np.arange(until - 1, -1, -1)
    found = 0.5 ** (age / (half_life * until)) if half_life else np.ones(until)
    if balance:
        second = rows.labels[:until] == 1
        rare = second if second.mean() <= 0.5 else ~second
        if rare.any():
            found[rare] *= ((until - rare.sum()) / rare.sum()) ** balance
    return np.asarray(found / found.mean())
