import msgspec
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from serving.predictor.scorer import ModelFailed, load
from tests.unit.serving.tiny import ROW, SCHEMA, finish, matrix, records, table, tiny_model
from trimtab.errors import InvalidInput
from trimtab.manifest import write_manifest
from trimtab.schema import Schema


class Foreign:
    """A type that no version may hold."""

    def __init__(self) -> None:
        self.word = "harmless"


def test_xgboost_answers_as_training_did_with_nulls_and_unseen_categories(tmp_path):
    import xgboost

    scorer = load(tmp_path / "v", tiny_model(tmp_path / "v"))
    rows = [*records(table(seed=5)), {**ROW, "season": "monsoon"}, {"hour": None, "temp": None, "season": None}]
    booster = xgboost.Booster(model_file=tmp_path / "v" / "model.json")
    np.testing.assert_allclose(scorer.predict(rows), booster.predict(matrix(rows)), rtol=1e-6)


BAD_ROWS = [
    ("a feature that is missing", {"hour": 1, "temp": 2.0}, "row 1: the feature 'season' is missing"),
    ("a text for a number", {**ROW, "temp": "warm"}, "row 1, feature 'temp': found 'warm', a number or null is allowed"),
    ("a number too large", {**ROW, "hour": 10**400}, "row 1, feature 'hour'"),
    ("a list for a category", {**ROW, "season": ["summer"]}, "row 1, feature 'season': found list"),
    ("an object for a number", {**ROW, "hour": {}}, "row 1, feature 'hour'"),
]


@pytest.mark.parametrize(("row", "sentence"), [case[1:] for case in BAD_ROWS], ids=[case[0] for case in BAD_ROWS])
def test_a_row_that_is_not_as_the_schema_asks_is_a_sentence(tmp_path, row, sentence):
    scorer = load(tmp_path / "v", tiny_model(tmp_path / "v"))
    with pytest.raises(InvalidInput) as caught:
        scorer.predict([ROW, row])
    assert sentence in str(caught.value)


def skops_model(folder, task, handle_unknown="ignore"):
    folder.mkdir()
    frame = table()
    label = {"regression": frame.demand, "binary": frame.demand > 50, "multiclass": pd.cut(frame.demand, 3, labels=["a", "b", "c"])}[task]
    forest = RandomForestRegressor(5, random_state=0) if task == "regression" else RandomForestClassifier(5, random_state=0)
    columns = ColumnTransformer(
        [("numbers", SimpleImputer(), ["hour", "temp"]), ("categories", OneHotEncoder(handle_unknown=handle_unknown), ["season"])]
    )
    pipeline = make_pipeline(columns, forest).fit(frame, label)
    skops.io.dump(pipeline, folder / "model.skops")
    classes = {"regression": (), "binary": ("False", "True"), "multiclass": ("a", "b", "c")}[task]
    schema = Schema(task, "demand", SCHEMA.features, format="skops", classes=classes)
    return pipeline, finish(folder, schema, frame)


def test_skops_answers_a_number_a_probability_or_one_a_class(tmp_path):
    rows = records(table(seed=7))[:30]
    frame = pd.DataFrame(rows).astype({"hour": float, "temp": float})
    for task in ("regression", "binary", "multiclass"):
        pipeline, digest = skops_model(tmp_path / task, task)
        found = np.array(load(tmp_path / task, digest).predict(rows))
        expected = pipeline.predict(frame) if task == "regression" else pipeline.predict_proba(frame)
        np.testing.assert_allclose(found, expected[:, 1] if task == "binary" else expected)


def test_a_model_that_raises_is_a_failure_without_values(tmp_path):
    _, digest = skops_model(tmp_path / "v", "regression", handle_unknown="error")
    with pytest.raises(ModelFailed) as caught:
        load(tmp_path / "v", digest).predict([{**ROW, "season": "monsoon"}])
    assert "ValueError" in str(caught.value)
    assert "monsoon" not in str(caught.value)


def test_a_number_that_a_forest_cannot_take_is_a_sentence_and_no_failure(tmp_path):
    _, digest = skops_model(tmp_path / "v", "regression")
    with pytest.raises(InvalidInput, match=r"row 1, feature 'temp': 1e\+39 is too large, up to 3.40282e\+38 is allowed"):
        load(tmp_path / "v", digest).predict([ROW, {**ROW, "temp": 1e39}])


def test_types_outside_the_trusted_packages_are_not_loaded(tmp_path):
    folder = tmp_path / "v"
    folder.mkdir()
    skops.io.dump(Foreign(), folder / "model.skops")
    digest = finish(folder, Schema("regression", "demand", SCHEMA.features, format="skops"), table())
    with pytest.raises(InvalidInput, match=r"holds the type '.*Foreign'; only types of sklearn, numpy, scipy are loaded"):
        load(folder, digest)


def test_a_version_that_cannot_be_served_is_a_sentence(tmp_path):
    digest = tiny_model(tmp_path / "v")
    with pytest.raises(InvalidInput, match="expected 000000000000"):
        load(tmp_path / "v", "0" * 64)
    (tmp_path / "v" / "model.json").write_bytes(b"garbage")
    with pytest.raises(InvalidInput, match=r"'model.json' .* the file was changed"):
        load(tmp_path / "v", digest)
    with pytest.raises(InvalidInput, match=r"model.json of the model in 'v' cannot be loaded: XGBoostError"):
        load(tmp_path / "v", write_manifest(tmp_path / "v"))


def test_a_schema_of_other_features_is_refused(tmp_path):
    tiny_model(tmp_path / "v")
    schema = Schema("regression", "demand", SCHEMA.features[:2])
    (tmp_path / "v" / "schema.json").write_bytes(msgspec.json.encode(schema))
    with pytest.raises(InvalidInput, match="takes 3 features, its schema names 2"):
        load(tmp_path / "v", write_manifest(tmp_path / "v"))
