"""Rows that never were: made of the cells of rows that were, and what a model says of them.

Shuffling a feature, hiding one, or putting another row's value in its place are all the same: each cell of a new table is the cell
of some row of the old one. So one matrix of row numbers says it, and one question to the model answers it.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.training.model import predict

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_TINY = 1e-9


def composed(table: "pa.Table", names: list[str], places: "np.ndarray[Any, Any]") -> "pa.Table":
    """A table of the columns `names` whose cell (i, j) is that of row `places[i, j]` of `table`; `places` is (rows, names)."""
    import pyarrow as pa

    return pa.table({name: table.column(name).take(pa.array(places[:, place])) for place, name in enumerate(names)})


def swapped(rows: int, features: int, feature: int, source: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The places of `rows` rows as they are, but for one feature, whose cells are those of the rows `source`."""
    import numpy as np

    places = np.repeat(np.arange(rows)[:, None], features, axis=1)
    places[:, feature] = source
    return places


def margins(folder: Path, task: str, table: "pa.Table") -> "np.ndarray[Any, Any]":
    """What the model says, where effects add up: the value in a regression, log odds else. Shape (rows, outputs).

    Outputs are one, or in a multiclass task the classes, whose log odds are told from their mean.
    """
    import numpy as np

    said = predict(folder, table)
    if task == "regression":
        return said[:, None]
    if task == "binary":
        given = np.clip(said, _TINY, 1 - _TINY)
        return np.asarray(np.log(given / (1 - given)))[:, None]
    logs = np.log(np.clip(said, _TINY, 1.0))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))
