"""Whether the label is what is to be predicted, and still what it was: its kind, its classes, its level, its tie to the features."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from trimtab.training.checks import Check, Severity
from trimtab.training.frame import classes_of, kind_of, targets
from trimtab.training.source import identifier
from trimtab.training.validate_declared import MOST_CATEGORIES, counted, not_numbers
from trimtab.training.validate_leaks import encoded, labels
from trimtab.training.validate_rows import Look, meeting, numbers
from trimtab.training.validate_stats import Floats, rank_correlation, told_together

SHARE_MOVED = 0.2
"""By how much a class's share, among rows of a time that the champion has seen, may differ; of other rows the odds by 20 times."""
ODDS_MOVED = math.log(20.0)
DEVIATIONS = 3.0
"""By how many of its standard deviations the mean of a regression's label may differ among rows of a time that the champion has seen."""
SIGMAS = 4.0
KEPT = 0.5
"""Of each class, so many rows that the champion knew must still be of it; the rank correlation of amounts must be so high."""
TIED, LOOSE, PLAIN = 1.5, 1.3, 3.0
"""Features are tied to a label of which they tell 1.5 times as much as of any shuffled one, and no longer where it is less than 1.3
times; it is said only where what they told is three times what chance tells of so few rows."""
_MATCHED, _LEAST = 40, 5
_SHUFFLES = 10
_TIE_ROWS, _ROWS = 200, 20_000
_SEED = 7


def label(look: Look) -> Iterator[Check]:
    """What is wrong with the label itself."""
    name, facts = look.spec.data.label, look.rows.facts(look.spec.data.label)
    if facts.infinite:
        sentence = f"label {name!r} is infinite in {facts.infinite} of {look.rows.count} rows; a finite number is allowed"
        yield Check("label", name, f"{facts.infinite} infinite", "finite numbers", facts.infinite, sentence)
        return
    if look.spec.task == "regression":
        if facts.kind != "number":
            garbage = not_numbers(look, name) if facts.kind == "text" else facts.present
            sentence = f"label {name!r} must be a number in a regression, {garbage} of {look.rows.count} rows hold other text"
            yield Check("label", name, facts.kind, "number", garbage, sentence)
        elif facts.low == facts.high:
            yield _one_value(look)
        return
    if facts.kind == "other":
        sentence = f"label {name!r} holds dates, lists or bytes; a text, a number or a truth value is allowed in a classification"
        yield Check("label", name, "another type", "text, number or truth value", look.rows.count, sentence)
        return
    classes = look.rows.different(name)
    if classes == 1:
        yield _one_value(look)
    elif look.spec.task == "binary" and classes != 2:
        sentence = f"label {name!r} has {classes} different values, a binary task needs exactly 2"
        yield Check("label", name, f"{classes} values", "2 values", look.rows.count, sentence)
    elif classes > MOST_CATEGORIES:
        sentence = f"label {name!r} has {classes} different values, a multiclass task takes at most {MOST_CATEGORIES}"
        yield Check("label", name, f"{classes} values", f"at most {MOST_CATEGORIES}", look.rows.count, sentence)


def _one_value(look: Look) -> Check:
    name = look.spec.data.label
    sentence = f"label {name!r} has one value only in all {look.rows.count} rows"
    return Check("label", name, "one value", "at least two", look.rows.count, sentence)


def moved(look: Look) -> Iterator[Check]:
    """What the label no longer is that it was for the champion."""
    if _known(look) is None:
        return
    if look.spec.task == "regression":
        yield from _mean(look)
    else:
        yield from _classes(look)


def _known(look: Look) -> Any:
    """The champion's reference, if it has the label, and it is of the same kind."""
    reference, name = look.champion.reference if look.champion is not None else None, look.spec.data.label
    if reference is None or name not in reference.column_names or reference.num_rows == 0:
        return None
    return reference if kind_of(reference.schema.field(name)) == look.rows.kinds[name] else None


def _mean(look: Look) -> Iterator[Check]:
    name, met = look.spec.data.label, meeting(look)
    if met is None or not met.same:
        return
    before, now = (found[~np.isnan(found)] for found in (numbers(table.column(name)) for table in (met.reference, met.rows)))
    if min(len(before), len(now)) < 2:
        return
    spread = float(before.std()) or 1.0
    by = abs(float(now.mean() - before.mean())) / spread
    if by > DEVIATIONS:
        sentence = f"label {name!r} has moved by {by:.1f} of its standard deviations in rows of a time that the champion was trained on; "
        sentence += f"at most {DEVIATIONS:g} is allowed: is it still the same label?"
        yield Check("label", name, f"{by:.1f} deviations", f"at most {DEVIATIONS:g}", len(now), sentence)


