from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from trimtab.monitoring.columns import table
from trimtab.monitoring.quality import breaks
from trimtab.schema import Schema

from .folders import FEATURES, instances

SCHEMA = Schema("regression", "y", FEATURES)
Change = Callable[[int, dict[str, Any]], dict[str, Any]]


def put(column: str, value: Any, share: float = 1.0) -> Change:
    return lambda number, row: {**row, column: value} if number < share * 100 else row


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda _, row: row, [], id="rows like the reference's"),
        pytest.param(lambda _, row: {name: row[name] for name in row if name != "heat"}, [("heat", "missing")], id="a column is gone"),
        pytest.param(put("heat", None, 0.25), [("heat", "nulls")], id="a quarter is null"),
        pytest.param(put("heat", None, 0.15), [], id="a few nulls are no break"),
        pytest.param(put("load", "1.5", 0.1), [("load", "type")], id="a tenth of the numbers is text"),
        pytest.param(put("load", "1.5", 0.02), [], id="one caller's text is no break"),
        pytest.param(lambda _, row: {**row, "heat": row["heat"] * 1000}, [("heat", "unit")], id="another unit"),
        pytest.param(put("heat", 1e308, 0.01), [], id="a single absurd value is no break"),
        pytest.param(put("heat", 10**400, 0.1), [("heat", "range")], id="numbers beyond a float"),
        pytest.param(lambda _, row: {**row, "load": row["load"] + 2.0}, [], id="a moved number is drift, no break"),
        pytest.param(put("site", "south", 0.3), [("site", "unseen")], id="a third of the categories is new"),
        pytest.param(put("site", "south", 0.1), [], id="a few new categories are drift"),
        pytest.param(
            lambda _, row: {**row, "load": "x", "site": "south"}, [("load", "type"), ("site", "unseen")], id="two columns at once"
        ),
    ],
)
def test_breaks(generator: np.random.Generator, change: Change, expected: list[tuple[str, str]]) -> None:
    sample = instances(generator, 2000)
    reference = table(SCHEMA, sample, [0.0] * 2000)
    rows = [change(number, row) for number, row in enumerate(instances(generator, 100))]
    found = breaks(SCHEMA, reference, rows)
    assert [(item.column, item.check) for item in found] == expected
    assert all(repr(item.column) in item.sentence for item in found)


def test_fewer_than_30_rows_are_not_judged(generator: np.random.Generator) -> None:
    sample = instances(generator, 100)
    assert breaks(SCHEMA, table(SCHEMA, sample, [0.0] * 100), [{}] * 29) == []


def test_nulls_that_are_usual_are_no_break(generator: np.random.Generator) -> None:
    sample = [{**row, "heat": None if number % 2 else row["heat"]} for number, row in enumerate(instances(generator, 400))]
    reference = table(SCHEMA, sample, [0.0] * 400)
    assert breaks(SCHEMA, reference, sample[:100]) == []


def test_a_missing_column_names_those_that_nobody_knows(generator: np.random.Generator) -> None:
    reference = table(SCHEMA, instances(generator, 400), [0.0] * 400)
    rows = [{**{name: value for name, value in row.items() if name != "heat"}, "heat_c": 1.0} for row in instances(generator, 100)]
    assert "'heat_c'" in breaks(SCHEMA, reference, rows)[0].sentence
    assert breaks(SCHEMA, reference, [{**row, "heat_c": 1.0} for row in instances(generator, 100)]) == []


@pytest.mark.parametrize(
    ("change", "span", "expected"),
    [
        pytest.param(put("heat", 1.25), 0.05, ["heat"], id="a sensor stands still"),
        pytest.param(put("heat", 1.25, 0.6), 0.05, ["heat"], id="for more than half of the window"),
        pytest.param(put("heat", 1.25, 0.4), 0.05, [], id="for less"),
        pytest.param(put("heat", 1.25), 0.0, [], id="nobody knows how long the window is"),
        pytest.param(put("site", "east"), 0.05, [], id="rows of one site alone are no break"),
    ],
)
def test_stuck(generator: np.random.Generator, change: Change, span: float, expected: list[str]) -> None:
    reference = table(SCHEMA, instances(generator, 2000), [0.0] * 2000)
    rows = [change(number, row) for number, row in enumerate(instances(generator, 100))]
    found = breaks(SCHEMA, reference, rows, span)
    assert [item.column for item in found] == expected
    assert all("is the sensor stuck?" in item.sentence for item in found)


def test_a_column_that_stands_still_by_itself_is_not_stuck(generator: np.random.Generator) -> None:
    sample = [{**row, "heat": float(number // 170)} for number, row in enumerate(instances(generator, 2000))]
    reference = table(SCHEMA, sample, [0.0] * 2000)
    rows = [{**row, "heat": 11.0} for row in instances(generator, 100)]
    assert breaks(SCHEMA, reference, rows, 0.05) == []
