"""Registering twice is registering once, and what is registered is what MLflow users expect. On a real MLflow database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.unit.training.data import document, last, rows, spec, write
from trimtab.errors import InvalidInput
from trimtab.manifest import verify
from trimtab.release import CandidateOutcome, InvalidDataOutcome, Outcome, RejectedOutcome
from trimtab.spec import Gate, ModelSpec
from trimtab.training import steps, tracking
from trimtab.training.register import Facts, assemble, commit, register


class Workshop:
    """One toy candidate that went through ingest, train and evaluate, and a registry to put it in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.spec = spec(write(folder / "a.csv", rows()))
        self.dataset, self.model, self.evaluation = folder / "dataset", folder / "model", folder / "evaluation"
        assert steps.ingest(document(self.spec), last().isoformat(), "", self.uri, self.dataset) == "valid"
        steps.train(document(self.spec), "", self.uri, 7, self.dataset, self.model)
        self.evaluate(self.evaluation)

    def evaluate(self, out: Path, champion: str = "", given: ModelSpec | None = None, compare_only: str = "") -> None:
        """The evaluate step into `out`."""
        steps.evaluate(document(given or self.spec), champion, compare_only, self.uri, 7, self.dataset, self.model, out)

    def register(self, uid: str, evaluation: Path | None = None, attempt: int = 1, compare_only: str = "") -> Outcome:
        """The register step; returns the outcome file's content."""
        facts, out = Facts("toy", f"toy-{uid}", uid, attempt, last().isoformat()), self.folder / f"outcome-{uid}"
        steps.register(facts, compare_only, self.uri, self.dataset, self.model, evaluation or self.evaluation, out)
        return msgspec.json.decode(out.read_bytes(), type=Outcome)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    return Workshop(tmp_path_factory.mktemp("workshop"))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def client(workshop: Workshop) -> Any:
    return tracking.client(workshop.uri)


def versions(client: Any) -> list[Any]:
    return sorted(client.search_model_versions("name = 'toy'"), key=lambda item: int(item.version))


def test_registering_twice_makes_one_run_one_version_and_one_outcome(workshop: Workshop, client: Any) -> None:
    first, second = workshop.register("uid-1"), workshop.register("uid-1")
    assert isinstance(first, CandidateOutcome)
    assert first == second
    (version,) = [item for item in versions(client) if item.tags[tracking.RELEASE_UID] == "uid-1"]
    assert (str(version.version), version.tags[tracking.DIGEST]) == (first.version, first.digest)
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["trimtab.attempt"] == "1"
    assert run.data.tags["mlflow.source.git.commit"] == commit()
    assert run.data.tags["trimtab.dataset"] == next(workshop.dataset.glob("*.parquet")).stem
    assert run.data.metrics["rmse"] == first.metrics["rmse"]
    assert int(run.data.params["rounds"]) > 1


def test_the_first_outcome_of_an_attempt_stands(workshop: Workshop) -> None:
    facts = Facts("toy", "toy-7", "uid-7", 1)
    first, second = (register(workshop.uri, facts, None, None, InvalidDataOutcome((text,))) for text in ("first", "second"))
    assert first == second
    assert first.outcome == InvalidDataOutcome(("first",))


def test_a_register_that_died_before_its_outcome_takes_up_its_own_version(workshop: Workshop, client: Any) -> None:
    died = workshop.register("uid-died")
    assert isinstance(died, CandidateOutcome)
    run = client.get_model_version("toy", died.version).run_id
    (workshop.folder / "mlartifacts" / "toy" / run / "artifacts" / "outcome.json").unlink()
    count = len(versions(client))
    assert workshop.register("uid-died") == died
    assert len(versions(client)) == count


def test_another_attempt_is_another_version(workshop: Workshop) -> None:
    first, second = workshop.register("uid-2", attempt=1), workshop.register("uid-2", attempt=2)
    assert isinstance(first, CandidateOutcome)
    assert isinstance(second, CandidateOutcome)
    assert int(second.version) > int(first.version)
    assert second.digest == first.digest


def test_what_was_registered_can_be_fetched_by_its_digest_and_by_no_other(workshop: Workshop, tmp_path: Path) -> None:
    outcome = workshop.register("uid-3")
    assert isinstance(outcome, CandidateOutcome)
    uri = f"mlflow://models/toy/{outcome.version}"
    folder = tracking.fetch(f"{uri}?sha256={outcome.digest}", workshop.uri, tmp_path)
    verify(folder, outcome.digest)
    assert folder.name == outcome.version
    assert tracking.fetch(f"{folder.as_uri()}?sha256={outcome.digest}", "", tmp_path) == folder
    with pytest.raises(InvalidInput, match="the version was changed"):
        tracking.fetch(f"{folder.as_uri()}?sha256={'0' * 64}", "", tmp_path)
    with pytest.raises(InvalidInput, match="names no version"):
        tracking.fetch(uri, workshop.uri, tmp_path)


