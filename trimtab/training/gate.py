"""The gates: whether a candidate may leave the workshop. Pure: an evaluation in, one result a gate out.

A declared gate holds the number itself against its bound; of several values, features or attributes it takes the worst. A gate against
the champion asks for certainty: the one-sided 95% bound of the paired difference must be within the margin (non-inferiority), so what is
not known to be good enough does not pass. The default gates beside it ask whether something is certainly broken.
"""

from typing import TYPE_CHECKING

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.measures import AGAINST_CHAMPION, HIGHER_IS_BETTER, PRIMARY
from trimtab.release import RejectedOutcome
from trimtab.spec import Gate, ModelSpec, Task
from trimtab.training.evaluation.bootstrap import Difference
from trimtab.training.evaluation.found import Evaluation
from trimtab.training.evaluation.readings import Reading, readings
from trimtab.training.evaluation.slices import MIN_ROWS
from trimtab.training.frame import kind_of
from trimtab.training.validate import features_of
from trimtab.units import margin

if TYPE_CHECKING:
    import pyarrow as pa

MIN_HOLDOUT = 10
_AS = {"": "", "served": "as it serves", "twin": "before its refit"}


class GateResult(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What one gate found: its name, the value, the bound that it was held against, and a sentence that says it all.

    `interval` is the value's 95% interval; against a champion, it is the champion's value plus that of the paired difference.
    """

    gate: str
    passed: bool
    value: float | None
    bound: float | None
    interval: tuple[float, float] | None = None
    sentence: str = ""


class Asked(Struct, frozen=True):
    """A gate, and whether it is `doubted`: then it stops only what is certainly past its bound."""

    gate: Gate
    doubted: bool = False


def asked(gates: tuple[Gate, ...], found: Evaluation) -> tuple[Asked, ...]:
    """The declared gates, or the default ones against the champion, and those default ones that no declared gate is of the metric of."""
    named = {gate.metric for gate in gates}
    declared = tuple(Asked(gate) for gate in gates) or comparisons(found.task)
    return (*declared, *(Asked(gate, doubted=True) for gate in sanity(found) if gate.metric not in named))


def comparisons(task: Task) -> tuple[Asked, ...]:
    """The default gates against the champion: known to be at most 5% worse, and not known to be 2% worse (in ROC AUC: 0.05 and 0.02).

    The first leaves room for what a few thousand rows cannot tell, the second takes it away where there are more. `docs/evaluation.md` has
    how often both err.
    """
    primary = PRIMARY[task]
    far, near = ("-0.05", "-0.02") if primary in HIGHER_IS_BETTER else ("x1.05", "x1.02")
    strict, doubted = (Gate(primary, not_worse_than="champion", margin=margin) for margin in (far, near))
    return Asked(strict), Asked(doubted, doubted=True)


def sanity(found: Evaluation) -> tuple[Gate, ...]:
    """The default gates that ask whether something is broken. With noise in its inputs a model's loss may triple, or become that of a
    model without features.
    """
    calibrated = () if found.task == "regression" else (Gate("ece", max=0.1), Gate("calibration_slope", min=0.4))
    loss = "rmse" if found.task == "regression" else "log_loss"
    mine, constant = found.candidate.get(loss, 1.0), found.baseline.get(loss, 1.0)
    most = round(max(3.0, constant / mine if mine > 0 else 3.0), 2)
    return (*calibrated, Gate("spurious_share", max=0.0), Gate("slice_loss", max=1.25), Gate("noise_loss", max=most))


def check_gates(spec: ModelSpec, table: "pa.Table") -> None:
    """Raise InvalidInput where gates, `training.slices` or `training.sensitive` name a column or a feature that the rows do not have.

    What the document alone can tell is told by its rules (`trimtab.rules`).
    """
    columns = [column.name for column in table.schema if kind_of(column) != "other"]
    features = features_of(table, spec)
    named = [(f"spec.training.slices[{index}]", name, columns) for index, name in enumerate(spec.training.slices)]
    named += [(f"spec.training.sensitive[{index}]", name, columns) for index, name in enumerate(spec.training.sensitive)]
    named += [(f"spec.gates[{index}].slice", gate.slice, columns) for index, gate in enumerate(spec.gates) if gate.slice]
    named += [(f"spec.gates[{index}].feature", gate.feature, features) for index, gate in enumerate(spec.gates) if gate.feature]
    for place, name, known in named:
        if name not in known:
            kind = "feature" if known is features else "column of numbers or texts"
            msg = f"{place}: there is no {kind} {name!r} in the data; allowed are {', '.join(map(repr, known))}"
            raise InvalidInput(msg)


def judge(gates: tuple[Gate, ...], found: Evaluation) -> tuple[GateResult, ...]:
    """Hold the evaluation against each gate: the declared ones, or else the default one against the champion, and the default others.

    Enough rows and being better than a model without features are always asked. A gate against the champion passes where there is none.
    """
    rows = _at_least("holdout_rows", found.holdout_rows)
    if not rows.passed:
        return (rows,)
    results = [_better_than_baseline(found)]
    wanted = asked(gates, found)
    if found.compared_with and not found.unasked and any(one.gate.not_worse_than for one in wanted):
        compared = _at_least("compared_rows", found.compared_rows)
        if not compared.passed:
            return (*results, compared)
    all_held = (held(one, found) for one in wanted)
    return (*results, *(result for result in all_held if result is not None))


def rejection(results: tuple[GateResult, ...]) -> RejectedOutcome | None:
    """The outcome of the first gate that failed, or None where all passed."""
    for result in results:
        if not result.passed:
            return RejectedOutcome(result.gate, result.value, result.bound, result.interval)
    return None


def name_of(wanted: Asked) -> str:
    """What the gate is called in a report and an outcome."""
    gate = wanted.gate
    part = f" by {gate.slice}" if gate.slice else f" of {gate.feature}" if gate.feature else ""
    if gate.min is not None:
        return f"{gate.metric}{part} >= {gate.min:g}"
    if gate.max is not None:
        return f"{gate.metric}{part} <= {gate.max:g}"
    how = "certainly worse" if wanted.doubted else "worse"
    return f"{gate.metric}{part} not {how} than the champion's, margin {gate.margin or '+0'}"


def held(wanted: Asked, found: Evaluation) -> GateResult | None:
    """One gate's result; None for one against a champion that is not there."""
    gate = wanted.gate
    if gate.not_worse_than is not None or gate.metric in AGAINST_CHAMPION:
        if not found.compared_with:
            return None
        if found.unasked:
            return GateResult(name_of(wanted), True, None, None, sentence=f"the champion was not compared: {found.unasked}")
    results = [_compared(wanted, one, found) if gate.not_worse_than else _bounded(wanted, one) for one in readings(gate, found)]
    if not results:
        return GateResult(name_of(wanted), wanted.doubted, None, None, sentence=f"{gate.metric} could not be measured: {_why(gate)}")
    return min(results, key=lambda one: one[0])[1]


def _bounded(wanted: Asked, one: Reading) -> tuple[float, GateResult]:
    """How far the reading is on the right side of the bound (negative: past it), and the result."""
    gate = wanted.gate
    low, high = one.interval if wanted.doubted and one.interval else (one.value, one.value)
    if gate.min is not None:
        bound, slack, word = gate.min, high - gate.min, "at least"
    else:
        bound = gate.max if gate.max is not None else 0.0
        slack, word = bound - low, "at most"
    around = f" (95%: {one.interval[0]:.4g} to {one.interval[1]:.4g})" if one.interval else ""
    sentence = f"{gate.metric}{one.where and ' '}{one.where} is {one.value:.4g}{around}; allowed is {word} {bound:g}"
    return slack, GateResult(name_of(wanted), slack >= 0, one.value, bound, one.interval, sentence)


def _compared(wanted: Asked, one: Reading, found: Evaluation) -> tuple[float, GateResult]:
    """The same for a paired difference: its one-sided 95% bound is held against the margin."""
    gate = wanted.gate
    champion, difference = one.champion or 0.0, one.difference or Difference(0.0, (0.0, 0.0), 0.0, 0.0)
    bound = margin(gate.margin or "+0").bound(champion)
    higher = gate.metric in HIGHER_IS_BETTER
    least = higher != wanted.doubted
    sure = champion + (difference.lower if least else difference.upper)
    slack = sure - bound if higher else bound - sure
    interval = (champion + difference.interval[0], champion + difference.interval[1])
    sentence = (
        f"{gate.metric}{one.where and ' '}{one.where} is {champion + difference.value:.4g}, that of version {found.compared_with} "
        f"{_AS[found.compared_on]} {champion:.4g} on the same {one.rows} rows; with 95% certainty it is at "
        f"{'least' if least else 'most'} {sure:.4g}, allowed is {'at least' if higher else 'at most'} {bound:.4g}"
    )
    return slack, GateResult(name_of(wanted), slack >= 0, champion + difference.value, bound, interval, sentence)


def _better_than_baseline(found: Evaluation) -> GateResult:
    """Certainly better than the constant: the 95% interval of the paired difference does not hold 0."""
    value, bound = found.candidate[found.primary], found.baseline[found.primary]
    higher = found.primary in HIGHER_IS_BETTER
    low, high = found.skill.interval if found.skill else (value - bound, value - bound)
    passed = low > 0 if higher else high < 0
    sentence = (
        f"{found.primary} is {value:.4g}, that of a model without features {bound:.4g}; the difference is {value - bound:.4g} "
        f"(95%: {low:.4g} to {high:.4g}) and must be certain"
    )
    return GateResult(f"{found.primary} better than a model without features", passed, value, bound, (bound + low, bound + high), sentence)


def _at_least(name: str, rows: int) -> GateResult:
    sentence = f"{rows} rows that neither side was trained on; at least {MIN_HOLDOUT} are needed"
    return GateResult(f"{name} >= {MIN_HOLDOUT}", rows >= MIN_HOLDOUT, rows, MIN_HOLDOUT, sentence=sentence)


def _why(gate: Gate) -> str:
    if gate.slice:
        return f"no value of {gate.slice!r} has {MIN_ROWS} rows"
    if gate.feature:
        return f"{gate.feature!r} is no feature"
    return "it is not defined on these rows"
