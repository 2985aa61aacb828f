"""A version's model: loaded once from verified files, then rows in and predictions out. No pickle is ever opened."""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from serving.predictor import lean, linear
from serving.predictor.bodies import Encoded, Read, Reader, reader
from serving.predictor.compiled import faster
from serving.predictor.protocol import Call, Predictions, Row, Table, parse_v1, parse_v2
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.manifest import verify
from trimtab.schema import MODEL_FILES, TRUSTED, TRUSTED_NAMES, Schema, calibrated, encode, encode_columns, number, read_schema

log = logging.getLogger("trimtab.predictor")

# The largest 32-bit float, which scikit-learn's trees take numbers as.
LARGEST = 3.4028234663852886e38


Rows = Sequence[Row] | Encoded


class ModelFailed(TrimtabError):
    """The model itself failed on a well-formed request (HTTP 500)."""


class Scorer:
    """One loaded version. `predict` may be called from several threads.

    `call` takes rows, or an `Encoded` where `read` makes these. `inline_rows` is up to how many rows a call is short enough (about a
    millisecond) for the server's own event loop.
    """

    def __init__(self, schema: Schema, call: Callable[[Any], Any], inline_rows: int, read: Reader | None = None) -> None:
        self.schema = schema
        self.inline_rows = inline_rows
        self._call = call
        self._read = read
        self._categories = [feature.name for feature in schema.features if feature.kind == "category"]

    def read(self, v2: bool, body: bytes) -> Call | Read:
        """The rows of a request's body, for `predict`; raises InvalidInput where it has none that the protocol allows. For one thread."""
        found = self._read(v2, body) if self._read is not None else None
        return found or (parse_v2(body) if v2 else parse_v1(body))

    def predict(self, rows: Rows) -> Predictions:
        """One prediction a row: a float (regression: the label's unit; binary: probability of the second class), or
        a list of probabilities in the order of the schema's classes.

        Raises InvalidInput where a row is not as the schema asks, ModelFailed where the model gives no answer.
        """
        if not isinstance(rows, Table | Encoded):
            self._refuse_nested(rows)
        try:
            found = calibrated(self.schema.calibration, self._call(rows))
        except InvalidInput:
            raise
        except Exception as error:
            self._refuse_too_large(rows)
            msg = f"the model raised {type(error).__name__} on this request"
            raise ModelFailed(msg) from error
        if not math.isfinite(float(found.sum())):
            self._refuse_too_large(rows)
            msg = "the model's answer holds a value that is no finite number"
            raise ModelFailed(msg)
        predictions: Predictions = found.tolist()
        return predictions

    def _refuse_nested(self, rows: Sequence[Row]) -> None:
        for index, row in enumerate(rows):
            for name in self._categories:
                if isinstance(row.get(name), list | dict):
                    msg = f"row {index}, feature {name!r}: found {type(row[name]).__name__}, a category (a string) or null is allowed"
                    raise InvalidInput(msg)

    def _refuse_too_large(self, rows: Rows) -> None:
        """Raises InvalidInput where the rows, which the model could not score, hold a number that 32 bits do not."""
        if isinstance(rows, Encoded):
            return
        names = [feature.name for feature in self.schema.features if feature.kind == "number"]
        for index, row in enumerate(rows):
            for name in names:
                if row[name] is not None and abs(row[name]) > LARGEST:
                    msg = f"row {index}, feature {name!r}: {float(row[name]):g} is too large, up to {LARGEST:g} is allowed"
                    raise InvalidInput(msg)


def load(folder: Path, digest: str) -> Scorer:
    """The version in `folder`, after its files were verified against `digest`; raises InvalidInput where it cannot be served."""
    verify(folder, digest)
    schema = read_schema(folder)
    path = folder / MODEL_FILES[schema.format]
    try:
        return _skops(schema, path) if schema.format == "skops" else _xgboost(schema, path)
    except InvalidInput:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        msg = f"{path.name} of the model in {folder.name!r} cannot be loaded: {type(error).__name__}: {first:.200}"
        raise InvalidInput(msg) from error


def _xgboost(schema: Schema, path: Path) -> Scorer:
    import numpy as np

    booster = lean.xgboost().Booster({"nthread": 1})
    booster.load_model(path)
    if booster.num_features() != len(schema.features) or (booster.feature_names or schema.names) != schema.names:
        msg = f"{path.name} takes {booster.num_features()} features, its schema names {len(schema.features)}, or their names differ"
        raise InvalidInput(msg)

    def native(matrix: Any) -> Any:
        return booster.inplace_predict(matrix, validate_features=False)

    predict = faster(path, schema.features, native)

    def call(rows: Rows) -> Any:
        if isinstance(rows, Encoded):
            return predict(rows.matrix)
        if isinstance(rows, Table):
            return predict(np.ascontiguousarray(np.array(encode_columns(schema, rows.columns), dtype=np.float32).T))
        return predict(np.array(encode(schema, rows), dtype=np.float32))

    return Scorer(schema, call, inline_rows=256, read=_reader(schema))


def _reader(schema: Schema) -> Reader | None:
    try:
        return reader(schema.features)
    except Unavailable as error:
        log.warning("requests are read by Python, which is slower: %s", error)
        return None


def _skops(schema: Schema, path: Path) -> Scorer:
    import pandas as pd
    from skops.io import get_untrusted_types, load

    untrusted = get_untrusted_types(file=path)
    foreign = sorted(name for name in untrusted if not name.startswith(TRUSTED))
    if foreign:
        msg = f"{path.name} holds the type {foreign[0]!r}; only types of {TRUSTED_NAMES} are loaded"
        raise InvalidInput(msg)
    pipeline = load(path, trusted=untrusted)

    def call(rows: Sequence[Row]) -> Any:
        rows = list(rows)
        encode(schema, rows)
        columns = {
            feature.name: [number(feature.name, row[feature.name], f"row {index}") for index, row in enumerate(rows)]
            if feature.kind == "number"
            else pd.Series([row[feature.name] for row in rows], dtype=object)
            for feature in schema.features
        }
        frame = pd.DataFrame(columns)
        if schema.task == "regression":
            return pipeline.predict(frame)
        probabilities = pipeline.predict_proba(frame)
        return probabilities[:, 1] if schema.task == "binary" else probabilities

    found = linear.faster(path, pipeline, schema, call)
    return Scorer(schema, found, inline_rows=0 if found is call else 256)
