"""The gates: whether a candidate may leave the workshop. Pure: numbers in, one result a gate out."""

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.release import RejectedOutcome
from trimtab.spec import Gate, Task
from trimtab.training.evaluate import Evaluation
from trimtab.training.scores import HIGHER_IS_BETTER, METRICS, PRIMARY
from trimtab.units import margin

MIN_HOLDOUT = 10


class GateResult(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What one gate found: a sentence that names it, the value, and the bound that it was held against."""

    gate: str
    passed: bool
    value: float | None
    bound: float | None
    interval: tuple[float, float] | None = None


def default_gates(task: Task) -> tuple[Gate, ...]:
    """Not worse than the champion by more than 2% (by 0.01 in ROC AUC), in the task's primary metric."""
    primary = PRIMARY[task]
    return (Gate(primary, not_worse_than="champion", margin="-0.01" if primary in HIGHER_IS_BETTER else "x1.02"),)


def check_gates(gates: tuple[Gate, ...], task: Task) -> None:
    """Raise InvalidInput where a gate asks for a metric that an evaluation of this task does not tell."""
    for index, gate in enumerate(gates):
        if gate.metric not in METRICS[task]:
            msg = f"spec.gates[{index}].metric: found {gate.metric!r}; allowed in a {task} task are {', '.join(METRICS[task])}"
            raise InvalidInput(msg)


def judge(gates: tuple[Gate, ...], found: Evaluation) -> tuple[GateResult, ...]:
    """Hold the evaluation against each gate, the default ones if there are none; better than no features is always asked.

    A gate against the champion passes where there is no champion.
    """
    rows = GateResult(f"holdout_rows >= {MIN_HOLDOUT}", found.holdout_rows >= MIN_HOLDOUT, found.holdout_rows, MIN_HOLDOUT)
    if not rows.passed:
        return (rows,)
    judged = (_one(gate, found) for gate in gates or default_gates(found.task))
    return (_better_than_baseline(found), *(result for result in judged if result is not None))


def rejection(results: tuple[GateResult, ...]) -> RejectedOutcome | None:
    """The outcome of the first gate that failed, or None where all passed."""
    for result in results:
        if not result.passed:
            return RejectedOutcome(result.gate, result.value, result.bound, result.interval)
    return None


def report(found: Evaluation, results: tuple[GateResult, ...]) -> str:
    """The evaluation and the gates as a Markdown page."""
    champion = f"version {found.compared_with}" if found.compared_with else "no champion"
    lines = [f"# Gates, on {found.holdout_rows} holdout rows against {champion}", "", "| metric | candidate | 95% | champion | baseline |"]
    lines.append("|---|---|---|---|---|")
    for name, value in found.candidate.items():
        low, high = found.interval.get(name, (value, value))
        other = f"{found.champion[name]:.6g}" if found.champion else ""
        lines.append(f"| {name} | {value:.6g} | {low:.6g} to {high:.6g} | {other} | {found.baseline[name]:.6g} |")
    lines += ["", "| gate | value | bound | passed |", "|---|---|---|---|"]
    lines += [f"| {result.gate} | {result.value:.6g} | {result.bound:.6g} | {'yes' if result.passed else '**no**'} |" for result in results]
    return "\n".join(lines) + "\n"


def _one(gate: Gate, found: Evaluation) -> GateResult | None:
    value, interval, higher = found.candidate[gate.metric], found.interval.get(gate.metric), gate.metric in HIGHER_IS_BETTER
    if gate.min is not None:
        return GateResult(f"{gate.metric} >= {gate.min:g}", value >= gate.min, value, gate.min, interval)
    if gate.max is not None:
        return GateResult(f"{gate.metric} <= {gate.max:g}", value <= gate.max, value, gate.max, interval)
    if found.champion is None:
        return None
    by = gate.margin or "+0"
    bound = margin(by).bound(found.champion[gate.metric])
    passed = value >= bound if higher else value <= bound
    return GateResult(f"{gate.metric} not worse than the champion's, margin {by}", passed, value, bound, interval)


def _better_than_baseline(found: Evaluation) -> GateResult:
    value, bound = found.candidate[found.primary], found.baseline[found.primary]
    passed = value > bound if found.primary in HIGHER_IS_BETTER else value < bound
    return GateResult(f"{found.primary} better than a model without features", passed, value, bound, found.interval.get(found.primary))
