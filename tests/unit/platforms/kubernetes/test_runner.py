"""The two runners as the loop meets them: which one makes a run, and Jobs that are submitted, read and cancelled.

The API server here is a dictionary with the one habit that counts, a name that is taken once; the real one is in `tests/cluster`.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.training.data import last, model, spec
from trimtab.control.ports import RunRequest
from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.platforms.kubernetes.job import document
from trimtab.platforms.kubernetes.job_runner import JobRunner
from trimtab.platforms.kubernetes.resources import EVENTS, JOBS, PODS, Resource
from trimtab.platforms.kubernetes.runner import KubernetesRunner
from trimtab.platforms.kubernetes.runs import TrainingSettings
from trimtab.release import RunState
from trimtab.spec import PipelineVersion

SETTINGS = TrainingSettings("image:1")
MLFLOW = "http://mlflow:5000"
ASKED = RunRequest("toy-1", "uid", 1, model(spec(Path("a.csv"))), last())


class Store:
    """Objects by kind and name."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], dict[str, Any]] = {}
        self.created = 0

    def put(self, resource: Resource, body: dict[str, Any]) -> None:
        self.held[resource.kind, body["metadata"]["name"]] = body

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        del namespace
        return self.held.get((resource.kind, name))

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        del namespace
        wanted = dict(pair.split("=") for pair in labels.split(",")) if labels else {}
        mine = [body for (kind, _), body in self.held.items() if kind == resource.kind]
        return [body for body in mine if wanted.items() <= body["metadata"].get("labels", {}).items()]

    def create(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        if self.get(resource, "", body["metadata"]["name"]):
            msg = "already exists"
            raise Conflict(msg)
        self.created += 1
        body = {**body, "metadata": {**body["metadata"], "uid": f"made-{self.created}"}}
        self.put(resource, body)
        return body

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        del namespace
        self.held.pop((resource.kind, name), None)

    def pod(self, phase: str = "Running", **extra: Any) -> None:
        labels = document(ASKED, SETTINGS, MLFLOW)["spec"]["template"]["metadata"]["labels"]
        self.put(PODS, {"metadata": {"name": "pod", "labels": labels, **extra}, "status": {"phase": phase}})


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def jobs(store: Store) -> JobRunner:
    return JobRunner(store, lambda uid: ("default", "toy-1", "job") if uid == "uid" else None, SETTINGS, MLFLOW)  # type: ignore[arg-type]


def test_a_job_is_created_once_and_is_active_at_once(jobs: JobRunner, store: Store) -> None:
    assert jobs.state("uid", 1) == ("absent", "")
    jobs.submit(ASKED)
    jobs.submit(ASKED)
    assert store.created == 1
    assert jobs.state("uid", 1) == ("active", "")
    assert jobs.state("uid", 2) == ("absent", "")
    assert jobs.where("uid", 1) == "kubectl logs --namespace default job/toy-1-1"


@pytest.mark.parametrize(
    ("labels", "extra", "error", "sentence"),
    [
        pytest.param({}, {}, InvalidInput, "that is not Trimtab's; delete it", id="somebody else's"),
        pytest.param({"trimtab.dev/release-uid": "old"}, {}, Unavailable, "of an earlier Release of that name", id="an earlier Release's"),
        pytest.param({}, {"deletionTimestamp": "now"}, Unavailable, "is being deleted", id="one that is on its way out"),
    ],
)
def test_a_name_that_is_taken(
    jobs: JobRunner, store: Store, labels: dict[str, str], extra: dict[str, str], error: type[Exception], sentence: str
) -> None:
    given = {"app.kubernetes.io/managed-by": "trimtab", **labels} if labels else {}
    store.put(JOBS, {"metadata": {"name": "toy-1-1", "labels": given, **extra}})
    with pytest.raises(error, match=sentence):
        jobs.submit(ASKED)
    assert jobs.state("uid", 1) == ("absent", ""), "another's Job is not this run"
    jobs.cancel("uid", 1)
    assert store.get(JOBS, "", "toy-1-1") is not None, "and is not ended with it"


def test_a_deleted_job_is_active_until_its_pod_has_ended(jobs: JobRunner, store: Store) -> None:
    jobs.submit(ASKED)
    store.pod(deletionTimestamp="now")
    store.delete(JOBS, "default", "toy-1-1")
    assert jobs.state("uid", 1) == ("active", "its Job was deleted, its pod is ending")
    store.pod("Failed", deletionTimestamp="now")
    assert jobs.state("uid", 1) == ("absent", "")


def test_cancel_ends_the_job_and_a_pod_that_was_left_alone(jobs: JobRunner, store: Store) -> None:
    jobs.submit(ASKED)
    store.pod()
    jobs.cancel("uid", 1)
    assert not store.list(JOBS)
    assert not store.list(PODS)
    jobs.cancel("uid", 1)
    jobs.cancel("nobody", 1)
    assert jobs.state("nobody", 1) == ("absent", "")


def test_what_an_active_job_waits_for_and_why_an_ended_one_failed(jobs: JobRunner, store: Store) -> None:
    jobs.submit(ASKED)
    made = store.list(JOBS)[0]
    about = {"regarding": {"uid": made["metadata"]["uid"]}, "type": "Warning", "note": 'serviceaccount "nobody" not found'}
    store.put(EVENTS, {"metadata": {"name": "event"}, **about})
    assert jobs.state("uid", 1) == ("active", 'its pod cannot be created: serviceaccount "nobody" not found')
    store.pod()
    assert jobs.state("uid", 1) == ("active", "")
    made["status"] = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit"}]}
    assert jobs.state("uid", 1) == ("ended", "BackoffLimitExceeded: limit")


def test_a_job_whose_image_does_not_come_ends_with_its_pod(store: Store) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    clock = iter([at + timedelta(minutes=4), at + timedelta(minutes=6)])
    jobs = JobRunner(store, lambda _: ("default", "toy-1", "job"), SETTINGS, MLFLOW, now=lambda: next(clock))  # type: ignore[arg-type]
    jobs.submit(msgspec.structs.replace(ASKED, image="nobody/has:it", pipeline=PipelineVersion("shop", "1.4.0", "d" * 64)))
    store.pod("Pending")
    pod = store.list(PODS)[0]
    pod["spec"] = store.list(JOBS)[0]["spec"]["template"]["spec"]
    waiting = {"name": "training", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    pod["status"] |= {"startTime": "2026-01-01T00:00:00Z", "containerStatuses": [waiting]}
    assert jobs.state("uid", 1) == ("active", "its pod waits: ErrImagePull: not found")
    said = "its pod waits: ErrImagePull: not found; the pipeline's image did not start within 5 minutes"
    assert jobs.state("uid", 1) == ("ended", said)
    assert not store.list(JOBS), "it must not begin later beside the next attempt"
    assert not store.list(PODS)


# --- which runner ---


class Known:
    """A runner that has one run, or does not answer."""

    def __init__(self, state: RunState = "absent", away: bool = False) -> None:
        self.current, self.away, self.heard = state, away, list[str]()

    def submit(self, request: RunRequest) -> None:
        self.heard.append(f"submit {request.release}")

    def state(self, release_uid: str, attempt: int) -> tuple[RunState, str]:
        self._answers()
        return self.current, f"{release_uid}/{attempt}" if self.current != "absent" else ""

    def cancel(self, release_uid: str, attempt: int) -> None:
        self._answers()
        self.heard.append(f"cancel {release_uid}/{attempt}")

    def where(self, release_uid: str, attempt: int) -> str:
        return f"page of {release_uid}/{attempt}"

    def _answers(self) -> None:
        if self.away:
            msg = "away"
            raise Unavailable(msg)


def runner(job: Known, kfp: Known | None, named: str | None = "job") -> KubernetesRunner:
    parts = {"job": job, **({"kfp": kfp} if kfp else {})}
    return KubernetesRunner(parts, lambda _: ("default", "toy-1", named) if named is not None else None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["job", "kfp"])
def test_the_model_says_which(name: str) -> None:
    parts = {"job": Known(), "kfp": Known()}
    given = msgspec.structs.replace(ASKED.model.spec, training=msgspec.structs.replace(ASKED.model.spec.training, runner=name))
    runner(parts["job"], parts["kfp"]).submit(msgspec.structs.replace(ASKED, model=model(given)))
    assert {key: part.heard for key, part in parts.items()} == {"job": [], "kfp": [], name: ["submit toy-1"]}


def test_a_runner_that_is_not_configured_is_refused_with_a_sentence() -> None:
    given = msgspec.structs.replace(ASKED.model.spec, training=msgspec.structs.replace(ASKED.model.spec.training, runner="kfp"))
    with pytest.raises(InvalidInput, match="'kfp', which is not configured; configured are job"):
        runner(Known(), None).submit(msgspec.structs.replace(ASKED, model=model(given)))


def test_a_run_is_found_and_ended_where_it_is_though_the_model_names_another_runner_now() -> None:
    job, kfp = Known("absent"), Known("active")
    both = runner(job, kfp, "job")
    assert both.state("uid", 1) == ("active", "uid/1")
    both.cancel("uid", 1)
    assert (job.heard, kfp.heard) == (["cancel uid/1"], ["cancel uid/1"])
    assert both.where("uid", 1) == "page of uid/1"


def test_another_runner_that_is_away_does_not_hold_up_the_models_own() -> None:
    job = Known("absent")
    both = runner(job, Known(away=True), "job")
    assert both.state("uid", 1) == ("absent", "")
    both.cancel("uid", 1)
    assert job.heard == ["cancel uid/1"]
    with pytest.raises(Unavailable):
        runner(job, Known(away=True), "kfp").state("uid", 1)


def test_where_nobody_knows_the_runner_all_are_asked_and_must_answer() -> None:
    for named in ("", None):
        assert runner(Known(), Known("active"), named).state("uid", 1)[0] == "active"
        for call in (runner(Known(), Known(away=True), named).state, runner(Known(), Known(away=True), named).cancel):
            with pytest.raises(Unavailable):
                call("uid", 1)
