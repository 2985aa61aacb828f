"""The pipeline that scores many rows: fresh, made of the same components, and run as it is checked in."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from components.needs import NEEDS
from pipelines import BATCH_SCORE_IR
from pipelines.batch_score import compile_to
from tests.unit.training.data import HEADER, document, last, rows, write
from tests.unit.training.workshop import Workshop

SPEC = list[dict[str, Any]](yaml.safe_load_all(BATCH_SCORE_IR.read_text()))[0]
RUN = """
import sys
from kfp import components, local
from pipelines import BATCH_SCORE_IR
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[1], raise_on_error=True)
given = dict(word.split("=", 1) for word in sys.argv[2:])
print("scored", components.load_component_from_file(str(BATCH_SCORE_IR))(**given).output)
"""


def test_the_compiled_file_is_fresh(tmp_path: Path) -> None:
    compile_to(tmp_path / "batch_score.yaml")
    assert (tmp_path / "batch_score.yaml").read_text() == BATCH_SCORE_IR.read_text(), "run `make generate`"


def test_its_tasks_are_components_of_the_catalogue_with_what_they_need() -> None:
    tasks = SPEC["root"]["dag"]["tasks"]
    assert sorted(tasks) == ["ingest", "score"]
    for name in tasks:
        container = SPEC["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
        assert container["resources"]["resourceMemoryRequest"] == NEEDS[name].memory
        assert not tasks[name]["cachingOptions"].get("enableCache", False)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


def run(workshop: Workshop, root: Path, **given: str) -> "subprocess.CompletedProcess[str]":
    """The compiled pipeline with kfp.local, as a Job would run it."""
    version = workshop.version("uid-1")
    usual = {
        "document": document(workshop.spec),
        "champion": f"mlflow://models/toy/{version.version}?sha256={version.digest}",
        "tracking_uri": workshop.uri,
        "cut": last().isoformat(),
        **given,
    }
    command = [sys.executable, "-c", RUN, str(root), *(f"{name}={value}" for name, value in usual.items())]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"})


def test_rows_without_labels_are_scored_to_where_they_are_wanted(workshop: Workshop, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", rows(70, seed=4), tuple(name for name in HEADER if name not in ("amount", "note")))
    done = run(workshop, tmp_path / "root", uri=str(new), history="3d", to=str(tmp_path / "scored.parquet"), cut=rows(70)[-1]["at"])
    assert done.returncode == 0, done.stdout[-3000:]
    assert "scored 70" in done.stdout
    found = pq.read_table(tmp_path / "scored.parquet")
    assert found.num_rows == 70
    assert found.column_names == ["case_id", "at", "__prediction", "__version"]


def test_rows_that_cannot_be_scored_fail_the_run_with_a_sentence(workshop: Workshop, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", rows(70), ("at", "case_id", "colour"))
    done = run(workshop, tmp_path / "root", uri=str(new), to=str(tmp_path / "scored.parquet"))
    assert done.returncode != 0
    said = re.findall(r"InvalidInput: (.*)", done.stdout)
    assert said
    assert said[-1].startswith("the rows cannot be scored: the features 'size', 'open' are missing that the version was trained on")
    assert not (tmp_path / "scored.parquet").exists()
