"""What a registered model says about the rows of a snapshot, by its own schema and in its own format. No pickle is read."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.errors import InvalidInput
from trimtab.schema import MODEL_FILES, TRUSTED, TRUSTED_NAMES, Schema, calibrated, read_schema
from trimtab.training.frame import matrix, targets
from trimtab.training.lean import xgboost

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_ROWS_AT_ONCE = 250_000


def predict(folder: Path, table: "pa.Table") -> "np.ndarray[Any, Any]":
    """The predictions of the model in `folder`, calibrated, in the shapes that `scores` describes.

    Raises InvalidInput where the model cannot be read, a feature is missing, or the model itself raises on these rows.
    """
    import numpy as np

    if table.num_rows == 0:
        schema = read_schema(folder)
        return np.empty((0, len(schema.classes)) if schema.task == "multiclass" else 0)
    return loaded(folder)(table)


def loaded(folder: Path) -> "Callable[[pa.Table], np.ndarray[Any, Any]]":
    """The same as a function of the rows, of which there must be some: the model is read once."""
    import numpy as np

    schema = read_schema(folder)
    path = folder / MODEL_FILES[schema.format]
    say = _xgboost(path, schema) if schema.format == "xgboost" else _skops(path, schema)

    def predicted(table: "pa.Table") -> "np.ndarray[Any, Any]":
        said = [say(table.slice(start, _ROWS_AT_ONCE)) for start in range(0, table.num_rows, _ROWS_AT_ONCE)]
        return np.asarray(calibrated(schema.calibration, np.concatenate(said)))

    return predicted


def _xgboost(path: Path, schema: Schema) -> "Callable[[pa.Table], np.ndarray[Any, Any]]":
    import numpy as np

    xgb = xgboost()

    def fault(error: Exception) -> InvalidInput:
        return InvalidInput(f"{path.name} of the model in {path.parent.name!r} cannot be read: {str(error).splitlines()[0]}")

    try:
        booster = xgb.Booster({"nthread": 1}, model_file=path)
    except (xgb.core.XGBoostError, OSError, UnicodeDecodeError) as error:
        raise fault(error) from error

    def say(table: "pa.Table") -> "np.ndarray[Any, Any]":
        rows = matrix(schema, table)
        try:
            return np.asarray(booster.inplace_predict(rows), dtype=np.float64)
        except (xgb.core.XGBoostError, ValueError) as error:
            raise fault(error) from error

    return say


def _skops(path: Path, schema: Schema) -> "Callable[[pa.Table], np.ndarray[Any, Any]]":
    import numpy as np

    pipeline = load_skops(path)

    def say(table: "pa.Table") -> "np.ndarray[Any, Any]":
        rows = raw_frame(schema, table)
        try:
            found = pipeline.predict(rows) if schema.task == "regression" else pipeline.predict_proba(rows)
        except (ValueError, TypeError) as error:
            msg = f"the model in {path.parent.name!r} raises on these rows: {type(error).__name__}"
            raise InvalidInput(msg) from error
        values = np.asarray(found, dtype=np.float64)
        return values[:, 1] if schema.task == "binary" else values

    return say


def raw_frame(schema: Schema, table: "pa.Table") -> Any:
    """The features as a pandas data frame of raw values, as the predictor gives them to a pipeline: floats, and text as objects."""
    import pandas as pd

    numbers = {feature.name for feature in schema.features if feature.kind == "number"}
    columns = {name: table.column(name) for name in schema.names}
    return pd.DataFrame(
        {
            name: targets("regression", (), column) if name in numbers else pd.Series(column.to_pylist(), dtype=object)
            for name, column in columns.items()
        }
    )


def load_skops(path: Path) -> Any:
    """The scikit-learn pipeline in `path`; raises InvalidInput where it holds a type from outside the trusted packages."""
    import skops.io

    try:
        found = skops.io.get_untrusted_types(file=path)
        foreign = [name for name in found if not name.startswith(TRUSTED)]
        if foreign:
            msg = f"{path.name} of the model in {path.parent.name!r} holds {', '.join(foreign)}: only types of {TRUSTED_NAMES} are loaded"
            raise InvalidInput(msg)
        return skops.io.load(path, trusted=found)
    except (OSError, ValueError, KeyError) as error:
        msg = f"{path.name} of the model in {path.parent.name!r} cannot be read: {type(error).__name__}"
        raise InvalidInput(msg) from error
