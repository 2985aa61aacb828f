"""Small tables for the search: three columns that matter, one label a task, a category that training never saw."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from tests.unit.training.data import last, rows, spec, write
from trimtab.schema import Schema
from trimtab.spec import Budget, ModelSpec, Task
from trimtab.training.estimators.base import Rows
from trimtab.training.fit import derive
from trimtab.training.ingest import read

LABELS = {
    "binary": lambda amount: "yes" if amount > 25 else "no",
    "multiclass": lambda amount: ("low", "middle", "high")[min(2, int(amount // 15))],
}


def toy(folder: Path, task: Task = "regression", count: int = 400, spoiled_from: int | None = None, **search: Any) -> tuple[Any, ModelSpec]:
    """The toy rows and their spec; the rows from `spoiled_from` on have absurd labels. `search` are `training.search`'s own fields."""
    found = rows(count)
    for index, row in enumerate(found):
        amount = -row["amount"] if spoiled_from is not None and index >= spoiled_from else row["amount"]
        row["amount"] = LABELS[task](amount) if task in LABELS else amount
    given = with_search(spec(write(folder / "toy.csv", found), task), **search)
    return read(given.data, last(count))[0], given


def with_search(given: ModelSpec, trials: int = 1, time: str = "5m", **search: Any) -> ModelSpec:
    """The spec with another search."""
    asked = msgspec.structs.replace(given.training.search, budget=Budget(trials, time), **search)
    return msgspec.structs.replace(given, training=msgspec.structs.replace(given.training, search=asked))


def with_training(given: ModelSpec, **training: Any) -> ModelSpec:
    """The spec with other fields of `training`."""
    return msgspec.structs.replace(given, training=msgspec.structs.replace(given.training, **training))


def rows_of(folder: Path, task: Task, count: int = 400) -> Rows:
    """The toy rows as an estimator takes them."""
    table, given = toy(folder, task, count)
    return Rows(derive(table, given), table)


def odd_rows(schema: Schema) -> list[dict[str, Any]]:
    """What a caller may send: nothing, a category that training never saw, and the usual."""
    return [
        dict.fromkeys(schema.names),
        {"size": 3.5, "colour": "ultraviolet", "open": 1.0},
        {"size": None, "colour": "red", "open": None},
        {"size": 9.0, "colour": "blue", "open": 0.0},
    ]


def as_table(schema: Schema, found: list[dict[str, Any]]) -> pa.Table:
    """The rows as a snapshot would hold them."""
    kinds = {feature.name: pa.float64() if feature.kind == "number" else pa.string() for feature in schema.features}
    return pa.table({name: pa.array([row[name] for row in found], kind) for name, kind in kinds.items()})


def rare_positives(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What an over-confident model says of rows of which 10% are positive, what they are, and with what probability."""
    draw = np.random.default_rng(seed)
    truth = 1 / (1 + np.exp(-draw.normal(-2.6, 1.2, count)))
    labels = (draw.random(count) < truth).astype(float)
    odds = 2.5 * np.log(truth / (1 - truth)) + 2
    return 1 / (1 + np.exp(-odds)), labels, truth
