"""How much worse a model gets where its inputs are worse: noisy, missing, or one of them meaningless.

Each is told as a ratio of losses (rmse in a regression, log loss else): 1 says that it made no difference.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.schema import Schema
from trimtab.training.evaluation.perturbed import composed, swapped
from trimtab.training.frame import targets
from trimtab.training.model import predict
from trimtab.training.scores import row_losses

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MOST_ROWS = 5000
NOISE = 0.1
"""The noise on each number, in its standard deviations."""
MISSING = 0.1
"""The share of all cells that are made null."""
_ASKED_ROWS = 200_000
_FEWEST_ROWS = 200


class Robustness(Struct, frozen=True, rename="camel", omit_defaults=True):
    """Ratios of losses on `rows` rows; `missing` is None where the model raises on rows with nulls."""

    rows: int
    noise: float
    shuffled: dict[str, float]
    """For each feature: with its values shuffled among the rows."""
    missing: float | None = None


def robustness(folder: Path, schema: Schema, table: "pa.Table", labels: "np.ndarray[Any, Any]", seed: int) -> Robustness:
    """Ask the model about at most 5,000 of these rows again, with worse inputs; fewer where the features are many."""
    import numpy as np
    import pyarrow as pa

    generator, features = np.random.default_rng(seed), len(schema.names)
    count = min(table.num_rows, MOST_ROWS, max(_FEWEST_ROWS, _ASKED_ROWS // (features + 1)))
    rows = np.linspace(0, table.num_rows - 1, count).astype(int)
    table, truth = table.select(schema.names).take(pa.array(rows)), labels[rows]
    asked = [swapped(count, features, 0, np.arange(count))]
    asked += [swapped(count, features, feature, generator.permutation(count)) for feature in range(features)]
    said = predict(folder, composed(table, schema.names, np.concatenate(asked)))
    plain, *shuffled = (_loss(schema, truth, part) for part in np.split(said, features + 1))
    noisy = _loss(schema, truth, predict(folder, _noisy(schema, table, generator)))
    try:
        missing = _loss(schema, truth, predict(folder, _holed(table, generator))) / plain
    except InvalidInput:
        missing = None
    return Robustness(count, noisy / plain, {name: loss / plain for name, loss in zip(schema.names, shuffled, strict=True)}, missing)


def _loss(schema: Schema, truth: "np.ndarray[Any, Any]", said: "np.ndarray[Any, Any]") -> float:
    mean = float(row_losses(schema.task, truth, said).mean())
    return max(mean**0.5 if schema.task == "regression" else mean, 1e-12)


def _noisy(schema: Schema, table: "pa.Table", generator: "np.random.Generator") -> "pa.Table":
    import numpy as np
    import pyarrow as pa

    columns = {}
    for feature in schema.features:
        column = table.column(feature.name)
        if feature.kind == "number":
            values = targets("regression", (), column)
            deviation = float(np.nanstd(values)) if np.isfinite(values).any() else 0.0
            column = pa.array(values + generator.normal(0.0, NOISE * deviation, len(values)), from_pandas=True)
        columns[feature.name] = column
    return pa.table(columns)


def _holed(table: "pa.Table", generator: "np.random.Generator") -> "pa.Table":
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {}
    for name in table.column_names:
        column = table.column(name)
        holes = pa.array(generator.random(table.num_rows) < MISSING)
        columns[name] = pc.if_else(holes, pa.scalar(None, column.type), column)
    return pa.table(columns)
