"""The compiled pipeline: fresh, and safe to run where data changes under the same name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import IR
from pipelines.tabular import compile_to

SPEC, PLATFORM = list[dict[str, Any]](yaml.safe_load_all(IR.read_text()))
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
    assert sorted(TASKS) == ["evaluate", "ingest", "register", "report", "search", "train"]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_no_task_is_cached_for_the_data_may_have_changed(name: str) -> None:
    assert not TASKS[name]["cachingOptions"].get("enableCache", False)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_asks_for_cpu_and_memory_and_is_retried(name: str) -> None:
    resources = executor(TASKS[name])["resources"]
    assert {"resourceCpuRequest", "resourceMemoryRequest", "resourceMemoryLimit"} <= resources.keys()
    assert TASKS[name]["retryPolicy"]["maxRetryCount"] == 1


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_pod_has_a_user_that_a_restricted_namespace_takes(name: str) -> None:
    label = COMPONENTS[TASKS[name]["componentRef"]["name"]]["executorLabel"]
    context = PLATFORM["platforms"]["kubernetes"]["deploymentSpec"]["executors"][label]["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, "65532")


def test_a_run_by_hand_needs_no_release_and_announces_only_if_told_to() -> None:
    parameters = SPEC["root"]["inputDefinitions"]["parameters"]
    assert {name for name, found in parameters.items() if not found.get("isOptional")} == {"document", "name", "cut", "tracking_uri"}
    assert (parameters["announce"]["defaultValue"], parameters["release_uid"]["defaultValue"]) == ("", "")


@pytest.mark.parametrize("name", ["register", "report"])
def test_both_ends_know_the_pipeline_runs_id_by_which_a_run_without_a_release_is_found(name: str) -> None:
    given = TASKS[name]["inputs"]["parameters"]
    assert given["run_id"]["runtimeValue"]["constant"] == "{{$.pipeline_job_uuid}}"


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
