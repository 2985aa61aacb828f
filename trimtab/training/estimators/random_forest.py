"""A random forest (Breiman, 2001) by XGBoost's own mode for it: one round of many trees on samples of rows and features.

A regression's or binary forest predicts the mean of its leaves, so it is fitted by squared error on the label itself: a leaf is the share
of the second class in it, drawn towards the whole's share as if `lambda` more rows of the whole were there. With several classes
a leaf holds steps of the log-odds, and `eta` is how boldly they are taken: the forest's own temperature.
"""

from typing import Any, Literal

from trimtab.spec import Task
from trimtab.training.estimators.base import Made, Number, Rows, Settings, Space, weights
from trimtab.training.estimators.booster import Boosted, binned, threads
from trimtab.training.lean import xgboost

TREES = 100
_SPACE: Space = {
    "max_depth": Number(4, 12, integer=True),
    "min_child_weight": Number(1, 50, log=True),
    "subsample": Number(0.5, 0.95),
    "colsample_bynode": Number(0.3, 1),
    "lambda": Number(0.1, 10, log=True),
}


class RandomForest:
    """Many deep trees side by side."""

    format: Literal["xgboost", "skops"] = "xgboost"

    def defaults(self, task: Task) -> dict[str, Any]:
        """Deep trees on most of the rows and half of the features."""
        bold = {"eta": 3.0} if task == "multiclass" else {}
        return {"max_depth": 10, "min_child_weight": 3.0, "subsample": 0.8, "colsample_bynode": 0.5, "lambda": 1.0, **bold}

    def space(self, task: Task) -> Space:
        """The size of trees and of their samples."""
        return {**_SPACE, "eta": Number(1, 10, log=True)} if task == "multiclass" else _SPACE

    def fit(self, rows: Rows, until: int, settings: Settings, seed: int) -> Made:
        """Fit on the rows before `until`."""
        task, classes = rows.schema.task, rows.schema.classes
        given = {name: settings[name] for name in self.space(task)}
        if task == "multiclass":
            objective: dict[str, Any] = {"objective": "multi:softprob", "num_class": len(classes)}
        else:
            objective = {"objective": "reg:squarederror", "eta": 1.0}
        fixed = {"tree_method": "hist", "num_parallel_tree": TREES, "seed": seed, "nthread": threads(until, rows.schema)}
        matrix = binned(rows, 0, until, weights(rows, until, settings))
        return Boosted(xgboost().train({**given, **objective, **fixed}, matrix, 1, verbose_eval=False), rows, {})
