"""Small models whose inner life is known, as folders."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import skops.io
from sklearn.base import RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trimtab.schema import SCHEMA, Schema
from trimtab.spec import Data, ModelSpec, Task
from trimtab.training.fit import derive, fit
from trimtab.training.fitted import twin
from trimtab.training.model import raw_frame

SPEC = ModelSpec("regression", Data("rows", "y"))
BINARY = ModelSpec("binary", Data("rows", "y"))
EFFECTS = {"red": 0.0, "green": 1.0, "blue": 2.0}


def rows(count: int = 1500, task: Task = "regression", seed: int = 1) -> pa.Table:
    """`y` is 3 a + effect of the colour + noise (a binary one: more than 1.5, with more noise); `idle` says nothing."""
    draw = np.random.default_rng(seed)
    colour, a = draw.choice(list(EFFECTS), count), draw.normal(size=count)
    y = 3 * a + np.array([EFFECTS[name] for name in colour]) + draw.normal(0, 0.5, count)
    label = y if task == "regression" else (y + draw.logistic(0, 1, count) > 1.5).astype(int)
    return pa.table({"a": a, "colour": colour, "idle": draw.normal(size=count), "y": label})


def trees(folder: Path, table: pa.Table, spec: ModelSpec) -> tuple[Path, Schema]:
    """Boosted trees that learned from the older four fifths of the rows."""
    fit(table, spec, folder, 7)
    return twin(folder), derive(table, spec)


def line(folder: Path, table: pa.Table, spec: ModelSpec, model: RegressorMixin | None = None) -> tuple[Path, Schema, Any]:
    """A linear pipeline, or another model behind the same columns."""
    schema = msgspec.structs.replace(derive(table, spec), format="skops")
    columns = [("text", OneHotEncoder(handle_unknown="ignore"), ["colour"]), ("number", _numbers(), ["a", "idle"])]
    straight = LinearRegression() if spec.task == "regression" else LogisticRegression()
    last = straight if model is None else model
    fitted = make_pipeline(ColumnTransformer(columns), last).fit(raw_frame(schema, table), table.column("y").to_numpy())
    folder.mkdir(parents=True)
    skops.io.dump(fitted, folder / "model.skops")
    (folder / SCHEMA).write_bytes(msgspec.json.encode(schema))
    return folder, schema, fitted


def _numbers() -> Any:
    return make_pipeline(SimpleImputer(), StandardScaler())
