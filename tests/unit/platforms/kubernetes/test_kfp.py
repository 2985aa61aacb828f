"""Runs on Kubeflow Pipelines, against a fake that has the real one's faults: one run, whatever crashes and whatever it answers."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from google.protobuf import json_format
from kfp import dsl, kubernetes

from components.image import TRAINING_IMAGE
from pipelines import IR
from tests.unit.platforms.kubernetes.fake_kfp import FakeKfp, serving
from tests.unit.training.data import last, model, spec
from trimtab.control.ports import RunRequest
from trimtab.errors import InvalidInput, Unavailable
from trimtab.platforms.kubernetes.kfp import KfpRunner, run_id_of
from trimtab.platforms.kubernetes.kfp_client import Endpoint, KfpClient
from trimtab.platforms.kubernetes.kfp_package import Upload, ensure, upload
from trimtab.platforms.kubernetes.runs import KfpSettings, Named, SecretKey, Source, TrainingSettings, Variable
from trimtab.spec import Metadata, PipelineVersion

ASKED = RunRequest("toy-1", "uid", 1, model(spec(Path("a.csv"))), last())
RUN = run_id_of("uid", 1)
SETTLED = 31.0
PLAIN = TrainingSettings()
OTHER = TrainingSettings("registry.example/training:2")


class Clock:
    """A clock that is moved by hand, for both kinds of time."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.passed)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fake() -> Iterator[FakeKfp]:
    with serving(FakeKfp()) as found:
        yield found


def found(release_uid: str) -> tuple[str, str, str]:
    del release_uid
    return "default", "toy-1", "kfp"


@pytest.fixture
def controller(fake: FakeKfp, clock: Clock) -> Callable[..., KfpRunner]:
    """What makes the adapter as a controller that starts anew does: nothing is remembered. `waited`: it started a while ago."""

    def make(waited: bool = True, training: TrainingSettings = PLAIN, **settings: Any) -> KfpRunner:
        client = KfpClient(Endpoint(fake.url, token_file=None, timeout_seconds=5))
        given, pipeline = KfpSettings(fake.url, **settings), upload(IR, training)

        def compiled(asked: RunRequest) -> Upload:
            return upload(IR, training, asked.pipeline) if asked.pipeline else pipeline

        made = KfpRunner(client, fake, found, given, compiled, "http://mlflow:5000", training.image, clock.now, clock.monotonic)
        clock.passed += SETTLED if waited else 0.0
        return made

    return make


Make = Callable[..., KfpRunner]


def test_a_run_is_posted_once_with_the_version_pinned_and_nothing_to_announce(controller: Make, fake: FakeKfp) -> None:
    kfp = controller()
    assert kfp.state("uid", 1) == ("absent", "")
    kfp.submit(ASKED)
    kfp.submit(ASKED)
    assert (fake.posts, list(fake.runs), len(fake.workflows)) == (1, [RUN], 1)
    run = fake.runs[RUN]
    assert run["pipeline_version_reference"]["pipeline_version_id"] == fake.versions[0]["pipeline_version_id"]
    parameters = run["runtime_config"]["parameters"]
    assert (parameters["release_uid"], parameters["attempt"], parameters["tracking_uri"]) == ("uid", 1, "http://mlflow:5000")
    assert "announce" not in parameters
    assert [item["display_name"] for item in fake.experiments] == ["default/toy"]


def test_a_state_that_is_missing_is_a_run_that_has_not_begun(controller: Make, fake: FakeKfp) -> None:
    kfp = controller()
    kfp.submit(ASKED)
    assert "state" not in fake.runs[RUN]
    assert kfp.state("uid", 1) == ("active", "")
    fake.begin(RUN)
    assert kfp.state("uid", 1) == ("active", "")
    fake.end(RUN)
    assert kfp.state("uid", 1) == ("ended", "")


