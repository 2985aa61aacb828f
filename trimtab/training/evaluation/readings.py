"""Where a gate finds its numbers in an evaluation."""

from msgspec import Struct

from trimtab.measures import FAIRNESS, METRICS
from trimtab.spec import Gate
from trimtab.training.evaluation.bootstrap import Difference
from trimtab.training.evaluation.found import Evaluation


class Reading(Struct, frozen=True):
    """A number, where it was measured, and its interval; beside the champion's on the same `rows` rows, where there is one."""

    where: str
    value: float
    interval: tuple[float, float] | None = None
    champion: float | None = None
    difference: Difference | None = None
    rows: int = 0


def readings(gate: Gate, found: Evaluation) -> list[Reading]:
    """Every number that the gate speaks of; none where it could not be measured."""
    metric = gate.metric
    if metric in METRICS[found.task]:
        return _metric(gate, found)
    if metric in FAIRNESS[found.task]:
        told = [one for one in found.fairness if gate.slice in (None, one.attribute) and metric in one.metrics]
        return [Reading(f"by {one.attribute}", one.metrics[metric], one.interval.get(metric)) for one in told]
    if metric == "attribution_share":
        features = found.explanation.features if found.explanation else ()
        return [Reading(f"of {one.feature}", one.share, one.interval) for one in features if gate.feature in (None, one.feature)]
    if metric == "spurious_share":
        where = f"({'; '.join(one.sentence for one in found.suspicions)})" if found.suspicions else ""
        return [Reading(where, sum(one.share for one in found.suspicions))] if found.explanation else []
    if metric == "slice_loss":
        harm = found.harm
        return [Reading(f"on {harm.slice} ({harm.rows} rows, ratio {harm.ratio:.3g})", harm.lower)] if harm else []
    return _robustness(gate, found)


def _metric(gate: Gate, found: Evaluation) -> list[Reading]:
    sides = [(f"where {one.name}", one.measured) for one in found.slices if one.column == gate.slice] if gate.slice else [("", found.whole)]
    told = []
    for where, part in sides:
        if gate.metric not in part.metrics or (gate.not_worse_than and gate.metric not in part.difference):
            continue
        champion, difference = (part.champion or {}).get(gate.metric), part.difference.get(gate.metric)
        interval = part.interval.get(gate.metric)
        told.append(Reading(where, part.metrics[gate.metric], interval, champion, difference, part.compared_rows))
    return told


def _robustness(gate: Gate, found: Evaluation) -> list[Reading]:
    known = found.robustness
    if known is None:
        return []
    if gate.metric == "shuffled_loss":
        return [Reading(f"of {name}", ratio) for name, ratio in known.shuffled.items() if gate.feature in (None, name)]
    ratio = known.noise if gate.metric == "noise_loss" else known.missing
    return [Reading("", ratio)] if ratio is not None else []
