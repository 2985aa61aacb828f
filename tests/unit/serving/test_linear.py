"""The folded pipeline gives scikit-learn's own predictions, or scikit-learn is asked."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge, SGDRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from serving.predictor.linear import call_of, faster, fold, trial
from serving.predictor.protocol import Table
from serving.predictor.scorer import load
from tests.unit.training.toys import toy
from trimtab.errors import InvalidInput, Unavailable
from trimtab.manifest import write_manifest
from trimtab.schema import Feature, Schema
from trimtab.training.fit import fit
from trimtab.training.model import predict

PATH = Path("model.skops")
KNOWN = ("", "a", "b", "ä", "common", "rare")


def schema(task, numbers=2, categories=1):
    """Numbers and categories by turns, so that places in the schema are not places in a transformer."""
    kinds = [*("number" for _ in range(numbers)), *("category" for _ in range(categories))]
    order = sorted(range(len(kinds)), key=lambda place: place % 2)
    features = tuple(Feature(f"x{place}", kinds[place], KNOWN if kinds[place] == "category" else ()) for place in order)
    classes = {"regression": (), "binary": ("no", "yes"), "multiclass": ("one", "two", "three")}[task]
    return Schema(task, "y", features, format="skops", classes=classes)


def frame_of(rows, given):
    return pd.DataFrame(
        {
            feature.name: np.array([row[feature.name] for row in rows], dtype=float)
            if feature.kind == "number"
            else pd.Series([row[feature.name] for row in rows], dtype=object)
            for feature in given.features
        }
    )


def some_rows(given, count, seed, missing=0.2, values=KNOWN):
    """Numbers of very different sizes; the most frequent category is the last but one."""
    rng = np.random.default_rng(seed)
    sizes = {feature.name: 10.0 ** rng.integers(-3, 6) for feature in given.features}

    def value(feature):
        if rng.random() < missing:
            return None
        size = sizes[feature.name]
        return float(rng.normal(size, size / 5)) if feature.kind == "number" else str(rng.choice([*values, *["common"] * 5]))

    return [{feature.name: value(feature) for feature in given.features} for _ in range(count)]


def pipeline(given, seed=0, model=None, imputer=None, scaled=True, encoder=None, missing=0.2):
    """A pipeline fitted on random rows and labels."""
    rng = np.random.default_rng(seed)
    rows = some_rows(given, 120, seed, missing)
    names = {kind: [feature.name for feature in given.features if feature.kind == kind] for kind in ("number", "category")}
    chain = [
        imputer or SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        *([StandardScaler()] if scaled else []),
    ]
    encoder = encoder or OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.05)
    parts = [("n", make_pipeline(*chain), names["number"]), ("c", encoder, names["category"])]
    columns = ColumnTransformer([part for part in parts if part[2]], sparse_threshold=1.0)
    label = rng.normal(50, 9, 120) if given.task == "regression" else np.arange(120) % len(given.classes)
    model = model or (Ridge(0.5) if given.task == "regression" else LogisticRegression(C=2.0, max_iter=100))
    return Pipeline([("columns", columns), ("model", model)]).fit(frame_of(rows, given), label)


def native(fitted, given):
    def call(rows):
        frame = frame_of(list(rows), given)
        if given.task == "regression":
            return fitted.predict(frame)
        return fitted.predict_proba(frame)[:, 1] if given.task == "binary" else fitted.predict_proba(frame)

    return call


@settings(max_examples=80, deadline=None)
@given(
    task=st.sampled_from(["regression", "binary", "multiclass"]),
    numbers=st.integers(0, 4),
    categories=st.integers(0, 3),
    scaled=st.booleans(),
    indicator=st.booleans(),
    missing=st.sampled_from([0.0, 0.2, 0.2, 0.9]),
    strategy=st.sampled_from(["median", "mean", "most_frequent", "constant"]),
    unknown=st.sampled_from(["ignore", "infrequent_if_exist"]),
    rare=st.sampled_from([None, 0.05, 0.5]),
    drop=st.sampled_from([None, "first"]),
    dense=st.booleans(),
    seed=st.integers(0, 10_000),
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::RuntimeWarning")
def test_folded_and_native_predictions_are_the_same(
    task, numbers, categories, scaled, indicator, missing, strategy, unknown, rare, drop, dense, seed
):
    given = schema(task, max(numbers, 1 - categories, int(drop is not None)), categories)
    imputer = SimpleImputer(strategy=strategy, add_indicator=indicator, keep_empty_features=True)
    encoder = OneHotEncoder(handle_unknown=unknown, min_frequency=rare, drop=drop, sparse_output=not dense)
    fitted = pipeline(given, seed, imputer=imputer, scaled=scaled, encoder=encoder, missing=missing)
    folded = fold(fitted, given)
    predict, asked = call_of(folded, given), native(fitted, given)
    for rows in (some_rows(given, 40, seed + 1, 0.3, (*KNOWN, "never seen", "A")), trial(folded, 40, seed), some_rows(given, 1, seed, 0.0)):
        expected = asked(rows)
        table = Table({name: [row[name] for row in rows] for name in given.names})
        for told in (predict(rows), predict(table)):
            assert told.shape == expected.shape
            np.testing.assert_allclose(told, expected, rtol=1e-9, atol=1e-9 * (1 + np.median(np.abs(expected))))


@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), Lasso(0.01), ElasticNet(0.01)], ids=lambda model: type(model).__name__)
def test_each_linear_regression_is_folded_without_a_warning(model, caplog):
    given = schema("regression", 3, 2)
    fitted = pipeline(given, model=model)
    asked = native(fitted, given)
    with caplog.at_level(logging.WARNING):
        assert faster(PATH, fitted, given, asked) is not asked
    assert caplog.messages == []


LEFT = [
    ("another model", lambda: pipeline(schema("regression"), model=SGDRegressor()), "SGDRegressor"),
    ("no pipeline", lambda: Ridge(), "it is Ridge"),
    ("another scaler", lambda: fitted_on_numbers(MinMaxScaler()), "its numbers go through MinMaxScaler"),
    ("no imputer", lambda: fitted_on_numbers(StandardScaler()), "its numbers go through StandardScaler"),
    ("columns that are passed through", lambda: fitted_on_numbers("passthrough"), "its numbers go through FunctionTransformer"),
    (
        "an encoder that refuses what it never saw",
        lambda: pipeline(schema("regression"), encoder=OneHotEncoder(handle_unknown="error")),
        "takes no category that training never saw",
    ),
    (
        "numbers that were always missing and are left out",
        lambda: fitted_on_numbers(SimpleImputer(), None),
        "its imputer leaves columns out",
    ),
]


def fitted_on_numbers(part, first=1.0):
    given = schema("regression", 2, 0)
    rows = [{**row, "x0": first and row["x0"]} for row in some_rows(given, 50, 0, 0.0)]
    columns = ColumnTransformer([("n", part, ["x0", "x1"])])
    return Pipeline([("columns", columns), ("model", Ridge())]).fit(frame_of(rows, given), np.arange(50))


@pytest.mark.parametrize(("made", "sentence"), [case[1:] for case in LEFT], ids=[case[0] for case in LEFT])
@pytest.mark.filterwarnings("ignore")
def test_what_is_not_folded_is_left_to_scikit_learn_with_one_warning(made, sentence, caplog):
    def asked(_):
        raise AssertionError

    with caplog.at_level(logging.WARNING):
        assert faster(PATH, made(), schema("regression"), asked) is asked
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("model.skops is not folded but run by scikit-learn")
    assert sentence in caplog.messages[0]
    with pytest.raises(Unavailable):
        fold(made(), schema("regression"))


def test_a_fold_that_says_something_else_is_not_served(caplog):
    given = schema("binary", 3, 2)
    fitted = pipeline(given)
    asked = native(fitted, given)

    def other(rows):
        return asked(rows) + 1e-6

    with caplog.at_level(logging.WARNING):
        assert faster(PATH, fitted, given, other) is other
    assert "its predictions are not scikit-learn's own" in caplog.messages[0]


def test_a_row_that_is_not_as_the_schema_asks_is_the_sentence_that_any_model_gives():
    given = schema("regression", 2, 1)
    predict = call_of(fold(pipeline(given), given), given)
    row = {"x0": 1.0, "x1": 2, "x2": "a"}
    for wrong, sentence in [
        ({"x0": 1.0, "x1": 2}, "row 1: the feature 'x2' is missing; required are x0, x2, x1"),
        ({"x0": 1.0, "x2": "a"}, "row 1: the feature 'x1' is missing; required are x0, x2, x1"),
        ({**row, "x1": "2"}, "row 1, feature 'x1': found '2', a number or null is allowed"),
        ({**row, "x0": 10**400}, "row 1, feature 'x0': 10000000000000000000... is too large"),
    ]:
        with pytest.raises(InvalidInput) as caught:
            predict([row, wrong])
        assert str(caught.value).startswith(sentence)
    with pytest.raises(InvalidInput, match="the feature 'x2' is missing; required are x0, x2, x1"):
        predict(Table({"x0": [1.0], "x1": [2]}))


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_what_training_makes_is_folded_and_answers_as_training_does(task, tmp_path, caplog):
    table, found = toy(tmp_path, task, estimators=("linear",))
    fit(table, found, tmp_path / "model", 7)
    with caplog.at_level(logging.WARNING):
        scorer = load(tmp_path / "model", write_manifest(tmp_path / "model"))
    assert scorer.inline_rows > 0, caplog.messages
    assert [message for message in caplog.messages if "folded" in message] == []
    told = scorer.predict(table.select(scorer.schema.names).to_pylist())
    np.testing.assert_allclose(told, predict(tmp_path / "model", table), rtol=1e-9)
