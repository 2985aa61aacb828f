"""Registering twice is registering once, and what is registered is what MLflow users expect. On a real MLflow database."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.unit.training.data import document, last, rows, spec, write
from tests.unit.training.workshop import TRIALS, Workshop, leave_the_rest
from trimtab.errors import InvalidInput
from trimtab.manifest import verify
from trimtab.package import BUILT_IN
from trimtab.release import CandidateOutcome, InvalidDataOutcome, Outcome, RejectedOutcome
from trimtab.spec import Gate
from trimtab.training import steps, tracking
from trimtab.training.lineage import Facts, commit
from trimtab.training.register import assemble, register
from trimtab.training.runlog import BEST_TRIALS, Findings
from trimtab.version_uri import VersionUri


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


@pytest.fixture(scope="module")
def rich(workshop: Workshop, client: Any) -> Any:
    """The MLflow run of a candidate whose steps left everything that they may leave."""
    folders = [workshop.folder / f"rich-{place.name}" for place in (workshop.dataset, workshop.model, workshop.evaluation)]
    for source, place in zip((workshop.dataset, workshop.model, workshop.evaluation), folders, strict=True):
        shutil.copytree(source, place)
    leave_the_rest(*folders)
    facts = Facts("rich", "rich-1", "uid-rich", 1, last().isoformat(), "performance")
    run = steps.register(document(workshop.spec), facts, "", workshop.uri, *folders, workshop.folder / "outcome-rich")
    return client.get_run(run)


def files(client: Any, run: Any, folder: str | None = None) -> set[str]:
    return {item.path for item in client.list_artifacts(run.info.run_id, folder)}


def test_the_run_keeps_the_rows_the_pages_and_the_trials(workshop: Workshop, client: Any, rich: Any) -> None:
    digest = next(workshop.dataset.glob("*.parquet")).stem
    pages = {"card.md", "card.html", "lineage.json", "checks.html", "report.md", "report.html", "evaluation.json", "gates.json"}
    assert files(client, rich) == {*pages, "explanation.json", "leaderboard.json", "outcome.json", "data", "model"}
    assert files(client, rich, "data") == {f"data/{digest}.parquet"}
    assert rich.data.tags["trimtab.trigger"] == "performance"
    assert rich.data.params["estimator"] == "xgboost"
    assert rich.data.metrics["rmse_low"] < rich.data.metrics["rmse"] < rich.data.metrics["rmse_high"] < rich.data.metrics["baseline_rmse"]


def test_the_rows_are_an_mlflow_dataset(workshop: Workshop, rich: Any) -> None:
    (given,) = rich.inputs.dataset_inputs
    found, digest = given.dataset, next(workshop.dataset.glob("*.parquet")).stem
    assert (found.name, found.digest, found.source_type) == ("toy", digest[:36], "local")
    assert json.loads(found.source) == {"uri": workshop.spec.data.uri}
    profile = json.loads(found.profile)
    assert (profile["num_rows"], profile["sha256"]) == (400, digest)
    columns = {column["name"]: column["type"] for column in json.loads(found.schema)["mlflow_colspec"]}
    assert columns == {"at": "datetime", "case_id": "string", "size": "double", "colour": "string", "open": "boolean", "amount": "double"}
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "training")]


def test_the_best_trials_are_runs_below_the_run_the_best_one_first(client: Any, rich: Any) -> None:
    query = f"tags.`mlflow.parentRunId` = '{rich.info.run_id}'"
    children = client.search_runs([rich.info.experiment_id], query, max_results=100)
    assert [child.data.params["rank"] for child in children] == [str(rank) for rank in range(1, BEST_TRIALS + 1)], "newest first"
    assert len(children) == BEST_TRIALS < TRIALS
    best = children[0]
    assert (best.info.run_name, best.info.status, best.data.metrics["loss"]) == ("01-xgboost", "FINISHED", 1.0)
    assert best.data.params["eta"] == "0.1"
    assert tracking.RELEASE_UID not in best.data.tags, "only the run itself is found by Release and attempt"


@pytest.mark.usefixtures("rich")
def test_the_version_is_described_and_holds_what_belongs_to_it(workshop: Workshop, client: Any, tmp_path: Path) -> None:
    (version,) = client.search_model_versions("name = 'rich'")
    assert version.description.startswith("rmse is ")
    assert "The model toy of namespace default predicts the number amount from 3 features" in version.description
    assert "asked for by performance" in version.description
    assert {"trimtab.dataset", "trimtab.cut", "trimtab.trigger", "trimtab.estimator", "trimtab.digest"} <= version.tags.keys()
    assert client.get_registered_model("rich").description.startswith("regression of amount: the Model 'toy'")
    folder = tracking.download(workshop.uri, "rich", "1", tmp_path / "1")
    verify(folder, version.tags[tracking.DIGEST])
    assert {path.name for path in folder.iterdir()} == {
        *(
            "model.json",
            "schema.json",
            "training.json",
            "twin",
            "metrics.json",
            "reference.parquet",
            "answers.parquet",
            "explanation.json",
            "attributions.parquet",
        ),
        *("lineage.json", "card.md", "card.html", "MLmodel", "manifest.json"),
    }


def test_registering_again_after_everything_is_there_changes_nothing(workshop: Workshop, client: Any, rich: Any) -> None:
    """As when a task is killed after its last write but one."""
    home = workshop.folder / "mlartifacts" / "rich" / rich.info.run_id / "artifacts"
    (home / "outcome.json").unlink()
    before = len(client.search_runs([rich.info.experiment_id], max_results=1000))
    folders = [workshop.folder / f"rich-{name}" for name in ("dataset", "model", "evaluation")]
    facts = Facts("rich", "rich-1", "uid-rich", 1, last().isoformat(), "performance")
    run = steps.register(document(workshop.spec), facts, "", workshop.uri, *folders, workshop.folder / "outcome-again")
    assert run == rich.info.run_id
    assert (workshop.folder / "outcome-again").read_bytes() == (workshop.folder / "outcome-rich").read_bytes()
    assert len(client.search_runs([rich.info.experiment_id], max_results=1000)) == before
    assert len(client.get_metric_history(run, "rmse")) == 1
    assert len(client.search_model_versions("name = 'rich'")) == 1


def test_a_rejected_candidate_keeps_its_pages_and_card_but_not_the_rows(workshop: Workshop, client: Any, tmp_path: Path) -> None:
    workshop.evaluate(tmp_path, given=msgspec.structs.replace(workshop.spec, gates=(Gate("rmse", max=0.001),)))
    workshop.register("uid-kept", tmp_path)
    run = tracking.find_run(client, [client.get_experiment_by_name("toy").experiment_id], "uid-kept", 1)
    assert run
    assert {"card.html", "gates.json", "outcome.json"} <= files(client, run)
    assert "data" not in files(client, run)
    assert re.search(r"It failed 1 of \d+ gates\.", run.data.tags["mlflow.note.content"])


def test_the_first_outcome_of_an_attempt_stands(workshop: Workshop) -> None:
    facts = Facts("toy", "toy-7", "uid-7", 1)
    first, second = (register(workshop.uri, facts, Findings(), None, InvalidDataOutcome((text,))) for text in ("first", "second"))
    assert first == second
    assert first.outcome == InvalidDataOutcome(("first",))


@pytest.mark.parametrize("left", [None, b"", b'{"verdict":"candi'], ids=["nothing", "an empty file", "half of it"])
def test_a_register_that_died_before_its_outcome_was_whole_takes_up_its_own_version(
    left: bytes | None, workshop: Workshop, client: Any
) -> None:
    uid = f"uid-died-{'none' if left is None else len(left)}"
    died = workshop.register(uid)
    assert isinstance(died, CandidateOutcome)
    run = client.get_model_version("toy", died.version).run_id
    path = workshop.folder / "mlartifacts" / "toy" / run / "artifacts" / "outcome.json"
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    count = len(versions(client))
    assert workshop.register(uid) == died
    assert len(versions(client)) == count


def test_another_attempt_is_another_version(workshop: Workshop) -> None:
    first, second = workshop.register("uid-2", attempt=1), workshop.register("uid-2", attempt=2)
    assert isinstance(first, CandidateOutcome)
    assert isinstance(second, CandidateOutcome)
    assert int(second.version) > int(first.version)
    assert second.digest != first.digest, "its lineage names another attempt"


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
    with pytest.raises(InvalidInput, match="has no digest"):
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
    assert known.pipeline == BUILT_IN
    uri, count = f"mlflow://models/toy/{known.version}?sha256={known.digest}", len(versions(client))
    steps.train(document(workshop.spec), uri, workshop.uri, 7, workshop.dataset, tmp_path / "model")
    steps.evaluate(document(workshop.spec), uri, uri, workshop.uri, 7, workshop.dataset, tmp_path / "model", tmp_path / "evaluation")
    outcome = workshop.register("uid-5", tmp_path / "evaluation", compare_only=uri)
    assert isinstance(outcome, CandidateOutcome)
    assert (outcome.version, outcome.digest, outcome.compared_with) == (known.version, known.digest, known.version)
    assert outcome.pipeline is None, "what compared it did not make it"
    assert len(versions(client)) == count


def test_a_pipeline_that_trains_where_it_should_compare_is_told_so(workshop: Workshop, tmp_path: Path) -> None:
    known = workshop.version("uid-ignored")
    uri = str(VersionUri("toy", known.version, known.digest))
    with pytest.raises(InvalidInput, match=rf"compare_only names version {known.version} of 'toy', but the train step handed on another"):
        workshop.evaluate(tmp_path, uri, compare_only=uri)


def test_data_that_cannot_be_trained_on_ends_in_an_outcome(workshop: Workshop, tmp_path: Path) -> None:
    broken = msgspec.structs.replace(workshop.spec, data=msgspec.structs.replace(workshop.spec.data, label="it's"))
    assert steps.ingest(document(broken), last().isoformat(), "", workshop.uri, tmp_path / "data") == "invalid"
    steps.report(document(broken), Facts("toy", "toy-9", "uid-9", 1), workshop.uri, tmp_path / "data", tmp_path / "outcome")
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


def test_an_mlflow_that_does_not_answer_is_one_short_sentence_without_the_clients_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    script = (
        "import sys\nfrom pathlib import Path\nfrom trimtab.training import tracking\n"
        f"try: tracking.client({nobody!r})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    environment = {**os.environ, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    said = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True).stdout
    assert said == f"Unavailable MLflow at {nobody}: MLflow does not answer\n"


def test_register_needs_something_to_say(workshop: Workshop) -> None:
    with pytest.raises(ValueError, match="needs a version folder or an outcome"):
        register(workshop.uri, Facts("toy", "toy-10", "uid-10", 1), Findings(), None)
