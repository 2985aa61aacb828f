"""The compiled pipeline: fresh, and safe to run where data changes under the same name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import IR
from pipelines.tabular import compile_to

SPEC: dict[str, Any] = yaml.safe_load(IR.read_text())
COMPONENTS = SPEC["components"]
TASKS = {
    name: task
    for holder in (SPEC["root"], *COMPONENTS.values())
    for name, task in holder.get("dag", {}).get("tasks", {}).items()
    if "executorLabel" in COMPONENTS[task["componentRef"]["name"]]
}


def executor(task: dict[str, Any]) -> dict[str, Any]:
    label = COMPONENTS[task["componentRef"]["name"]]["executorLabel"]
    found: dict[str, Any] = SPEC["deploymentSpec"]["executors"][label]["container"]
    return found


def test_the_compiled_file_is_fresh(tmp_path: Path) -> None:
    compile_to(tmp_path / "tabular.yaml")
    assert (tmp_path / "tabular.yaml").read_text() == IR.read_text(), "run `python -m pipelines`"


def test_the_tasks_are_few() -> None:
    assert sorted(TASKS) == ["evaluate", "ingest", "register", "report", "train"]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_no_task_is_cached_for_the_data_may_have_changed(name: str) -> None:
    assert not TASKS[name]["cachingOptions"].get("enableCache", False)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_asks_for_cpu_and_memory_and_is_retried(name: str) -> None:
    resources = executor(TASKS[name])["resources"]
    assert {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"} <= resources.keys()
    assert TASKS[name]["retryPolicy"]["maxRetryCount"] == 1


@pytest.mark.parametrize("name", sorted(TASKS))
def test_no_task_installs_anything_when_it_starts(name: str) -> None:
    container = executor(TASKS[name])
    assert container["image"] == "trimtab/training:0.1.0"
    assert "pip install" not in " ".join(container["command"])


def test_a_condition_only_looks_at_a_word_that_holds_no_quote() -> None:
    parents = [task for holder in COMPONENTS.values() for task in holder.get("dag", {}).get("tasks", {}).values()]
    conditions = [task["triggerPolicy"]["condition"] for task in parents if "triggerPolicy" in task]
    assert len(conditions) == 2
    assert all("'valid'" in condition for condition in conditions)
