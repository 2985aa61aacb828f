"""Exact Shapley values of a version's trees, by the predictor itself: TreeSHAP as XGBoost computes it (`pred_contribs`).

Lundberg, Erion and Lee, "Consistent individualized feature attribution for tree ensembles" (2018), in its path-dependent form: what a
hidden feature would be is what the training rows in the tree's nodes say. The values of a row and the base value add up to what the
trees say of it, before the objective's link.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from serving.explaining import Explained, TooLarge
from serving.predictor import lean
from serving.predictor.protocol import Row
from serving.predictor.scorer import ModelFailed, Scorer
from trimtab.errors import InvalidInput
from trimtab.manifest import verify
from trimtab.schema import MODEL_FILES, Schema, encode

METHOD = "tree_shap"
MOST_ROWS = 256
SECONDS = 5.0
_BLOCK_ROWS = 16
_LINKED = {"binary:logistic": "log odds of {second!r}", "multi:softprob": "log odds of each class, up to a constant that all share"}
_PLAIN = {"regression": "unit of the label {label!r}", "binary": "probability of {second!r}"}
CALIBRATED = (
    "the contributions explain what the trees say; the prediction is what the version's calibration, which rises with it, makes of that"
)


class TreeShap:
    """Explains what `scorer` predicts. The trees are loaded, verified again, when an explanation is first asked for: memory that a
    predictor which explains nothing does not need.
    """

    most_rows = MOST_ROWS

    def __init__(self, name: str, version: str, scorer: Scorer, folder: Path, digest: str, seconds: float = SECONDS) -> None:
        self._who = {"method": METHOD, "model_name": name, "model_version": version}
        self._scorer = scorer
        self._folder = folder
        self._digest = digest
        self._seconds = seconds
        self._booster: Any = None

    def explain(self, rows: list[Row]) -> Explained:
        """Each row's prediction, and its explanation with `scale`, `base_value` and `contributions` by feature, which add up to
        `margin`. Of several classes these are lists in the order of `classes`.

        Raises InvalidInput where a row is not as the schema asks or the version has no trees of XGBoost, TooLarge where the rows take more
        than `seconds`, ModelFailed where XGBoost fails.
        """
        schema = self._scorer.schema
        if schema.format != "xgboost":
            msg = (
                f"version {self._who['model_version']!r} of {self._who['model_name']!r} has no trees of XGBoost, which alone are explained "
                "here: ask an explainer of method kernel_shap or anchor, which take any model"
            )
            raise InvalidInput(msg)
        matrix = encoded(schema, rows)
        predictions = self._scorer.predict(rows)
        booster = self._trees()
        values = self._values(booster, matrix)
        common: dict[str, Any] = {**self._who, "scale": scale(booster, schema)}
        if schema.task == "multiclass":
            common["classes"] = schema.classes
        if schema.calibration:
            common["note"] = CALIBRATED
        return Explained(predictions, [_told(common, schema.names, row, said) for row, said in zip(values, predictions, strict=True)])

    def _values(self, booster: Any, matrix: Any) -> Any:
        import numpy as np

        end = time.monotonic() + self._seconds
        found: list[Any] = []
        for start in range(0, len(matrix), _BLOCK_ROWS):
            if found and time.monotonic() > end:
                msg = (
                    f"{start} of {len(matrix)} rows were explained within {self._seconds:g} s, the most that a request may take: send fewer"
                )
                raise TooLarge(msg)
            found.append(contributions(booster, matrix[start : start + _BLOCK_ROWS]))
        return np.concatenate(found)

    def _trees(self) -> Any:
        if self._booster is None:
            try:
                verify(self._folder, self._digest)
            except (InvalidInput, OSError) as error:
                msg = f"the version's files are no longer what they were when it was loaded: {error}"
                raise ModelFailed(msg) from error
            self._booster = lean.xgboost().Booster({"nthread": 1}, model_file=self._folder / MODEL_FILES["xgboost"])
        return self._booster


def encoded(schema: Schema, rows: Sequence[Row]) -> Any:
    """The rows as the trees' matrix; raises InvalidInput where one is not as the schema asks, or holds what trees cannot tell apart."""
    import numpy as np

    matrix = np.array(encode(schema, rows))
    large = np.abs(matrix) > np.finfo(np.float32).max
    if large.any():
        row, feature = np.argwhere(large)[0]
        msg = f"row {row}, feature {schema.names[feature]!r}: found {matrix[row, feature]}, allowed are numbers up to ±3.4e38, or null"
        raise InvalidInput(msg)
    return matrix.astype(np.float32)


def contributions(booster: Any, matrix: Any) -> Any:
    """The rows' values by feature and last the base value, in shape (rows, features + 1) or (rows, classes, features + 1)."""
    import numpy as np

    xgb = lean.xgboost()
    types = {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
    try:
        data = xgb.DMatrix(matrix, **types, enable_categorical=True, nthread=1)
        return np.asarray(booster.predict(data, pred_contribs=True), dtype=np.float64)
    except (xgb.core.XGBoostError, ValueError) as error:
        msg = f"XGBoost raised {type(error).__name__} on this request"
        raise ModelFailed(msg) from error


def scale(booster: Any, schema: Schema) -> str:
    """What the trees' sum is measured in, before the objective's link."""
    objective: str = json.loads(booster.save_config())["learner"]["objective"]["name"]
    second = schema.classes[1] if schema.task == "binary" and len(schema.classes) == 2 else "the second class"
    plain = _PLAIN.get(schema.task, "") if objective == "reg:squarederror" else ""
    return (_LINKED.get(objective) or plain or f"margin of XGBoost's {objective}").format(label=schema.label, second=second)


def _told(common: dict[str, Any], names: list[str], values: Any, prediction: Any) -> dict[str, Any]:
    """One row's explanation; `values` are in shape (features + 1) or (classes, features + 1)."""
    moved = dict(zip(names, values[..., :-1].T.tolist(), strict=True))
    return {
        **common,
        "base_value": values[..., -1].tolist(),
        "contributions": moved,
        "margin": values.sum(axis=-1).tolist(),
        "prediction": prediction,
    }
