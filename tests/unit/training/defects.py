"""Defects of data, planted with a seed: what an evaluation must stop, and a small world to plant them in.

A planting function takes the table, its spec and a seed, and returns the defective table. "Training rows" are the older four fifths, which
a version is fitted on, "later rows" the newest fifth, which it is judged on.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from trimtab.spec import Data, ModelSpec, Task
from trimtab.training.evaluation.slices import grouping
from trimtab.training.fit import derive
from trimtab.training.frame import classes_of, kind_of, matrix, targets
from trimtab.training.lean import xgboost
from trimtab.training.validate import features_of

Planted = Callable[[pa.Table, ModelSpec, int], pa.Table]
LATER = 0.2
SMALL = 70
"""How many later rows the group of a biased slice has at least."""
START = datetime(2024, 1, 1, tzinfo=UTC)


class Defect(Struct, frozen=True):
    """A defect by name, how it is planted, the tasks that can have it, and the gate that stops it (a part of its name)."""

    name: str
    plant: Planted
    gate: str
    tasks: tuple[Task, ...] = ("regression", "binary", "multiclass")


def other_unit(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:  # noqa: ARG001
    """The number that matters most comes in tenths of what it came in before."""
    name = _strongest(table, spec, "number")
    return _with(table, name, pa.array(10 * targets("regression", (), table.column(name)), from_pandas=True))


def dropped(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:  # noqa: ARG001
    """The feature that matters most is gone."""
    return table.drop_columns([_strongest(table, spec)])


def stale(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:  # noqa: ARG001
    """Nothing was loaded for the newest fifth of the time."""
    times = table.column(str(spec.data.time))
    first, last = pc.min(times).as_py(), pc.max(times).as_py()
    return table.filter(pc.less(times, pa.scalar(last - (last - first) * LATER, times.type)))


def repeated(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:
    """A fifth of the rows was loaded twice."""
    again = np.random.default_rng(seed).choice(table.num_rows, table.num_rows // 5, replace=False)
    return pa.concat_tables([table, table.take(pa.array(again))]).sort_by(str(spec.data.time))


def shuffled_label(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:
    """Labels belong to other rows."""
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return _with(table, spec.data.label, table.column(spec.data.label).take(order))


def running_number(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:  # noqa: ARG001
    """The number of the row in its source system is a feature."""
    return _with(table, "number", pa.array(np.arange(table.num_rows) + 100_000))


def drawn_identifier(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:  # noqa: ARG001
    """A number drawn for each row is a feature."""
    return _with(table, "reference", pa.array(np.random.default_rng(seed).permutation(10**7)[: table.num_rows]))


def clock(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:
    """The day since the beginning is a feature, and the label goes up and down from month to month, as what is not in the data does."""
    days = np.arange(table.num_rows) * 200 // table.num_rows
    drawn = np.random.default_rng(seed).normal(size=7)
    return _with(_moved(table, spec, np.repeat(drawn, 30)[days]), "day", pa.array(days))


def leak(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:
    """A column that is filled from the label."""
    labels = _labels(table, spec)
    return _with(table, "settled", pa.array(labels + np.random.default_rng(seed).normal(0, 0.03 * labels.std(), len(labels))))


def leak_of_the_past(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:
    """The same, but it is filled in long after the label is known: the later rows do not have it yet."""
    filled = leak(table, spec, seed).column("settled").to_numpy().copy()
    filled[_first_later(table) :] = np.nan
    return _with(table, "settled", pa.array(filled, from_pandas=True))


def skew(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:  # noqa: ARG001
    """The later rows come from another pipeline: the feature that matters most is in another unit, or in capital letters."""
    name = _strongest(table, spec)
    first, column = _first_later(table), table.column(name)
    if kind_of(table.schema.field(name)) == "number":
        values = targets("regression", (), column).copy()
        values[first:] = 10 * values[first:] + 10 * np.nanmax(np.abs(values))
        return _with(table, name, pa.array(values, from_pandas=True))
    texts = column.to_pylist()
    return _with(table, name, pa.array([text.upper() if text and place >= first else text for place, text in enumerate(texts)]))


def biased_slice(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:  # noqa: ARG001
    """In the training rows one small group of one column has its labels the wrong way round; the later rows have them right."""
    name = next(name for name in features_of(table, spec) if kind_of(table.schema.field(name)) == "text")
    codes, first = grouping(table, name).codes, _first_later(table)
    sizes = {int(code): int((codes[first:] == code).sum()) for code in np.unique(codes)}
    small = min((code for code in sizes if sizes[code] >= SMALL), key=lambda code: sizes[code])
    wrong = (codes == small) & (np.arange(table.num_rows) < first)
    if spec.task == "regression":
        labels = _labels(table, spec)
        return _with(table, spec.data.label, pa.array(np.where(wrong, 2 * labels.mean() - labels, labels)))
    classes = int(_labels(table, spec).max()) + 1
    return _relabelled(table, spec, np.where(wrong, (_labels(table, spec) + 1) % classes, _labels(table, spec)))


def over_confident(table: pa.Table, spec: ModelSpec, seed: int) -> pa.Table:
    """The training rows have the labels that a model gave them, as sure as it was; the later rows have what became of them."""
    xgb, schema, first = xgboost(), derive(table, spec), _first_later(table)
    features, labels = matrix(schema, table), targets(spec.task, schema.classes, table.column(spec.data.label))
    kinds = ["q" if feature.kind == "number" else "c" for feature in schema.features]
    objective = (
        {"objective": "binary:logistic"} if spec.task == "binary" else {"objective": "multi:softprob", "num_class": len(schema.classes)}
    )
    rows = xgb.DMatrix(features[:first], labels[:first], feature_types=kinds, enable_categorical=True)
    said = xgb.train({**objective, "eta": 0.1, "max_depth": 4, "seed": seed, "nthread": 1}, rows, 60).predict(rows)
    given = labels.copy()
    given[:first] = said >= np.quantile(said, 1 - labels[:first].mean()) if spec.task == "binary" else said.argmax(axis=1)
    return _relabelled(table, spec, given)


DEFECTS = (
    Defect("shuffled label", shuffled_label, "better than a model without features"),
    Defect("running number as a feature", running_number, "spurious_share"),
    Defect("drawn identifier as a feature", drawn_identifier, "spurious_share"),
    Defect("clock as a feature", clock, "spurious_share", ("regression",)),
    Defect("leak", leak, "spurious_share"),
    Defect("leak that later rows lack", leak_of_the_past, "spurious_share"),
    Defect("train/serve skew", skew, "spurious_share"),
    Defect("biased slice", biased_slice, "slice_loss"),
    Defect("over-confident model", over_confident, "calibration_slope", ("binary", "multiclass")),
)


def world(task: Task, rows: int = 4000, seed: int = 1) -> tuple[pa.Table, ModelSpec]:
    """Orders: what they cost, whether they come back, or which way they are sent; from six features of which one says nothing."""
    draw = np.random.default_rng(seed)
    region, channel = draw.choice(["east", "north", "south", "west"], rows, p=[0.4, 0.3, 0.2, 0.1]), draw.choice(["shop", "web"], rows)
    size, weight, hour, idle = draw.gamma(2, 2, rows), draw.normal(10, 3, rows), draw.integers(0, 24, rows), draw.normal(size=rows)
    far = np.array([{"east": 0.0, "north": 1.0, "south": -1.0, "west": 2.0}[name] for name in region])
    amount = size + 1.5 * far + 0.3 * weight + 2 * ((channel == "web") & (hour > 17)) * far + draw.normal(0, 1.0, rows)
    features = {"region": region, "channel": channel, "size": size, "weight": weight, "hour": hour, "idle": idle}
    chance = 1 / (1 + np.exp(-0.6 * (amount - 7.5)))
    label = {"regression": amount, "binary": (draw.random(rows) < chance).astype(int), "multiclass": _ways(amount, draw)}[task]
    at = pa.array([START + timedelta(minutes=72 * place) for place in range(rows)])
    return pa.table({"at": at, **features, "y": label}), ModelSpec(task, Data("orders", "y", "at"))


def _ways(amount: Any, draw: np.random.Generator) -> Any:
    noisy = amount + draw.logistic(0, 1.0, len(amount))
    return np.array(["post", "courier", "freight"])[np.digitize(noisy, [6.0, 9.0])]


def _with(table: pa.Table, name: str, column: Any) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, column)
    return table.append_column(name, column)


def _first_later(table: pa.Table) -> int:
    return int(table.num_rows - int(table.num_rows * LATER))


def _labels(table: pa.Table, spec: ModelSpec) -> Any:
    column = table.column(spec.data.label)
    return targets(spec.task, () if spec.task == "regression" else classes_of(column), column)


def _relabelled(table: pa.Table, spec: ModelSpec, places: Any) -> pa.Table:
    """With the classes at these places as labels, in the label's own type."""
    labels = _labels(table, spec)
    column = table.column(spec.data.label)
    return _with(table, spec.data.label, column.take(np.array([np.flatnonzero(labels == place)[0] for place in places])))


def _moved(table: pa.Table, spec: ModelSpec, by: Any) -> pa.Table:
    labels = _labels(table, spec)
    return _with(table, spec.data.label, pa.array(labels + labels.std() * by))


def _strongest(table: pa.Table, spec: ModelSpec, *kinds: str) -> str:
    """The feature (of these kinds, if some are given) whose groups differ most in their mean label."""
    labels = _labels(table, spec)
    found = {}
    for name in features_of(table, spec):
        if kinds and kind_of(table.schema.field(name)) not in kinds:
            continue
        codes = grouping(table, name).codes
        means = [labels[codes == code].mean() for code in np.unique(codes) if (codes == code).sum() >= 50]
        found[name] = float(np.ptp(means)) if means else 0.0
    return max(found, key=lambda name: found[name])
