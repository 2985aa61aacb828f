"""A candidate's metrics over any rows, each with its interval, and beside the champion's on the same rows."""

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from trimtab.measures import within
from trimtab.spec import Task
from trimtab.training.evaluation.bootstrap import RESAMPLES, Difference, Statistic, spread
from trimtab.training.scores import metrics, scorer

if TYPE_CHECKING:
    import numpy as np


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