def _classes(look: Look) -> Iterator[Check]:
    name, schema = look.spec.data.label, look.champion.schema if look.champion else None
    if schema is None or schema.task != look.spec.task or schema.label != name:
        return
    found = counted(look, name)
    foreign = {value: rows for value, rows in found.items() if value not in schema.classes}
    if foreign and look.spec.task == "binary":
        rows = sum(foreign.values())
        sentence = f"label {name!r} holds {len(foreign)} classes that the champion does not know, in {rows} of {look.rows.count} rows"
        yield Check("label", name, f"{len(foreign)} other classes", "the champion's classes", rows, sentence)
        return
    met = meeting(look)
    if met is None:
        return
    before, now = (_shares(table.column(name), schema.classes) for table in (met.reference, met.rows))
    for value, usual, share in zip(schema.classes, before, now, strict=True):
        error = math.sqrt((usual * (1 - usual) + share * (1 - share)) / met.reference.num_rows)
        by = abs(share - usual)
        odds = abs(_logit(share) - _logit(usual))
        if by > SIGMAS * error and by > (SHARE_MOVED if met.same else SHARE_MOVED / 2) and (met.same or odds > ODDS_MOVED):
            sentence = f"label {name!r} is class {schema.classes.index(value) + 1} of {len(schema.classes)} in {share:.1%} of the rows, "
            sentence += f"in {usual:.1%} of the champion's" + (" of the same time" if met.same else "") + ": is it still the same label?"
            yield Check("label", name, f"{share:.1%}", f"about {usual:.1%}", round(share * look.rows.count), sentence)
            return


def _shares(column: Any, classes: tuple[str, ...]) -> list[float]:
    codes = targets("binary", classes, column)
    known = codes[~np.isnan(codes)]
    return [float((known == number).mean()) if len(known) else 0.0 for number in range(len(classes))]


def _logit(share: float) -> float:
    share = min(max(share, 1e-4), 1 - 1e-4)
    return math.log(share / (1 - share))


def changed(look: Look) -> Iterator[Check]:
    """Whether rows that the champion was trained on still have the label that they had; rows are found again by their key.

    Labels are corrected (a fraud is found late), but not most of a class, and an amount stays in the order of amounts.
    """
    key, name, reference = look.spec.data.key, look.spec.data.label, _known(look)
    if key is None or reference is None or key == name or key not in reference.column_names:
        return
    before, now = _matched(look, reference, key, name)
    if len(before) < _MATCHED:
        return
    if look.spec.task == "regression":
        kept = rank_correlation(before, now)
        found = f"rank correlation {kept:.2f}"
    else:
        shares = [float((now[before == number] == number).mean()) for number in np.unique(before) if (before == number).sum() >= _LEAST]
        kept = min(shares, default=1.0)
        found = f"{kept:.0%} of a class kept"
    if kept < KEPT:
        sentence = f"label {name!r} is another one in {len(before)} rows that the champion knew ({found}, at least {KEPT:.0%} is allowed): "
        yield Check("label", name, found, f"at least {KEPT:.0%}", look.rows.count, sentence + "shuffled, or joined wrongly?")


def _matched(look: Look, reference: Any, key: str, name: str) -> tuple[Floats, Floats]:
    """The labels, as numbers, that the reference's rows had and have."""
    look.rows.connection.register("known", reference.select([key, name]).rename_columns(["key", "then"]))
    joined = f"rows JOIN known ON CAST(rows.{identifier(key)} AS VARCHAR) = CAST(known.key AS VARCHAR)"
    query = f"SELECT known.then AS before, rows.{identifier(name)} AS now FROM {joined}"  # noqa: S608
    table = look.rows.connection.sql(query).to_arrow_table()
    both = [_values(look, table.column(which)) for which in ("before", "now")]
    known = ~np.isnan(both[0]) & ~np.isnan(both[1])
    return both[0][known], both[1][known]


def _values(look: Look, column: Any) -> Floats:
    if look.spec.task == "regression":
        return numbers(column)
    return targets(look.spec.task, classes_of(look.rows.sample.column(look.spec.data.label)), column)


def tie(look: Look) -> Iterator[Check]:
    """Whether a label that features told something of (for the champion, or in the older rows) is one that none tells anything of.

    Shuffled or wrongly joined labels look like this. In all rows it stops the run; in the newest fifth alone it is told, because a
    world that changed looks like it too.
    """
    sample, name = look.rows.sample, look.spec.data.label
    fifth = sample.num_rows // 5
    parts: list[tuple[Any, Any, Severity]] = [(sample.slice(0, sample.num_rows - fifth), sample.slice(sample.num_rows - fifth), "warn")]
    if (reference := _known(look)) is not None:
        parts.insert(0, (reference, sample, "stop"))
    for before, now, severity in parts:
        if min(before.num_rows, now.num_rows) < _TIE_ROWS:
            continue
        told, noise = _told(before, look)
        left, bound = _told(now, look) if told > TIED * noise else (1.0, 0.0)
        if left <= LOOSE * bound and told > PLAIN * bound:
            stops = severity == "stop"
            where, count = ("all rows", look.rows.count) if stops else ("the newest fifth of the rows", look.rows.count // 5)
            sentence = f"the features tell nothing of label {name!r} any more in {where}; they told {told:.2f} of it "
            sentence += f"{'for the champion' if stops else 'before'}: shuffled, or joined wrongly?"
            yield Check("label", name, "no tie to any feature", f"at least {bound:.3f}", count, sentence, severity)
            return


def _told(table: Any, look: Look) -> tuple[float, float]:
    """What the features together tell of the label, and the most that they told of ten shuffled ones."""
    import pyarrow as pa

    draw = np.random.default_rng(_SEED)
    if table.num_rows > _ROWS:
        table = table.take(pa.array(np.sort(draw.choice(table.num_rows, _ROWS, replace=False))))
    label, classes = labels(table, look)
    kept = ~np.isnan(label)
    features, label = list(encoded(table, look, kept).values()), label[kept]
    noise = max(told_together(features, draw.permutation(label), classes) for _ in range(_SHUFFLES))
    return told_together(features, label, classes), max(noise, 1.0 / max(1, len(label)))
