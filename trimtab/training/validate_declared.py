"""What the document says of its columns (`data.expect`), held against every row: exact, and a single row can stop the run."""

from collections.abc import Iterator

from trimtab.spec import Expectation
from trimtab.training.checks import Check
from trimtab.training.source import identifier
from trimtab.training.validate_rows import Look

MOST_CATEGORIES = 100
"""More different values than this are no categories."""


def declared(look: Look) -> Iterator[Check]:
    """What is otherwise than it was declared."""
    for expected in look.spec.data.expect:
        name = expected.column
        if name in look.rows.kinds:
            yield from _type(look, expected)
            yield from _nulls(look, expected)
            yield from _range(look, expected)
            yield from _values(look, expected)
            yield from _available(look, expected)
        elif name not in look.spec.data.exclude:
            sentence = f"column {name!r} of data.expect is not in the data; its columns are {', '.join(map(repr, look.rows.kinds))}"
            yield Check("missing", name, "no such column", "as data.expect says", look.rows.count, sentence)


def _type(look: Look, expected: Expectation) -> Iterator[Check]:
    name, facts = expected.column, look.rows.facts(expected.column)
    numeric = expected.type == "number" or expected.min is not None or expected.max is not None
    if numeric and facts.kind != "number" and facts.present:
        wrong = not_numbers(look, name) if facts.kind == "text" else facts.present
        sentence = f"column {name!r} must hold numbers (data.expect), {wrong} of its {facts.present} values are not"
        yield Check("type", name, facts.kind, "number", wrong, sentence)
    if expected.type == "category" and facts.different > MOST_CATEGORIES:
        sentence = f"column {name!r} must hold categories (data.expect), it has {facts.different} different values; "
        yield Check(
            "type", name, f"{facts.different} values", "category", facts.present, sentence + f"at most {MOST_CATEGORIES} are allowed"
        )


def _nulls(look: Look, expected: Expectation) -> Iterator[Check]:
    missing = look.rows.count - look.rows.facts(expected.column).present
    share = missing / look.rows.count
    if expected.nulls is not None and share > expected.nulls:
        allowed, where = f"at most {expected.nulls:.1%}", f"{missing} of {look.rows.count} rows ({share:.1%})"
        sentence = f"column {expected.column!r} is missing in {where}; {allowed} is allowed (data.expect)"
        yield Check("nulls", expected.column, f"{share:.1%}", allowed, missing, sentence)


def _range(look: Look, expected: Expectation) -> Iterator[Check]:
    facts = look.rows.facts(expected.column)
    if facts.kind != "number":
        return
    value = f"CAST({identifier(expected.column)} AS DOUBLE)"
    for bound, word, outside in ((expected.min, "least", "<"), (expected.max, "most", ">")):
        if bound is None:
            continue
        wrong = look.rows.count_where(f"NOT isnan({value}) AND {value} {outside} CAST('{bound!r}' AS DOUBLE)")
        if wrong:
            side = "below" if word == "least" else "above"
            where, allowed = f"in {wrong} of {look.rows.count} rows", f"at {word} {bound:g}"
            sentence = f"column {expected.column!r} is {side} {bound:g} {where}; {allowed} is allowed (data.expect)"
            yield Check("range", expected.column, f"{wrong} rows {side}", allowed, wrong, sentence)


def _values(look: Look, expected: Expectation) -> Iterator[Check]:
    if not expected.values or look.rows.kinds[expected.column] == "other":
        return
    wrong, kinds = others(look, expected.column, expected.values)
    if wrong:
        allowed, known = ", ".join(expected.values), f"none of its {len(expected.values)} values"
        sentence = f"column {expected.column!r} holds {kinds} categories in {wrong} rows that are {known} (data.expect)"
        yield Check(
            "categories", expected.column, f"{kinds} others", allowed if len(allowed) < 200 else f"{allowed[:200]}...", wrong, sentence
        )


def _available(look: Look, expected: Expectation) -> Iterator[Check]:
    if not expected.available and expected.column in look.features:
        sentence = f"column {expected.column!r} is not known when a prediction is asked for (data.expect) and would be a feature: "
        yield Check("available", expected.column, "a feature", "excluded", look.rows.count, sentence + "name it in data.exclude")


def others(look: Look, name: str, known: tuple[str, ...]) -> tuple[int, int]:
    """In how many rows a column holds none of `known` (as text: 1 and 1.0 are "1", true is "true"), and how many different ones."""
    allowed = frozenset(known)
    foreign = [count for value, count in counted(look, name).items() if value not in allowed]
    return sum(foreign), len(foreign)


def counted(look: Look, name: str) -> dict[str, int]:
    """How often each value of a column occurs, by the value as text; nulls are left out."""
    from trimtab.training.frame import label_texts

    column = identifier(name)
    there = f"isfinite(CAST({column} AS DOUBLE))" if look.rows.kinds[name] == "number" else f"{column} IS NOT NULL"
    query = f"SELECT {column} AS value, count(*) AS rows FROM rows WHERE {there} GROUP BY 1"  # noqa: S608
    table = look.rows.connection.sql(query).to_arrow_table()
    found: dict[str, int] = {}
    for value, count in zip(label_texts(table.column("value")).to_pylist(), table.column("rows").to_pylist(), strict=True):
        found[str(value)] = found.get(str(value), 0) + int(count)
    return found


def not_numbers(look: Look, name: str) -> int:
    """How many of a text column's values are no numbers."""
    number = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
    column = identifier(name)
    return look.rows.count_where(f"{column} IS NOT NULL AND NOT regexp_matches({column}, '{number}')")
