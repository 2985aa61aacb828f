"""Versions as a training step leaves them: a twin that saw nothing of the holdout, and the refitted one that serves."""

from datetime import timedelta
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from trimtab.events import aware
from trimtab.spec import ModelSpec
from trimtab.training.fit import fit
from trimtab.training.fitted import FOLDS, TWIN, Fitted, write_fitted
from trimtab.training.frame import holdout

FAR = timedelta(days=3650)


def version(table: pa.Table, spec: ModelSpec, folder: Path, seed: int = 7, evaluation: Literal["holdout", "rolling"] = "holdout") -> Path:
    """Fit what a training step would into `folder`, and return it."""
    folds = holdout(table, spec.data, 3 if evaluation == "rolling" else 1)
    until = table.num_rows if spec.training.refit else folds[0].trained
    _fit(table, until, spec, folder, seed)
    if spec.training.refit:
        _fit(table, folds[0].trained, spec, folder / TWIN, seed)
    for number, fold in enumerate(folds[1:], 2):
        _fit(table, fold.trained, spec, folder / FOLDS / str(number), seed)
    trained_until = aware(table.column(spec.data.time)[until - 1].as_py()) if spec.data.time else None
    write_fitted(folder, Fitted("xgboost", {}, seed, until, trained_until, spec.training.refit, evaluation, folds))
    return folder


def _fit(table: pa.Table, until: int, spec: ModelSpec, folder: Path, seed: int) -> None:
    """Fit on the first `until` rows: `fit` leaves a fifth out, so as many rows of another time are put there for it to leave."""
    rows = table.slice(0, until)
    left = table.take(list(range(until // 4)))
    if spec.data.time is not None:
        place = left.column_names.index(spec.data.time)
        column = left.column(place)
        left = left.set_column(place, left.schema.field(place), pc.add(column, pa.scalar(FAR, pa.duration("us"))).cast(column.type))
    fit(pa.concat_tables([rows, left]), spec, folder, seed)
