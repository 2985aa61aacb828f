"""Fitting: the same again from the same rows, nothing learned from the holdout, and the predictor's own encoding."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec.structs import astuple

from tests.unit.training.data import last, rows, spec, write
from trimtab.errors import InvalidInput
from trimtab.manifest import sha256
from trimtab.schema import encode, read_schema
from trimtab.spec import ModelSpec, Task
from trimtab.training.fit import derive, fit
from trimtab.training.frame import holdout, matrix
from trimtab.training.ingest import read
from trimtab.training.model import load_skops, predict
from trimtab.training.scores import metrics


def toy(folder: Path, found: list[dict[str, Any]] | None = None, task: Task = "regression", **data: Any) -> tuple[Any, ModelSpec]:
    """The table and the spec of the toy data."""
    given = spec(write(folder / "a.csv", found or rows()), task, **data)
    return read(given.data, last())[0], given


def test_the_schema_is_derived_from_the_training_rows(tmp_path: Path) -> None:
    found = [{**row, "colour": "black"} if index > 390 else row for index, row in enumerate(rows())]
    schema = derive(*toy(tmp_path, found))
    assert [(feature.name, feature.kind) for feature in schema.features] == [("size", "number"), ("colour", "category"), ("open", "number")]
    assert schema.features[1].categories == ("blue", "green", "red")
    assert (schema.label, schema.key, schema.time, schema.format) == ("amount", "case_id", "at", "xgboost")


def test_columns_of_a_table_are_encoded_as_rows_are_for_the_predictor(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    schema = derive(table, given)
    records = [{**record, "at": None} for record in table.to_pylist()]
    records[0]["colour"] = "never seen"
    changed = table.set_column(table.column_names.index("colour"), "colour", [[record["colour"] for record in records]])
    np.testing.assert_array_equal(matrix(schema, changed), np.array(encode(schema, records), dtype=np.float32))
    assert np.isnan(matrix(schema, changed)).sum() > 10


def test_the_same_rows_and_seed_give_the_same_file(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        fit(table, given, tmp_path / name, seed)
    digests = [sha256(tmp_path / name / "model.json") for name in ("one", "two", "three")]
    assert digests[0] == digests[1] != digests[2]


def test_the_holdout_is_never_seen(tmp_path: Path) -> None:
    first = 320
    spoiled = [{**row, "amount": -1e6, "size": 99} if index >= first else row for index, row in enumerate(rows())]
    for name, found in (("one", rows()), ("two", spoiled)):
        (tmp_path / name).mkdir()
        fit(*toy(tmp_path / name, found), tmp_path / name, 7)
    assert sha256(tmp_path / "one" / "model.json") == sha256(tmp_path / "two" / "model.json")


def test_a_regression_learns_what_is_there(tmp_path: Path) -> None:
    table, given = toy(tmp_path, rows(1000))
    fit(table, given, tmp_path / "model", 7)
    held = table.slice(320)
    found = metrics("regression", held.column("amount").to_numpy(), predict(tmp_path / "model", held))
    assert found["rmse"] < 2.0
    assert found["r2"] > 0.9


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        pytest.param(("0", "1"), "binary", ("0", "1"), id="numbers"),
        pytest.param(("false", "true"), "binary", ("false", "true"), id="truth values"),
        pytest.param(("stays", "leaves"), "binary", ("leaves", "stays"), id="text, in the order of the alphabet"),
        pytest.param(("2", "10", "1"), "multiclass", ("1", "2", "10"), id="several numbers, in the order of numbers"),
    ],
)
def test_classes(tmp_path: Path, values: tuple[str, ...], task: Task, classes: tuple[str, ...]) -> None:
    found = rows()
    for row in found:
        row["amount"] = values[min(int(row["amount"] // 15), len(values) - 1)]
    table, given = toy(tmp_path, found, task)
    fit(table, given, tmp_path / "model", 7)
    schema = read_schema(tmp_path / "model")
    assert schema.classes == classes
    predictions = predict(tmp_path / "model", table)
    assert predictions.shape == ((400,) if task == "binary" else (400, len(classes)))
    best = (predictions > 0.5).astype(int) if task == "binary" else predictions.argmax(axis=1)
    right = [classes[place] == str(label).lower() for place, label in zip(best, table.column("amount").to_pylist(), strict=True)]
    assert sum(right) > 380


def test_a_broken_model_file_is_one_sentence(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    fit(table, given, tmp_path / "model", 7)
    (tmp_path / "model" / "model.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"model\.json of the model in 'model' cannot be read"):
        predict(tmp_path / "model", table)


def test_a_missing_feature_is_named(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    with pytest.raises(InvalidInput, match="the feature 'size' is missing; the columns are"):
        matrix(derive(table, given), table.drop_columns(["size"]))


class Foreign:
    """A type that a pipeline must not smuggle in."""

    def __init__(self) -> None:
        self.value = 1


def test_a_pipeline_with_foreign_types_is_not_loaded(tmp_path: Path) -> None:
    import skops.io

    skops.io.dump(Foreign(), tmp_path / "model.skops")
    with pytest.raises(InvalidInput, match=r"holds .*Foreign: only types of sklearn, numpy, scipy are loaded"):
        load_skops(tmp_path / "model.skops")


def test_a_pipeline_predicts_from_raw_values(tmp_path: Path) -> None:
    import skops.io
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    from trimtab.training.model import raw_frame

    table, given = toy(tmp_path)
    schema = msgspec.structs.replace(derive(table, given), format="skops")
    columns = ColumnTransformer([("text", OneHotEncoder(), ["colour"]), ("number", SimpleImputer(), ["size", "open"])])
    fitted = make_pipeline(columns, LinearRegression()).fit(raw_frame(schema, table), table.column("amount").to_numpy())
    skops.io.dump(fitted, tmp_path / "model.skops")
    (tmp_path / "schema.json").write_bytes(msgspec.json.encode(schema))
    assert metrics("regression", table.column("amount").to_numpy(), predict(tmp_path, table))["r2"] > 0.8
    unknown = table.set_column(table.column_names.index("colour"), "colour", [["black"] * table.num_rows])
    with pytest.raises(InvalidInput, match="raises on these rows: ValueError"):
        predict(tmp_path, unknown)


GAPS = [
    ("no delay: the holdout follows at once", "0s", [(80, 80, 100)]),
    ("a delay of three hours, inclusive: two rows are skipped", "3h", [(78, 80, 100)]),
]


@pytest.mark.parametrize(("delay", "expected"), [case[1:] for case in GAPS], ids=[case[0] for case in GAPS])
def test_the_holdout_is_the_newest_fifth_after_a_gap_of_the_label_delay(
    tmp_path: Path, delay: str, expected: list[tuple[int, ...]]
) -> None:
    given = spec(write(tmp_path / "a.csv", rows(100)), label_delay=delay)
    table, _ = read(given.data, None)
    assert [astuple(fold) for fold in holdout(table, given.data)] == expected


def test_forward_folds_follow_each_other_and_each_learns_from_what_was_known_before_it(tmp_path: Path) -> None:
    given = spec(write(tmp_path / "a.csv", rows(100)), label_delay="2h")
    table, _ = read(given.data, None)
    folds = holdout(table, given.data, 3)
    assert [(fold.start, fold.stop) for fold in folds] == [(80, 86), (86, 93), (93, 100)]
    assert [fold.start - fold.trained for fold in folds] == [1, 1, 1]


def test_a_delay_that_leaves_nothing_to_learn_from_is_a_sentence(tmp_path: Path) -> None:
    given = spec(write(tmp_path / "a.csv", rows(100)), label_delay="30d")
    table, _ = read(given.data, None)
    with pytest.raises(InvalidInput, match=r"no row is older than data.labelDelay \(30d\)"):
        holdout(table, given.data)
