"""A first look at unknown data, and the check before anything is started."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.data import last, rows, spec, write
from trimtab.documents import parse_model, read_model
from trimtab.errors import InvalidInput
from trimtab.spec import Gate, ModelSpec
from trimtab.training.check import check
from trimtab.training.inspect import document, inspect


def test_what_is_guessed_of_the_toy_data(tmp_path: Path) -> None:
    guess = inspect(write(tmp_path / "My cases.csv", rows()))
    assert (guess.time, guess.key, guess.label, guess.task) == ("at", "case_id", "amount", "regression")
    assert guess.exclude == ("note",)
    assert guess.sentences[0] == "time: 'at', the first column of dates"
    assert "exclude: 'note', as good as different in every row (400 different texts)" in guess.sentences


def test_the_document_that_is_written_can_be_read_and_trained_on(tmp_path: Path) -> None:
    guess = inspect(write(tmp_path / "My cases.csv", rows()))
    (tmp_path / "model.yaml").write_text(document(guess, None, tmp_path))
    model = read_model(tmp_path / "model.yaml")
    assert (model.name, model.spec.data.label, model.spec.data.exclude) == ("my-cases", "amount", ("note",))
    assert model.spec.data.uri == str(tmp_path / "My cases.csv")
    assert check(model.spec, last()) == last()


def test_a_column_that_moves_with_the_label_is_proposed_as_a_leak(tmp_path: Path) -> None:
    found = [{**row, "open": row["amount"] * 2 + 1} for row in rows()]
    guess = inspect(write(tmp_path / "a.csv", found))
    assert guess.exclude == ("open", "note")
    assert "exclude: 'open', moves with the label: probably known only after it (R2 1)" in guess.sentences


def test_a_row_s_number_and_a_time_as_a_number_are_proposed_to_be_excluded(tmp_path: Path) -> None:
    header = ("at", "case_id", "row", "epoch", "size", "amount")
    found = [{**row, "row": 5000 + index, "epoch": 1_704_067_200 + 3600 * index} for index, row in enumerate(rows())]
    guess = inspect(write(tmp_path / "a.csv", found, header))
    assert guess.exclude == ("row", "epoch")
    assert "exclude: 'row', as good as different in every row (400 different whole numbers)" in guess.sentences
    assert "exclude: 'epoch', a time as a number (times as numbers)" in guess.sentences


@pytest.mark.parametrize(
    ("values", "task"),
    [
        pytest.param(["0", "1"], "binary", id="two numbers"),
        pytest.param(["no", "maybe"], "binary", id="two texts"),
        pytest.param(["a", "b", "c"], "multiclass", id="three texts"),
        pytest.param(["1", "2", "3"], "multiclass", id="three whole numbers"),
        pytest.param(["1.5", "2.5", "3.5"], "regression", id="three fractions"),
        pytest.param([str(index) for index in range(40)], "regression", id="many numbers"),
    ],
)
def test_task(tmp_path: Path, values: list[str], task: str) -> None:
    found = [{**row, "amount": values[index % len(values)]} for index, row in enumerate(rows())]
    assert inspect(write(tmp_path / "a.csv", found), "amount").task == task


def test_a_name_that_yaml_would_misread_is_quoted(tmp_path: Path) -> None:
    header = ("at", "case_id", "size", "colour", "a: b #1")
    path = write(tmp_path / "9.csv", [{**row, "a: b #1": row["amount"]} for row in rows()], header)
    model = parse_model(document(inspect(path), None, tmp_path))
    assert (model.name, model.spec.data.label) == ("model-9", "a: b #1")


@pytest.mark.parametrize(
    ("text", "label", "sentence"),
    [
        pytest.param("", None, "is empty", id="no bytes"),
        pytest.param("a,b\n", None, "is empty: it has a header but no row", id="a header alone"),
        pytest.param("a\n1\n2\n", None, "has the single column 'a'", id="a single column"),
        pytest.param("a,b\n1,2\n", "c", "there is no column 'c' in .*; its columns are 'a', 'b'", id="a label that is not there"),
        pytest.param(
            "a,b\n" + "".join(f"{index},7\n" for index in range(99)), None, "label 'b' has one value only", id="a label with one value"
        ),
        pytest.param("a,b\n" + "x,y\n" * 99, None, "no column of numbers that could be a label; name one with --label", id="text only"),
    ],
)
def test_data_that_cannot_be_described(tmp_path: Path, text: str, label: str | None, sentence: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InvalidInput, match=sentence):
        inspect(tmp_path / "a.csv", label)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no file matches '.*nowhere\.csv'"):
        inspect(tmp_path / "nowhere.csv")


def test_without_a_start_the_newer_rows_are_left_to_be_played(tmp_path: Path) -> None:
    cut = check(spec(write(tmp_path / "a.csv", rows(1000))), None)
    assert last(590) < cut < last(610)


def test_without_times_the_cut_is_now(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    assert check(spec(write(tmp_path / "a.csv", rows()), time=None), None) >= before


@pytest.mark.parametrize(
    ("given", "start", "sentence"),
    [
        pytest.param({"label": "price"}, None, "no column 'price'", id="a label that is not there"),
        pytest.param(
            {},
            datetime(2020, 1, 1, tzinfo=UTC),
            "up to 2020-01-01T00:00:00.00:00 cannot be trained on: the data is empty",
            id="before all rows",
        ),
    ],
)
def test_check_says_what_is_wrong(tmp_path: Path, given: dict[str, Any], start: datetime | None, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        check(spec(write(tmp_path / "a.csv", rows()), **given), start)


def test_check_knows_the_gates(tmp_path: Path) -> None:
    given = spec(write(tmp_path / "a.csv", rows()))
    with pytest.raises(
        InvalidInput, match=r"spec\.gates\[0\]\.slice: there is no column of numbers or texts 'region' in the data; allowed are"
    ):
        check(ModelSpec("regression", given.data, gates=(Gate("rmse", slice="region", max=3),)), None)
