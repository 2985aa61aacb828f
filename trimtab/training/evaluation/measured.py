"""A candidate's metrics over any rows, each with its interval, and beside the champion's on the same rows.

The champion is compared on rows that neither side was trained on: as it serves, where enough rows are later than all that it was
trained on, else as its twin, which saw nothing of the champion's own holdout.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.measures import within
from trimtab.schema import read_schema
from trimtab.spec import Task
from trimtab.training.evaluation.bootstrap import RESAMPLES, Difference, Statistic, spread
from trimtab.training.evaluation.reference import holdout_start
from trimtab.training.fitted import read_fitted, twin
from trimtab.training.model import predict
from trimtab.training.scores import metrics, scorer, threshold

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    import pyarrow as pa

ENOUGH_ROWS, ENOUGH_SHARE = 50, 0.2
"""How many holdout rows, and which share of them, must be later than the champion's training for it to be compared as it serves."""


class Measured(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What was measured on `rows` rows, each metric with its 95% interval.

    Where there is a champion, `champion` has its metrics on those of the rows that it may be held to, `compared_rows` many, and
    `difference` what the candidate's metrics on the same rows are more than them.
    """

    rows: int
    metrics: dict[str, float]
    interval: dict[str, tuple[float, float]] = {}
    champion: dict[str, float] | None = None
    difference: dict[str, Difference] = {}
    compared_rows: int = 0


class Judged(Struct, frozen=True):
    """Labels and one side's predictions of the judged rows, in the order of time; `cut` is where a binary prediction turns positive."""

    task: Task
    labels: "np.ndarray[Any, Any]"
    predictions: "np.ndarray[Any, Any]"
    cut: float | None = None

    def metrics(self, rows: Any) -> dict[str, float]:
        """The metrics over the rows with these numbers."""
        return metrics(self.task, self.labels[rows], self.predictions[rows], self.cut)

    def scorer(self, rows: Any) -> Statistic:
        """The same as a function of the rows' weights."""
        return scorer(self.task, self.labels[rows], self.predictions[rows], self.cut)


class Opponent(Struct, frozen=True):
    """The champion on the judged rows: which of them it may be held to, what it says of those, and how it was asked."""

    rows: "np.ndarray[Any, Any]"
    judged: Judged
    on: Literal["served", "twin"]


def measure(mine: Judged, rows: "np.ndarray[Any, Any]", other: Opponent | None, seed: int, resamples: int = RESAMPLES) -> Measured:
    """Measure the rows with these numbers, which are ascending."""
    found = mine.metrics(rows)
    around = spread(lambda chosen: mine.scorer(rows[chosen]), len(rows), seed, resamples)
    intervals = {name: around.interval(name, value) for name, value in found.items()}
    told = Measured(len(rows), found, {name: within(name, interval) for name, interval in intervals.items() if interval})
    shared = rows[other.rows[rows]] if other is not None else rows[:0]
    if other is None or not len(shared):
        return told
    theirs = other.judged
    champion, candidate = theirs.metrics(shared), mine.metrics(shared)

    def difference(chosen: "np.ndarray[Any, Any]") -> Statistic:
        left, right = mine.scorer(shared[chosen]), theirs.scorer(shared[chosen])

        def statistic(weights: "np.ndarray[Any, Any]") -> dict[str, Any]:
            against = right(weights)
            return {name: values - against[name] for name, values in left(weights).items()}

        return statistic

    apart = spread(difference, len(shared), seed, resamples)
    differences = {name: apart.difference(name, value - champion[name]) for name, value in candidate.items() if name in champion}
    return Measured(
        rows=told.rows,
        metrics=told.metrics,
        interval=told.interval,
        champion=champion,
        difference={name: found for name, found in differences.items() if found},
        compared_rows=len(shared),
    )


def opponent(champion: Path, held: "pa.Table", time: str | None, mine: Judged, positive: "np.ndarray[Any, Any]") -> Opponent:
    """The champion as it is compared on the judged rows `held`; `positive` are the training labels, which say where its cut is.

    Raises InvalidInput, naming the features, where the rows lack what the champion needs.
    """
    import numpy as np

    schema = read_schema(champion)
    lacking = [name for name in schema.names if name not in held.column_names]
    if lacking:
        msg = f"the champion needs {', '.join(map(repr, lacking))}, which the data no longer has"
        raise InvalidInput(msg)
    fitted = read_fitted(champion)
    until = fitted.trained_until if fitted is not None else None
    later = _since(held, time, until, strictly=True)
    if until is not None and time is not None and later.sum() >= max(ENOUGH_ROWS, ENOUGH_SHARE * held.num_rows):
        place, rows = champion, later
    else:
        place, rows = twin(champion), _since(held, time, holdout_start(champion))
    chosen = np.flatnonzero(rows)
    said = predict(place, held.take(chosen))
    predictions = np.zeros((len(rows), *said.shape[1:]))
    predictions[chosen] = said
    cut = threshold(positive, said) if mine.task == "binary" and len(said) else None
    return Opponent(rows, Judged(mine.task, mine.labels, predictions, cut), "served" if place == champion else "twin")


def _since(held: "pa.Table", time: str | None, start: "datetime | None", *, strictly: bool = False) -> "np.ndarray[Any, Any]":
    """Which rows are at or after `start`; all where there are no times."""
    import numpy as np
    import pyarrow.compute as pc

    if start is None or time is None:
        return np.ones(held.num_rows, dtype=bool)
    compared = pc.greater if strictly else pc.greater_equal
    return np.asarray(compared(held.column(time), start).fill_null(False).to_numpy(), dtype=bool)
