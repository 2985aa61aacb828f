"""The evaluation: the twin is judged, on rows that nobody was trained on, the same for both."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.training.data import START, last, rows, spec, write
from tests.unit.training.twins import version
from trimtab.explanation import ATTRIBUTIONS, EXPLAINED_AT, read_explanation
from trimtab.schema import read_metrics, read_schema
from trimtab.spec import Gate, ModelSpec, Training
from trimtab.training.evaluate import Evaluation, evaluate, holdout_start
from trimtab.training.fit import fit
from trimtab.training.fitted import FITTED, predict_holdout, twin
from trimtab.training.frame import columns_of, read_table
from trimtab.training.gate import check_gates
from trimtab.training.ingest import read, snapshot, told_apart
from trimtab.training.model import predict
from trimtab.training.scores import metrics, row_losses

COLUMNS = ["size", "colour", "open", "amount", "at", "case_id", "__prediction", "__holdout", "__validation"]


class Made:
    """A version made from the first rows of the toy data, with its evaluation in the same folder."""

    def __init__(self, folder: Path, count: int, of: int = 800, evaluation: Any = "holdout", **training: Any) -> None:
        folder.mkdir()
        self.spec = msgspec.structs.replace(spec(write(folder / "a.csv", rows(of))), training=Training(**training))
        self.table = read(self.spec.data, last(count))[0]
        self.folder = version(self.table, self.spec, folder / "model", evaluation=evaluation)
        self.found = evaluate(self.table, self.spec, self.folder, None, self.folder, 7)

    def against(self, champion: Path, out: Path) -> Evaluation:
        """Compared with version 3."""
        return evaluate(self.table, self.spec, self.folder, champion, out, 7, against_version="3")


def labels(table: pa.Table) -> Any:
    return table.column("amount").to_numpy()


def test_the_twin_is_judged_and_not_the_version_that_saw_the_holdout(tmp_path: Path) -> None:
    made = Made(tmp_path / "one", 500)
    held = made.table.slice(400)
    assert made.found.holdout_rows == 100
    assert made.found.candidate == pytest.approx(metrics("regression", labels(held), predict(twin(made.folder), held)))
    assert made.found.candidate["rmse"] > 1.1 * metrics("regression", labels(held), predict(made.folder, held))["rmse"]


def test_the_reference_holds_what_serves_says_and_what_the_twin_said_of_the_holdout(tmp_path: Path) -> None:
    made = Made(tmp_path / "one", 500)
    reference = pq.read_table(made.folder / "reference.parquet")
    assert reference.column_names == COLUMNS
    assert reference.num_rows == 500
    assert reference.column("__prediction").to_pylist() == pytest.approx(predict(made.folder, reference).tolist())
    held = reference.filter(reference.column("__holdout"))
    assert held.num_rows == 100
    assert metrics("regression", labels(held), held.column("__validation").to_numpy()) == pytest.approx(made.found.candidate)
    assert reference.column("__validation").null_count == 400
    assert holdout_start(made.folder) == START + timedelta(hours=400)


def test_a_version_that_is_not_fitted_again_is_its_own_twin(tmp_path: Path) -> None:
    made = Made(tmp_path / "one", 500, refit=False)
    held = made.table.slice(400)
    assert made.found.candidate == pytest.approx(metrics("regression", labels(held), predict(made.folder, held)))
    reference = pq.read_table(made.folder / "reference.parquet").slice(400)
    assert reference.column("__validation").to_pylist() == reference.column("__prediction").to_pylist()


def test_a_rolling_evaluation_judges_each_third_by_the_twin_made_before_it(tmp_path: Path) -> None:
    made = Made(tmp_path / "one", 500, evaluation="rolling")
    assert made.found.rolling
    said = predict_holdout(made.folder, made.table)
    assert made.found.candidate == pytest.approx(metrics("regression", labels(made.table.slice(400)), said))
    assert not np.allclose(said[-30:], predict(twin(made.folder), made.table.slice(470)))


def test_a_model_that_trimtab_did_not_fit_is_judged_itself(tmp_path: Path) -> None:
    given = spec(write(tmp_path / "a.csv", rows(500)))
    given = msgspec.structs.replace(given, training=Training(refit=False))
    table, _ = read(given.data, last(500))
    fit(table, given, tmp_path / "model", 7)
    (tmp_path / "model" / FITTED).unlink()
    found = evaluate(table, given, tmp_path / "model", None, tmp_path / "out", 7)
    assert found.candidate == pytest.approx(metrics("regression", labels(table.slice(400)), predict(tmp_path / "model", table.slice(400))))


def test_the_sample_is_at_most_10000_rows_of_all_times(tmp_path: Path) -> None:
    reference = pq.read_table(Made(tmp_path / "one", 13_000, of=13_000).folder / "reference.parquet")
    times = reference.column("at").to_pylist()
    assert (len(times), times == sorted(times)) == (10_000, True)
    assert 1800 < sum(reference.column("__holdout").to_pylist()) < 2200


def test_the_metrics_file_says_what_the_evaluation_found(tmp_path: Path) -> None:
    made = Made(tmp_path / "one", 500)
    kept = read_metrics(made.folder)
    assert (kept.metrics, kept.primary, kept.rows, kept.holdout_rows) == (made.found.candidate, "rmse", 500, 100)
    assert kept.baseline["rmse"] > 3 * kept.metrics["rmse"]
    held = made.table.slice(400)
    losses = sorted(row_losses("regression", labels(held), predict(twin(made.folder), held)).tolist())
    assert losses[-2] <= kept.loss_clip <= losses[-1]


def test_the_explanation_that_stays_is_of_what_serves_on_the_reference(tmp_path: Path) -> None:
    made = Made(tmp_path / "one", 500)
    kept = read_explanation(made.folder)
    assert kept is not None
    assert (kept.method, kept.rows, kept.features[0].feature) == ("tree_shap", 500, "size")
    assert sum(one.share for one in kept.features) == pytest.approx(1)
    rows = pq.read_table(made.folder / ATTRIBUTIONS)
    reference = pq.read_table(made.folder / "reference.parquet")
    assert rows.column(EXPLAINED_AT).to_pylist() == reference.column("at").to_pylist(), "all of 500 rows, in the order of time"
    means = {name: float(np.mean(rows.column(name).to_numpy())) for name in read_schema(made.folder).names}
    assert {one.feature: one.share for one in kept.features} == pytest.approx(
        {name: mean / sum(means.values()) for name, mean in means.items()}
    )


def test_a_champion_that_is_no_younger_than_the_twin_is_compared_as_it_serves(tmp_path: Path) -> None:
    champion, made = Made(tmp_path / "one", 600), Made(tmp_path / "two", 800)
    found = made.against(champion.folder, tmp_path / "out")
    held = made.table.slice(640)
    assert (found.compared_on, found.compared_rows, found.compared_with) == ("served", 160, "3")
    assert found.champion == pytest.approx(metrics("regression", labels(held), predict(champion.folder, held)))
    assert found.difference["rmse"].value == pytest.approx(found.candidate["rmse"] - found.champion["rmse"])
    low, high = found.difference["rmse"].interval
    assert low < found.difference["rmse"].lower < found.difference["rmse"].value < found.difference["rmse"].upper < high


def test_a_younger_one_is_compared_as_its_twin_on_the_rows_of_its_own_holdout(tmp_path: Path) -> None:
    champion, made = Made(tmp_path / "one", 760), Made(tmp_path / "two", 800)
    found = made.against(champion.folder, tmp_path / "out")
    assert (found.compared_on, found.compared_rows) == ("twin", 160)
    held = made.table.slice(640)
    assert found.champion == pytest.approx(metrics("regression", labels(held), predict(twin(champion.folder), held)))


def test_of_a_rolling_evaluation_those_thirds_count_whose_twin_is_no_older_than_the_champion(tmp_path: Path) -> None:
    champion, made = Made(tmp_path / "one", 740), Made(tmp_path / "two", 800, evaluation="rolling")
    found = made.against(champion.folder, tmp_path / "out")
    assert (found.compared_on, found.compared_rows) == ("served", 800 - 746)
    later = made.table.slice(746)
    assert found.champion == pytest.approx(metrics("regression", labels(later), predict(champion.folder, later)))
    mine = metrics("regression", labels(later), predict_holdout(made.folder, made.table)[-54:])
    assert found.difference["rmse"].value == pytest.approx(mine["rmse"] - found.champion["rmse"])


def test_rows_that_the_champion_was_trained_on_are_left_out_of_the_comparison_alone(tmp_path: Path) -> None:
    champion, made = Made(tmp_path / "one", 800), Made(tmp_path / "two", 700)
    found = made.against(champion.folder, tmp_path / "out")
    assert (found.holdout_rows, found.compared_rows) == (140, 700 - 640)


def test_a_version_compared_with_its_own_twin_has_no_difference_at_all(tmp_path: Path) -> None:
    made = Made(tmp_path / "one", 800)
    found = made.against(made.folder, tmp_path / "out")
    assert found.compared_on == "twin"
    assert {(one.value, *one.interval) for one in found.difference.values()} == {(0.0, 0.0, 0.0)}


def test_a_champion_that_needs_what_is_gone_is_not_asked(tmp_path: Path) -> None:
    champion = Made(tmp_path / "one", 740)
    given = msgspec.structs.replace(champion.spec, data=msgspec.structs.replace(champion.spec.data, exclude=("note", "size")))
    table, _ = read(given.data, last(800))
    made = version(table, given, tmp_path / "two")
    found = evaluate(table, given, made, champion.folder, tmp_path / "out", 7, against_version="3")
    assert (found.champion, found.unasked) == (None, "the champion needs 'size', which the data no longer has")


def test_a_version_compared_anew_is_not_scored_on_its_twins_training_rows(tmp_path: Path) -> None:
    made = Made(tmp_path / "one", 800)
    table, _ = read(made.spec.data, last(760))
    assert evaluate(table, made.spec, made.folder, None, tmp_path / "out", 7, anew=True).holdout_rows == 760 - 640
    table, _ = read(made.spec.data, last(600))
    found = evaluate(table, made.spec, made.folder, None, tmp_path / "none", 7, anew=True)
    assert (found.holdout_rows, found.candidate, found.slices) == (0, {}, ())


def with_gates(made: Made, *gates: Gate) -> ModelSpec:
    return msgspec.structs.replace(made.spec, gates=gates)


def test_declared_slices_and_those_of_gates_are_measured_where_they_have_50_rows(tmp_path: Path) -> None:
    champion, made = Made(tmp_path / "one", 1500, of=2000), Made(tmp_path / "two", 2000, of=2000, slices=("colour",))
    given = with_gates(made, Gate("rmse", slice="open", max=10.0))
    found = evaluate(made.table, given, made.folder, champion.folder, tmp_path / "out", 7, against_version="3")
    names = [one.name for one in found.slices]
    assert sorted(names[:3]) == ["colour = blue", "colour = green", "colour = red"]
    assert names[3:] == ["open = 0", "open = 1"]
    one = found.slices[0].measured
    held = made.table.slice(1600)
    inside = np.array([f"colour = {value}" == names[0] for value in held.column("colour").to_pylist()])
    part = held.filter(pa.array(inside))
    assert one.rows == one.compared_rows == part.num_rows
    assert one.metrics == pytest.approx(metrics("regression", labels(part), predict(twin(made.folder), part)))
    assert one.champion == pytest.approx(metrics("regression", labels(part), predict(champion.folder, part)))
    assert set(one.difference) == set(one.interval) == set(one.metrics)
    assert found.slices[0].attribution.keys() <= {"size", "colour", "open"}


def test_a_classification_has_curves_fairness_and_a_threshold(tmp_path: Path) -> None:
    found = [{**row, "amount": int(float(row["amount"]) > 20)} for row in rows(1000)]
    given = spec(write(tmp_path / "a.csv", found), "binary")
    given = msgspec.structs.replace(given, training=Training(sensitive=("colour",)))
    table, _ = read(given.data, last(1000))
    told = evaluate(table, given, version(table, given, tmp_path / "model"), None, tmp_path / "out", 7)
    assert told.roc is not None
    assert (told.roc.false_positive_rate[0], told.roc.true_positive_rate[-1], told.classes) == (0.0, 1.0, ("0", "1"))
    assert len(told.roc.thresholds) <= 100
    assert sum(map(sum, told.confusion)) == told.holdout_rows == 200
    assert [one.attribute for one in told.fairness] == ["colour"]
    assert told.fairness[0].metrics["demographic_parity"] > 0.1
    said = predict(twin(tmp_path / "model"), table.slice(800))
    positive = float(np.mean([row["amount"] for row in found[:800]]))
    assert (said >= (told.threshold or 0)).mean() == pytest.approx(positive, abs=0.01)
    assert sum(one.rows for one in told.calibration) == 200
    assert (told.skill.lower if told.skill else 0) > 0.3


def test_an_evaluation_is_the_same_again(tmp_path: Path) -> None:
    champion, made = Made(tmp_path / "one", 740), Made(tmp_path / "two", 800, slices=("colour",))
    assert made.against(champion.folder, tmp_path / "a") == made.against(champion.folder, tmp_path / "b")


def test_an_excluded_column_tells_rows_apart_and_is_no_feature(tmp_path: Path) -> None:
    given = spec(write(tmp_path / "a.csv", rows(800)), exclude=("note", "open", "colour"))
    given = msgspec.structs.replace(given, training=Training(slices=("open",), sensitive=("colour",)))
    taken = snapshot(given.data, last(800), tmp_path / "rows", told_apart(given))
    table = read_table(taken.path)
    check_gates(given, columns_of(taken.path))
    assert "note" not in table.column_names
    made = version(table, given, tmp_path / "model")
    found = evaluate(table, given, made, None, tmp_path / "out", 7)
    assert read_schema(made).names == ["size"]
    assert {part.column for part in found.slices} == {"open"}
    assert found.fairness[0].attribute == "colour"
    assert pq.read_table(tmp_path / "out" / "reference.parquet").column_names == [
        name for name in COLUMNS if name not in ("colour", "open")
    ]
