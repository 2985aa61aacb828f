"""A snapshot's columns as the numbers that a model is fitted on: `trimtab.schema.encode`, for whole columns at once.

And where a snapshot is cut in two: always by time, the newest rows being the holdout, and never at random.
"""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.schema import Feature, Schema
from trimtab.spec import Data, Task
from trimtab.units import duration

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

HOLDOUT_SHARE = 0.2
_EXACT = 2.0**53


def read_table(path: Path) -> "pa.Table":
    """The rows of a Parquet file; `path` may be a folder that holds exactly one, as a step's output does."""
    import pyarrow.parquet as pq

    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if len(files) != 1:
        msg = f"{path.name!r} holds {len(files)} Parquet files, exactly one is expected"
        raise InvalidInput(msg)
    return pq.read_table(files[0])


def columns_of(path: Path) -> "pa.Table":
    """A table with the columns of a Parquet file and none of its rows."""
    import pyarrow.parquet as pq

    return pq.read_schema(path).empty_table()


class Fold(Struct, frozen=True):
    """Row numbers of one forward fold: rows before `trained` may be learned from, rows from `start` up to `stop` are predicted.

    The rows between `trained` and `start` are younger than the label delay at `start`: their labels were not known then.
    """

    trained: int
    start: int
    stop: int


def holdout(table: "pa.Table", data: Data, count: int = 1) -> tuple[Fold, ...]:
    """The last fifth of the rows as `count` forward folds; the first one's `trained` rows are what nothing may look beyond."""
    rows = table.num_rows
    return forward(table, data, rows - int(rows * HOLDOUT_SHARE), rows, count)


def forward(table: "pa.Table", data: Data, first: int, last: int, count: int) -> tuple[Fold, ...]:
    """The rows from `first` up to `last` as `count` folds of equal size, each learned from what was known before it.

    The rows are in the order of time (`ingest.snapshot`). Raises InvalidInput where nothing is left to learn from.
    """
    bounds = [first + (last - first) * part // count for part in range(count + 1)]
    folds = tuple(Fold(_known(table, data, start), start, stop) for start, stop in pairwise(bounds))
    if folds and folds[0].trained == 0 and first > 0:
        msg = f"no row is older than data.labelDelay ({data.label_delay}) at the start of the holdout; "
        msg += "allowed is a shorter delay, or more rows"
        raise InvalidInput(msg)
    return folds


def _known(table: "pa.Table", data: Data, start: int) -> int:
    """How many rows had their label when the row `start` came to be."""
    import pyarrow as pa
    import pyarrow.compute as pc

    delay = duration(data.label_delay)
    if data.time is None or not delay or start >= table.num_rows:
        return start
    times = table.column(data.time)
    before = times.slice(0, start)
    known = pc.less_equal(before, pa.scalar(times[start].as_py() - delay, times.type))
    return int(pc.sum(known).as_py() or 0)


def kind_of(column: "pa.Field") -> str:
    """ "number", "text", or "other" (dates, lists, blobs), which is never a feature."""
    import pyarrow.types as types

    found = column.type
    if types.is_integer(found) or types.is_floating(found) or types.is_boolean(found) or types.is_decimal(found):
        return "number"
    return "text" if types.is_string(found) or types.is_large_string(found) else "other"


def matrix(schema: Schema, table: "pa.Table") -> "np.ndarray[Any, Any]":
    """The features as float32 in shape (rows, features), missing as NaN: what XGBoost takes with feature types q and c.

    Raises InvalidInput where a column is missing, or where one that must be a number is none.
    """
    import numpy as np

    found = np.empty((table.num_rows, len(schema.features)), dtype=np.float32)
    for index, feature in enumerate(schema.features):
        found[:, index] = _encoded(feature, table)
    return found


def _encoded(feature: Feature, table: "pa.Table") -> "np.ndarray[Any, Any]":
    import pyarrow as pa
    import pyarrow.compute as pc

    if feature.name not in table.column_names:
        msg = f"the feature {feature.name!r} is missing; the columns are {', '.join(map(repr, table.column_names))}"
        raise InvalidInput(msg)
    column = table.column(feature.name)
    if feature.kind == "number":
        if kind_of(table.schema.field(feature.name)) != "number":
            msg = f"feature {feature.name!r} holds {column.type}, a number is expected"
            raise InvalidInput(msg)
        return _floats(column)
    codes = pc.index_in(column.cast(pa.string()), value_set=pa.array(feature.categories, pa.string()))
    return _floats(codes)


def _floats(column: Any) -> "np.ndarray[Any, Any]":
    import pyarrow as pa

    values: np.ndarray[Any, Any] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def label_texts(column: Any) -> Any:
    """The labels of a classification as text: 1 and 1.0 are "1", true is "true"; nulls stay."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), _EXACT)) if types.is_floating(column.type) else None
    if whole is not None and pc.all(whole).as_py():
        column = column.cast(pa.int64())
    return column.cast(pa.string())


def classes_of(column: Any) -> tuple[str, ...]:
    """The different labels as text, numbers in the order of numbers."""
    import pyarrow.compute as pc

    found = [text for text in pc.unique(label_texts(column)).to_pylist() if text is not None]
    try:
        return tuple(sorted(found, key=float))
    except ValueError:
        return tuple(sorted(found))


def targets(task: Task, classes: tuple[str, ...], column: Any) -> "np.ndarray[Any, Any]":
    """The labels as float64: the value in a regression, else the place in `classes` (NaN where it is none of them)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if task == "regression":
        return _floats(column)
    return _floats(pc.index_in(label_texts(column), value_set=pa.array(classes, pa.string())))
