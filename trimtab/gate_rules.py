"""The rules of a document's gates: which metric may be asked in which task, of what, and with which bound."""

from collections.abc import Callable, Iterable

from trimtab.making import Gate, Task
from trimtab.measures import BY_FEATURE, FAIRNESS, METRICS, SHARES, comparable, measured
from trimtab.rule import Rule
from trimtab.spec import ModelSpec


def _not_one_bound(gate: Gate) -> bool:
    return sum(bound is not None for bound in (gate.min, gate.max, gate.not_worse_than)) != 1


def _idle_margin(gate: Gate) -> bool:
    return gate.margin is not None and gate.not_worse_than is None


def _attribute_missing(spec: ModelSpec) -> bool:
    return any(gate.metric in _FAIR and gate.slice is None for gate in spec.gates) and not spec.training.sensitive


def _idle_feature(gate: Gate) -> bool:
    return gate.feature is not None and gate.metric not in BY_FEATURE


def _idle_slice(gate: Gate) -> bool:
    return gate.slice is not None and gate.metric not in _SLICED


def _incomparable(gate: Gate) -> bool:
    return gate.not_worse_than is not None and gate.metric not in _COMPARABLE


def _beyond(gate: Gate) -> bool:
    return gate.metric in SHARES and any(bound is not None and not 0 <= bound <= 1 for bound in (gate.min, gate.max))


def _relative_to_nothing(gate: Gate) -> bool:
    return gate.metric == "r2" and gate.margin is not None and gate.margin.startswith("x")


def _list(names: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in names) + "]"


def _of_tasks(names: Callable[[Task], Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for task in METRICS for name in names(task)))


_FAIR = _of_tasks(lambda task: FAIRNESS[task])
_SLICED = (*_of_tasks(lambda task: METRICS[task]), *_FAIR)
_COMPARABLE = _of_tasks(comparable)


def _measured_in(task: Task) -> Rule:
    return Rule(
        name=f"gate-metric-{task}",
        on="spec",
        at="gates",
        cel=f"self.task != '{task}' || !has(self.gates) || self.gates.all(gate, gate.metric in {_list(measured(task))})",
        message=f"a metric that is not measured; allowed in a {task} task are {', '.join(measured(task))}",
        broken=lambda spec: spec.task == task and any(gate.metric not in measured(task) for gate in spec.gates),
    )


GATE_RULES = (
    Rule(
        name="gate-bound",
        on="spec.gates[]",
        cel="[has(self.min), has(self.max), has(self.notWorseThan)].filter(bound, bound).size() == 1",
        message="exactly one of min, max and notWorseThan is needed",
        broken=_not_one_bound,
    ),
    Rule(
        name="gate-margin",
        on="spec.gates[]",
        at="margin",
        cel="!has(self.margin) || has(self.notWorseThan)",
        message="a margin only goes with notWorseThan",
        broken=_idle_margin,
    ),
    *(_measured_in(task) for task in METRICS),
    Rule(
        name="gate-attribute",
        on="spec",
        at="gates",
        cel=(
            f"!has(self.gates) || (has(self.training) && has(self.training.sensitive) && self.training.sensitive.size() > 0) || "
            f"self.gates.all(gate, !(gate.metric in {_list(_FAIR)}) || has(gate.slice))"
        ),
        message="a fairness metric without an attribute; allowed is one in its slice, or in training.sensitive",
        broken=_attribute_missing,
    ),
    Rule(
        name="gate-feature",
        on="spec.gates[]",
        at="feature",
        cel=f"!has(self.feature) || self.metric in {_list(BY_FEATURE)}",
        message=f"allowed with {' and '.join(BY_FEATURE)} alone",
        broken=_idle_feature,
    ),
    Rule(
        name="gate-slice",
        on="spec.gates[]",
        at="slice",
        cel=f"!has(self.slice) || self.metric in {_list(_SLICED)}",
        message="allowed with a metric of predictions or of fairness alone",
        broken=_idle_slice,
    ),
    Rule(
        name="gate-compared",
        on="spec.gates[]",
        at="metric",
        cel=f"!has(self.notWorseThan) || self.metric in {_list(_COMPARABLE)}",
        message=f"allowed with notWorseThan are {', '.join(_COMPARABLE)}",
        broken=_incomparable,
    ),
    Rule(
        name="gate-share",
        on="spec.gates[]",
        cel=(
            f"!(self.metric in {_list(sorted(SHARES))}) || "
            "((!has(self.min) || (self.min >= 0.0 && self.min <= 1.0)) && (!has(self.max) || (self.max >= 0.0 && self.max <= 1.0)))"
        ),
        message="the metric is a share; allowed as min and max are 0 to 1",
        broken=_beyond,
    ),
    Rule(
        name="gate-relative",
        on="spec.gates[]",
        at="margin",
        cel="self.metric != 'r2' || !has(self.margin) || !self.margin.startsWith('x')",
        message='r2 may be negative, where a factor means the opposite; allowed is an absolute margin such as "-0.02"',
        broken=_relative_to_nothing,
    ),
)
