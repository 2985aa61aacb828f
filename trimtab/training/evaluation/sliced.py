"""The parts of the holdout, measured: what was declared, what was found, and where the champion is better."""

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from trimtab.measures import slice_columns
from trimtab.training.evaluation.bootstrap import stripes
from trimtab.training.evaluation.explaining import Rests
from trimtab.training.evaluation.found import Slice
from trimtab.training.evaluation.ground import Ground
from trimtab.training.evaluation.measured import Measured, Opponent, measure
from trimtab.training.evaluation.slices import MIN_ROWS, Grouping, Harm, grouping, harm, worst
from trimtab.training.scores import row_losses

if TYPE_CHECKING:
    import numpy as np

_RESAMPLES = 300
_FEWEST = 10
_OF_BOTH_CLASSES = ("roc_auc", "pr_auc", "precision", "recall", "f1", "calibration_slope")


def declared(on: Ground, other: Opponent | None, known: Rests, seed: int) -> tuple[Slice, ...]:
    """Each value with at least 50 rows of the columns that the document names in `training.slices` or in a gate."""
    found = []
    for column in slice_columns(on.spec):
        groups = grouping(on.held, column)
        masks = [(name, groups.codes == place) for place, name in enumerate(groups.names)]
        told = [(name, rows) for name, rows in masks if rows.sum() >= MIN_ROWS]
        found += [
            Slice(name, _measured(on, rows, other, seed), column, attribution=known.top(on.schema.names, rows)) for name, rows in told
        ]
    return tuple(found)


def found_worst(on: Ground, other: Opponent | None, known: Rests, seed: int) -> tuple[tuple[Slice, ...], int]:
    """The worst slices by the features, and among how many rows they were looked for; they are measured on those."""
    import numpy as np

    rows = stripes(on.rows)
    losses = row_losses(on.spec.task, on.mine.labels, on.mine.predictions)[rows]
    found = []
    for one in worst(_by_column(on, known, rows), losses):
        inside = np.zeros(on.rows, dtype=bool)
        inside[rows[one.rows]] = True
        attribution = known.top(on.schema.names, inside)
        found.append(Slice(one.name, _measured(on, inside, other, seed), "", one.effect, one.p_value, attribution))
    return tuple(found), len(rows)


def most_harmed(on: Ground, other: Opponent | None, known: Rests) -> Harm | None:
    """The slice on which the candidate is most surely worse than the champion; None where there is none to compare with."""
    import numpy as np

    if other is None:
        return None
    rows = np.flatnonzero(other.rows)
    rows = rows[stripes(len(rows))]
    mine, theirs = (row_losses(on.spec.task, on.mine.labels, side.predictions)[rows] for side in (on.mine, other.judged))
    return harm(_by_column(on, known, rows), mine, theirs)


def _by_column(on: Ground, known: Rests, rows: "np.ndarray[Any, Any]") -> list[Grouping]:
    """The rows by each declared column and each feature, those that matter most first: pairs are looked for among the first."""
    table = on.held.take(rows)
    columns = [*on.spec.training.slices, *(one.feature for one in known.explanation.features)]
    return [grouping(table, column) for column in dict.fromkeys(columns)]


def _measured(on: Ground, rows: "np.ndarray[Any, Any]", other: Opponent | None, seed: int) -> Measured:
    """The rows of a mask; with fewer than ten rows of the rarer class, what needs both classes is not told."""
    import numpy as np

    found = measure(on.mine, np.flatnonzero(rows), other, seed, _RESAMPLES)
    positives = int((on.mine.labels[rows] == 1).sum())
    if on.spec.task != "binary" or min(positives, found.rows - positives) >= _FEWEST:
        return found
    left = set(found.metrics) - set(_OF_BOTH_CLASSES)
    return replace(
        found,
        metrics={name: value for name, value in found.metrics.items() if name in left},
        interval={name: value for name, value in found.interval.items() if name in left},
        champion=found.champion and {name: value for name, value in found.champion.items() if name in left},
        difference={name: value for name, value in found.difference.items() if name in left},
    )
