"""What a version keeps of its hold-out: the rows, their labels, and what its twin said of them. They are more rows than the reference has,
so only labels and answers are held in memory; inputs and slices are read when a window is estimated or judged.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trimtab.errors import InvalidInput
from trimtab.monitoring.columns import Floats, Table
from trimtab.schema import ANSWERS, VALIDATION, Feature, Schema


def labels_and_answers(folder: Path, schema: Schema) -> tuple[list[Any], list[Any]] | None:
    """The labels and the twin's answers, in the order of time; None where a version brings none beyond its reference."""
    if not (folder / ANSWERS).is_file():
        return None
    found = _read(folder, [schema.label, VALIDATION])
    return found.column(schema.label).to_pylist(), found.column(VALIDATION).to_pylist()


def inputs(folder: Path, schema: Schema) -> Table | None:
    """The features as a table (see `columns`), in the rows' order."""
    if not (folder / ANSWERS).is_file():
        return None
    return columns(schema, _read(folder, schema.names))


def columns(schema: Schema, rows: pa.Table) -> Table:
    """The features of Arrow rows as a table (see `columns.py`)."""
    return {feature.name: _numbers(feature, rows.column(feature.name)) for feature in schema.features}


def values(folder: Path, wanted: Sequence[str]) -> dict[str, list[Any]]:
    """Those of the wanted columns that the version kept, in the rows' order."""
    if not wanted or not (folder / ANSWERS).is_file():
        return {}
    found = _read(folder, None)
    return {name: found.column(name).to_pylist() for name in wanted if name in found.column_names}


def _read(folder: Path, wanted: Sequence[str] | None) -> pa.Table:
    try:
        found = pq.read_table(folder / ANSWERS, columns=None if wanted is None else list(wanted))
    except (OSError, pa.ArrowException) as error:
        msg = f"{ANSWERS} of the model in {folder.name!r} cannot be read: {error}"
        raise InvalidInput(msg) from error
    lacking = [name for name in wanted or () if name not in found.column_names]
    if lacking:
        msg = f"{ANSWERS} of the model in {folder.name!r} lacks the column {lacking[0]!r}"
        raise InvalidInput(msg)
    return found


def _numbers(feature: Feature, column: pa.ChunkedArray) -> Floats:
    if feature.kind == "number":
        plain = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        return np.asarray(plain.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(), dtype=float)
    texts = column.cast(pa.string())
    places = pc.index_in(texts, value_set=pa.array(feature.categories, pa.string())).fill_null(len(feature.categories))
    return np.where(pc.is_null(texts).to_numpy(), np.nan, places.to_numpy().astype(float))
