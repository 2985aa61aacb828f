"""A version's own reference, read once from its folder: what its windows are compared with (design §8)."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Struct
from msgspec.structs import replace

from trimtab.errors import InvalidInput
from trimtab.monitoring.columns import Column, Floats, Table, labelled, predicted, table
from trimtab.monitoring.dependence import Dependence, Ints, Kind, blocks, measure
from trimtab.monitoring.holdout import labels_and_answers
from trimtab.monitoring.ingest import event_time
from trimtab.monitoring.seasons import cells
from trimtab.monitoring.spread import scores
from trimtab.schema import HOLDOUT, PREDICTION, REFERENCE, VALIDATION, Metrics, Schema, read_metrics, read_schema
from trimtab.units import duration

_DAY = 86_400.0
_STEP = 1.02
_SHORTEST = 60.0


class Length(Struct, frozen=True):
    """How much data time a window spans; `aligned` ones begin at whole numbers of it since 1970."""

    seconds: float
    aligned: bool = False


def length(span: float) -> Length:
    """The length of a window that closed by its rows, in steps of 2% so that few are measured; `span` in seconds."""
    return Length(_STEP ** round(math.log(max(span, _SHORTEST), _STEP)))


class Reference(Struct, frozen=True):
    """A version's schema, metrics and sample, in time order; `truth` and `answers` are the holdout's labels and predictions.

    A version that was fitted on all rows has seen the holdout's labels: the answers are then its twin's, who had not. `times` are the
    rows' event times in seconds since 1970, NaN where unknown.
    """

    schema: Schema
    metrics: Metrics
    table: Table
    truth: Floats
    answers: Floats
    span_days: float
    rows: int
    times: Floats
    folder: Path = Path()
    cached: dict[tuple[str, Length, bool], Dependence] = {}

    def told(self, redacted: Collection[str]) -> "Reference":
        """The same without the features that are `redacted` from what callers' rows are told with: nothing can be said of them."""
        features = tuple(feature for feature in self.schema.features if feature.name not in redacted)
        return replace(self, schema=replace(self.schema, features=features))

    @property
    def bytes(self) -> int:
        """What its arrays take."""
        return sum(array.nbytes for array in (*self.table.values(), self.truth, self.answers, self.times))

    def seasons(self, season: str) -> float:
        """How many of the Model's `monitoring.reference.season` it spans."""
        return self.span_days * _DAY / duration(season).total_seconds()

    def blocks(self, length: Length) -> Ints:
        """The block of each row (rows,), as long as a window of that length."""
        return blocks(self.times, length.seconds, aligned=length.aligned)

    def dependence(self, column: Column, values: Floats, length: Length, *, seasonal: bool, spread: bool = False) -> Dependence:
        """How windows of that length are apart in a column, or in its `spread`, `values` being the reference's; measured once."""
        key = (f"spread({column.name})" if spread else column.name, length, seasonal)
        if key not in self.cached:
            seasons = cells(self.times, self.times) if seasonal else None
            kind: Kind = "score" if spread else column.kind
            self.cached[key] = measure(scores(values) if spread else values, kind, self.blocks(length), seasons)
        return self.cached[key]


def read_reference(folder: Path) -> Reference:
    """The reference of the version in `folder`; raises InvalidInput where its files cannot be read or lack a column."""
    schema, metrics = read_schema(folder), read_metrics(folder)
    try:
        columns: dict[str, list[Any]] = pq.read_table(folder / REFERENCE).to_pydict()
    except (OSError, pa.ArrowException) as error:
        msg = f"{REFERENCE} of the model in {folder.name!r} cannot be read: {error}"
        raise InvalidInput(msg) from error
    lacking = [name for name in (*schema.names, schema.label, PREDICTION, HOLDOUT) if name not in columns]
    if lacking:
        msg = f"{REFERENCE} of the model in {folder.name!r} lacks the column {lacking[0]!r}"
        raise InvalidInput(msg)
    times = _times(schema, columns)
    order = np.argsort(times, kind="stable")
    columns = {name: [values[place] for place in order] for name, values in columns.items()}
    rows: list[Mapping[str, Any]] = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    known = times[np.isfinite(times)]
    truth, said = labels_and_answers(folder, schema) or _sampled(schema, columns)
    return Reference(
        schema=schema,
        metrics=metrics,
        table=table(schema, rows, columns[PREDICTION]),
        truth=labelled(schema, truth),
        answers=predicted(schema, said),
        span_days=float(known.max() - known.min()) / _DAY if len(known) else 0.0,
        rows=len(rows),
        times=times[order],
        folder=folder,
    )


def _sampled(schema: Schema, columns: Mapping[str, list[Any]]) -> tuple[list[Any], list[Any]]:
    """Labels and answers of the holdout's rows in the sample."""
    said = columns[VALIDATION if VALIDATION in columns else PREDICTION]
    held = [place for place, flag in enumerate(columns[HOLDOUT]) if flag]
    return [columns[schema.label][place] for place in held], [said[place] for place in held]


def _times(schema: Schema, columns: Mapping[str, list[Any]]) -> Floats:
    """Event times in seconds since 1970; NaN for all where the version has no time."""
    found = columns.get(schema.time or "", [])
    if not found:
        return np.full(len(columns[PREDICTION]), np.nan)
    read = [event_time(value) for value in found]
    return np.array([np.nan if seconds is None else seconds for seconds in read], dtype=float)
