"""The generated examples, trained end to end as their documents say: the compiled pipeline, a process a task, until a candidate."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from examples.stream import write
from tests.simulation.examples import EXAMPLES, WORLDS, loaded
from tests.unit.serving.tiny import until
from trimtab.control.ports import RunRequest
from trimtab.documents import read_model
from trimtab.platforms.local.runner import LocalRunner
from trimtab.release import CandidateOutcome, Outcome


@pytest.mark.parametrize(("name", "least"), [("fraud", 0.75), ("recommendation", 0.68)])
def test_the_first_version_of_an_example_passes_its_gates(name: str, least: float, tmp_path: Path) -> None:
    write(loaded(name).generate(60_000, 7), tmp_path / "rows.parquet")
    model = read_model(EXAMPLES / name / "model.yaml")
    spec = replace(model.spec, data=replace(model.spec.data, uri=str(tmp_path / "rows.parquet")))
    cut = datetime.fromisoformat(WORLDS[name].cut).replace(tzinfo=UTC)
    runner = LocalRunner(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}")
    try:
        runner.submit(RunRequest(f"{name}-1", "uid", 1, replace(model, spec=spec), cut))
        until(lambda: runner.state("uid", 1)[0] == "ended", 180)
    finally:
        runner.close()
    assert runner.state("uid", 1) == ("ended", "")
    outcome = msgspec.json.decode((tmp_path / "runs" / "uid-1" / "outcome.json").read_bytes(), type=Outcome)
    assert isinstance(outcome, CandidateOutcome), outcome
    assert outcome.metrics["roc_auc"] > least
