"""What makes data unfit to train on, a sentence each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.data import HEADER, last, rows, spec, write
from trimtab.schema import Feature, Schema
from trimtab.spec import Task
from trimtab.training.checks import sentences
from trimtab.training.ingest import read
from trimtab.training.validate import validate
from trimtab.training.validate_rows import Champion

FEATURES = (Feature("size", "number"), Feature("colour", "category", ("blue", "green", "red")), Feature("open", "number"))
CHAMPION = Champion(Schema("regression", "amount", FEATURES))
Row = dict[str, Any]


def every(column: str, value: Callable[[int], Any]) -> Callable[[list[Row]], list[Row]]:
    return lambda found: [{**row, column: value(index)} for index, row in enumerate(found)]


CASES: list[Any] = [
    pytest.param(lambda found: found, "regression", {}, [], id="sound data has no sentence"),
    pytest.param(lambda found: found[:20], "regression", {}, ["only 20 rows have a label"], id="too few rows"),
    pytest.param(lambda _: [], "regression", {}, ["the data is empty"], id="a header and nothing else"),
    pytest.param(every("amount", lambda _: 3), "regression", {}, ["label 'amount' has one value only"], id="a label with one value"),
    pytest.param(every("amount", lambda _: "yes"), "binary", {}, ["label 'amount' has one value only"], id="a class label with one value"),
    pytest.param(
        every("amount", lambda index: index % 3),
        "binary",
        {},
        ["has 3 different values, a binary task needs exactly 2"],
        id="three classes",
    ),
    pytest.param(every("amount", lambda index: index % 2), "binary", {}, [], id="two classes"),
    pytest.param(
        every("amount", lambda index: "oops" if index == 50 else index),
        "regression",
        {},
        ["label 'amount' must be a number in a regression, 1 of 200 rows hold other text"],
        id="text in a regression's label",
    ),
    pytest.param(
        every("case_id", lambda index: f"k{index // 2}"),
        "regression",
        {},
        ["key 'case_id' is not unique: 100 rows repeat another row's key"],
        id="duplicate keys",
    ),
    pytest.param(
        every("size", lambda index: "###" if index % 40 == 0 else index),
        "regression",
        {},
        ["column 'size' holds numbers, but 5 of its 200 values are other text"],
        id="garbage among numbers",
    ),
    pytest.param(
        lambda found: found,
        "regression",
        {"exclude": ()},
        ["text column 'note' has 200 different values in 200 rows: name it in data.exclude"],
        id="free text",
    ),
    pytest.param(
        lambda found: found,
        "regression",
        {"exclude": ("size", "colour", "open", "note")},
        ["no column is left for a feature"],
        id="everything is excluded",
    ),
]


@pytest.mark.parametrize(("change", "task", "data", "expected"), CASES)
def test_sentences(tmp_path: Path, change: Callable[[list[Row]], list[Row]], task: Task, data: Row, expected: list[str]) -> None:
    found = spec(write(tmp_path / "a.csv", change(rows(200))), task, **data)
    table, unlabelled = read(found.data, last())
    said = sentences(validate(table, found, unlabelled))
    assert len(said) == len(expected), said
    for sentence, part in zip(said, expected, strict=True):
        assert part in sentence


@pytest.mark.parametrize(
    ("change", "header", "expected"),
    [
        pytest.param(lambda found: found, HEADER, [], id="the same header"),
        pytest.param(
            lambda found: [{**row, "SIZE": row["size"]} for row in found],
            tuple("SIZE" if name == "size" else name for name in HEADER),
            ["the data's header has changed: 'size' are missing that the champion was trained on; new are 'SIZE'"],
            id="a renamed column",
        ),
        pytest.param(
            every("size", lambda index: f"about {index % 7}"),
            HEADER,
            ["column 'size' was a number for the champion, now 200 of 200 rows hold other text"],
            id="a number that became text",
        ),
    ],
)
def test_changes_since_the_champion(
    tmp_path: Path, change: Callable[[list[Row]], list[Row]], header: tuple[str, ...], expected: list[str]
) -> None:
    found = spec(write(tmp_path / "a.csv", change(rows(200)), header))
    assert list(sentences(validate(read(found.data, last())[0], found, 0, CHAMPION))) == expected


def test_a_column_excluded_since_then_is_no_change(tmp_path: Path) -> None:
    found = spec(write(tmp_path / "a.csv", rows(200)), exclude=("note", "size"))
    assert sentences(validate(read(found.data, last())[0], found, 0, CHAMPION)) == ()
