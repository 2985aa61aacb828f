"""What an evaluation stands on: the rows that are judged, what the twin says of them, and the rows that it learned from."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.events import aware
from trimtab.schema import Schema, read_schema
from trimtab.spec import ModelSpec
from trimtab.training.evaluation.measured import Judged
from trimtab.training.evaluation.reference import holdout_start
from trimtab.training.fitted import predict_holdout, read_fitted, twin
from trimtab.training.frame import holdout, targets
from trimtab.training.model import predict
from trimtab.training.scores import baseline, threshold

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


class Ground(Struct, frozen=True):
    """The rows of the holdout in the order of time that the twin in `place` never saw, and its and a constant's predictions of them.

    `training` are the rows before the holdout that had their labels, `positive` those labels; `whole` are the twin's predictions of all
    holdout rows. `fold` is which of the twins predicted each row, `learned_until` the time of the newest row that each learned from.
    """

    spec: ModelSpec
    place: Path
    schema: Schema
    training: "pa.Table"
    positive: "np.ndarray[Any, Any]"
    held: "pa.Table"
    mine: Judged
    constant: Judged
    whole: "np.ndarray[Any, Any]"
    fold: "np.ndarray[Any, Any]"
    learned_until: tuple[datetime | None, ...]

    @property
    def rows(self) -> int:
        """How many rows are judged."""
        return int(self.held.num_rows)


def ground(table: "pa.Table", spec: ModelSpec, candidate: Path, *, anew: bool) -> Ground:
    """Ask the candidate's twins about the holdout; of a version that is compared `anew`, only later rows than it was trained on count.

    A row whose label the version does not know is left out.
    """
    import numpy as np
    import pyarrow.compute as pc

    place, first = twin(candidate), holdout(table, spec.data)[0]
    schema = read_schema(place)
    held, training = table.slice(first.start), table.slice(0, first.trained)
    fitted = read_fitted(candidate)
    fresh = fitted is not None and not anew
    folds = fitted.folds if fitted is not None and fresh and fitted.folds else (first,)
    whole = predict_holdout(candidate, table) if fresh else predict(place, held)
    labels = targets(schema.task, schema.classes, held.column(schema.label))
    judged = np.isfinite(labels)
    start = holdout_start(candidate) if anew else None
    if start is not None and spec.data.time is not None:
        judged &= pc.greater_equal(held.column(spec.data.time), start).fill_null(False).to_numpy()
    chosen = np.flatnonzero(judged)
    known = targets(schema.task, schema.classes, training.column(schema.label))
    known, truth, said = known[np.isfinite(known)], labels[chosen], whole[chosen]
    cut = threshold(known, said) if schema.task == "binary" and len(said) else None
    constant = baseline(schema.task, known, len(chosen), len(schema.classes))
    return Ground(
        spec=spec,
        place=place,
        schema=schema,
        training=training,
        positive=known,
        held=held.take(chosen),
        mine=Judged(schema.task, truth, said, cut),
        constant=Judged(schema.task, truth, constant, cut),
        whole=whole,
        fold=np.repeat(np.arange(len(folds)), [fold.stop - fold.start for fold in folds])[chosen],
        learned_until=(start,) if anew else tuple(_time(table, spec, fold.trained - 1) for fold in folds),
    )


def _time(table: "pa.Table", spec: ModelSpec, row: int) -> datetime | None:
    found = table.column(spec.data.time)[row].as_py() if spec.data.time is not None and row >= 0 else None
    return aware(found) if isinstance(found, datetime) else None
