"""Fitting a version: from the settings that a search found best, or from sound defaults, to the files that are judged and served.

The twin learns from what was known before the holdout. With a rolling evaluation the holdout's later thirds have twins of their own, which
learn from what was known before those. The version that serves is fitted once more, on all rows, unless `training.refit` is false:
then it is the twin. All are made by the same settings; of rounds they get as many as their rows bear. A calibration comes from the
search's folds, before the holdout, and is the same for all.
"""

import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.errors import InvalidInput
from trimtab.events import aware
from trimtab.schema import SCHEMA, Feature, Knots, Schema
from trimtab.spec import ModelSpec
from trimtab.training.estimators import ESTIMATORS
from trimtab.training.estimators.base import Rows, Settings
from trimtab.training.fitted import FOLDS, TWIN, Fitted, Mode, write_fitted
from trimtab.training.frame import classes_of, holdout, kind_of
from trimtab.training.search_space import defaults
from trimtab.training.trials import LEADERBOARD, Trial, best_first, write_trials
from trimtab.training.validate import features_of

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)


def derive(table: "pa.Table", spec: ModelSpec, seen: int | None = None, known: int | None = None) -> Schema:
    """What a model of these rows takes: text is a category, numbers and truth values are numbers.

    A column without any value in the rows before `seen` (the training rows) is no feature; nor is a time stamp. Categories are those of
    the rows before `known` (the same rows): the holdout may hold one that the twin does not know, as traffic may.
    """
    seen = holdout(table, spec.data)[0].trained if seen is None else seen
    training, rows = table.slice(0, seen), table.slice(0, seen if known is None else known)
    features = []
    for name in features_of(table, spec):
        column = training.column(name)
        if column.null_count == len(column):
            continue
        if kind_of(table.schema.field(name)) == "number":
            features.append(Feature(name, "number"))
        else:
            features.append(Feature(name, "category", tuple(sorted(rows.column(name).drop_null().unique().to_pylist()))))
    if not features:
        msg = f"no column holds a value that a model could be trained on; the columns are {', '.join(table.column_names)}"
        raise InvalidInput(msg)
    classes = () if spec.task == "regression" else classes_of(table.column(spec.data.label))
    return Schema(spec.task, spec.data.label, tuple(features), key=spec.data.key, time=spec.data.time, classes=classes)


def fit(
    table: "pa.Table", spec: ModelSpec, folder: Path, seed: int, trials: tuple[Trial, ...] = (), evaluation: Mode = "holdout"
) -> Fitted:
    """Fit the best of the `trials`, or the defaults where there are none, into `folder` (see `fitted`), with its leaderboard.

    Raises InvalidInput where no trial came to its end. The same rows, seed and trials make the same bytes, the leaderboard's times aside.
    """
    board = best_first(trials) or (untried(spec),)
    best = board[0]
    if best.state not in ("complete", "untried"):
        faults = sorted({trial.fault for trial in board if trial.fault})
        msg = f"none of the {len(board)} trials of the search could be fitted: {'; '.join(faults)}"
        raise InvalidInput(msg)
    fitted = make(table, spec, best, folder, seed, evaluation)
    write_trials(folder / LEADERBOARD, board)
    return fitted


def untried(spec: ModelSpec) -> Trial:
    """What is fitted without a search: the defaults of the first allowed estimator."""
    name = spec.training.search.estimators[0]
    return Trial(0, name, defaults(spec.task, name), state="untried")


def make(table: "pa.Table", spec: ModelSpec, chosen: Trial, folder: Path, seed: int, evaluation: Mode = "holdout") -> Fitted:
    """Fit `chosen` into `folder`: the version, its twins, `training.json`."""
    folds = holdout(table, spec.data, 3 if evaluation == "rolling" else 1)
    refit = spec.training.refit
    decided = _fitted(table, spec, chosen, folds[0].trained, folder / TWIN if refit else folder, seed)
    chosen = msgspec.structs.replace(chosen, parameters={**chosen.parameters, **decided})
    for number, fold in enumerate(folds[1:], start=2):
        _fitted(table, spec, chosen, fold.trained, folder / FOLDS / str(number), seed)
    if refit:
        _fitted(table, spec, chosen, table.num_rows, folder, seed)
    rows = table.num_rows if refit else folds[0].trained
    fitted = Fitted(chosen.estimator, chosen.parameters, seed, rows, _time(table, spec, rows), refit, evaluation, folds)
    write_fitted(folder, fitted)
    log.info("fitted %s on %d rows, its twin on %d", chosen.estimator, rows, folds[0].trained)
    return fitted


def again(table: "pa.Table", spec: ModelSpec, fitted: Fitted, calibration: Knots, folder: Path) -> None:
    """Fit the version that serves once more into `folder`, as `fitted` says it was made: the same rows make the same bytes."""
    chosen = Trial(0, fitted.estimator, dict(fitted.parameters), calibration=calibration)
    _fitted(table, spec, chosen, fitted.rows, folder, fitted.seed)


def _fitted(table: "pa.Table", spec: ModelSpec, chosen: Trial, until: int, folder: Path, seed: int) -> Settings:
    """Fit on the rows before `until` and write the model and its schema; returns what the fit decided itself."""
    estimator = ESTIMATORS[chosen.estimator]
    schema = derive(table, spec, known=until)
    schema = msgspec.structs.replace(schema, format=estimator.format, calibration=chosen.calibration)
    made = estimator.fit(Rows(schema, table.slice(0, until)), until, chosen.parameters, seed)
    folder.mkdir(parents=True, exist_ok=True)
    made.save(folder)
    (folder / SCHEMA).write_bytes(msgspec.json.format(msgspec.json.encode(schema), indent=1))
    return made.decided


def _time(table: "pa.Table", spec: ModelSpec, rows: int) -> datetime | None:
    """The time of the newest of the first `rows` rows; None where there is none."""
    found = table.column(spec.data.time)[rows - 1].as_py() if spec.data.time is not None else None
    return aware(found) if isinstance(found, datetime) else None
