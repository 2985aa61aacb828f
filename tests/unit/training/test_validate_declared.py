"""What `data.expect` says is held against every row, and one row is enough."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.data import last, rows, spec, write
from trimtab.spec import Expectation
from trimtab.training.checks import Check, sentences
from trimtab.training.ingest import read
from trimtab.training.validate import validate

E = Expectation


def found(path: Path, expect: tuple[Expectation, ...], change: dict[int, dict[str, Any]] | None = None, **data: Any) -> list[Check]:
    made = [{**row, **(change or {}).get(index, {})} for index, row in enumerate(rows(200))]
    asked = spec(write(path / "a.csv", made), expect=expect, **data)
    return [check for check in validate(read(asked.data, last())[0], asked) if check.severity == "stop"]


@pytest.mark.parametrize(
    ("expect", "change"),
    [
        pytest.param(E("size", type="number", min=0, max=10, nulls=0.02), {}, id="numbers in their range, few missing"),
        pytest.param(E("colour", type="category", values=("red", "green", "blue")), {}, id="all categories declared"),
        pytest.param(E("open", values=("true", "false")), {}, id="truth values as text"),
        pytest.param(E("amount", min=-10), {}, id="the label"),
        pytest.param(E("note", min=0, available=False), {}, id="an excluded column is not kept, and not looked at"),
        pytest.param(E("size", max=10), {3: {"size": ""}}, id="what is missing is not out of range"),
    ],
)
def test_what_is_as_declared(tmp_path: Path, expect: Expectation, change: dict[int, dict[str, Any]]) -> None:
    assert found(tmp_path, (expect,), change) == []


@pytest.mark.parametrize(
    ("expect", "change", "check", "count", "sentence"),
    [
        pytest.param(
            E("size", max=10),
            {5: {"size": 11}},
            "range",
            1,
            "column 'size' is above 10 in 1 of 200 rows; at most 10 is allowed (data.expect)",
            id="one value above",
        ),
        pytest.param(
            E("size", min=0),
            {5: {"size": -1}, 6: {"size": -2}},
            "range",
            2,
            "column 'size' is below 0 in 2 of 200 rows; at least 0 is allowed (data.expect)",
            id="two values below",
        ),
        pytest.param(
            E("size", nulls=0.01),
            {},
            "nulls",
            4,
            "column 'size' is missing in 4 of 200 rows (2.0%); at most 1.0% is allowed (data.expect)",
            id="more missing than declared",
        ),
        pytest.param(
            E("colour", values=("red", "green")),
            {},
            "categories",
            None,
            "that are none of its 2 values (data.expect)",
            id="a category that was not declared",
        ),
        pytest.param(
            E("colour", type="number"),
            {},
            "type",
            196,
            "column 'colour' must hold numbers (data.expect), 196 of its 196 values are not",
            id="text",
        ),
        pytest.param(E("colour", min=0), {}, "type", 196, "column 'colour' must hold numbers (data.expect)", id="a bound of text"),
        pytest.param(
            E("size", type="category"),
            {},
            "type",
            196,
            "column 'size' must hold categories (data.expect), it has 196 different values; at most 100 are allowed",
            id="numbers that are no categories",
        ),
        pytest.param(
            E("price"),
            {},
            "missing",
            200,
            "column 'price' of data.expect is not in the data; its columns are 'at', 'case_id',",
            id="no such column",
        ),
        pytest.param(
            E("open", available=False),
            {},
            "available",
            200,
            "column 'open' is not known when a prediction is asked for (data.expect) and would be a feature: name it in data.exclude",
            id="not available, and not excluded",
        ),
    ],
)
def test_what_is_otherwise(
    tmp_path: Path, expect: Expectation, change: dict[int, dict[str, Any]], check: str, count: int | None, sentence: str
) -> None:
    (said,) = found(tmp_path, (expect,), change)
    assert (said.check, said.column, said.severity) == (check, expect.column, "stop")
    assert sentence in said.sentence
    assert said.rows == count or count is None


def test_a_leak_that_is_declared_to_be_known_in_time_is_only_told(tmp_path: Path) -> None:
    made = [{**row, "open": row["amount"] * 2} for row in rows(400)]
    asked = spec(write(tmp_path / "a.csv", made))
    declared = spec(tmp_path / "a.csv", expect=(E("open"),))
    (leak,) = validate(read(asked.data, last())[0], asked)
    assert (leak.check, leak.column, leak.severity) == ("leak", "open", "stop")
    assert "name it in data.exclude, or in data.expect if it is known when a prediction is asked for" in leak.sentence
    told = validate(read(declared.data, last())[0], declared)
    assert [(check.check, check.severity) for check in told] == [("leak", "warn")]
    assert sentences(told) == ()


def test_a_number_that_grows_with_each_row_and_is_declared_is_only_told(tmp_path: Path) -> None:
    header = ("at", "case_id", "trend", "size", "amount")
    made = [{**row, "trend": index} for index, row in enumerate(rows(400))]
    path = write(tmp_path / "a.csv", made, header)
    severities = []
    for expect in ((), (E("trend", "number"),)):
        asked = spec(path, exclude=(), expect=expect)
        severities += [(check.check, check.severity) for check in validate(read(asked.data, last())[0], asked) if check.column == "trend"]
    assert severities == [("identifier", "stop"), ("identifier", "warn")]
