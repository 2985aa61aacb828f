"""Features that know too much: leaks, identifiers, time stamps; and columns that say nothing.

A leak is known by how well one column alone predicts the label, out of sample. A column may be that good and still be known in time
(yesterday's value of a slow series), and a number that grows with each row may be meant (a trend): who lists it in `data.expect`
says so, and is only told.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from trimtab.spec import Task
from trimtab.training.checks import Check
from trimtab.training.frame import classes_of, kind_of, targets
from trimtab.training.validate_declared import MOST_CATEGORIES, not_numbers
from trimtab.training.validate_rows import Look
from trimtab.training.validate_stats import order, told

if TYPE_CHECKING:
    import pyarrow as pa

LEAK_STOP = {"regression": 0.9, "binary": 0.98, "multiclass": 0.98}
LEAK_WARN = {"regression": 0.8, "binary": 0.9, "multiclass": 0.9}
"""R squared in a regression (0.9 is a correlation of 0.95), 2 AUC - 1 otherwise (0.98 is an AUC of 0.99), of one column alone."""
UNIQUE = 0.95
"""A whole number that is different in so many rows may be a row's number."""
MONOTONE = 0.99
MOSTLY = 0.5
_NAMED = re.compile(r"(?i:(^|[\W_])(id|ids|uuid|guid|rowid|row_number)$)|[a-z](Id|ID|Uuid|Guid)$")
_EPOCHS = tuple((631_152_000 * 10**power, 4_102_444_800 * 10**power) for power in (0, 3, 6, 9))
_DATES = (19_000_101, 21_001_231)


def leaks(look: Look) -> Iterator[Check]:
    """Features that tell the label alone."""
    task = look.spec.task
    for name, power in strengths(look).items():
        if power <= LEAK_WARN[task]:
            continue
        stops = power > LEAK_STOP[task] and name not in look.declared
        measure, allowed = _said(power, task), f"at most {_said(LEAK_STOP[task] if stops else LEAK_WARN[task], task)}"
        sentence = f"column {name!r} alone tells the label ({measure}, {allowed} is allowed): is it known only after it? "
        sentence += "name it in data.exclude, or in data.expect if it is known when a prediction is asked for"
        yield Check("leak", name, measure, allowed, look.rows.count, sentence, "stop" if stops else "warn")


def _said(power: float, task: Task) -> str:
    return f"R2 {power:.3g}" if task == "regression" else f"AUC {(power + 1) / 2:.3g}"


def strengths(look: Look) -> dict[str, float]:
    """How much each feature alone tells of the label in the sample (`validate_stats.told`)."""
    label, classes = labels(look.rows.sample, look)
    kept = ~np.isnan(label)
    return {name: told(*column, label[kept], classes) for name, column in encoded(look.rows.sample, look, kept).items()}


def encoded(table: "pa.Table", look: Look, kept: "np.ndarray[Any, Any]") -> "dict[str, tuple[np.ndarray[Any, Any], bool]]":
    """The kept rows' features as floats, numbers or codes of texts, and which they are; only those that are what they are now."""
    kinds = {field.name: kind_of(field) for field in table.schema}
    alike = [name for name in look.features if kinds.get(name) == look.rows.kinds[name]]
    return {name: (_encoded(table.column(name), kinds[name])[kept], kinds[name] == "text") for name in alike}


def labels(table: "pa.Table", look: Look) -> "tuple[np.ndarray[Any, Any], int]":
    """The labels as values in a regression (with 0 classes), else as class numbers."""
    column = table.column(look.spec.data.label)
    if look.spec.task == "regression":
        values = targets("regression", (), column)
        return np.where(np.isfinite(values), values, np.nan), 0
    names = classes_of(look.rows.sample.column(look.spec.data.label))
    return targets(look.spec.task, names, column), len(names)


def _encoded(column: Any, kind: str) -> "np.ndarray[Any, Any]":
    import pyarrow.compute as pc

    from trimtab.training.validate_rows import numbers

    if kind == "number":
        return numbers(column)
    return targets("regression", (), pc.dictionary_encode(column).combine_chunks().indices)


