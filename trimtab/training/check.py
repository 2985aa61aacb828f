"""Whether a document and its data can be trained on, before anything is started: the same checks that a run makes first."""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimtab.errors import InvalidInput
from trimtab.events import aware
from trimtab.spec import ModelSpec
from trimtab.training.checks import sentences
from trimtab.training.frame import columns_of
from trimtab.training.gate import check_gates
from trimtab.training.ingest import check_columns, snapshot, told_apart
from trimtab.training.source import identifier, reading
from trimtab.training.validate import validate

_SHARE = 0.6


def check(spec: ModelSpec, start: datetime | None) -> datetime:
    """The first cut, after the data known at it was checked: `start`, or else the time at which the older 60% of the rows end.

    The newer rows are then left to be played as traffic. Without a time column the cut is now, and every row is known at it.

    Raises InvalidInput with the first thing that is wrong, Unavailable where the data is remote and does not answer.
    """
    cut = aware(start) if start is not None else _default(spec)
    with tempfile.TemporaryDirectory() as folder:
        taken = snapshot(spec.data, cut, Path(folder), told_apart(spec))
        check_gates(spec, columns_of(taken.path))
        found = validate(taken.path, spec, taken.unlabelled, cut=cut)
    for sentence in sentences(found):
        msg = f"the data in {spec.data.uri!r} up to {cut.isoformat()} cannot be trained on: {sentence}"
        raise InvalidInput(msg)
    return cut


def _default(spec: ModelSpec) -> datetime:
    if spec.data.time is None:
        return datetime.now(UTC)
    time = identifier(spec.data.time)

    def work(connection: Any, rows: Any) -> str | None:
        check_columns(spec.data, rows.columns)
        connection.register("found", rows)
        query = f"SELECT quantile_disc(TRY_CAST({time} AS TIMESTAMPTZ), {_SHARE})::VARCHAR FROM found"  # noqa: S608
        found: str | None = connection.execute(query).fetchall()[0][0]
        return found

    cut = reading(spec.data.uri, work)
    if cut is None:
        msg = f"data.time: no row of {spec.data.uri!r} has a date or time in column {spec.data.time!r}"
        raise InvalidInput(msg)
    return aware(datetime.fromisoformat(cut))
