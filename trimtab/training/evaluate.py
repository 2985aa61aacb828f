"""How good a candidate is on rows that it never saw, beside the champion and a model without features on the same rows."""

import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from trimtab.events import aware
from trimtab.schema import HOLDOUT, METRICS, PREDICTION, REFERENCE, Metrics, Schema, read_schema
from trimtab.spec import Data, Task
from trimtab.training import scores
from trimtab.training.frame import holdout, targets
from trimtab.training.model import predict

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

log = logging.getLogger(__name__)

EVALUATION = "evaluation.json"
REFERENCE_ROWS = 2000
_CLIP_QUANTILE = 0.995


class Evaluation(Struct, frozen=True, rename="camel", omit_defaults=True):
    """All that the gates look at. Every number is over the same `holdout_rows` rows.

    `interval` is each metric's 95% interval for the candidate; with a champion it is the paired one: the champion's value
    plus the interval of the difference row by row. `compared_with` is the champion's version.
    """

    task: Task
    primary: str
    rows: int
    holdout_rows: int
    candidate: dict[str, float]
    baseline: dict[str, float]
    champion: dict[str, float] | None = None
    compared_with: str = ""
    interval: dict[str, tuple[float, float]] = {}


def evaluate(
    table: "pa.Table",
    data: Data,
    candidate: Path,
    champion: Path | None,
    out: Path,
    seed: int,
    *,
    against_version: str = "",
    anew: bool = False,
) -> Evaluation:
    """Score the model in `candidate` on the holdout and write `metrics.json`, `reference.parquet` and `evaluation.json` to `out`.

    The champion, whose version is `against_version`, is scored on the same rows. Rows that it was trained on are left out; so are
    those of the candidate where it is an existing version that is compared `anew`. A version's own reference tells which they are.
    """
    schema = read_schema(candidate)
    fold = holdout(table, data)[0]
    first = fold.start
    known = [folder for folder in (champion, candidate if anew else None) if folder is not None]
    chosen = _unseen(table, first, schema, known)
    held = table.take(chosen)
    labels = targets(schema.task, schema.classes, held.column(schema.label))
    training = targets(schema.task, schema.classes, table.slice(0, fold.trained).column(schema.label))
    rows = held.num_rows
    guess = scores.baseline(schema.task, training, rows, len(schema.classes))
    predictions = predict(candidate, table)
    mine = predictions[chosen]
    theirs = predict(champion, held) if champion is not None else None
    found = Evaluation(
        task=schema.task,
        primary=scores.PRIMARY[schema.task],
        rows=table.num_rows,
        holdout_rows=rows,
        candidate=scores.metrics(schema.task, labels, mine) if rows else {},
        baseline=scores.metrics(schema.task, labels, guess) if rows else {},
        champion=scores.metrics(schema.task, labels, theirs) if rows and theirs is not None else None,
        compared_with=against_version,
        interval=_interval(schema.task, labels, mine, theirs, seed) if rows else {},
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / EVALUATION).write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1))
    if rows:
        write_metrics(out, found, scores.row_losses(schema.task, labels, mine))
    write_reference(out, table, schema, predictions, seed, first)
    log.info("evaluated on %d rows: %s %.6g", rows, found.primary, found.candidate.get(found.primary, float("nan")))
    return found


def write_metrics(out: Path, found: Evaluation, losses: "np.ndarray[Any, Any]") -> None:
    """Write `metrics.json`; `losses` is each holdout row's loss."""
    import numpy as np

    clip = float(np.quantile(losses, _CLIP_QUANTILE))
    body = Metrics(found.candidate, found.primary, clip, found.rows, found.holdout_rows, found.baseline)
    (out / METRICS).write_bytes(msgspec.json.format(msgspec.json.encode(body), indent=1))


def write_reference(out: Path, table: "pa.Table", schema: Schema, predictions: "np.ndarray[Any, Any]", seed: int, first: int) -> None:
    """Write a sample of at most 2,000 rows with the model's prediction and whether the row is of the holdout, in the order of time.

    The holdout begins at row `first`.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = table.num_rows
    chosen = np.sort(np.random.default_rng(seed).permutation(count)[:REFERENCE_ROWS])
    columns = [*schema.names, schema.label, *(name for name in (schema.time, schema.key) if name is not None)]
    sample = table.select(list(dict.fromkeys(columns))).take(pa.array(chosen))
    sample = sample.append_column(PREDICTION, pa.array(predictions[chosen].tolist()))
    sample = sample.append_column(HOLDOUT, pa.array(chosen >= first))
    pq.write_table(sample, out / REFERENCE, compression="zstd")


def holdout_start(folder: Path) -> datetime | None:
    """The time of the oldest holdout row in a version's reference: rows from there on it was not trained on. None without times."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = read_schema(folder)
    if schema.time is None:
        return None
    reference = pq.read_table(folder / REFERENCE, columns=[schema.time, HOLDOUT])
    found = pc.min(reference.filter(reference.column(HOLDOUT)).column(schema.time)).as_py()
    return aware(found) if isinstance(found, datetime) else None


def _unseen(table: "pa.Table", first: int, schema: Schema, versions: list[Path]) -> "np.ndarray[Any, Any]":
    """The numbers of the rows from `first` on that none of the versions was trained on."""
    import numpy as np
    import pyarrow.compute as pc

    numbers = np.arange(first, table.num_rows)
    starts = [start for start in map(holdout_start, versions) if start is not None]
    if not starts or schema.time is None:
        return numbers
    late = pc.greater_equal(table.column(schema.time), max(starts)).to_numpy()
    kept: np.ndarray[Any, Any] = numbers[late[first:]]
    return kept


def _interval(
    task: Task, labels: "np.ndarray[Any, Any]", mine: "np.ndarray[Any, Any]", theirs: "np.ndarray[Any, Any] | None", seed: int
) -> dict[str, tuple[float, float]]:
    def statistic(chosen: "np.ndarray[Any, Any]") -> dict[str, float]:
        found = scores.metrics(task, labels[chosen], mine[chosen])
        if theirs is None:
            return found
        other = scores.metrics(task, labels[chosen], theirs[chosen])
        return {name: value - other[name] for name, value in found.items()}

    intervals = scores.block_bootstrap(statistic, len(labels), seed)
    if theirs is None:
        return intervals
    at = scores.metrics(task, labels, theirs)
    return {name: (at[name] + low, at[name] + high) for name, (low, high) in intervals.items()}
