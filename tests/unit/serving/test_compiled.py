"""The compiled walk gives XGBoost's own predictions, or XGBoost is asked."""

import logging

import numpy as np
import pytest
import xgboost as xgb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.predictor.compiled import compiled, faster, trial
from serving.predictor.compiled_forest import read_forest
from serving.predictor.native import library
from trimtab.errors import Unavailable
from trimtab.schema import Feature

CATEGORIES = tuple(f"c{place:02}" for place in range(70))


def table(rng, rows, kinds):
    matrix = np.empty((rows, len(kinds)), dtype=np.float32)
    for place, categories in enumerate(kinds):
        matrix[:, place] = rng.integers(0, categories, rows) if categories else rng.normal(size=rows).round(2) * 10.0 ** rng.integers(-3, 4)
    matrix[rng.random(matrix.shape) < 0.15] = np.nan
    return matrix


def features(kinds):
    return [
        Feature(f"x{place}", "category", CATEGORIES[:categories]) if categories else Feature(f"x{place}", "number")
        for place, categories in enumerate(kinds)
    ]


def model(path, kinds, rows=200, seed=0, rounds=3, **parameters):
    """A booster on a random label, read back from `path`."""
    rng = np.random.default_rng(seed)
    matrix = table(rng, rows, kinds)
    objective = parameters.setdefault("objective", "reg:squarederror")
    classes = parameters.get("num_class", 2)
    signal = np.nan_to_num(matrix[:, 0]) + rng.normal(size=rows)
    label = signal * 30 + 100 if objective.startswith("reg") else np.argsort(np.argsort(signal)) * classes // rows
    data = xgb.DMatrix(matrix, label, feature_types=["c" if categories else "q" for categories in kinds], enable_categorical=True)
    xgb.train({"nthread": 1, "seed": seed, **parameters}, data, rounds).save_model(path)
    return xgb.Booster({"nthread": 1}, model_file=path)


def native(booster):
    return lambda matrix: booster.inplace_predict(matrix, validate_features=False)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(st.sampled_from([0, 0, 1, 2, 5, 33, 70]), min_size=1, max_size=6),
    objective=st.sampled_from(["reg:squarederror", "binary:logistic", "multi:softprob"]),
    depth=st.integers(1, 9),
    rounds=st.integers(1, 12),
    parallel=st.sampled_from([1, 1, 7]),
    onehot=st.sampled_from([1, 100]),
    base_score=st.sampled_from([None, 0.2]),
    rows=st.integers(1, 40),
    seed=st.integers(0, 10_000),
)
def test_compiled_and_native_predictions_are_the_same(tmp_path, kinds, objective, depth, rounds, parallel, onehot, base_score, rows, seed):
    parameters = {"objective": objective, "max_depth": depth, "num_parallel_tree": parallel, "max_cat_to_onehot": onehot}
    parameters |= {"num_class": 4} if objective == "multi:softprob" else {}
    parameters |= {} if base_score is None else {"base_score": base_score}
    booster = model(tmp_path / "model.json", kinds, seed=seed, rounds=rounds, **parameters)
    forest = read_forest(tmp_path / "model.json")
    predict = compiled(forest)
    asked = [trial(forest, features(kinds), rows, seed, missing) for missing in (0, 0.2)]
    for matrix in (table(np.random.default_rng(seed + 1), rows, kinds), *asked):
        np.testing.assert_allclose(predict(matrix), native(booster)(matrix), rtol=2e-5, atol=1e-6)
        np.testing.assert_array_equal(np.concatenate([predict(matrix[[row]]) for row in range(rows)]), predict(matrix))


