"""What is otherwise than the champion's own rows were: a break, not a drift.

Data moves from month to month, and a retrain is there to follow it. So the bounds are wide (the same as the monitor's where it has
one), and a new season, new shops or a rising demand pass them: `tests/bench/validation.py` measures what does not. What the document
declares of a column takes the place of what the champion says.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from trimtab.schema import Feature
from trimtab.training.checks import Check, Severity
from trimtab.training.frame import label_texts
from trimtab.training.validate_declared import counted, not_numbers
from trimtab.training.validate_rows import Look, meeting, numbers

if TYPE_CHECKING:
    import pyarrow as pa

NULL_RISE = 0.2
"""A share of missing values that rose by more, in all rows, is a break; a quarter of it is told."""
NEWEST = 0.1
NEWEST_NULL_RISE = 0.5
"""The same in the newest tenth of the rows alone: a column that is no longer filled."""
SIGMAS = 4.0
"""Shares differ only where they differ by so many standard errors: 200 rows tell less than 200,000."""
SPANS = 10.0
OUTSIDE_SHARE = 0.05
"""More than 5% of the values farther outside the champion's range than ten times its width is another unit or another thing."""
UNSEEN_STOP, UNSEEN_WARN = 0.5, 0.2
"""New categories are told from 20% of the rows on. New rows may bring them; where most rows of a time that the champion has seen
hold some, the column holds something else."""


def changes(look: Look) -> Iterator[Check]:
    """Header, types, missing values, ranges and categories against the champion's; of one column the first break alone."""
    if look.champion is None:
        return
    known = [feature for feature in look.champion.schema.features if feature.name not in look.spec.data.exclude]
    yield from _header(look, known)
    for feature in known:
        if feature.name in look.rows.kinds:
            found = next(iter(_breaks(look, feature)), None)
            if found is not None:
                yield found


def _header(look: Look, known: list[Feature]) -> Iterator[Check]:
    missing = [feature.name for feature in known if feature.name not in look.rows.kinds]
    if missing:
        new = sorted({*look.features} - {feature.name for feature in known})
        hint = f"; new are {', '.join(map(repr, new))}" if new else ""
        named = ", ".join(map(repr, missing))
        sentence = f"the data's header has changed: {named} are missing that the champion was trained on{hint}"
        yield Check("missing", missing[0] if len(missing) == 1 else "", "no such column", f"the columns {named}", look.rows.count, sentence)


def _breaks(look: Look, feature: Feature) -> Iterator[Check]:
    declared = look.declared.get(feature.name)
    facts = look.rows.facts(feature.name)
    if feature.kind == "number" and facts.kind != "number" and facts.present:
        if declared is None or declared.type is None:
            garbage = not_numbers(look, feature.name) if facts.kind == "text" else facts.present
            sentence = f"column {feature.name!r} was a number for the champion, now {garbage} of {look.rows.count} rows hold other text"
            yield Check("type", feature.name, facts.kind, "number", garbage, sentence)
        return
    reference = _reference(look, feature.name)
    if reference is not None and (declared is None or declared.nulls is None):
        yield from _nulls(look, feature.name, reference)
    if not facts.present:
        return
    if feature.kind == "number" and reference is not None and (declared is None or declared.min is declared.max is None):
        yield from _range(look, feature.name, reference)
    if feature.kind == "category" and (declared is None or not declared.values):
        yield from _categories(look, feature)


def _reference(look: Look, name: str) -> Any:
    reference = look.champion.reference if look.champion is not None else None
    return reference.column(name) if reference is not None and name in reference.column_names and reference.num_rows else None


