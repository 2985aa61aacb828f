"""Shapley values against what is known of a model, and LIME beside them."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingRegressor

from tests.unit.training.evaluation.models import BINARY, SPEC, line, rows, trees
from trimtab.errors import InvalidInput
from trimtab.explanation import EXPLANATION, read_explanation
from trimtab.spec import ModelSpec
from trimtab.training.evaluation.attribution import explain, shapley
from trimtab.training.evaluation.lime import agreement, lime
from trimtab.training.evaluation.perturbed import margins
from trimtab.training.model import raw_frame


@pytest.mark.parametrize("spec", [SPEC, BINARY], ids=["regression", "binary"])
def test_values_of_trees_add_up_to_the_margin(tmp_path: Path, spec: ModelSpec) -> None:
    table = rows(task=spec.task)
    folder, schema = trees(tmp_path / "model", table, spec)
    values, method = shapley(folder, schema, table.slice(0, 100), 1)
    assert (values.shape, method) == ((100, 3, 1), "tree_shap")
    assert np.ptp(values.sum(axis=1) - margins(folder, spec.task, table.slice(0, 100))) < 1e-4


@pytest.mark.parametrize("spec", [SPEC, BINARY], ids=["regression", "binary"])
def test_values_of_a_line_are_its_coefficients_times_the_encoded_columns_told_from_their_mean(tmp_path: Path, spec: ModelSpec) -> None:
    table = rows(task=spec.task)
    folder, schema, fitted = line(tmp_path / "model", table, spec)
    part = table.slice(0, 200)
    values, method = shapley(folder, schema, part, 1)
    assert method == "additive"
    encoded = np.asarray(fitted[:-1].transform(raw_frame(schema, part)))
    effects = (encoded - encoded.mean(axis=0)) * np.ravel(fitted[-1].coef_)
    expected = {"colour": effects[:, :3].sum(axis=1), "a": effects[:, 3], "idle": effects[:, 4]}
    for place, name in enumerate(schema.names):
        assert values[:, place, 0] == pytest.approx(expected[name], abs=1e-6)


def test_values_of_any_other_model_are_sampled_and_near_those_of_a_line_that_it_learned(tmp_path: Path) -> None:
    table = rows()
    folder, schema, _ = line(tmp_path / "trees", table, SPEC, GradientBoostingRegressor(random_state=1))
    straight, _, _ = line(tmp_path / "line", table, SPEC)
    part = table.slice(0, 200)
    sampled, method = shapley(folder, schema, part, 1)
    exact, _ = shapley(straight, schema, part, 1)
    assert method == "sampled"
    assert np.corrcoef(sampled[:, 0, 0], exact[:, 0, 0])[0, 1] > 0.9
    assert sampled.sum(axis=(1, 2)).mean() == pytest.approx(0, abs=0.3)


def test_several_classes_count_together(tmp_path: Path) -> None:
    table = rows(6000, task="binary")
    labels = np.where(np.array(table.column("a")) > 0.5, 2, table.column("y").to_numpy())
    table = table.set_column(table.column_names.index("y"), "y", [labels])
    folder, schema = trees(tmp_path / "model", table, ModelSpec("multiclass", SPEC.data))
    values, _ = shapley(folder, schema, table.slice(0, 50), 1)
    assert values.shape == (50, 3, 3)
    shares = explain(folder, table.slice(0, 200), 1).explanation
    assert [one.feature for one in shares.features] == ["a", "colour", "idle"]
    assert sum(one.share for one in shares.features) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["trees", "line"])
def test_shares_add_up_and_what_matters_comes_first(tmp_path: Path, kind: str) -> None:
    table = rows()
    folder = (trees if kind == "trees" else line)(tmp_path / "model", table, SPEC)[0]
    found = explain(folder, table, 1)
    shares = found.explanation
    assert sum(one.share for one in shares.features) == pytest.approx(1)
    assert [one.feature for one in shares.features] == ["a", "colour", "idle"]
    assert shares.share("a") > 0.6 > 0.05 > shares.share("idle")
    assert all(one.interval and one.interval[0] < one.share < one.interval[1] for one in shares.features)
    assert (shares.rows, len(found.rows), found.sizes.shape) == (len(found.rows), shares.rows, (shares.rows, 3))


def test_a_large_model_is_explained_on_fewer_rows(tmp_path: Path) -> None:
    table = rows(6000)
    folder, _ = trees(tmp_path / "model", table, SPEC)
    assert 50 <= explain(folder, table, 1).explanation.rows <= 2000
    assert explain(folder, table, 1, most=70).explanation.rows == 70


def test_lime_ranks_the_features_of_a_row_and_agrees(tmp_path: Path) -> None:
    table = rows()
    folder, schema, _ = line(tmp_path / "model", table, SPEC)
    found = explain(folder, table.slice(0, 300), 1)
    effects = lime(folder, schema, table.slice(0, 300), np.arange(30), 1)
    assert effects.shape == (30, 3)
    assert np.corrcoef(effects[:, 0], found.sizes[:30, 0])[0, 1] > 0.8
    told = agreement(folder, schema, table.slice(0, 300).take(found.rows), found.sizes, 1)
    assert told is not None
    assert (told.rows, told.top_overlap) == (30, 1.0)
    assert told.rank_correlation > 0.7


def test_explanations_that_have_nothing_to_do_with_the_model_do_not_agree(tmp_path: Path) -> None:
    table = rows()
    folder, schema, _ = line(tmp_path / "model", table, SPEC)
    told = agreement(folder, schema, table, np.random.default_rng(1).random((1500, 3)), 1)
    assert told is not None
    assert abs(told.rank_correlation) < 0.4


def test_one_feature_cannot_be_ranked(tmp_path: Path) -> None:
    table = rows().select(["a", "y"])
    folder, schema = trees(tmp_path / "model", table, SPEC)
    assert agreement(folder, schema, table, np.ones((1500, 1)), 1) is None


def test_a_version_keeps_its_explanation_and_a_broken_one_is_a_sentence(tmp_path: Path) -> None:
    assert read_explanation(tmp_path) is None
    (tmp_path / EXPLANATION).write_text("{")
    with pytest.raises(InvalidInput, match=r"explanation\.json of the model in .* cannot be read"):
        read_explanation(tmp_path)