@pytest.mark.parametrize("kinds", [[0, 33], [0, 0]], ids=["with categories", "numbers alone"])
def test_what_no_number_of_the_training_was_goes_where_xgboost_sends_it(tmp_path, kinds):
    booster = model(tmp_path / "model.json", kinds, max_depth=6, rounds=10)
    strange = np.array([np.nan, np.inf, -np.inf, 3e38, -0.0, 1e-45, -1.0, 33.0, 64.0, 2.0**24, 2.5], dtype=np.float32)
    matrix = np.stack([np.repeat(strange, len(strange)), np.tile(strange, len(strange))], axis=1)
    predict = compiled(read_forest(tmp_path / "model.json"))
    np.testing.assert_allclose(predict(matrix), native(booster)(matrix), rtol=2e-5)
    np.testing.assert_array_equal([predict(row[None])[0] for row in matrix], predict(matrix))


def test_a_model_without_a_split_gives_its_base_and_leaves(tmp_path):
    booster = model(tmp_path / "model.json", [0], gamma=1e9)
    matrix = np.zeros((9, 1), dtype=np.float32)
    np.testing.assert_allclose(compiled(read_forest(tmp_path / "model.json"))(matrix), native(booster)(matrix), rtol=1e-6)


def test_no_row_and_no_contiguous_matrix_are_answered_too(tmp_path):
    booster = model(tmp_path / "model.json", [0, 0])
    predict = compiled(read_forest(tmp_path / "model.json"))
    wide = table(np.random.default_rng(3), 20, [0] * 4)[:, ::2]
    np.testing.assert_allclose(predict(wide), native(booster)(np.ascontiguousarray(wide)), rtol=1e-6)
    assert predict(np.empty((0, 2), dtype=np.float32)).shape == (0,)
    with pytest.raises(ValueError, match="2 features"):
        predict(np.zeros((1, 3), dtype=np.float32))


LEFT_TO_XGBOOST = [
    ("dropped trees", {"booster": "dart", "rate_drop": 0.5}, "kind"),
    ("an objective that training does not use", {"objective": "reg:absoluteerror"}, "reg:absoluteerror"),
    ("a linear booster", {"booster": "gblinear", "updater": "coord_descent"}, "kind"),
]


@pytest.mark.parametrize(("parameters", "word"), [case[1:] for case in LEFT_TO_XGBOOST], ids=[case[0] for case in LEFT_TO_XGBOOST])
def test_other_kinds_of_models_are_left_to_xgboost_with_one_warning(tmp_path, caplog, parameters, word):
    booster = native(model(tmp_path / "model.json", [0, 0], **parameters))
    with caplog.at_level(logging.WARNING):
        assert faster(tmp_path / "model.json", features([0, 0]), booster) is booster
    assert len(caplog.messages) == 1
    assert word in caplog.messages[0]


def test_predictions_that_differ_from_xgboosts_are_not_served(tmp_path, caplog):
    booster = native(model(tmp_path / "model.json", [0, 5]))

    def other(matrix):
        return booster(matrix) * 1.001

    with caplog.at_level(logging.WARNING):
        assert faster(tmp_path / "model.json", features([0, 5]), other) is other
        assert faster(tmp_path / "model.json", features([0, 5]), booster) is not booster
    assert len(caplog.messages) == 1
    assert "not XGBoost's own" in caplog.messages[0]


CROOKED = [
    ("a node that is its own child", '"left_children":[1,', '"left_children":[0,'),
    ("a feature that the model does not have", '"split_indices":[', '"split_indices":[7'),
]


@pytest.mark.parametrize(("found", "put"), [case[1:] for case in CROOKED], ids=[case[0] for case in CROOKED])
def test_trees_that_are_none_are_never_walked(tmp_path, found, put):
    path = tmp_path / "model.json"
    model(path, [0], max_depth=2)
    text = path.read_text()
    assert found in text
    path.write_text(text.replace(found, put))
    with pytest.raises(Unavailable):
        read_forest(path)


def test_without_a_compiler_xgboost_answers(tmp_path, caplog, monkeypatch):
    booster = native(model(tmp_path / "model.json", [0]))
    library.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert faster(tmp_path / "model.json", features([0]), booster) is booster
    assert "no C compiler" in caplog.messages[0]
