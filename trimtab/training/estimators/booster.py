"""What the two estimators on XGBoost share: matrices, objectives, and a booster as a fitted model.

Both are served by the same fast path. Matrices are binned at once (`QuantileDMatrix`): a tenth of the memory, and the same trees
whatever is asked of them later.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.schema import MODEL_FILES, Schema
from trimtab.training.estimators.base import Rows, Settings
from trimtab.training.lean import xgboost

if TYPE_CHECKING:
    import numpy as np

_CELLS_A_THREAD = 1_000_000


def feature_types(schema: Schema) -> list[str]:
    """XGBoost's types of the features: q for a number, c for a category."""
    return ["q" if feature.kind == "number" else "c" for feature in schema.features]


def threads(rows: int, schema: Schema) -> int:
    """Small data is fitted on one thread, which is faster there than two."""
    return 1 if rows * len(schema.features) < _CELLS_A_THREAD else 2


def binned(rows: Rows, start: int, stop: int, weight: "np.ndarray[Any, Any] | None" = None, like: Any = None) -> Any:
    """The rows from `start` up to `stop` as XGBoost fits them; `like` is a matrix whose bins are taken."""
    return xgboost().QuantileDMatrix(
        rows.matrix[start:stop],
        rows.labels[start:stop],
        weight=weight,
        feature_names=rows.schema.names,
        feature_types=feature_types(rows.schema),
        enable_categorical=True,
        ref=like,
        nthread=threads(stop - start, rows.schema),
    )


class Boosted:
    """A booster as `Made`."""

    def __init__(self, booster: Any, rows: Rows, decided: Settings) -> None:
        """`rows` are those that it was fitted on."""
        self.decided = decided
        self._booster = booster
        self._rows = rows

    def predict(self, start: int, stop: int) -> "np.ndarray[Any, Any]":
        """Predictions for those rows, by the call that the predictor uses."""
        import numpy as np

        return np.asarray(self._booster.inplace_predict(self._rows.matrix[start:stop], validate_features=False), dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write `model.json`."""
        self._booster.save_model(folder / MODEL_FILES["xgboost"])