def identifiers(look: Look) -> Iterator[Check]:
    """Features that name a row or its time instead of saying something about it, and texts that are no categories."""
    for name in look.features:
        facts = look.rows.facts(name)
        if facts.present < 2:
            continue
        found = _text(look, name) if facts.kind == "text" else _number(look, name)
        if found is not None:
            meant = facts.kind == "number" and name in look.declared
            yield replace(found, severity="warn") if meant else found


def _text(look: Look, name: str) -> Check | None:
    facts, column = look.rows.facts(name), look.rows.sample.column(name)
    if facts.different <= 1 or not len(column.drop_null()):
        return None
    garbage = not_numbers(look, name)
    if 0 < garbage < MOSTLY * facts.present:
        sentence = f"column {name!r} holds numbers, but {garbage} of its {facts.present} values are other text"
        return Check("type", name, "text among numbers", "numbers", garbage, sentence)
    if garbage and facts.different > max(MOST_CATEGORIES, MOSTLY * facts.present):
        sentence = f"text column {name!r} has {facts.different} different values in {facts.present} rows: name it in data.exclude"
        return Check("identifier", name, f"{facts.different} different texts", "categories", facts.present, sentence)
    return None


def _number(look: Look, name: str) -> Check | None:
    values, facts = look.rows.numbers(name), look.rows.facts(name)
    known = values[~np.isnan(values)]
    grows = abs(order(values)) if look.spec.data.time is not None else 0.0
    whole = bool(len(known)) and bool((known == np.floor(known)).all())
    if grows > MONOTONE and _is_time(known):
        sentence = (
            f"column {name!r} is the row's time as a number: a model of it sees only values that it never saw; name it in data.exclude"
        )
        return Check("timestamp", name, "times as numbers", "no time", facts.present, sentence)
    if whole and facts.different > UNIQUE * facts.present:
        dense = facts.high is not None and facts.low is not None and facts.high - facts.low < 2 * facts.present
        if dense or grows > MONOTONE or _NAMED.search(name):
            sentence = (
                f"column {name!r} is different in {facts.different} of {facts.present} rows, as an identifier is: name it in data.exclude"
            )
            return Check("identifier", name, f"{facts.different} different whole numbers", "no identifier", facts.present, sentence)
    if whole and facts.different > MOST_CATEGORIES and _NAMED.search(name):
        sentence = f"column {name!r} seems to be an identifier ({facts.different} different whole numbers), and is taken as an amount"
        return Check("identifier", name, f"{facts.different} different whole numbers", "an amount", facts.present, sentence, "warn")
    if grows > MONOTONE and facts.different > MOSTLY * facts.present:
        sentence = f"column {name!r} only grows or only falls with time: a model of it sees only values that it never saw"
        return Check("timestamp", name, f"rank correlation with time {grows:.3f}", f"at most {MONOTONE}", facts.present, sentence, "warn")
    return None


def _is_time(values: "np.ndarray[Any, Any]") -> bool:
    """Whether the numbers are seconds (milli-, micro-, nano-) since 1970 of 1990 to 2100, or dates such as 20240131."""
    if not len(values):
        return False
    low, high = float(values.min()), float(values.max())
    if any(first <= low and high <= last for first, last in _EPOCHS):
        return True
    dates = _DATES[0] <= low and high <= _DATES[1] and (values == np.floor(values)).all()
    month, day = values // 100 % 100, values % 100
    return bool(dates and ((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())


def idle(look: Look) -> Iterator[Check]:
    """Features without a value, with one alone, or with values that no model takes."""
    for name in look.features:
        facts = look.rows.facts(name)
        if facts.infinite:
            sentence = f"column {name!r} is infinite in {facts.infinite} of {look.rows.count} rows; a finite number or nothing is allowed"
            yield Check("infinite", name, f"{facts.infinite} infinite", "finite numbers", facts.infinite, sentence)
        elif facts.present == 0:
            sentence = f"column {name!r} is missing in all {look.rows.count} rows and is no feature"
            yield Check("nulls", name, "100.0% of the rows", "a value", look.rows.count, sentence, "warn")
        elif facts.present == look.rows.count and (facts.different == 1 or facts.low == facts.high is not None):
            sentence = f"column {name!r} has the same value in all {look.rows.count} rows"
            yield Check("constant", name, "one value", "at least two", look.rows.count, sentence, "warn")
