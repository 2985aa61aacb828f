"""What stays with a version of the rows that it was made from, and of its word on them: what the monitor compares with."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trimtab.events import aware
from trimtab.explanation import ATTRIBUTIONS, EXPLAINED_AT
from trimtab.schema import ANSWERS, HOLDOUT, PREDICTION, REFERENCE, VALIDATION, Schema, read_schema
from trimtab.training.evaluation.attribution import Explained
from trimtab.training.model import predict

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

REFERENCE_ROWS = 10_000
ANSWERED_ROWS, ANSWERED_LEAST, ANSWERED_CELLS = 50_000, 5_000, 1_000_000


def write_reference(out: Path, table: "pa.Table", schema: Schema, served: Path, held: "np.ndarray[Any, Any]", seed: int) -> "pa.Table":
    """Write a sample of at most 10,000 rows in the order of time, and return it.

    Beside the rows are the prediction of the model in `served`, whether the row is of the holdout, and for those what the twin said:
    `held` has its predictions of the last `len(held)` rows of the table.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = table.num_rows - len(held)
    chosen = np.sort(np.random.default_rng(seed).permutation(table.num_rows)[:REFERENCE_ROWS])
    columns = [*schema.names, schema.label, *(name for name in (schema.time, schema.key) if name is not None)]
    sample = table.select(list(dict.fromkeys(columns))).take(pa.array(chosen))
    said = predict(served, sample).tolist()
    validation = [held[row - first].tolist() if row >= first else None for row in chosen.tolist()]
    kind = pa.array(said).type
    sample = sample.append_column(PREDICTION, pa.array(said, kind)).append_column(HOLDOUT, pa.array(chosen >= first))
    sample = sample.append_column(VALIDATION, pa.array(validation, kind))
    pq.write_table(sample, out / REFERENCE, compression="zstd")
    return sample


def write_answers(out: Path, table: "pa.Table", schema: Schema, held: "np.ndarray[Any, Any]", slices: tuple[str, ...] = ()) -> None:
    """Write the last `len(held)` rows of the table, evenly spaced ones where they are many, and what the twin said of them (`held`).

    The columns are the label, the features, and those of `slices`, by which a person wants the rows told apart.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    most = min(ANSWERED_ROWS, max(ANSWERED_LEAST, ANSWERED_CELLS // len(schema.features)))
    rows = np.unique(np.linspace(0, max(len(held) - 1, 0), min(len(held), most)).astype(int))
    columns = list(dict.fromkeys([schema.label, *schema.names, *slices]))
    kept = table.slice(table.num_rows - len(held)).select(columns).take(pa.array(rows))
    pq.write_table(kept.append_column(VALIDATION, pa.array(held[rows].tolist())), out / ANSWERS, compression="zstd")


def write_attributions(out: Path, sample: "pa.Table", schema: Schema, explained: Explained) -> None:
    """Write what each explained row of the reference rests on, in the order of time."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.array(sizes.astype(np.float32)) for name, sizes in zip(schema.names, explained.sizes.T, strict=True)}
    if schema.time is not None:
        columns[EXPLAINED_AT] = sample.column(schema.time).take(pa.array(explained.rows))
    pq.write_table(pa.table(columns), out / ATTRIBUTIONS, compression="zstd")


def holdout_start(folder: Path) -> datetime | None:
    """The time of the oldest holdout row in a version's reference: rows from there on its twin was not trained on. None without times."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = read_schema(folder)
    if schema.time is None:
        return None
    reference = pq.read_table(folder / REFERENCE, columns=[schema.time, HOLDOUT])
    found = pc.min(reference.filter(reference.column(HOLDOUT)).column(schema.time)).as_py()
    return aware(found) if isinstance(found, datetime) else None
