"""What no single field of a Model document can show: combinations that cannot work.

One table, held twice: `documents.py` asks each rule's Python wherever a document is read, and the CRD carries its CEL, so that an
API server refuses the same documents with the same words. A test on a real API server holds the two against each other.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.ab_rules import AB_RULES
from trimtab.actions import ReleaseAction
from trimtab.gate_rules import GATE_RULES
from trimtab.people_rules import ACTION_RULES, APPROVAL_RULES
from trimtab.rule import Rule as Rule
from trimtab.rule import positive
from trimtab.serving_rules import SERVING_RULES
from trimtab.spec import Data, Drift, Expectation, Model, ReferencePolicy, Rollout, Window
from trimtab.trigger_rules import TRIGGER_RULES
from trimtab.units import duration, persistence


def _label_excluded(data: Data) -> bool:
    return data.label in data.exclude


def _label_shared(data: Data) -> bool:
    return data.label in (data.time, data.key)


def _no_history(data: Data) -> bool:
    return _zero(data.history)


def _expected_twice(data: Data) -> bool:
    columns = [expected.column for expected in data.expect]
    return len(columns) != len(set(columns))


def _meaning_unavailable(data: Data) -> bool:
    return any(not expected.available and expected.column in (data.label, data.time, data.key) for expected in data.expect)


def _range_empty(expected: Expectation) -> bool:
    return expected.min is not None and expected.max is not None and expected.min > expected.max


def _range_of_categories(expected: Expectation) -> bool:
    bounded = expected.min is not None or expected.max is not None
    return bounded and (expected.type == "category" or bool(expected.values))


def _values_of_numbers(expected: Expectation) -> bool:
    return expected.type == "number" and bool(expected.values)


def _steps_fall(rollout: Rollout) -> bool:
    return list(rollout.steps) != sorted(set(rollout.steps))


def _no_steps(rollout: Rollout) -> bool:
    return rollout.strategy == "canary" and not rollout.steps


def _no_rollout_time(rollout: Rollout) -> bool:
    return _zero(rollout.max_duration)


def _no_window_time(window: Window) -> bool:
    return _zero(window.every)


def _least_above_rows(window: Window) -> bool:
    return window.least is not None and window.least > window.rows


def _no_season(reference: ReferencePolicy) -> bool:
    return _zero(reference.season)


def _too_many_hits(drift: Drift) -> bool:
    wanted = persistence(drift.persistence)
    return wanted.hits > wanted.windows


def _zero(length: str | None) -> bool:
    return length is not None and not duration(length)


RULES = (
    Rule(
        name="label-excluded",
        on="spec.data",
        at="exclude",
        cel="!has(self.exclude) || !(self.label in self.exclude)",
        message="allowed are columns other than the label, which is never a feature anyway",
        broken=_label_excluded,
    ),
    Rule(
        name="label-shared",
        on="spec.data",
        at="label",
        cel="!(has(self.time) && self.time == self.label) && !(has(self.key) && self.key == self.label)",
        message="allowed is a column of its own, neither the time nor the key",
        broken=_label_shared,
    ),
    Rule(
        name="history-zero",
        on="spec.data",
        at="history",
        cel=positive("history"),
        message="allowed is a duration above zero; a run needs rows",
        broken=_no_history,
    ),
    Rule(
        name="expect-once",
        on="spec.data",
        at="expect",
        cel="",
        message="a column is named more than once; allowed is one entry a column",
        broken=_expected_twice,
    ),
    Rule(
        name="expect-meaning",
        on="spec.data",
        at="expect",
        cel=(
            "!has(self.expect) || self.expect.all(one, !has(one.available) || one.available || (one.column != self.label && "
            "!(has(self.time) && one.column == self.time) && !(has(self.key) && one.column == self.key)))"
        ),
        message="label, time and key are never features; allowed is available: false for other columns",
        broken=_meaning_unavailable,
    ),
    Rule(
        name="expect-range",
        on="spec.data.expect[]",
        at="min",
        cel="!has(self.min) || !has(self.max) || self.min <= self.max",
        message="allowed is at most max",
        broken=_range_empty,
    ),
    Rule(
        name="expect-numbers",
        on="spec.data.expect[]",
        cel=(
            "!(has(self.min) || has(self.max)) || "
            "(!(has(self.type) && self.type == 'category') && (!has(self.values) || self.values.size() == 0))"
        ),
        message="a range goes with numbers and values with categories; allowed is one of them",
        broken=_range_of_categories,
    ),
    Rule(
        name="expect-values",
        on="spec.data.expect[]",
        at="values",
        cel="!(has(self.type) && self.type == 'number') || !has(self.values) || self.values.size() == 0",
        message="values are those of a category; allowed for numbers are min and max",
        broken=_values_of_numbers,
    ),
    *GATE_RULES,
    *SERVING_RULES,
    *APPROVAL_RULES,
    *AB_RULES,
    *TRIGGER_RULES,
    Rule(
        name="steps-grow",
        on="spec.rollout",
        at="steps",
        cel="!has(self.steps) || (self.steps.isSorted() && self.steps.all(one, self.steps.exists_one(other, one == other)))",
        message="allowed are growing weights such as [5, 25, 50]",
        broken=_steps_fall,
    ),
    Rule(
        name="steps-needed",
        on="spec.rollout",
        at="steps",
        cel="!has(self.steps) || self.steps.size() > 0 || (has(self.strategy) && self.strategy != 'canary')",
        message="allowed for a canary are growing weights such as [5, 25, 50], at least one",
        broken=_no_steps,
    ),
    Rule(
        name="rollout-time",
        on="spec.rollout",
        at="maxDuration",
        cel=positive("maxDuration"),
        message="allowed is a duration above zero; a rollout needs time",
        broken=_no_rollout_time,
    ),
    Rule(
        name="window-time",
        on="spec.monitoring.window",
        at="every",
        cel=positive("every"),
        message="allowed is a duration above zero; leave it out to close windows by rows alone",
        broken=_no_window_time,
    ),
    Rule(
        name="window-least",
        on="spec.monitoring.window",
        at="least",
        cel="!has(self.least) || self.least <= (has(self.rows) ? self.rows : 5000)",
        message="more rows than a window can have; allowed is at most window.rows",
        broken=_least_above_rows,
    ),
    Rule(
        name="season-zero",
        on="spec.monitoring.reference",
        at="season",
        cel=positive("season"),
        message="allowed is a duration above zero, such as 7d where the week is the longest cycle",
        broken=_no_season,
    ),
    Rule(
        name="persistence-hits",
        on="spec.monitoring.drift",
        at="persistence",
        cel=(
            "!has(self.persistence) || !self.persistence.matches('^[0-9]+ of [0-9]+$') || "
            "int(self.persistence.split(' of ')[0]) <= int(self.persistence.split(' of ')[1])"
        ),
        message="more hits than windows; allowed is at most as many",
        broken=_too_many_hits,
    ),
)


def impossible(item: Model | ReleaseAction) -> list[str]:
    """A sentence for each combination of fields that cannot work: the path, what was found there, and what is allowed."""
    rules = RULES if isinstance(item, Model) else ACTION_RULES
    return [_sentence(rule, path, part) for rule in rules for path, part in _parts(item, rule.on) if rule.broken and rule.broken(part)]


def _parts(root: Any, path: str) -> Iterator[tuple[str, Any]]:
    here = [("", root)]
    for word in path.split("."):
        name = word.removesuffix("[]")
        here = [(f"{place}.{name}".lstrip("."), getattr(part, _attribute(part, name))) for place, part in here]
        if word.endswith("[]"):
            here = [(f"{place}[{index}]", item) for place, items in here for index, item in enumerate(items)]
    yield from here


def _sentence(rule: Rule, path: str, part: Any) -> str:
    if not rule.at:
        return f"{path}: {rule.message}"
    for name in rule.at.split("."):
        part = part[name] if isinstance(part, dict) else getattr(part, _attribute(part, name))
    found = msgspec.json.encode(part).decode()
    return f"{path}.{rule.at}: found {found:.80}, {rule.message}"


def _attribute(part: Struct, name: str) -> str:
    """The name in Python of a field of the document."""
    return dict(zip(part.__struct_encode_fields__, part.__struct_fields__, strict=True))[name]
