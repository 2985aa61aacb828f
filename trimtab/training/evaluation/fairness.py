"""Whether predictions treat the groups of a sensitive attribute alike.

Demographic parity: how far apart the groups' shares of positive predictions are; disparate impact is the ratio of the smallest to the
largest of them (below 0.8 is the four-fifths rule of the US Uniform Guidelines of 1978). Equal opportunity (Hardt, Price and Srebro,
2016): how far apart the shares of the truly positive that are found are. A regression has no positive predictions: there it is told how
far apart the groups' mean residuals are, in standard deviations of the label.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from trimtab.measures import FAIRNESS, within
from trimtab.spec import Task
from trimtab.training.evaluation.bootstrap import spread
from trimtab.training.evaluation.slices import MIN_ROWS, Grouping

if TYPE_CHECKING:
    import numpy as np

_FEWEST_POSITIVES = 10
_RESAMPLES = 300


class Group(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One group with at least 50 rows: its share of positive predictions, or in a regression its mean residual."""

    name: str
    rows: int
    value: float
    found: float | None = None
    """The share of the truly positive that are found; None where they are fewer than ten."""


class Fairness(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A sensitive attribute, its groups, and the task's fairness metrics with their 95% intervals.

    In a multiclass task each class is the positive one in turn, and the worst is told; `groups` are then of the class `positive`.
    """

    attribute: str
    groups: tuple[Group, ...]
    metrics: dict[str, float] = {}
    interval: dict[str, tuple[float, float]] = {}
    positive: str = ""


def fairness(
    task: Task,
    groups: Grouping,
    labels: "np.ndarray[Any, Any]",
    predictions: "np.ndarray[Any, Any]",
    cut: float,
    classes: tuple[str, ...],
    seed: int,
) -> Fairness:
    """The fairness of predictions by one attribute; without metrics where fewer than two groups have 50 rows.

    `cut` is the probability from which on a row of a binary task is called positive.
    """
    import numpy as np

    large = [place for place in range(len(groups.names)) if int((groups.codes == place).sum()) >= MIN_ROWS]
    if task == "regression":
        residuals = (predictions - labels) / (labels.std() or 1.0)
        told = [(_one(groups, large, residuals, None), _residuals(groups, large, residuals), "")]
    else:
        said = (predictions >= cut).astype(int) if task == "binary" else predictions.argmax(axis=1)
        positives = [1] if task == "binary" else list(range(len(classes)))
        told = [
            (
                _one(groups, large, said == place, labels == place),
                _rates(groups, large, said == place, labels == place),
                classes[place] if place < len(classes) else "",
            )
            for place in positives
        ]
    if len(large) < 2:
        return Fairness(groups.column, told[0][0], positive=told[0][2])
    valued = [
        ({name: float(value[0]) for name, value in build(slice(None))(np.ones((len(labels), 1))).items()}, one, build, name)
        for one, build, name in told
    ]
    metrics, one, build, name = max(valued, key=lambda found: found[0][FAIRNESS[task][0]])
    metrics = {metric: value for metric, value in metrics.items() if np.isfinite(value)}
    around = spread(build, len(labels), seed, _RESAMPLES)
    intervals = {metric: around.interval(metric, value) for metric, value in metrics.items()}
    return Fairness(groups.column, one, metrics, {metric: within(metric, found) for metric, found in intervals.items() if found}, name)


def _one(groups: Grouping, large: list[int], said: "np.ndarray[Any, Any]", true: "np.ndarray[Any, Any] | None") -> tuple[Group, ...]:
    told = []
    for place in large:
        rows = groups.codes == place
        both = rows & true if true is not None else None
        found = float(said[both].mean()) if both is not None and both.sum() >= _FEWEST_POSITIVES else None
        told.append(Group(groups.names[place], int(rows.sum()), float(said[rows].mean()), found))
    return tuple(told)


def _residuals(groups: Grouping, large: list[int], residuals: "np.ndarray[Any, Any]") -> Callable[[Any], Any]:
    import numpy as np

    def build(chosen: Any) -> Any:
        member = np.stack([groups.codes[chosen] == place for place in large]).astype(float)

        def statistic(weights: "np.ndarray[Any, Any]") -> dict[str, Any]:
            return {"residual_difference": np.ptp(_means(member, residuals[chosen], weights), axis=0)}

        return statistic

    return build


def _rates(groups: Grouping, large: list[int], said: "np.ndarray[Any, Any]", true: "np.ndarray[Any, Any]") -> Callable[[Any], Any]:
    import numpy as np

    enough = [place for place in large if int((true & (groups.codes == place)).sum()) >= _FEWEST_POSITIVES]

    def build(chosen: Any) -> Any:
        member = np.stack([groups.codes[chosen] == place for place in large]).astype(float)
        positive = np.stack([(groups.codes[chosen] == place) & true[chosen] for place in enough]).astype(float) if enough else None

        def statistic(weights: "np.ndarray[Any, Any]") -> dict[str, Any]:
            rates = _means(member, said[chosen].astype(float), weights)
            most = rates.max(axis=0)
            found = {
                "demographic_parity": np.ptp(rates, axis=0),
                "disparate_impact": np.divide(rates.min(axis=0), most, out=np.ones_like(most), where=most > 0),
            }
            if positive is not None and len(enough) > 1:
                found["equal_opportunity"] = np.ptp(_means(positive, said[chosen].astype(float), weights), axis=0)
            return found

        return statistic

    return build


def _means(member: "np.ndarray[Any, Any]", values: "np.ndarray[Any, Any]", weights: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """The mean of the values in each group, shape (groups, resamples)."""
    import numpy as np

    counts = member @ weights
    return np.asarray(np.divide((member * values) @ weights, counts, out=np.zeros_like(counts), where=counts > 0))
