"""What an installation says of training runs arrives where they are made, and what stands beside a predictor comes and goes with it."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.unit.platforms.kubernetes.api_server import ApiServer
from tests.unit.platforms.kubernetes.fake_kfp import FakeKfp, serving
from tests.unit.platforms.kubernetes.kserve_world import crowned, model, plan
from tests.unit.training.data import last, spec
from trimtab.control.intake import release_for
from trimtab.control.ports import RunRequest
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.cache import Cache
from trimtab.platforms.kubernetes.kfp import run_id_of
from trimtab.platforms.kubernetes.objects import KubernetesObjects
from trimtab.platforms.kubernetes.resources import CLUSTER_SERVING_RUNTIMES, INFERENCE_SERVICES, JOBS, MODELS
from trimtab.platforms.kubernetes.runs import KfpSettings, Runs, TrainingSettings
from trimtab.platforms.kubernetes.wiring import Settings, Wired, make_ports
from trimtab.release import Release, Request
from trimtab.spec import Explainer, Model

MLFLOW = "http://mlflow.mlops:5000"


@pytest.fixture
def fake() -> Iterator[FakeKfp]:
    with serving(FakeKfp()) as found:
        yield found


class Installation:
    """A Model and a Release of it on the API server, and the ports of a controller that was told `runs`."""

    def __init__(self, server: ApiServer, api: Api, folder: Path) -> None:
        self.server, self._api, self._folder = server, api, folder
        self.objects = KubernetesObjects(api)
        (folder / "token").write_text("for Kubeflow Pipelines\n")

    def wired(self, runs: Runs) -> Wired:
        settings = Settings(MLFLOW, "http://monitor:8090", self._folder / "none", self._folder, runs, None, self._folder / "token")
        return make_ports(self._api, Cache(self._api, ()), self.objects, settings, lambda: None)

    def release(self, runner: str) -> Release:
        given = spec(Path("a.csv"))
        made = msgspec.to_builtins(msgspec.structs.replace(given, training=msgspec.structs.replace(given.training, runner=runner)))
        self.server.put(MODELS, "default", "toy", metadata={"uid": "uid-of-the-model"}, spec=made)
        toy = self.objects.get(Model, "default", "toy")
        assert toy
        return self.objects.create(release_for(toy, Request("person", "tests", "1", last(), by="ada")))

    def request(self, release: Release) -> RunRequest:
        toy = self.objects.get(Model, "default", "toy")
        assert toy
        return RunRequest(release.name, release.metadata.uid, 1, toy, last())


@pytest.fixture
def installation(server: ApiServer, api: Api, tmp_path: Path) -> Installation:
    return Installation(server, api, tmp_path)


def test_a_job_is_made_as_the_installation_says(installation: Installation) -> None:
    release = installation.release("job")
    runs = Runs(TrainingSettings("registry.example/training:2", existing_secret="mlflow"))
    installation.wired(runs).ports.runner.submit(installation.request(release))
    job = installation.server.get(JOBS, "default", f"{release.name}-1")
    assert job
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/training:2"
    assert container["envFrom"][0]["secretRef"]["name"] == "mlflow"
    assert {"name": "TRIMTAB_TRACKING_URI", "value": MLFLOW} in container["env"]


def test_kubeflow_pipelines_is_asked_with_the_token_and_linked_by_its_page(installation: Installation, fake: FakeKfp) -> None:
    release = installation.release("kfp")
    fake.secret = "for Kubeflow Pipelines"
    runs = Runs(kfp=KfpSettings(fake.url, "pipelines", page="https://kubeflow.example/pipeline/"))
    wired = installation.wired(runs)
    assert wired.ports.runner.state(release.metadata.uid, 1) == ("absent", "")
    assert set(fake.tokens) == {"for Kubeflow Pipelines"}
    listed = [one.path for one in installation.server.asked if one.path.endswith("/workflows")]
    assert listed == ["/apis/argoproj.io/v1alpha1/namespaces/pipelines/workflows"], "nowhere else"
    begun = msgspec.structs.replace(release, status=msgspec.structs.replace(release.status, attempt=1))
    link, run = wired.link(begun), run_id_of(release.metadata.uid, 1)
    assert link
    assert (link.kind, link.name, link.logs) == ("KubeflowPipelinesRun", run, f"https://kubeflow.example/pipeline/#/runs/details/{run}")


def test_without_its_address_there_is_no_kubeflow_pipelines(installation: Installation) -> None:
    release = installation.release("kfp")
    with pytest.raises(InvalidInput, match=r"asks for training\.runner 'kfp', which is not configured; configured are job"):
        installation.wired(Runs()).ports.runner.submit(installation.request(release))


def test_an_explainer_comes_with_the_predictor_goes_with_the_field_and_fails_alone(installation: Installation) -> None:
    server, wired = installation.server, installation.wired(Runs())
    asking, plain = (crowned(of, "3") for of in (model(explainer=Explainer()), model()))
    server.put(CLUSTER_SERVING_RUNTIMES, "", "trimtab")
    wired.ports.serving.apply(plan(asking, v3=100))
    assert server.get(INFERENCE_SERVICES, "crm", "bike")
    assert not server.get(INFERENCE_SERVICES, "crm", "bike-explainer")
    told = wired.explainer(asking)
    assert told
    assert "there is no ClusterServingRuntime 'trimtab-explainer'" in told.sentence
    server.put(CLUSTER_SERVING_RUNTIMES, "", "trimtab-explainer")
    assert not wired.ports.serving.settled(plan(asking, v3=100))
    wired.ports.serving.apply(plan(asking, v3=100))
    assert server.get(INFERENCE_SERVICES, "crm", "bike-explainer")
    wired.ports.serving.apply(plan(plain, v3=100))
    assert not server.get(INFERENCE_SERVICES, "crm", "bike-explainer")
    assert wired.explainer(plain) is None
