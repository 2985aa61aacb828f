"""The rules of strategy ab: what callers' labels need to be compared at all, and an effect that they can show."""

from datetime import timedelta

from trimtab.rule import Rule
from trimtab.spec import Ab, ModelSpec
from trimtab.units import UNITS, duration, margin

_IS_AB = "has(self.rollout) && has(self.rollout.strategy) && self.rollout.strategy == 'ab'"
_DELAY = "(has(self.data.labelDelay) ? self.data.labelDelay : '0s')"
_LENGTH = "(has(self.rollout.maxDuration) ? self.rollout.maxDuration : '2h')"


def _milliseconds(field: str) -> str:
    """A duration as CEL can tell it, whose own reader knows no days."""
    sizes = {unit: size // timedelta(milliseconds=1) for unit, size in UNITS.items()}
    cases = [f"{field}.endsWith('{unit}') ? int({field}.replace('{unit}', '')) * {size}" for unit, size in sizes.items()]
    return f"({' : '.join(cases)} : 0)"


def _nothing_joins(spec: ModelSpec) -> bool:
    return spec.rollout.strategy == "ab" and not spec.data.key


def _no_mean(spec: ModelSpec) -> bool:
    return spec.rollout.strategy == "ab" and spec.task == "multiclass"


def _no_delay(spec: ModelSpec) -> bool:
    return spec.rollout.strategy == "ab" and not duration(spec.data.label_delay)


def _never_mature(spec: ModelSpec) -> bool:
    return spec.rollout.strategy == "ab" and duration(spec.data.label_delay) >= duration(spec.rollout.max_duration)


def _no_effect(ab: Ab) -> bool:
    asked = margin(ab.effect)
    if not asked.relative:
        return not asked.value
    return not (asked.value > 1.0 if ab.goal == "larger" else 0.0 < asked.value < 1.0)


AB_RULES = (
    Rule(
        name="ab-key",
        on="spec",
        at="data.key",
        cel=f"!({_IS_AB}) || has(self.data.key)",
        message="strategy ab compares labels, which are joined by the key; allowed is the column that has it",
        broken=_nothing_joins,
    ),
    Rule(
        name="ab-task",
        on="spec",
        at="task",
        cel=f"!({_IS_AB}) || self.task != 'multiclass'",
        message="strategy ab compares means of labels; allowed with it are regression and binary",
        broken=_no_mean,
    ),
    Rule(
        name="ab-delay",
        on="spec",
        at="data.labelDelay",
        cel=f"!({_IS_AB}) || (has(self.data.labelDelay) && !self.data.labelDelay.matches('^0+[a-z]+$'))",
        message="strategy ab compares labels that had time to come; allowed with it is how long they take, above zero",
        broken=_no_delay,
    ),
    Rule(
        name="ab-mature",
        on="spec",
        at="rollout.maxDuration",
        cel=f"!({_IS_AB}) || {_milliseconds(_DELAY)} < {_milliseconds(_LENGTH)}",
        message="no label would be known before it ends; allowed with strategy ab is more than data.labelDelay",
        broken=_never_mature,
    ),
    Rule(
        name="ab-effect",
        on="spec.rollout.ab",
        at="effect",
        cel=(
            "!has(self.effect) || !self.effect.matches('^[-+x][0-9]+([.][0-9]+)?$') || (self.effect.startsWith('x') ? "
            "(has(self.goal) && self.goal == 'smaller' ? double(self.effect.substring(1)) > 0.0 && double(self.effect.substring(1)) < 1.0 "
            ": double(self.effect.substring(1)) > 1.0) : double(self.effect.substring(1)) > 0.0)"
        ),
        message="allowed is an effect that is one, such as +0.01, or above x1 where larger is better and below x1 where smaller is",
        broken=_no_effect,
    ),
)