def test_a_controller_that_died_between_look_and_post_leaves_one_run(
    controller: Make, fake: FakeKfp, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(KfpClient, "create_run", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            controller().submit(ASKED)
    assert fake.posts == 0
    controller().submit(ASKED)
    assert (fake.posts, len(fake.workflows)) == (1, 1)


def test_a_new_controller_posts_nothing_while_its_predecessors_post_may_be_under_way(controller: Make, fake: FakeKfp, clock: Clock) -> None:
    kfp = controller(waited=False)
    with pytest.raises(Unavailable, match="a request of before may still be under way"):
        kfp.submit(ASKED)
    assert fake.posts == 0
    clock.passed += SETTLED
    kfp.submit(ASKED)
    assert fake.posts == 1


def test_an_answer_that_never_came_is_looked_up_and_not_repeated(controller: Make, fake: FakeKfp) -> None:
    kfp = controller()
    fake.drop_answer = "/runs"
    with pytest.raises(Unavailable, match="no answer"):
        kfp.submit(ASKED)
    kfp.submit(ASKED)
    controller().submit(ASKED)
    assert kfp.state("uid", 1) == ("active", "")
    assert (fake.posts, len(fake.workflows)) == (1, 1)


def test_a_500_that_left_work_running_is_not_repeated(controller: Make, fake: FakeKfp, clock: Clock) -> None:
    kfp = controller()
    fake.lose_row = True
    with pytest.raises(Unavailable, match="Data too long"):
        kfp.submit(ASKED)
    fake.lose_row = False
    assert kfp.state("uid", 1) == ("active", "Kubeflow Pipelines has begun it and does not list it")
    for again in (kfp, controller()):
        with pytest.raises(Unavailable, match="is not started a second time"):
            again.submit(ASKED)
    assert len(fake.workflows) == 1
    clock.passed += 3 * 3600
    assert kfp.state("uid", 1) == ("ended", "the run did not end within 2:00:00: Kubeflow Pipelines does not list it")
    fake.workflows.clear()
    assert kfp.state("uid", 1) == ("absent", "")
    kfp.submit(ASKED)
    assert len(fake.workflows) == 1


def test_a_500_that_left_nothing_is_repeated_when_it_has_surely_ended(controller: Make, fake: FakeKfp, clock: Clock) -> None:
    kfp = controller()
    kfp.submit(msgspec.structs.replace(ASKED, attempt=2))
    forgotten = fake.versions.pop()
    with pytest.raises(Unavailable, match="failed to fetch a pipeline version"):
        kfp.submit(ASKED)
    assert kfp.state("uid", 1) == ("active", "its creation was not answered")
    fake.versions.append(forgotten)
    with pytest.raises(Unavailable, match="would start it twice"):
        kfp.submit(ASKED)
    clock.passed += SETTLED
    assert kfp.state("uid", 1) == ("absent", "")
    kfp.submit(ASKED)
    assert len(fake.of(RUN)) == 1


def test_the_fake_turns_a_repeated_post_into_a_failed_run(fake: FakeKfp, controller: Make) -> None:
    """What the adapter guards against, shown once: without the guards these tests would fail."""
    controller().submit(ASKED)
    fake.end(RUN)
    with pytest.raises(Unavailable, match="Duplicate entry"):
        KfpClient(Endpoint(fake.url, None)).create_run(_body(fake))
    assert fake.runs[RUN]["state"] == "FAILED"
    assert len(fake.workflows) == 2


def _body(fake: FakeKfp) -> dict[str, Any]:
    run = fake.runs[RUN]
    return {name: run[name] for name in ("run_id", "display_name", "pipeline_version_reference", "runtime_config")}


def test_a_request_that_is_refused_is_a_persons_to_mend(controller: Make, fake: FakeKfp, monkeypatch: pytest.MonkeyPatch) -> None:
    kfp = controller()
    real = KfpRunner._body
    monkeypatch.setattr(KfpRunner, "_body", lambda self, request, run_id: {**real(self, request, run_id), "colour": "red"})
    with pytest.raises(InvalidInput, match="unknown field 'colour'"):
        kfp.submit(ASKED)
    assert kfp.state("uid", 1) == ("absent", "")
    monkeypatch.undo()
    kfp.submit(ASKED)
    assert list(fake.runs) == [RUN]


# --- the pipeline ---


def test_equal_content_is_uploaded_once_whoever_asks(controller: Make, fake: FakeKfp) -> None:
    for attempt in (1, 2, 3):
        controller().submit(msgspec.structs.replace(ASKED, attempt=attempt))
    assert (fake.uploads, len(fake.runs)) == (1, 3)
    assert fake.contents == [IR.read_bytes()]


def test_new_content_is_a_new_version_and_the_newest_is_never_taken_unseen(controller: Make, fake: FakeKfp) -> None:
    controller().submit(ASKED)
    controller(training=OTHER).submit(msgspec.structs.replace(ASKED, attempt=2))
    controller().submit(msgspec.structs.replace(ASKED, attempt=3))
    controller(training=OTHER).submit(msgspec.structs.replace(ASKED, attempt=4))
    assert (fake.uploads, len(fake.versions)) == (2, 2)
    used = [fake.runs[run_id_of("uid", attempt)]["pipeline_version_reference"]["pipeline_version_id"] for attempt in (1, 2, 3, 4)]
    assert used[0] == used[2] != used[1] == used[3]
    images = {item["container"]["image"] for item in next(yaml.safe_load_all(fake.contents[1]))["deploymentSpec"]["executors"].values()}
    assert images == {"registry.example/training:2"}
    assert len(list(yaml.safe_load_all(fake.contents[1]))) == 2, "the pods' security context went along"


def test_tasks_get_the_installations_environment_and_pull_secrets_as_kfp_itself_would_write_them() -> None:
    key = Source(SecretKey("bucket", "id", optional=True))
    env = (Variable("AWS_REGION", "eu-1"), Variable("AWS_ACCESS_KEY_ID", value_from=key), Variable("MLFLOW_HTTP_REQUEST_TIMEOUT", "60"))
    made = upload(IR, TrainingSettings(image_pull_policy="Always", image_pull_secrets=(Named("registry"), Named("mirror")), env=env))
    assert made.version != upload(IR, PLAIN).version
    pipeline, platform = yaml.safe_load_all(made.content)
    for executor in pipeline["deploymentSpec"]["executors"].values():
        said = {one["name"]: one["value"] for one in executor["container"]["env"]}
        assert said == {"AWS_REGION": "eu-1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "60", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "6"}

    @dsl.component(base_image="python:3.11")
    def task() -> None: ...

    @dsl.pipeline
    def expected() -> None:
        one = task()
        kubernetes.set_security_context(one, run_as_user=65532, run_as_non_root=True)
        kubernetes.use_secret_as_env(one, "bucket", {"id": "AWS_ACCESS_KEY_ID"}, optional=True)
        kubernetes.set_image_pull_policy(one, "Always")
        kubernetes.set_image_pull_secrets(one, ["registry", "mirror"])

    written = json_format.MessageToDict(expected.platform_spec)["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-task"]
    tasks = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert tasks == dict.fromkeys(pipeline["deploymentSpec"]["executors"], written)


SHOP = PipelineVersion("shop", "1.4.0", "d" * 64)


def names_of(fake: FakeKfp, name: str) -> list[str]:
    return [item["display_name"] for item in fake.versions if item["pipeline_id"] == fake.pipelines[name]["pipeline_id"]]


def test_a_published_pipeline_keeps_its_images_and_is_called_as_it_was_published(fake: FakeKfp) -> None:
    client, settings = (
        KfpClient(Endpoint(fake.url, None)),
        TrainingSettings("registry.example/training:2", image_pull_secrets=(Named("r"),)),
    )
    asked = upload(IR, settings, SHOP)
    pinned = ensure(client, asked)
    assert ensure(client, asked) == pinned
    assert pinned.pipeline_version_id == next(item for item in fake.versions if item["display_name"] == "1.4.0")["pipeline_version_id"]
    assert names_of(fake, "trimtab-shop") == ["trimtab-shop", "1.4.0"]
    pipeline, platform = yaml.safe_load_all(fake.contents[1])
    images = {executor["container"]["image"] for executor in pipeline["deploymentSpec"]["executors"].values()}
    assert images == {TRAINING_IMAGE}, "not the installation's"
    assert all("imagePullSecret" in one for one in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values())


def test_where_the_name_of_a_version_is_taken_its_content_is_its_name(fake: FakeKfp) -> None:
    client = KfpClient(Endpoint(fake.url, None))
    taken = client.upload_pipeline("trimtab-shop", "somebody's own", b"{}")
    client.upload_version(taken["pipeline_id"], "1.4.0", b"{}")
    asked = upload(IR, PLAIN, SHOP)
    pinned = ensure(client, asked)
    assert ensure(client, asked) == pinned
    assert names_of(fake, "trimtab-shop") == ["trimtab-shop", "1.4.0", asked.version]
    assert fake.contents[-1] == asked.content
    later = upload(IR, TrainingSettings(image_pull_policy="Always"), SHOP)
    assert ensure(client, later) != pinned, "the installation's settings are part of the content"


def test_each_model_runs_the_pipeline_that_its_release_names(controller: Make, fake: FakeKfp) -> None:
    kfp = controller()
    kfp.submit(ASKED)
    kfp.submit(msgspec.structs.replace(ASKED, attempt=2, pipeline=SHOP, trial=True))
    kfp.submit(msgspec.structs.replace(ASKED, attempt=3))
    used = [fake.runs[run_id_of("uid", attempt)]["pipeline_version_reference"]["pipeline_id"] for attempt in (1, 2, 3)]
    assert used == [fake.pipelines[name]["pipeline_id"] for name in ("trimtab-tabular", "trimtab-shop", "trimtab-tabular")]
    given = fake.runs[run_id_of("uid", 2)]["runtime_config"]["parameters"]
    assert (msgspec.json.decode(given["pipeline"], type=PipelineVersion), given["snapshot"]) == (SHOP, "champion")


def test_a_version_among_many_pages_is_found(fake: FakeKfp) -> None:
    client = KfpClient(Endpoint(fake.url, None))
    pinned = ensure(client, upload(IR, PLAIN))
    for index in range(7):
        client.upload_version(pinned.pipeline_id, f"somebody's-{index}", b"{}")
    assert ensure(client, upload(IR, PLAIN)) == pinned
    assert len(list(client.versions(pinned.pipeline_id))) == 8


def test_who_uploads_at_the_same_moment_takes_the_others_version(fake: FakeKfp, monkeypatch: pytest.MonkeyPatch) -> None:
    client = KfpClient(Endpoint(fake.url, None))
    pinned = ensure(client, upload(IR, PLAIN))
    real, looks = KfpClient.pipeline, []

    def late(self: KfpClient, name: str, namespace: str = "") -> dict[str, Any] | None:
        looks.append(name)
        return real(self, name, namespace) if len(looks) > 1 else None

    monkeypatch.setattr(KfpClient, "pipeline", late)
    assert ensure(client, upload(IR, PLAIN)) == pinned
    assert len(fake.versions) == 1


def test_an_experiment_is_made_once_a_model(controller: Make, fake: FakeKfp) -> None:
    for name in ("a", "b", "c", "b"):
        asked = msgspec.structs.replace(ASKED, release_uid=f"uid-{len(fake.runs)}", model=model(ASKED.model.spec, name))
        controller().submit(asked)
    assert [item["display_name"] for item in fake.experiments] == ["default/a", "default/b", "default/c"]


def test_with_many_users_all_of_it_is_in_the_models_namespace(controller: Make, fake: FakeKfp) -> None:
    given = msgspec.structs.replace(ASKED.model, metadata=Metadata("toy", "team"))
    controller(multi_user=True).submit(msgspec.structs.replace(ASKED, model=given))
    assert fake.experiments[0]["namespace"] == "team"
    assert fake.runs[RUN]["runtime_config"]["parameters"]["name"] == "team.toy"


def test_a_run_is_made_as_the_installation_says(controller: Make, fake: FakeKfp) -> None:
    kfp = controller(service_account="trainer", pipeline_root="s3://runs/trimtab", page="https://kubeflow.example/pipeline/")
    kfp.submit(ASKED)
    run = fake.runs[RUN]
    assert (run["service_account"], run["runtime_config"]["pipeline_root"]) == ("trainer", "s3://runs/trimtab")
    assert kfp.where("uid", 1) == f"https://kubeflow.example/pipeline/#/runs/details/{RUN}"
    assert controller().where("uid", 1) == "", "no page, no link"


# --- ends ---


def test_a_run_that_never_ends_ends_at_its_deadline(controller: Make, fake: FakeKfp, clock: Clock) -> None:
    kfp = controller()
    kfp.submit(ASKED)
    fake.begin(RUN)
    waiting = {"image": "nobody/has:it", "name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    fake.pods.append(
        {"metadata": {"name": "p", "labels": {"pipeline/runid": RUN}}, "status": {"phase": "Pending", "containerStatuses": [waiting]}}
    )
    assert kfp.state("uid", 1) == ("active", "its pod waits: ImagePullBackOff: no such image")
    clock.passed += 2 * 3600 + 1
    assert kfp.state("uid", 1) == ("ended", "the run did not end within 2:00:00: its pod waits: ImagePullBackOff: no such image")
    assert fake.runs[RUN]["state"] == "CANCELING", "what may still run was told to end"


def test_a_run_whose_image_does_not_come_ends_within_minutes(controller: Make, fake: FakeKfp, clock: Clock) -> None:
    kfp = controller()
    kfp.submit(msgspec.structs.replace(ASKED, pipeline=SHOP))
    fake.begin(RUN)
    waiting = {"image": "nobody/has:it", "name": "main", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    status = {"phase": "Pending", "startTime": clock.now().isoformat(), "containerStatuses": [waiting]}
    containers = [{"name": "wait", "image": "argoexec:1"}, {"name": "main", "image": "nobody/has:it"}]
    fake.pods.append({"metadata": {"name": "p", "labels": {"pipeline/runid": RUN}}, "spec": {"containers": containers}, "status": status})
    assert kfp.state("uid", 1) == ("active", "its pod waits: ImagePullBackOff: no such image")
    clock.passed += 301
    said = "its pod waits: ImagePullBackOff: no such image; the pipeline's image did not start within 5 minutes"
    assert kfp.state("uid", 1) == ("ended", said)
    assert fake.runs[RUN]["state"] == "CANCELING"


def test_a_run_whose_workflow_was_deleted_is_told_and_ends_at_its_deadline(controller: Make, fake: FakeKfp, clock: Clock) -> None:
    kfp = controller(deadline="10m")
    kfp.submit(ASKED)
    fake.begin(RUN)
    fake.workflows.clear()
    clock.passed += 90
    gone = "its Workflow is not to be seen; without one it reads RUNNING for ever"
    assert kfp.state("uid", 1) == ("active", gone)
    clock.passed += 600
    assert kfp.state("uid", 1) == ("ended", f"the run did not end within 0:10:00: {gone}")


def test_a_cancelled_run_reads_failed_and_is_known_as_cancelled_by_whoever_looks(controller: Make, fake: FakeKfp) -> None:
    kfp = controller()
    kfp.submit(ASKED)
    fake.begin(RUN)
    kfp.cancel("uid", 1)
    assert kfp.state("uid", 1)[0] == "active", "it is not over before its Workflow is"
    fake.end(RUN, good=False)
    for looks in (kfp, controller()):
        assert looks.state("uid", 1) == ("ended", "the run was cancelled")
    kfp.cancel("uid", 1)
    kfp.cancel("nobody", 1)


def test_a_cancel_of_a_run_whose_workflow_is_gone_ends_it(controller: Make, fake: FakeKfp) -> None:
    kfp = controller()
    kfp.submit(ASKED)
    fake.begin(RUN)
    fake.workflows.clear()
    with pytest.raises(Unavailable):
        kfp.cancel("uid", 1)
    assert kfp.state("uid", 1) == ("ended", "the run was cancelled")


REFUSED = 'pods "x" is forbidden: violates PodSecurity "restricted:latest"'


@pytest.mark.parametrize(
    ("nodes", "pods", "expected"),
    [
        pytest.param(
            {
                "a": {"type": "DAG", "phase": "Failed", "displayName": "root", "name": "w.root", "message": "child 'b' failed"},
                "b": {"type": "Pod", "phase": "Error", "displayName": "executor", "name": "w.root.train.executor", "message": REFUSED},
                "c": {"type": "DAG", "phase": "Error", "displayName": "train", "name": "w.root.train", "message": "child 'b' failed"},
            },
            [],
            f"task train: {REFUSED}",
            id="the node of the pod that was refused, under its task's name",
        ),
        pytest.param(
            {
                "b": {
                    "type": "Pod",
                    "phase": "Failed",
                    "displayName": "executor",
                    "name": "w.executor",
                    "message": "main: Error (exit code 1)",
                }
            },
            [("Unavailable: MLflow does not answer", 1)],
            "Unavailable: MLflow does not answer",
            id="the pod's own words before Argo's",
        ),
        pytest.param({}, [("first", 1), ("ValueError: the second try", 2)], "ValueError: the second try", id="the last of several pods"),
        pytest.param(
            {"b": {"type": "Retry", "phase": "Failed", "displayName": "executor", "name": "x", "message": "No more retries left"}},
            [],
            "task executor: No more retries left",
            id="a node that is no pod",
        ),
        pytest.param(
            {}, [], "Kubeflow Pipelines says FAILED and no reason: its Workflow and pods are gone", id="nothing is left that could say it"
        ),
    ],
)
def test_the_reason(controller: Make, fake: FakeKfp, nodes: dict[str, Any], pods: list[tuple[str, int]], expected: str) -> None:
    kfp = controller()
    kfp.submit(ASKED)
    fake.end(RUN, good=False, nodes=nodes)
    for message, minute in pods:
        ended = {"exitCode": 1, "reason": "Error", "message": message, "finishedAt": f"2026-01-01T00:0{minute}:00Z"}
        status = {"phase": "Failed", "containerStatuses": [{"name": "main", "state": {"terminated": ended}}]}
        fake.pods.append({"metadata": {"name": str(minute), "labels": {"pipeline/runid": RUN}}, "status": status})
    assert kfp.state("uid", 1) == ("ended", expected)


def test_a_backend_that_is_away_is_unavailable_and_changes_nothing(controller: Make, fake: FakeKfp) -> None:
    kfp = controller()
    fake.down = True
    for call in (lambda: kfp.submit(ASKED), lambda: kfp.state("uid", 1), lambda: kfp.cancel("uid", 1)):
        with pytest.raises(Unavailable, match="no healthy upstream"):
            call()
    assert fake.posts == 0


def test_the_token_is_read_anew_for_each_call(fake: FakeKfp, tmp_path: Path) -> None:
    file = tmp_path / "token"
    client = KfpClient(Endpoint(fake.url, file))
    assert client.run("x") is None
    file.write_text("first\n")
    assert client.run("x") is None
    file.write_text("second\n")
    fake.secret = "second"
    assert client.run("x") is None
    assert fake.tokens == ["", "first", "second"]
    fake.secret = "third"
    with pytest.raises(Unavailable, match="status 401"):
        client.run("x")


def test_whoever_lost_the_lease_changes_nothing(fake: FakeKfp) -> None:
    def fence() -> None:
        msg = "the Lease is another's"
        raise Unavailable(msg)

    client = KfpClient(Endpoint(fake.url, None), fence)
    assert client.run("x") is None
    for call in (lambda: client.create_run({}), lambda: client.terminate("x"), lambda: client.upload_pipeline("a", "", b"")):
        with pytest.raises(Unavailable, match="the Lease is another's"):
            call()
    assert (fake.posts, fake.uploads) == (0, 0)


def test_an_address_that_is_none() -> None:
    with pytest.raises(InvalidInput, match="http"):
        KfpClient(Endpoint("ml-pipeline:8888"))
