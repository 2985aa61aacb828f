"""The evaluation: on rows that nobody was trained on, the same for both."""

import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.unit.training.data import START, last, rows, spec, write
from trimtab.schema import read_metrics
from trimtab.training.evaluate import Evaluation, evaluate, holdout_start
from trimtab.training.fit import fit
from trimtab.training.ingest import read
from trimtab.training.model import predict
from trimtab.training.scores import metrics, row_losses


def made(folder: Path, count: int, of: int = 800) -> tuple[Path, Evaluation]:
    """A version made from the first `count` of the rows, with its evaluation in the same folder."""
    folder.mkdir()
    given = spec(write(folder / "a.csv", rows(of)))
    table, _ = read(given.data, last(count))
    fit(table, given, folder / "model", 7)
    found = evaluate(table, given.data, folder / "model", None, folder / "model", 7)
    return folder / "model", found


def test_the_reference_holds_predictions_and_says_which_rows_are_the_holdout(tmp_path: Path) -> None:
    model, found = made(tmp_path / "one", 500)
    reference = pq.read_table(model / "reference.parquet")
    assert reference.column_names == ["size", "colour", "open", "amount", "at", "case_id", "__prediction", "__holdout"]
    assert reference.num_rows == 500
    held = reference.filter(reference.column("__holdout"))
    assert held.num_rows == found.holdout_rows == 100
    on_holdout = metrics("regression", held.column("amount").to_numpy(), held.column("__prediction").to_numpy())
    assert on_holdout == pytest.approx(found.candidate)
    assert held.column("__prediction").to_pylist() == pytest.approx(predict(model, held).tolist())
    assert holdout_start(model) == START + timedelta(hours=400)


def test_the_sample_is_at_most_2000_rows_of_all_times(tmp_path: Path) -> None:
    model, _ = made(tmp_path / "one", 2600, of=2600)
    reference = pq.read_table(model / "reference.parquet")
    times = reference.column("at").to_pylist()
    assert (len(times), times == sorted(times)) == (2000, True)
    assert 320 < sum(reference.column("__holdout").to_pylist()) < 480


def test_the_metrics_file_says_what_the_evaluation_found(tmp_path: Path) -> None:
    model, found = made(tmp_path / "one", 500)
    kept = read_metrics(model)
    assert (kept.metrics, kept.primary, kept.rows, kept.holdout_rows) == (found.candidate, "rmse", 500, 100)
    assert kept.baseline["rmse"] > 3 * kept.metrics["rmse"]
    held = read(spec(tmp_path / "one" / "a.csv").data, last(500))[0].slice(400)
    losses = sorted(row_losses("regression", held.column("amount").to_numpy(), predict(model, held)).tolist())
    assert losses[-2] <= kept.loss_clip <= losses[-1]


def test_champion_and_candidate_score_the_same_rows_and_the_interval_is_paired(tmp_path: Path) -> None:
    champion, _ = made(tmp_path / "one", 300)
    candidate, _ = made(tmp_path / "two", 800)
    given = spec(tmp_path / "two" / "a.csv")
    table, _ = read(given.data, last(800))
    found = evaluate(table, given.data, candidate, champion, tmp_path / "out", 7, against_version="3")
    assert found.champion is not None
    held = table.slice(640)
    assert found.champion["rmse"] == pytest.approx(metrics("regression", held.column("amount").to_numpy(), predict(champion, held))["rmse"])
    assert found.compared_with == "3"
    low, high = found.interval["rmse"]
    assert low < found.candidate["rmse"] < high
    assert found.candidate["rmse"] < found.champion["rmse"]


def test_a_version_compared_with_itself_has_no_difference_at_all(tmp_path: Path) -> None:
    champion, _ = made(tmp_path / "one", 800)
    given = spec(tmp_path / "one" / "a.csv")
    table, _ = read(given.data, last(800))
    found = evaluate(table, given.data, champion, champion, tmp_path / "out", 7)
    assert found.interval["rmse"] == pytest.approx((found.candidate["rmse"], found.candidate["rmse"]))


def test_rows_that_the_champion_was_trained_on_are_left_out(tmp_path: Path) -> None:
    champion, _ = made(tmp_path / "one", 800)
    candidate, _ = made(tmp_path / "two", 700)
    given = spec(tmp_path / "two" / "a.csv")
    table, _ = read(given.data, last(700))
    assert evaluate(table, given.data, candidate, champion, tmp_path / "out", 7).holdout_rows == 700 - 640


def test_a_version_compared_anew_is_not_scored_on_its_own_training_rows(tmp_path: Path) -> None:
    candidate, _ = made(tmp_path / "one", 800)
    given = spec(tmp_path / "one" / "a.csv")
    table, _ = read(given.data, last(760))
    assert evaluate(table, given.data, candidate, None, tmp_path / "out", 7, anew=True).holdout_rows == 760 - 640
    given = spec(tmp_path / "one" / "a.csv")
    table, _ = read(given.data, last(600))
    found = evaluate(table, given.data, candidate, None, tmp_path / "none", 7, anew=True)
    assert (found.holdout_rows, found.candidate) == (0, {})
    shutil.rmtree(tmp_path / "none")
