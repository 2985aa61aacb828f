"""The Job of a training run: what is asked of Kubernetes, and what is made of what became of it."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipelines import IR
from tests.unit.platforms.test_packages import a_key, a_package
from tests.unit.training.data import last, model, rows, spec, write
from trimtab.control.ports import RunRequest
from trimtab.errors import InvalidInput
from trimtab.package import COMPILED
from trimtab.platforms.kubernetes.job import (
    REQUEST_VARIABLE,
    TRACKING_VARIABLE,
    document,
    fault,
    job_name,
    last_words,
    refused,
)
from trimtab.platforms.kubernetes.runs import Named, Resources, SecretKey, Source, TrainingSettings, Variable
from trimtab.platforms.kubernetes.waiting import note, stuck
from trimtab.platforms.packages import MlflowPackages
from trimtab.release import InvalidDataOutcome, Outcome
from trimtab.spec import Metadata, Model, ModelStatus, PipelineVersion

GIVEN = spec(Path("a.csv"))
SETTINGS = TrainingSettings("trimtab/training:0.1.0")
MLFLOW = "http://mlflow:5000"


def request(made: Model | None = None) -> RunRequest:
    return RunRequest("toy-1", "uid-of-the-release", 2, made or model(GIVEN), last())


def pod_of(settings: TrainingSettings = SETTINGS) -> dict[str, Any]:
    found: dict[str, Any] = document(request(), settings, MLFLOW)["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize(
    ("release", "attempt", "expected"),
    [
        pytest.param("toy-1", 2, "toy-1-2", id="as it is"),
        pytest.param("a" * 61, 1, "a{61}-1", id="the longest that fits"),
        pytest.param("toy.v1", 1, "toy-v1-[0-9a-f]{8}-1", id="a dot, which a pod's host name may not have"),
        pytest.param("a" * 62, 1, "a{52}-[0-9a-f]{8}-1", id="too long"),
        pytest.param("a" * 51 + "-" + "b" * 40, 10, "a{51}-[0-9a-f]{8}-10", id="no hyphen is left before the hash"),
    ],
)
def test_name(release: str, attempt: int, expected: str) -> None:
    found = job_name(release, attempt)
    assert len(found) <= 63
    assert re.fullmatch(expected, found)


def test_names_that_a_cut_would_make_equal_are_not() -> None:
    assert len({job_name("a" * 70 + end, 1) for end in ("x", "y", "")}) == 3
    assert job_name("a.b", 1) != job_name("a-b", 1)


def test_the_job_is_the_releases_and_carries_who_it_is_for() -> None:
    found = document(request(), SETTINGS, MLFLOW)
    metadata = found["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("toy-1-2", "default")
    labels = {
        "app.kubernetes.io/managed-by": "trimtab",
        "trimtab.dev/model": "toy",
        "trimtab.dev/release": "toy-1",
        "trimtab.dev/release-uid": "uid-of-the-release",
        "trimtab.dev/attempt": "2",
    }
    assert labels.items() <= metadata["labels"].items()
    assert labels.items() <= found["spec"]["template"]["metadata"]["labels"].items()
    (owner,) = metadata["ownerReferences"]
    assert (owner["apiVersion"], owner["kind"], owner["name"], owner["uid"]) == (
        "trimtab.dev/v1alpha1",
        "Release",
        "toy-1",
        "uid-of-the-release",
    )
    assert not owner["blockOwnerDeletion"], "setting it needs rights on the Release's finalizers"


def test_one_pod_at_a_time_and_what_a_person_must_mend_is_not_retried() -> None:
    found = document(request(), msgspec.structs.replace(SETTINGS, deadline="30m"), MLFLOW)["spec"]
    assert (found["completions"], found["parallelism"], found["podReplacementPolicy"]) == (1, 1, "Failed")
    assert (found["backoffLimit"], found["activeDeadlineSeconds"], found["ttlSecondsAfterFinished"]) == (1, 1800, 86400)
    first, second = found["podFailurePolicy"]["rules"]
    assert (first["action"], first["onExitCodes"]["values"]) == ("FailJob", [2])
    assert (second["action"], second["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")


def test_the_pod_is_restricted() -> None:
    pod = pod_of()
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", "/work"}  # noqa: S108
    assert all(volume["emptyDir"]["sizeLimit"] == "4Gi" for volume in pod["volumes"])
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}
    assert "serviceAccountName" not in pod
    assert "imagePullSecrets" not in pod
    assert "envFrom" not in container


def test_what_an_installation_adds() -> None:
    key = Source(SecretKey("bucket", "id", optional=True))
    found = document(
        request(),
        TrainingSettings(
            image="registry.example/training:2",
            image_pull_policy="Always",
            image_pull_secrets=(Named("registry"),),
            env=(Variable("AWS_REGION", "eu-1"), Variable("AWS_ACCESS_KEY_ID", value_from=key), Variable("OMP_NUM_THREADS", "8")),
            existing_secret="s3",
            service_account_name="trainer",
            resources=Resources({"cpu": 4, "memory": "16Gi"}, {"memory": "32Gi"}),
            scratch_size="1Ti",
            deadline="12h",
            ttl="2w",
            retries=0,
        ),
        MLFLOW,
    )["spec"]
    pod = found["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["serviceAccountName"] == "trainer"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert (container["image"], container["imagePullPolicy"]) == ("registry.example/training:2", "Always")
    assert container["envFrom"] == [{"secretRef": {"name": "s3", "optional": True}}]
    named = {item["name"]: item for item in container["env"]}
    assert len(named) == len(container["env"])
    assert named["AWS_REGION"]["value"] == "eu-1"
    assert named["AWS_ACCESS_KEY_ID"] == {
        "name": "AWS_ACCESS_KEY_ID",
        "valueFrom": {"secretKeyRef": {"name": "bucket", "key": "id", "optional": True}},
    }
    assert named["OMP_NUM_THREADS"]["value"] == "8", "a default of ours"
    assert container["resources"] == {"requests": {"cpu": 4, "memory": "16Gi"}, "limits": {"memory": "32Gi"}}
    assert {volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"]} == {"1Ti"}
    assert (found["activeDeadlineSeconds"], found["ttlSecondsAfterFinished"], found["backoffLimit"]) == (43_200, 1_209_600, 0)


@pytest.mark.parametrize("name", [REQUEST_VARIABLE, TRACKING_VARIABLE])
def test_what_is_asked_cannot_be_changed_by_the_environment(name: str) -> None:
    changed = msgspec.structs.replace(SETTINGS, env=(Variable(name, "x"),))
    assert environment(document(request(), changed, MLFLOW)) == environment(document(request(), SETTINGS, MLFLOW))


def test_the_request_comes_back_from_the_environment_without_the_models_status() -> None:
    made = msgspec.structs.replace(model(GIVEN), status=ModelStatus(first_cut=last()))
    text = environment(document(request(made), SETTINGS, MLFLOW))[REQUEST_VARIABLE]
    assert msgspec.json.decode(text, type=RunRequest) == request()


def test_a_reference_in_the_document_is_left_as_it_is() -> None:
    made = model(msgspec.structs.replace(GIVEN, data=msgspec.structs.replace(GIVEN.data, uri="s3://$(HOME)/a")))
    assert "s3://$$(HOME)/a" in environment(document(request(made), SETTINGS, MLFLOW))[REQUEST_VARIABLE]


def test_a_document_that_does_not_fit_is_refused() -> None:
    made = msgspec.structs.replace(model(GIVEN), metadata=Metadata("toy", annotations={"a": "x" * 60_000}))
    with pytest.raises(InvalidInput, match="a training Job takes at most 60000"):
        document(request(made), SETTINGS, MLFLOW)


def environment(job: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in job["spec"]["template"]["spec"]["containers"][0]["env"]}


# --- what became of it ---


def ended_pod(created: str = "2026-01-01T00:00:00Z", code: int = 1, **terminated: Any) -> dict[str, Any]:
    state = {"terminated": {"exitCode": code, "reason": "Error", **terminated}}
    status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [{"name": "training", "state": state}]}
    return {"metadata": {"name": "p", "creationTimestamp": created}, "status": status}


def job_with(**condition: Any) -> dict[str, Any]:
    return {"spec": {"activeDeadlineSeconds": 7200}, "status": {"conditions": [{"status": "True", **condition}]}}


FAILED = job_with(type="Failed", reason="BackoffLimitExceeded", message="Job has reached the specified backoff limit")


@pytest.mark.parametrize(
    ("job", "pods", "expected"),
    [
        pytest.param(job_with(type="Complete"), [ended_pod(code=0)], "", id="it did well"),
        pytest.param(job_with(type="Complete"), [ended_pod(message="first try"), ended_pod(code=0)], "", id="it did well the second time"),
        pytest.param(
            FAILED,
            [ended_pod("2026-01-01T00:05:00Z", message="Unavailable: MLflow is away"), ended_pod(message="the first")],
            "Unavailable: MLflow is away",
            id="the last pod's own sentence",
        ),
        pytest.param(
            FAILED,
            [ended_pod(message="Traceback\n  x\nModuleNotFoundError: No module named 'kfp'\n")],
            "ModuleNotFoundError: No module named 'kfp'",
            id="the log's end, where nothing of ours ran",
        ),
        pytest.param(FAILED, [ended_pod(message="one\ntwo\n")], "two", id="a log without an error"),
        pytest.param(
            FAILED, [ended_pod(code=137, reason="OOMKilled")], "the run's process was killed for want of memory (OOMKilled)", id="memory"
        ),
        pytest.param(FAILED, [ended_pod(code=3)], "the run's process ended with exit code 3 (Error) and without a word", id="no word"),
        pytest.param(FAILED, [], "BackoffLimitExceeded: Job has reached the specified backoff limit", id="the pods are gone"),
        pytest.param(
            job_with(type="Failed", reason="DeadlineExceeded", message="Job was active longer than specified deadline"),
            [],
            "the run did not end within 2:00:00",
            id="the deadline",
        ),
    ],
)
def test_fault(job: dict[str, Any], pods: list[dict[str, Any]], expected: str) -> None:
    assert fault(job, pods, SETTINGS) == expected


def test_a_pod_that_was_evicted_says_so() -> None:
    assert last_words({"status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}}) == "Evicted: low on memory"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}, "", id="it runs"),
        pytest.param(
            {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}, "", id="it starts"
        ),
        pytest.param(
            {"containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}]},
            "its pod waits: ErrImagePull: not found",
            id="no image",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]},
            "its pod cannot be scheduled: 0/1 nodes are available",
            id="no node",
        ),
    ],
)
def test_note(status: dict[str, Any], expected: str) -> None:
    assert note([{"status": status}]) == expected


SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def waiting_pod(image: str = "shop:1", reason: str = "ImagePullBackOff", name: str = "training") -> dict[str, Any]:
    state = {"name": name, "state": {"waiting": {"reason": reason, "message": "back-off"}}}
    status = {"phase": "Pending", "startTime": SINCE.isoformat(), "containerStatuses": [state]}
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": name, "image": image}]}, "status": status}


NEVER = "the pipeline's image did not start within 5 minutes"


@pytest.mark.parametrize(
    ("pod", "minutes", "expected"),
    [
        pytest.param(waiting_pod(), 6, f"its pod waits: ImagePullBackOff: back-off; {NEVER}", id="an image that nobody pushed"),
        pytest.param(waiting_pod(), 4, "", id="it may come yet"),
        pytest.param(waiting_pod(reason="ContainerCreating"), 60, "", id="a large image that is being pulled"),
        pytest.param(waiting_pod(SETTINGS.image), 60, "", id="the installation's own image: its registry comes back"),
        pytest.param(waiting_pod(name="main"), 6, f"its pod waits: ImagePullBackOff: back-off; {NEVER}", id="a task of Kubeflow Pipelines"),
        pytest.param(
            waiting_pod(reason="CreateContainerConfigError"), 6, f"its pod waits: CreateContainerConfigError: back-off; {NEVER}", id="root"
        ),
        pytest.param({"metadata": {"name": "p"}, "spec": {"containers": []}, "status": {}}, 60, "", id="no node has taken it"),
    ],
)
def test_a_pod_waits_five_minutes_for_a_pipelines_image(pod: dict[str, Any], minutes: int, expected: str) -> None:
    assert stuck([pod], SETTINGS.image, SINCE + timedelta(minutes=minutes)) == expected


def test_a_published_pipeline_runs_in_its_own_image_as_the_installation_says() -> None:
    settings = TrainingSettings("trimtab/training:0.1.0", image_pull_secrets=(Named("registry"),))
    asked = msgspec.structs.replace(request(), pipeline=PipelineVersion("shop", "1.4.0", "d" * 64), image="shop:1")
    job = document(asked, settings, MLFLOW)
    pod = job["spec"]["template"]["spec"]
    own = document(request(), settings, MLFLOW)["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "shop:1"
    assert {**pod, "containers": []} == {**own, "containers": []}
    given = msgspec.json.decode(environment(job)[REQUEST_VARIABLE])
    assert given["pipeline"] == {"name": "shop", "version": "1.4.0", "digest": "d" * 64}


def test_a_pod_that_cannot_be_created_is_told_by_the_jobs_last_warning() -> None:
    def event(uid: str, at: str, text: str, kind: str = "Warning") -> dict[str, Any]:
        return {"regarding": {"uid": uid}, "type": kind, "note": text, "metadata": {"creationTimestamp": at}}

    events = [event("j", "2", "the later"), event("j", "1", "the first"), event("j", "3", "fine", "Normal"), event("k", "4", "another's")]
    assert refused({"metadata": {"uid": "j"}}, events) == "its pod cannot be created: the later"
    assert refused({"metadata": {"uid": "x"}}, events) == ""


# --- the pod's process ---


def execute(tmp_path: Path, env: dict[str, str]) -> tuple[int, str]:
    """The exit code and the termination message of a real process with the pod's environment."""
    words = tmp_path / "termination-log"
    words.touch()
    command = [
        sys.executable,
        "-m",
        "trimtab.platforms.kubernetes.job_main",
        "--work",
        str(tmp_path / "work"),
        "--termination-log",
        str(words),
    ]
    done = subprocess.run(command, env={**os.environ, **env}, check=False, capture_output=True)
    return done.returncode, words.read_text()


