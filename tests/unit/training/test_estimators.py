"""Each kind of estimator, for each task: the same again, served as trained, and at home in its own space."""

from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest

from serving.predictor.scorer import load
from tests.unit.training.toys import as_table, odd_rows, rows_of
from trimtab.manifest import sha256, write_manifest
from trimtab.schema import MODEL_FILES, SCHEMA
from trimtab.spec import Estimator as Name
from trimtab.spec import Task
from trimtab.training.estimators import ESTIMATORS
from trimtab.training.estimators.base import Choice, Number, weights
from trimtab.training.estimators.xgboost import scaled, together
from trimtab.training.model import predict
from trimtab.training.scores import baseline, row_losses

EACH = pytest.mark.parametrize(("name", "task"), [(name, task) for name in ESTIMATORS for task in get_args(Task)])


@EACH
def test_the_same_rows_and_settings_make_the_same_bytes_and_learn_something(tmp_path: Path, name: Name, task: Task) -> None:
    estimator = ESTIMATORS[name]
    for number in ("one", "two"):
        rows = rows_of(tmp_path, task)
        made = estimator.fit(rows, 300, estimator.defaults(task), 7)
        (tmp_path / number).mkdir()
        made.save(tmp_path / number)
    file = MODEL_FILES[estimator.format]
    assert sha256(tmp_path / "one" / file) == sha256(tmp_path / "two" / file)
    guess = baseline(task, rows.labels[:300], 100, len(rows.schema.classes))
    held = rows.labels[300:]
    assert row_losses(task, held, made.predict(300, 400)).mean() < 0.5 * row_losses(task, held, guess).mean()


@EACH
def test_the_predictor_answers_as_training_did_whatever_it_is_sent(tmp_path: Path, name: Name, task: Task) -> None:
    estimator, rows = ESTIMATORS[name], rows_of(tmp_path, task)
    line = tuple((x, x**2) for x in np.linspace(0, 1, 11).tolist()) if task == "binary" else ()
    schema = msgspec.structs.replace(rows.schema, format=estimator.format, calibration=line)
    folder = tmp_path / "model"
    folder.mkdir()
    estimator.fit(rows, 300, estimator.defaults(task), 7).save(folder)
    (folder / SCHEMA).write_bytes(msgspec.json.encode(schema))
    sent = odd_rows(schema)
    found = predict(folder, as_table(schema, sent))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(load(folder, write_manifest(folder)).predict(sent), found, rtol=1e-6)
    if task == "multiclass":
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


@EACH
def test_defaults_are_within_the_space(name: Name, task: Task) -> None:
    space, settings = ESTIMATORS[name].space(task), ESTIMATORS[name].defaults(task)
    assert space.keys() == settings.keys()
    assert all(within.admit(settings[key]) == settings[key] for key, within in space.items())


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_a_class_that_training_never_saw_keeps_its_place(tmp_path: Path, name: Name) -> None:
    rows = rows_of(tmp_path, "multiclass")
    rows.schema = msgspec.structs.replace(rows.schema, classes=(*rows.schema.classes, "never"))
    found = ESTIMATORS[name].fit(rows, 300, ESTIMATORS[name].defaults("multiclass"), 7).predict(300, 400)
    assert found.shape == (100, 4)
    assert found[:, 3].max() < 0.05


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_rows_of_one_class_alone_are_learned_as_such(tmp_path: Path, name: Name) -> None:
    rows = rows_of(tmp_path, "binary")
    rows.labels = np.zeros(400)
    assert ESTIMATORS[name].fit(rows, 300, ESTIMATORS[name].defaults("binary"), 7).predict(300, 400).max() < 0.01


ADMITTED = [
    ("within", Number(1, 10), 3.5, 3.5),
    ("below", Number(1, 10), -2, 1.0),
    ("above, and whole", Number(1, 10, integer=True), 99.7, 10),
    ("no number", Number(1, 10), "many", None),
    ("not a number", Number(1, 10), float("nan"), None),
    ("an option", Choice((0.0, 0.5)), 0.5, 0.5),
    ("no option", Choice((0.0, 0.5)), 0.4, None),
]


@pytest.mark.parametrize(("within", "value", "expected"), [case[1:] for case in ADMITTED], ids=[case[0] for case in ADMITTED])
def test_a_value_of_before_is_moved_into_the_space(within: Number | Choice, value: object, expected: object) -> None:
    assert within.admit(value) == expected


def test_old_rows_fade_and_the_rarer_class_counts_more(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "binary")
    assert weights(rows, 300, {"half_life": 0.0, "balance": 0.0}) is None
    faded = weights(rows, 300, {"half_life": 0.25})
    assert faded is not None
    assert faded.mean() == pytest.approx(1)
    assert faded[-1] / faded[-76] == pytest.approx(2)
    rows.labels = (np.arange(400) < 60).astype(float)
    balanced = weights(rows, 300, {"balance": 1.0})
    assert balanced is not None
    assert balanced[:60].sum() == pytest.approx(balanced[60:].sum())


ROUNDS = [
    ("as many rows bear as many rounds", 100, 1000, 1000, 100),
    ("a quarter more rows bear the root of it", 100, 1000, 1250, 112),
    ("ten times the rows bear twice the rounds", 100, 1000, 10_000, 200),
    ("fewer rows bear fewer", 100, 1000, 250, 50),
    ("never none", 1, 1000, 10, 1),
]


@pytest.mark.parametrize(("rounds", "found_on", "rows", "expected"), [case[1:] for case in ROUNDS], ids=[case[0] for case in ROUNDS])
def test_rounds_follow_the_rows(rounds: int, found_on: int, rows: int, expected: int) -> None:
    assert scaled(rounds, found_on, rows) == expected


def test_folds_agree_on_the_median_of_their_rounds() -> None:
    found = [{"rounds": rounds, "rounds_rows": 900} for rounds in (80, 300, 100)]
    assert together(found) == {"rounds": 100, "rounds_rows": 900}
