"""Fitting a model to a snapshot: XGBoost's histogram trees, stopped early on the newest part of the training rows.

The last fifth of the rows (the holdout) is never seen here. Number of rounds: the training rows' own newest seventh decides; then the
model is fitted again on all training rows with that number, so that the newest of them count too.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.errors import InvalidInput
from trimtab.schema import MODEL_FILES, SCHEMA, Feature, Schema
from trimtab.spec import ModelSpec
from trimtab.training.frame import classes_of, holdout, kind_of, matrix, targets
from trimtab.training.lean import xgboost
from trimtab.training.validate import features_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

log = logging.getLogger(__name__)

ROUNDS = 600
_PATIENCE = 30
_TAIL = 7
_CELLS_A_THREAD = 1_000_000
_PARAMETERS: dict[str, Any] = {
    "tree_method": "hist",
    "max_depth": 6,
    "eta": 0.05,
    "min_child_weight": 5,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
}
_OBJECTIVES: dict[str, dict[str, Any]] = {
    "regression": {"objective": "reg:squarederror", "eval_metric": "rmse"},
    "binary": {"objective": "binary:logistic", "eval_metric": "logloss"},
    "multiclass": {"objective": "multi:softprob", "eval_metric": "mlogloss"},
}


def derive(table: "pa.Table", spec: ModelSpec) -> Schema:
    """What a model of these rows takes: text is a category, numbers and truth values are numbers.

    Categories are those of the training rows, so that the holdout may hold one that the model does not know, as traffic may.
    A column without any value is no feature; nor is a time stamp.
    """
    training = table.slice(0, holdout(table, spec.data)[0].trained)
    features = []
    for name in features_of(table, spec):
        column = training.column(name)
        if column.null_count == len(column):
            continue
        if kind_of(table.schema.field(name)) == "number":
            features.append(Feature(name, "number"))
        else:
            features.append(Feature(name, "category", tuple(sorted(column.drop_null().unique().to_pylist()))))
    if not features:
        msg = f"no column holds a value that a model could be trained on; the columns are {', '.join(table.column_names)}"
        raise InvalidInput(msg)
    classes = () if spec.task == "regression" else classes_of(table.column(spec.data.label))
    return Schema(spec.task, spec.data.label, tuple(features), key=spec.data.key, time=spec.data.time, classes=classes)


def fit(table: "pa.Table", spec: ModelSpec, folder: Path, seed: int) -> dict[str, Any]:
    """Fit on all but the holdout and write `model.json` and `schema.json` into `folder`; returns the parameters that were used.

    The same rows and seed give the same trees. Small data is fitted on one thread, which is faster there than two.
    """
    xgb = xgboost()
    schema = derive(table, spec)
    training = table.slice(0, holdout(table, spec.data)[0].trained)
    features = matrix(schema, training)
    labels = targets(schema.task, schema.classes, training.column(schema.label))
    threads = 1 if features.size < _CELLS_A_THREAD else 2
    parameters = {**_PARAMETERS, **_OBJECTIVES[schema.task], "seed": seed, "nthread": threads}
    if schema.task == "multiclass":
        parameters["num_class"] = len(schema.classes)
    cut = len(labels) - len(labels) // _TAIL
    early, late = _matrix(xgb, schema, features[:cut], labels[:cut]), _matrix(xgb, schema, features[cut:], labels[cut:])
    trial = xgb.train(parameters, early, ROUNDS, evals=[(late, "tail")], early_stopping_rounds=_PATIENCE, verbose_eval=False)
    rounds = int(trial.best_iteration) + 1
    booster = xgb.train(parameters, _matrix(xgb, schema, features, labels), rounds, verbose_eval=False)
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / MODEL_FILES["xgboost"])
    (folder / SCHEMA).write_bytes(msgspec.json.format(msgspec.json.encode(schema), indent=1))
    log.info("fitted %d rounds on %d rows with %d features", rounds, len(labels), len(schema.features))
    return {**parameters, "rounds": rounds, "training_rows": len(labels)}


def _matrix(xgb: Any, schema: Schema, features: "np.ndarray[Any, Any]", labels: "np.ndarray[Any, Any]") -> Any:
    return xgb.DMatrix(features, labels, feature_names=schema.names, feature_types=feature_types(schema), enable_categorical=True)


def feature_types(schema: Schema) -> list[str]:
    """XGBoost's types of the features: q for a number, c for a category."""
    return ["q" if feature.kind == "number" else "c" for feature in schema.features]
