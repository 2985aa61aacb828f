"""A register step that is killed at any of its writes, and repeated, leaves what one that was not killed leaves."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.training.data import document, last
from tests.unit.training.workshop import Workshop, leave_the_rest
from trimtab.manifest import verify
from trimtab.release import CandidateOutcome, Outcome
from trimtab.training import steps, tracking
from trimtab.training.lineage import Facts
from trimtab.training.runlog import BEST_TRIALS

REGISTER = """
import sys
from pathlib import Path
from trimtab.training import steps
from trimtab.training.lineage import Facts
document, name, cut, uri, *paths = sys.argv[1:]
steps.register(document, Facts(name, f"{name}-1", f"uid-{name}", 1, cut, "concept"), "", uri, *map(Path, paths))
"""
SECONDS = 120.0


class Shop:
    """A candidate whose steps left everything, and what has been written of it so far."""

    def __init__(self, folder: Path) -> None:
        self.workshop, self.folder = Workshop(folder), folder
        self.folders = (self.workshop.dataset, self.workshop.model, self.workshop.evaluation)
        leave_the_rest(*self.folders)
        self.text = document(self.workshop.spec)
        tracking.client(self.workshop.uri)

    def killed(self, name: str, written: Callable[["Shop", str], Any]) -> None:
        """Register in a process of its own, and kill it as soon as `written` is so."""
        words = [self.text, name, last().isoformat(), self.workshop.uri, *map(str, self.folders), str(self.folder / f"outcome-{name}")]
        process = subprocess.Popen([sys.executable, "-c", REGISTER, *words])
        deadline = time.monotonic() + SECONDS
        while not written(self, name) and process.poll() is None and time.monotonic() < deadline:
            pass
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL, "it was not killed in the middle"

    def register(self, name: str) -> CandidateOutcome:
        """Register in this process, to the end."""
        out = self.folder / f"outcome-{name}"
        facts = Facts(name, f"{name}-1", f"uid-{name}", 1, last().isoformat(), "concept")
        steps.register(self.text, facts, "", self.workshop.uri, *self.folders, out)
        outcome = msgspec.json.decode(out.read_bytes(), type=Outcome)
        assert isinstance(outcome, CandidateOutcome)
        return outcome

    def count(self, query: str, *values: str) -> int:
        """The number that a query of MLflow's database gives."""
        with sqlite3.connect(f"file:{self.folder / 'mlflow.db'}?mode=ro", uri=True, timeout=30) as connection:
            return int(connection.execute(query, values).fetchone()[0])

    def files(self, name: str, pattern: str) -> list[Path]:
        """Files among the artifacts of the run."""
        return list((self.folder / "mlartifacts" / name).glob(f"*/artifacts/{pattern}"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def run_is_there(shop: Shop, name: str) -> bool:
    return shop.count("SELECT count(*) FROM tags WHERE key = ? AND value = ?", tracking.RELEASE_UID, f"uid-{name}") > 0


def rows_are_there(shop: Shop, name: str) -> bool:
    return bool(shop.files(name, "data/*.parquet"))


def half_of_its_trials_are_there(shop: Shop, name: str) -> bool:
    query = "SELECT count(*) FROM runs JOIN experiments USING (experiment_id) WHERE experiments.name = ? AND runs.status = 'FINISHED'"
    return shop.count(query, name) >= BEST_TRIALS // 2


def files_of_the_version_are_there(shop: Shop, name: str) -> bool:
    return bool(shop.files(name, "model/schema.json"))


def version_is_there(shop: Shop, name: str) -> bool:
    return shop.count("SELECT count(*) FROM model_versions WHERE name = ?", name) > 0


def outcome_is_there(shop: Shop, name: str) -> bool:
    return bool(shop.files(name, "outcome.json"))


MOMENTS = (
    *(run_is_there, rows_are_there, half_of_its_trials_are_there),
    *(files_of_the_version_are_there, version_is_there, outcome_is_there),
)


@pytest.mark.parametrize("written", MOMENTS, ids=lambda moment: moment.__name__)
def test_killed_and_repeated_is_the_same_as_done_once(written: Callable[[Shop, str], Any], shop: Shop, tmp_path: Path) -> None:
    name = written.__name__.replace("_", "-")
    shop.killed(name, written)
    outcome = shop.register(name)
    assert shop.register(name) == outcome
    client = tracking.client(shop.workshop.uri)
    (version,) = client.search_model_versions(f"name = '{name}'")
    assert (str(version.version), version.tags[tracking.DIGEST]) == (outcome.version, outcome.digest)
    verify(tracking.download(shop.workshop.uri, name, outcome.version, tmp_path / "version"), outcome.digest)
    runs = client.search_runs([client.get_experiment_by_name(name).experiment_id], max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    trials = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert (len(trials), len(runs)) == (BEST_TRIALS, BEST_TRIALS + 1)
    assert {run.data.params["rank"] for run in trials} == {str(rank) for rank in range(1, BEST_TRIALS + 1)}
    (made,) = [run for run in runs if run not in trials]
    assert len(client.get_metric_history(made.info.run_id, "rmse")) == 1
    assert len(made.inputs.dataset_inputs) == 1
