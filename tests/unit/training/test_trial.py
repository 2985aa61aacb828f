"""The trial of a pipeline: the champion's own rows, compared on the very same holdout, and its three gates."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from tests.unit.training.data import document, last, rows, write
from tests.unit.training.workshop import Workshop
from trimtab.errors import InvalidInput
from trimtab.spec import PipelineVersion, Trial
from trimtab.training import steps, tracking
from trimtab.training.checks import read_checks, sentences
from trimtab.training.evaluation.bootstrap import Difference
from trimtab.training.evaluation.found import Evaluation
from trimtab.training.evaluation.timing import Timed
from trimtab.training.fitted import read_fitted
from trimtab.training.found import read_begun, snapshot_digest
from trimtab.training.lineage import Facts, read_lineage
from trimtab.training.trial_gates import judge_trial
from trimtab.training.trials import TRIALS, write_trials
from trimtab.training.trials import Trial as Setting
from trimtab.version_uri import VersionUri

LATER = last(500).isoformat()
TRIED = PipelineVersion("shop", "1.4.0", "d" * 64)


class Shop(Workshop):
    """A workshop whose version is the champion, and where a pipeline is tried."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.champion = str(VersionUri("toy", *msgspec.structs.astuple(self.version("first"))))
        self.tried = folder / "tried"

    def ingest(self, **data: Any) -> str:
        given = replace(self.spec, data=replace(self.spec.data, **data))
        return steps.ingest(document(given), LATER, self.champion, self.uri, self.tried / "dataset", snapshot="champion")

    def judge(self, trained_on: Path | None = None, trials: tuple[Path, ...] = ()) -> Evaluation:
        """Train and evaluate as the pipeline does."""
        dataset, made = self.tried / "dataset", self.tried / "model"
        steps.train(document(self.spec), "", self.uri, 7, trained_on or dataset, made, trials)
        return steps.evaluate(document(self.spec), self.champion, "", self.uri, 7, dataset, made, self.tried / "evaluation")

    def register(self, uid: str, *given: Any, **more: Any) -> Any:
        """The register step of the trial, once there is one."""
        if not (self.folder / "tried").exists():
            return super().register(uid, *given, **more)
        facts = Facts("toy", "toy-trial", uid, 1, LATER, "pipeline", msgspec.json.encode(TRIED).decode())
        folders = (self.tried / name for name in ("dataset", "model", "evaluation"))
        steps.register(document(self.spec), facts, "", self.uri, *folders, self.folder / "outcome")
        return msgspec.json.decode((self.folder / "outcome").read_bytes())

    def sentences(self) -> str:
        return " ".join(sentences(read_checks(self.tried / "dataset")))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_an_equal_pipeline_makes_an_equal_model_of_the_champions_rows(shop: Shop) -> None:
    write(shop.folder / "a.csv", rows(500, seed=3))
    assert shop.ingest() == "valid"
    assert snapshot_digest(shop.tried / "dataset") == snapshot_digest(shop.dataset), "not what data.uri holds now"
    found = shop.judge()
    assert (found.compared_rows, found.compared_on) == (found.holdout_rows, "twin")
    assert found.holdout_rows == 80
    assert found.candidate == found.champion
    assert set(found.difference.values()) == {Difference(0.0, (0.0, 0.0), 0.0, 0.0)}
    outcome = shop.register("trial")
    assert outcome["verdict"] == "candidate"
    assert msgspec.convert(outcome["pipeline"], PipelineVersion) == TRIED
    lineage = read_lineage(tracking.download(shop.uri, "toy", outcome["version"], shop.folder / "again"))
    assert lineage is not None
    assert lineage.pipeline == TRIED
    assert lineage.cut == last().isoformat(), "its rows end where the champion's do"
    assert lineage.seconds == found.seconds
    assert found.champion_seconds is not None


@pytest.mark.parametrize("what", ["labels", "nothing"])
def test_a_pipeline_that_spoils_its_training_rows_is_stopped_by_quality(shop: Shop, what: str) -> None:
    assert shop.ingest() == "valid"
    table = pq.read_table(next((shop.tried / "dataset").glob("*.parquet")))
    if what == "labels":
        shuffled = table.column("amount").take(np.random.default_rng(1).permutation(table.num_rows))
        table = table.set_column(table.column_names.index("amount"), "amount", shuffled)
    spoiled = shop.folder / "spoiled"
    spoiled.mkdir()
    pq.write_table(table, spoiled / "rows.parquet")
    shop.judge(trained_on=spoiled)
    outcome = shop.register("trial")
    if what == "nothing":
        assert outcome["verdict"] == "candidate"
        return
    assert (outcome["verdict"], outcome["gate"]) == ("rejected", "quality")
    assert outcome["value"] > outcome["bound"]


def test_ten_times_as_many_trees_take_longer_to_ask(shop: Shop) -> None:
    assert shop.ingest() == "valid"
    known = read_fitted(shop.model)
    assert known is not None
    more = Setting(0, known.estimator, {**known.parameters, "rounds": 10 * int(known.parameters["rounds"])}, loss=1.0, losses=(1.0,))
    write_trials(shop.folder / "found" / TRIALS, (more,))
    found = shop.judge(trials=(shop.folder / "found",))
    assert found.timed is not None
    assert found.timed.rows == found.holdout_rows
    assert found.timed.candidate > 2 * found.timed.champion


