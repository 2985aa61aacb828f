"""What cleaning means here: plain functions of a table, so that a test needs neither KFP nor a file."""

import hashlib
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as types

CENTRE = (0.005, 0.995)


def capped(column: pa.ChunkedArray, learned: int) -> pa.ChunkedArray:
    """The column with what lies absurdly far out moved to the nearest value that is not absurd; missing values stay missing.

    Absurd is what is farther outside the middle 99% of the first `learned` values than that middle is wide.
    """
    low, high = pc.quantile(column.slice(0, learned), q=list(CENTRE), interpolation="nearest").to_pylist()
    if low is None or low == high:
        return column
    least, most = (pa.scalar(bound, column.type) for bound in (low - (high - low), high + (high - low)))
    raised = pc.if_else(pc.less(column, least), least, column)
    return pc.if_else(pc.greater(raised, most), most, raised)


def cleaned(table: pa.Table, kept: set[str], learned: int) -> pa.Table:
    """The table with every column of floating-point numbers capped, but for those in `kept`.

    No row is dropped or moved: training tells its rows from the holdout's by their place. The caps are learned from the first
    `learned` rows alone, which are those before the holdout.
    """
    for index, field in enumerate(table.schema):
        if types.is_floating(field.type) and field.name not in kept:
            table = table.set_column(index, field, capped(table.column(field.name), learned))
    return table


def write(table: pa.Table, source: Path, out: Path) -> None:
    """Write `table` to the folder `out` as a snapshot, with whatever else lies beside the snapshot in the folder `source`."""
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("*.parquet"), dirs_exist_ok=True)
    draft = out / "draft"
    pq.write_table(table, draft, compression="zstd")
    draft.rename(out / f"{hashlib.sha256(draft.read_bytes()).hexdigest()}.parquet")