def _nulls(look: Look, name: str, reference: Any) -> Iterator[Check]:
    usual, count = _missing(reference) / len(reference), look.rows.count
    missing = count - look.rows.facts(name).present
    newest = look.rows.newest(NEWEST).column(name)
    late = _missing(newest) / max(1, len(newest))
    risen = [
        (late, round(late * count * NEWEST), len(newest), NEWEST_NULL_RISE, f"the newest {NEWEST:.0%} of the rows"),
        (missing / count, missing, count, NULL_RISE, "the rows"),
    ]
    for severity, part in (("stop", 1.0), ("warn", 0.25)):
        for share, rows, number, stop, where in risen:
            error = math.sqrt(usual * (1 - usual) / len(reference) + share * (1 - share) / max(1, number))
            if share - usual > max(stop * part, SIGMAS * error):
                allowed = f"at most {min(1.0, usual + stop):.1%}"
                sentence = f"column {name!r} is missing in {share:.1%} of {where}, in {usual:.1%} of the champion's; {allowed} is allowed"
                yield Check("nulls", name, f"{share:.1%} of {where}", allowed, rows, sentence, _severity(severity == "stop"))
                return


def _range(look: Look, name: str, reference: Any) -> Iterator[Check]:
    import numpy as np

    known = numbers(reference)
    known = known[~np.isnan(known)]
    values = look.rows.numbers(name)
    values = values[~np.isnan(values)]
    if not len(known) or not len(values):
        return
    low, high = float(known.min()), float(known.max())
    span = (high - low) or max(abs(high), 1.0)
    outside = (values < low - SPANS * span) | (values > high + SPANS * span)
    late = outside[len(outside) - max(1, int(len(outside) * NEWEST)) :]
    share = float(outside.mean())
    if share > OUTSIDE_SHARE or (float(late.mean()) > UNSEEN_STOP and late.sum() >= 1 / OUTSIDE_SHARE):
        rows = round(share * look.rows.facts(name).present)
        allowed = f"{low - SPANS * span:.4g} to {high + SPANS * span:.4g}"
        sentence = (
            f"column {name!r} is more than {SPANS:g} times its width outside the champion's range in about {rows} rows ({share:.1%}): "
            "another unit, or another thing?"
        )
        yield Check("range", name, f"{share:.1%} outside", allowed, rows, sentence)


def _categories(look: Look, feature: Feature) -> Iterator[Check]:
    known, name = frozenset(feature.categories), feature.name
    found = counted(look, name)
    total, foreign = sum(found.values()), {value: rows for value, rows in found.items() if value not in known}
    unseen = sum(foreign.values())
    respelled = {_plain(value) for value in known}
    again = sum(rows for value, rows in foreign.items() if _plain(value) in respelled)
    share = unseen / max(1, total)
    met = meeting(look)
    foreign_then = _unseen(met.rows.column(name), known) if met is not None and met.same else 0.0
    allowed = f"the champion's {len(known)} categories"
    if again > OUTSIDE_SHARE * total:
        sentence = f"column {name!r} spells the champion's categories otherwise (case, spaces, signs or zeros) in {again} of {total} rows"
        yield Check("categories", name, f"{again} rows in another spelling", allowed, again, sentence)
    elif share > UNSEEN_WARN:
        sentence = f"column {name!r} holds {len(foreign)} categories that the champion never saw in {unseen} of {total} rows ({share:.0%})"
        yield Check("categories", name, f"{share:.0%} unseen", allowed, unseen, sentence, _severity(foreign_then > UNSEEN_STOP))


def _unseen(column: Any, known: frozenset[str]) -> float:
    """The share of a column's values that are none of `known`."""
    import pyarrow.compute as pc

    counts = pc.value_counts(label_texts(column.drop_null()))
    found: dict[str, int] = {item["values"]: item["counts"] for item in counts.to_pylist()}
    return sum(count for value, count in found.items() if value not in known) / max(1, sum(found.values()))


def _plain(category: str) -> str:
    """A category without what a change of spelling changes; a number is its value."""
    text = "".join(character for character in category.casefold() if character.isalnum() or character in ".-")
    try:
        return f"{float(text):g}"
    except ValueError:
        return text.replace(".", "").replace("-", "")


def _missing(column: "pa.ChunkedArray") -> int:
    """How many values are null or NaN."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.is_null(column, nan_is_null=True)).as_py() or 0)


def _severity(stop: bool) -> Severity:
    return "stop" if stop else "warn"