def forget_rows(shop: Shop) -> None:
    for stored in (shop.folder / "mlartifacts").rglob("data/*.parquet"):
        stored.unlink()


def test_where_the_champions_run_kept_no_rows_they_are_read_again(shop: Shop) -> None:
    forget_rows(shop)
    write(shop.folder / "a.csv", [*rows(), *rows(500)[400:]])
    assert shop.ingest() == "valid"
    assert snapshot_digest(shop.tried / "dataset") == snapshot_digest(shop.dataset), "up to the champion's cut"
    begun = read_begun(shop.tried / "dataset")
    assert begun is not None
    assert (begun.snapshot, begun.cut) == ("champion", last().isoformat())


def test_a_trial_on_other_rows_than_the_champions_is_refused(shop: Shop) -> None:
    forget_rows(shop)
    write(shop.folder / "a.csv", rows(400, seed=3))
    assert shop.ingest() == "invalid"
    assert "the run of version 1 kept none" in shop.sentences()
    assert "holds others now" in shop.sentences()
    assert snapshot_digest(shop.tried / "dataset") == ""


def test_a_trial_without_a_champion_is_refused(shop: Shop) -> None:
    shop.champion = ""
    assert shop.ingest() == "invalid"
    assert "there is no champion" in shop.sentences()


def test_another_kind_of_snapshot_is_no_word(shop: Shop) -> None:
    with pytest.raises(InvalidInput, match="the run's snapshot: found 'all'; allowed are 'champion' and nothing"):
        steps.ingest(document(shop.spec), LATER, "", shop.uri, shop.tried, snapshot="all")


# --- the gates ---


def evaluation(value: float = 0.0, sure: float = 0.0, **more: Any) -> Evaluation:
    """A regression: the candidate's rmse is 10 + `value`, its lower one-sided bound `sure` less."""
    apart = Difference(value, (value - sure, value + sure), value - sure, value + sure)
    given = {"seconds": 100.0, "champion_seconds": 100.0, "timed": Timed(1000, 10.0, 10.0), "champion": {"rmse": 10.0}, **more}
    measured = {"candidate": {"rmse": 10.0 + value}, "difference": {"rmse": apart}, "compared_rows": 80}
    return Evaluation("regression", "rmse", 400, 80, baseline={"rmse": 20.0}, compared_with="1", **measured, **given)


GATES = {
    "an equal pipeline": (evaluation(), Trial(), ""),
    "worse, but within the margin": (evaluation(0.05), Trial(), ""),
    "worse beyond the margin, and it is not certain": (evaluation(0.5, 0.45), Trial(), ""),
    "certainly worse": (evaluation(0.5, 0.1), Trial(), "quality"),
    "certainly better": (evaluation(-2.0, 0.1), Trial(), ""),
    "certainly worse, which this Model allows": (evaluation(0.5, 0.1), Trial(quality="x1.1"), ""),
    "no better by as much as was asked for": (evaluation(), Trial(quality="x0.9"), "quality"),
    "a champion that could not be compared": (evaluation(unasked="the champion needs 'x'", champion=None), Trial(), "quality"),
    "three times as long": (evaluation(seconds=301.0), Trial(), "training_time"),
    "not quite three times": (evaluation(seconds=299.0), Trial(), ""),
    "one second against three is no verdict": (evaluation(seconds=3.0, champion_seconds=1.0), Trial(), ""),
    "nor a minute more, which is an image that was pulled": (evaluation(seconds=61.0, champion_seconds=1.0), Trial(), ""),
    "ten times a short run, and more than a minute": (evaluation(seconds=80.0, champion_seconds=8.0), Trial(), "training_time"),
    "a champion of before its time was kept": (evaluation(seconds=900.0, champion_seconds=None), Trial(), ""),
    "longer by a set time": (evaluation(seconds=901.0), Trial(training_time="+800"), "training_time"),
    "twice the time for a prediction": (evaluation(timed=Timed(1000, 20.5, 10.0)), Trial(), "prediction_time"),
    "less than twice": (evaluation(timed=Timed(1000, 19.5, 10.0)), Trial(), ""),
    "ten times next to nothing": (evaluation(timed=Timed(80, 2.0, 0.2)), Trial(), ""),
    "a margin of its own": (evaluation(timed=Timed(1000, 60.0, 10.0)), Trial(prediction_time="x8"), ""),
    "without rows there is nothing to measure": (evaluation(timed=None), Trial(), ""),
}


@pytest.mark.parametrize(("found", "trial", "stopped"), GATES.values(), ids=GATES.keys())
def test_a_trial_is_stopped_by(found: Evaluation, trial: Trial, stopped: str) -> None:
    results = judge_trial(trial, found)
    assert [result.gate for result in results] == ["quality", "training_time", "prediction_time"]
    assert all(result.sentence for result in results)
    assert [result.gate for result in results if not result.passed] == ([stopped] if stopped else [])


def test_a_run_that_is_no_trial_has_no_such_gates(shop: Shop) -> None:
    shop.evaluate(shop.tried, shop.champion)
    assert b"training_time" not in (shop.tried / "gates.json").read_bytes()
