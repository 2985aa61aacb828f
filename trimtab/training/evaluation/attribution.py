"""Shapley values: how much each feature moved each prediction away from the mean one.

Trees know theirs exactly (XGBoost's own TreeSHAP, along the trees' paths). Of any other model only the predictions are asked. Where
it adds up what single features say, as a linear model of encoded columns does, one change of each feature gives its values exactly,
summed over the columns that it was encoded to, and that they add up to the prediction proves it. Else they are sampled over random
orders of the features. Both are interventional: a feature that is hidden gets the values of other rows.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.explanation import Attribution, Explanation
from trimtab.schema import MODEL_FILES, Schema, read_schema
from trimtab.training.evaluation.bootstrap import spread
from trimtab.training.evaluation.perturbed import composed, margins, swapped
from trimtab.training.frame import matrix
from trimtab.training.lean import xgboost

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MOST_ROWS = 2000
_LEAST_ROWS = 50
_LEAF_VISITS = 6_000_000
_ASKED_ROWS = 60_000
_WALKS = 8
_EXACT = 1e-3
_RESAMPLES = 300


class Explained(Struct, frozen=True):
    """An explanation, the numbers of the rows that were explained, and their absolute values in shape (rows, features)."""

    explanation: Explanation
    rows: "np.ndarray[Any, Any]"
    sizes: "np.ndarray[Any, Any]"


def explain(folder: Path, table: "pa.Table", seed: int, most: int = MOST_ROWS) -> Explained:
    """What the model in `folder` rests on over these rows; the shares' intervals are from a block bootstrap.

    At most `most` rows are taken, at equal distances, and fewer of a model that is slow to explain.
    """
    import numpy as np

    schema = read_schema(folder)
    rows = _taken(folder, schema, table.num_rows, most)
    values, method = shapley(folder, schema, table.take(rows), seed)
    sizes = np.abs(values).sum(axis=2)

    def statistic(chosen: "np.ndarray[Any, Any]") -> Any:
        def of(weights: "np.ndarray[Any, Any]") -> dict[str, Any]:
            sums = sizes[chosen].T @ weights
            return dict(zip(schema.names, sums / np.maximum(sums.sum(axis=0), 1e-300), strict=True))

        return of

    shares, around = shares_of(schema.names, sizes), spread(statistic, len(sizes), seed, _RESAMPLES)
    found = (Attribution(name, share, around.interval(name, share)) for name, share in shares.items())
    return Explained(Explanation(method, len(rows), tuple(sorted(found, key=lambda one: -one.share))), rows, sizes)


def shares_of(names: list[str], sizes: "np.ndarray[Any, Any]") -> dict[str, float]:
    """Each feature's share of the mean absolute values; 0 for all where there are none."""
    means = sizes.mean(axis=0)
    total = float(means.sum())
    return {name: float(mean) / total if total > 0 else 0.0 for name, mean in zip(names, means, strict=True)}


def _taken(folder: Path, schema: Schema, rows: int, most: int) -> "np.ndarray[Any, Any]":
    import numpy as np

    if schema.format == "xgboost":
        leaves = sum(tree.count('"leaf"') for tree in _booster(folder, schema).get_dump(dump_format="json"))
        limit = _LEAF_VISITS // max(leaves, 1)
    else:
        limit = _ASKED_ROWS // (_WALKS * (len(schema.features) + 1))
    count = min(rows, most, max(_LEAST_ROWS, limit))
    return np.linspace(0, rows - 1, count).astype(int)


def shapley(folder: Path, schema: Schema, table: "pa.Table", seed: int) -> tuple["np.ndarray[Any, Any]", str]:
    """Shapley values in shape (rows, features, outputs), and the method that gave them (see `Explanation`)."""
    if schema.format == "xgboost":
        return _trees(folder, schema, table), "tree_shap"
    exact = _additive(folder, schema, table)
    return (exact, "additive") if exact is not None else (_sampled(folder, schema, table, seed), "sampled")


def _booster(folder: Path, schema: Schema) -> Any:
    return xgboost().Booster({"nthread": 2}, model_file=folder / MODEL_FILES[schema.format])


def _trees(folder: Path, schema: Schema, table: "pa.Table") -> "np.ndarray[Any, Any]":
    import numpy as np

    booster = _booster(folder, schema)
    rows = xgboost().DMatrix(
        matrix(schema, table), feature_names=booster.feature_names, feature_types=booster.feature_types, enable_categorical=True
    )
    found = np.asarray(booster.predict(rows, pred_contribs=True), dtype=np.float64)
    whole = found[:, :, None] if found.ndim == 2 else found.transpose(0, 2, 1)
    return whole[:, :-1]


def _additive(folder: Path, schema: Schema, table: "pa.Table") -> "np.ndarray[Any, Any] | None":
    """The values of a model that adds up what its features say; None for any other."""
    import numpy as np

    rows, features = table.num_rows, len(schema.names)
    one = np.zeros(rows, dtype=int)
    changed = [swapped(rows, features, feature, one) for feature in range(features)]
    asked = np.concatenate([swapped(rows, features, 0, np.arange(rows)), *changed])
    said = margins(folder, schema.task, composed(table, schema.names, asked)).reshape(features + 1, rows, -1)
    effects = (said[0] - said[1:]).transpose(1, 0, 2)
    effects = effects - effects.mean(axis=0)
    left = effects.sum(axis=1) - (said[0] - said[0].mean(axis=0))
    return effects if np.abs(left).max() <= _EXACT * max(float(np.ptp(said[0])), 1e-12) else None


def _sampled(folder: Path, schema: Schema, table: "pa.Table", seed: int) -> "np.ndarray[Any, Any]":
    """Each row is walked to from some other row, feature by feature in a random order and in the reverse of it."""
    import numpy as np

    rows, features = table.num_rows, len(schema.names)
    generator = np.random.default_rng(seed)
    half = generator.permuted(np.tile(np.arange(features), (rows * _WALKS // 2, 1)), axis=1)
    orders = np.concatenate([half, half[:, ::-1]])
    mine = np.tile(np.arange(rows), _WALKS)
    others = np.tile(generator.integers(0, rows, len(half)), 2)
    ranks = np.argsort(orders, axis=1)
    switched = ranks[:, None, :] < np.arange(features + 1)[None, :, None]
    places = np.where(switched, mine[:, None, None], others[:, None, None]).reshape(-1, features)
    said = margins(folder, schema.task, composed(table, schema.names, places)).reshape(len(orders), features + 1, -1)
    steps = np.take_along_axis(np.diff(said, axis=1), ranks[:, :, None], axis=1)
    return np.asarray(steps.reshape(_WALKS, rows, features, -1).mean(axis=0))
