"""XGBoost's histogram trees, boosted, and stopped early on the newest part of what they learn from.

Number of rounds: the newest seventh of the rows decides; then the model is fitted again on all of them, so that the newest count too.
More rows bear more rounds: `rounds` is what was right on `rounds_rows` rows, and n rows get rounds * sqrt(n / rounds_rows), at most
twice as many. (On held-out months of the bike example anything between one and twice as many is as good.)
"""

from typing import Any, Literal

from trimtab.spec import Task
from trimtab.training.estimators.base import Made, Number, Rows, Settings, Space, weights
from trimtab.training.estimators.booster import Boosted, binned, threads
from trimtab.training.lean import xgboost

ROUNDS = 600
ROUNDS_FOUND, ROUNDS_ROWS = "rounds", "rounds_rows"
_PATIENCE = 30
_TAIL = 7
_MOST_GROWTH = 2.0
_OBJECTIVES: dict[Task, dict[str, Any]] = {
    "regression": {"objective": "reg:squarederror", "eval_metric": "rmse"},
    "binary": {"objective": "binary:logistic", "eval_metric": "logloss"},
    "multiclass": {"objective": "multi:softprob", "eval_metric": "mlogloss"},
}
_SPACE: Space = {
    "max_depth": Number(3, 10, integer=True),
    "eta": Number(0.03, 0.3, log=True),
    "min_child_weight": Number(0.1, 50, log=True),
    "subsample": Number(0.5, 1),
    "colsample_bytree": Number(0.4, 1),
    "lambda": Number(0.01, 30, log=True),
}


class XGBoost:
    """Boosted trees."""

    format: Literal["xgboost", "skops"] = "xgboost"

    def defaults(self, task: Task) -> dict[str, Any]:  # noqa: ARG002
        """Slow and shallow enough for most tables."""
        return {"max_depth": 6, "eta": 0.05, "min_child_weight": 5.0, "subsample": 0.8, "colsample_bytree": 0.8, "lambda": 1.0}

    def space(self, task: Task) -> Space:  # noqa: ARG002
        """The size of trees, how fast they learn, and what holds them back."""
        return _SPACE

    def fit(self, rows: Rows, until: int, settings: Settings, seed: int) -> Made:
        """Fit on the rows before `until`, for as many rounds as the settings say, or as the newest of them bear."""
        parameters = _parameters(rows, until, settings, seed)
        weight = weights(rows, until, settings)
        found = {name: int(settings[name]) for name in (ROUNDS_FOUND, ROUNDS_ROWS) if name in settings}
        if len(found) < 2:
            found = _stopped_early(rows, until, parameters, weight)
        rounds = scaled(found[ROUNDS_FOUND], found[ROUNDS_ROWS], until)
        booster = xgboost().train(parameters, binned(rows, 0, until, weight), rounds, verbose_eval=False)
        return Boosted(booster, rows, found)


def scaled(rounds: int, found_on: int, rows: int) -> int:
    """The rounds for `rows` rows where `rounds` were right for `found_on`."""
    growth: float = min((rows / found_on) ** 0.5, _MOST_GROWTH)
    return max(1, round(rounds * growth))


def together(found: list[Settings]) -> dict[str, int]:
    """What several fits decided, as one: the median of their rounds, each scaled to the rows of the last."""
    import numpy as np

    rows = int(found[-1][ROUNDS_ROWS])
    return {ROUNDS_FOUND: int(np.median([scaled(one[ROUNDS_FOUND], one[ROUNDS_ROWS], rows) for one in found])), ROUNDS_ROWS: rows}


def _parameters(rows: Rows, until: int, settings: Settings, seed: int) -> dict[str, Any]:
    given = {name: settings[name] for name in _SPACE}
    classes = {"num_class": len(rows.schema.classes)} if rows.schema.task == "multiclass" else {}
    fixed = {"tree_method": "hist", "seed": seed, "nthread": threads(until, rows.schema)}
    return {**given, **_OBJECTIVES[rows.schema.task], **classes, **fixed}


def _stopped_early(rows: Rows, until: int, parameters: dict[str, Any], weight: Any) -> dict[str, int]:
    cut = until - until // _TAIL
    early = binned(rows, 0, cut, None if weight is None else weight[:cut])
    late = binned(rows, cut, until, like=early)
    trial = xgboost().train(parameters, early, ROUNDS, evals=[(late, "tail")], early_stopping_rounds=_PATIENCE, verbose_eval=False)
    return {ROUNDS_FOUND: int(trial.best_iteration) + 1, ROUNDS_ROWS: cut}