def test_mlflow_users_can_load_it_with_raw_values(workshop: Workshop, tmp_path: Path) -> None:
    import mlflow.pyfunc
    import pandas as pd

    digest = assemble(workshop.model, workshop.evaluation, tmp_path / "version")
    verify(tmp_path / "version", digest)
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "version"))
    frame = pd.DataFrame({"size": [1.0, 9.0], "colour": ["red", "blue"], "open": [0.0, 1.0]})
    assert np.diff(loaded.predict(frame))[0] > 20
    assert [column.name for column in loaded.metadata.signature.inputs] == ["size", "colour", "open"]


def test_a_gate_that_stops_the_candidate_is_the_outcome_and_no_version_is_made(workshop: Workshop, client: Any, tmp_path: Path) -> None:
    count = len(versions(client))
    strict = msgspec.structs.replace(workshop.spec, gates=(Gate("rmse", max=0.001),))
    workshop.evaluate(tmp_path, given=strict)
    outcome = workshop.register("uid-strict", tmp_path)
    assert isinstance(outcome, RejectedOutcome)
    assert (outcome.gate, outcome.bound) == ("rmse <= 0.001", 0.001)
    assert outcome.interval is not None
    assert outcome.interval[0] < (outcome.value or 0) < outcome.interval[1]
    assert len(versions(client)) == count


def test_comparing_anew_gates_the_version_without_registering_it_again(workshop: Workshop, client: Any, tmp_path: Path) -> None:
    known = workshop.register("uid-4")
    assert isinstance(known, CandidateOutcome)
    uri, count = f"mlflow://models/toy/{known.version}?sha256={known.digest}", len(versions(client))
    steps.train(document(workshop.spec), uri, workshop.uri, 7, workshop.dataset, tmp_path / "model")
    steps.evaluate(document(workshop.spec), uri, uri, workshop.uri, 7, workshop.dataset, tmp_path / "model", tmp_path / "evaluation")
    outcome = workshop.register("uid-5", tmp_path / "evaluation", compare_only=uri)
    assert isinstance(outcome, CandidateOutcome)
    assert (outcome.version, outcome.digest, outcome.compared_with) == (known.version, known.digest, known.version)
    assert len(versions(client)) == count


def test_data_that_cannot_be_trained_on_ends_in_an_outcome(workshop: Workshop, tmp_path: Path) -> None:
    broken = msgspec.structs.replace(workshop.spec, data=msgspec.structs.replace(workshop.spec.data, label="it's"))
    assert steps.ingest(document(broken), last().isoformat(), "", workshop.uri, tmp_path / "data") == "invalid"
    steps.report(Facts("toy", "toy-9", "uid-9", 1), workshop.uri, tmp_path / "data", tmp_path / "outcome")
    outcome = msgspec.json.decode((tmp_path / "outcome").read_bytes(), type=Outcome)
    assert isinstance(outcome, InvalidDataOutcome)
    assert outcome.checks[0].startswith('data.label: there is no column "it\'s" in ')


def test_a_changed_header_is_found_by_the_champions_schema(workshop: Workshop, tmp_path: Path) -> None:
    known = workshop.register("uid-6")
    assert isinstance(known, CandidateOutcome)
    renamed = write(
        tmp_path / "b.csv", [{**row, "SIZE": row["size"]} for row in rows()], ("at", "case_id", "SIZE", "colour", "open", "note", "amount")
    )
    champion = f"mlflow://models/toy/{known.version}?sha256={known.digest}"
    assert steps.ingest(document(spec(renamed)), last().isoformat(), champion, workshop.uri, tmp_path / "data") == "invalid"
    assert "'size' are missing" in (tmp_path / "data" / "checks.json").read_text()
    assert "&#x27;size&#x27; are missing" in (tmp_path / "data" / "checks.html").read_text()


def test_an_answer_that_mlflow_refuses_is_invalid_input(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="version 99 of 'toy': MLflow says"):
        tracking.fetch(f"mlflow://models/toy/99?sha256={'0' * 64}", workshop.uri, tmp_path)


def test_register_needs_something_to_say(workshop: Workshop) -> None:
    with pytest.raises(ValueError, match="needs a version folder or an outcome"):
        register(workshop.uri, Facts("toy", "toy-10", "uid-10", 1), None, None, None)
