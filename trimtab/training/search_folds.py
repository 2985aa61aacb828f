"""What a setting is worth: its loss on forward folds of the training rows, each predicted from what was known before it.

Three folds, the newest half of the training rows, a sixth each; each follows a gap of the label delay, as the holdout does. A binary task
has one fold more before them, whose predictions only calibrate: a fold is calibrated on the folds before it, and the version on
all of them. The ways of calibration are all tried on each setting, for they cost next to nothing. Several classes are not
calibrated: log loss is what their trees and lines are fitted by and stopped early for, and a random forest has its temperature.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from trimtab.errors import InvalidInput
from trimtab.schema import Knots, calibrated
from trimtab.spec import Data, Task
from trimtab.training.calibration import Way, knots, ways
from trimtab.training.estimators.base import Estimator, Rows, Settings
from trimtab.training.estimators.xgboost import ROUNDS_FOUND, together
from trimtab.training.frame import Fold, forward
from trimtab.training.scores import row_losses

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FOLDS = 3
_PARTS = 6


class Worth(Struct, frozen=True):
    """The losses on the folds that were tried, what the folds decided, and the calibration of all they predicted."""

    losses: tuple[float, ...]
    decided: dict[str, Any]
    calibration: Knots
    stopped: bool = False


def folds_of(table: "pa.Table", data: Data, task: Task) -> tuple[Fold, ...]:
    """The forward folds of the training rows in `table`, in the order of time.

    Where the label delay leaves the first of them less than half of the rows before it, the folds go without the gap.
    """
    rows, count = table.num_rows, FOLDS + (task == "binary")
    first = rows - rows * count // _PARTS
    try:
        found = forward(table, data, first, rows, count)
    except InvalidInput:
        found = ()
    if found and found[0].trained >= first // 2:
        return found
    return forward(table, replace(data, label_delay="0s"), first, rows, count)


def worth(
    rows: Rows, folds: tuple[Fold, ...], estimator: Estimator, settings: Settings, seed: int, stop: Callable[[tuple[float, ...]], bool]
) -> Worth:
    """Try the settings on fold after fold, until `stop` says of the losses so far that it is enough."""
    task, calibrates = rows.schema.task, len(folds) - FOLDS
    decided: list[Settings] = []
    said: list[np.ndarray[Any, Any]] = []
    losses: dict[Way, list[float]] = {"none": []}
    for index, fold in enumerate(folds):
        made = estimator.fit(rows, fold.trained, settings, seed)
        decided.append(made.decided)
        raw = made.predict(fold.start, fold.stop)
        if index >= calibrates:
            if index == calibrates == 1:
                losses = {way: [] for way in _possible(_labels(rows, folds[:1]), settings)}
            for way, found in losses.items():
                line = _line(way, rows, folds[:index], said)
                found.append(loss(task, _labels(rows, (fold,)), calibrated(line, raw)))
            if index < len(folds) - 1 and stop(tuple(losses[_best(losses)])):
                return Worth(tuple(losses[_best(losses)]), {}, (), stopped=True)
        said.append(raw)
    way = _best(losses)
    summed: dict[str, Any] = dict(together(decided)) if ROUNDS_FOUND in decided[-1] else {}
    if calibrates:
        summed["calibration"] = way
    return Worth(tuple(losses[way]), summed, _line(way, rows, folds, said))


def loss(task: Task, labels: "np.ndarray[Any, Any]", predictions: "np.ndarray[Any, Any]") -> float:
    """RMSE in a regression, else the mean log loss."""
    mean = float(row_losses(task, labels, predictions).mean())
    return mean**0.5 if task == "regression" else mean


def _best(losses: dict[Way, list[float]]) -> Way:
    return min(losses, key=lambda way: sum(losses[way]))


def _possible(labels: "np.ndarray[Any, Any]", settings: Settings) -> tuple[Way, ...]:
    """The ways that the first fold's rows suffice for; weighted classes must be calibrated."""
    found = tuple(way for way in ways(labels) if way != "none" or not settings.get("balance"))
    if not found:
        msg = "too few rows of one class to calibrate what was learned with weighted classes"
        raise InvalidInput(msg)
    return found


def _line(way: Way, rows: Rows, folds: tuple[Fold, ...], said: "list[np.ndarray[Any, Any]]") -> Knots:
    import numpy as np

    return () if way == "none" else knots(way, np.concatenate(said), _labels(rows, folds))


def _labels(rows: Rows, folds: tuple[Fold, ...]) -> "np.ndarray[Any, Any]":
    import numpy as np

    return np.concatenate([rows.labels[fold.start : fold.stop] for fold in folds])