def asked(tmp_path: Path, tracking_uri: str, **columns: str) -> dict[str, str]:
    data = write(tmp_path / "a.csv", rows()[:40])
    job = document(request(model(spec(data, **columns))), SETTINGS, tracking_uri)
    found = environment(job)
    return {name: found[name] for name in (REQUEST_VARIABLE, TRACKING_VARIABLE)}


def test_a_verdict_is_a_run_that_ended_well(tmp_path: Path) -> None:
    assert execute(tmp_path, asked(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}", label="nowhere")) == (0, "")
    left: Outcome = msgspec.json.decode((tmp_path / "work" / "outcome.json").read_bytes(), type=Outcome)
    assert isinstance(left, InvalidDataOutcome)


@pytest.mark.parametrize("changed", [False, True])
def test_a_pod_runs_the_published_pipeline_as_it_was_published_or_not_at_all(tmp_path: Path, changed: bool) -> None:
    tracking_uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    compiled = IR.read_text().replace("name: tabular", "name: shop", 1)
    key, _ = a_key(tmp_path, "ci")
    version = MlflowPackages(tracking_uri, tmp_path / "kept").publish(a_package(tmp_path / "made", compiled=compiled), key)
    if changed:
        stored = next((tmp_path / "mlartifacts").rglob(COMPILED))
        stored.write_text(stored.read_text().replace("seed", "need"))
    given = asked(tmp_path, tracking_uri, label="nowhere")
    wanted = msgspec.json.decode(given[REQUEST_VARIABLE], type=RunRequest)
    given[REQUEST_VARIABLE] = msgspec.json.encode(msgspec.structs.replace(wanted, pipeline=version, image="shop:1")).decode()
    code, words = execute(tmp_path, given)
    if changed:
        assert code == 2
        assert words.startswith("InvalidInput: PackageRefused: 'pipeline.yaml' of the package churn 1.4.0"), words
        assert not (tmp_path / "work" / "outcome.json").exists(), "nothing of it ran"
    else:
        assert (code, words) == (0, "")


def test_a_run_that_cannot_reach_mlflow_is_worth_a_retry_and_says_why(tmp_path: Path) -> None:
    code, words = execute(tmp_path, asked(tmp_path, f"sqlite:///{tmp_path / 'no' / 'folder' / 'mlflow.db'}", label="nowhere"))
    assert code == 1
    assert words.startswith("Unavailable: "), words


def test_a_run_without_a_request_is_never_repeated(tmp_path: Path) -> None:
    code, words = execute(tmp_path, {REQUEST_VARIABLE: "{}", TRACKING_VARIABLE: "sqlite://"})
    assert code == 2
    assert words.startswith("InvalidInput: TRIMTAB_REQUEST"), words
