"""Fitting: the same again from the same rows, nothing learned from the holdout, and the predictor's own encoding."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import astuple

from tests.unit.training.data import START, last, rows, spec, write
from tests.unit.training.toys import with_search, with_training
from trimtab.errors import InvalidInput
from trimtab.manifest import sha256
from trimtab.schema import encode, read_schema
from trimtab.spec import ModelSpec, Task
from trimtab.training.estimators.xgboost import scaled
from trimtab.training.fit import derive, fit, make
from trimtab.training.fitted import predict_holdout, read_fitted, twin
from trimtab.training.frame import holdout, matrix
from trimtab.training.ingest import read
from trimtab.training.model import load_skops, predict
from trimtab.training.scores import metrics
from trimtab.training.search import search
from trimtab.training.search_space import defaults
from trimtab.training.trials import Trial, read_trials


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


def files(folder: Path) -> dict[str, str]:
    """The digests of all files below a folder."""
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_rows_and_seed_give_the_same_files(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        fit(table, given, tmp_path / name, seed, evaluation="rolling")
    one, two, three = (files(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert one["model.json"] != three["model.json"]
    assert len({digest for path, digest in one.items() if path.endswith("model.json")}) == 4


def test_the_twins_never_see_what_they_predict_and_the_version_sees_all(tmp_path: Path) -> None:
    first = 320
    spoiled = [{**row, "amount": -1e6, "size": 99} if index >= first else row for index, row in enumerate(rows())]
    for name, found in (("one", rows()), ("two", spoiled)):
        (tmp_path / name).mkdir()
        fit(*toy(tmp_path / name, found), tmp_path / name / "model", 7, evaluation="rolling")
    one, two = (files(tmp_path / name / "model") for name in ("one", "two"))
    assert one["twin/model.json"] == two["twin/model.json"]
    assert all(one[path] != two[path] for path in ("model.json", "folds/2/model.json", "folds/3/model.json"))


def test_each_twin_learns_from_what_was_known_before_its_part_of_the_holdout(tmp_path: Path) -> None:
    given = spec(write(tmp_path / "a.csv", rows()), label_delay="5h")
    table, _ = read(given.data, last(405))
    fitted = fit(table, given, tmp_path / "model", 7, evaluation="rolling")
    assert [(fold.trained, fold.start, fold.stop) for fold in fitted.folds] == [(316, 320, 346), (342, 346, 373), (369, 373, 400)]
    assert (fitted.rows, fitted.trained_until, fitted.evaluation) == (400, last(400), "rolling")
    assert read_fitted(tmp_path / "model") == fitted
    found = metrics("regression", table.column("amount").to_numpy()[320:], predict_holdout(tmp_path / "model", table))
    assert found["r2"] > 0.9


def test_without_a_refit_the_version_is_the_twin(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    refit = fit(table, given, tmp_path / "refit", 7)
    own = fit(table, with_training(given, refit=False), tmp_path / "own", 7)
    assert (refit.rows, refit.refit, own.rows, own.refit) == (400, True, 320, False)
    assert own.trained_until == START + timedelta(hours=319)
    assert twin(tmp_path / "own") == tmp_path / "own"
    assert files(tmp_path / "refit" / "twin") == {name: files(tmp_path / "own")[name] for name in ("model.json", "schema.json")}


def test_a_category_of_the_holdout_is_known_to_the_version_and_not_to_the_twin(tmp_path: Path) -> None:
    found = [{**row, "colour": "black"} if index > 350 else row for index, row in enumerate(rows())]
    fit(*toy(tmp_path, found), tmp_path / "model", 7)
    assert "black" in read_schema(tmp_path / "model").features[1].categories
    assert "black" not in read_schema(tmp_path / "model" / "twin").features[1].categories


def test_a_column_that_first_has_values_in_the_holdout_is_a_feature_of_neither(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    late = pa.array([None] * 330 + [1.0] * 70, pa.float64())
    fit(table.append_column("late", late), given, tmp_path / "model", 7)
    assert read_schema(tmp_path / "model").names == read_schema(tmp_path / "model" / "twin").names == ["size", "colour", "open"]


def test_the_best_trial_is_fitted_and_leads_the_leaderboard(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    settings = {"alpha": 3.0, "rare": 0.0, "half_life": 0.25}
    tried = (
        Trial(0, "xgboost", {}, state="pruned", loss=0.1, losses=(0.1,)),
        Trial(1, "xgboost", {}, loss=3.0, losses=(3.0,) * 3),
        Trial(0, "linear", settings, loss=2.0, losses=(2.0,) * 3, shard=1),
        Trial(2, "xgboost", {}, state="failed", fault="xgboost raises"),
    )
    fitted = fit(table, given, tmp_path / "model", 7, tried)
    assert (fitted.estimator, fitted.parameters) == ("linear", settings)
    assert read_schema(tmp_path / "model").format == read_schema(tmp_path / "model" / "twin").format == "skops"
    assert read_trials(tmp_path / "model" / "leaderboard.json") == (tried[2], tried[1], tried[0], tried[3])


def test_without_a_search_the_first_allowed_estimator_is_fitted_by_its_defaults(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    first = with_search(given, estimators=("random_forest", "linear"))
    assert fit(table, first, tmp_path / "model", 7).estimator == "random_forest"
    (alone,) = read_trials(tmp_path / "model" / "leaderboard.json")
    assert (alone.state, alone.loss) == ("untried", None)


def test_a_search_in_which_nothing_could_be_fitted_is_a_sentence(tmp_path: Path) -> None:
    failed = Trial(0, "linear", {}, state="failed", fault="linear raises ValueError on these rows")
    with pytest.raises(InvalidInput, match=r"none of the 2 trials .* could be fitted: linear raises ValueError on these rows$"):
        fit(*toy(tmp_path), tmp_path / "model", 7, (failed, failed))


def test_a_searched_version_answers_calibrated_and_can_be_made_again_from_what_it_says(tmp_path: Path) -> None:
    from tests.unit.training.toys import toy as searchable

    table, given = searchable(tmp_path, "binary", count=1500, trials=2, estimators=("random_forest",))
    fitted = fit(table, given, tmp_path / "model", 7, tuple(search(table, given, 7)))
    schema = read_schema(tmp_path / "model")
    assert len(schema.calibration) > 2
    assert schema.calibration == read_schema(tmp_path / "model" / "twin").calibration
    again = Trial(0, fitted.estimator, fitted.parameters, calibration=schema.calibration)
    make(table, given, again, tmp_path / "again", fitted.seed, fitted.evaluation)
    one, two = files(tmp_path / "model"), files(tmp_path / "again")
    assert {path: digest for path, digest in one.items() if path != "leaderboard.json"} == two


def test_rounds_are_those_of_the_folds_scaled_to_the_rows(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    best = Trial(0, "xgboost", {**defaults("regression", "xgboost"), "rounds": 20, "rounds_rows": 240}, loss=1.0, losses=(1.0,))
    fitted = fit(table, given, tmp_path / "model", 7, (best,))
    assert fitted.parameters == best.parameters
    counts = [rounds_in(tmp_path / "model" / name) for name in ("twin/model.json", "model.json")]
    assert counts == [scaled(20, 240, 320), scaled(20, 240, 400)] == [23, 26]


def rounds_in(model: Path) -> int:
    import xgboost

    return int(xgboost.Booster(model_file=model).num_boosted_rounds())


def test_a_regression_learns_what_is_there(tmp_path: Path) -> None:
    table, given = toy(tmp_path, rows(1000))
    fit(table, given, tmp_path / "model", 7)
    found = metrics("regression", table.column("amount").to_numpy()[320:], predict_holdout(tmp_path / "model", table))
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


def test_a_schema_of_other_features_than_the_models_is_one_sentence(tmp_path: Path) -> None:
    table, given = toy(tmp_path)
    fit(table, given, tmp_path / "model", 7)
    schema = read_schema(tmp_path / "model")
    (tmp_path / "model" / "schema.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(schema, features=schema.features[:2])))
    with pytest.raises(InvalidInput, match=r"model\.json of the model in 'model' cannot be read: Feature shape mismatch"):
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
