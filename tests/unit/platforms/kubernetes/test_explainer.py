"""The explainer's InferenceService: what is in it, when it is written, and what is told of it."""

from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from serving.explaining import MOST_WAITING
from tests.unit.platforms.kubernetes.kserve_world import World, crowned, model
from trimtab.platforms.kubernetes.explainer import DRAIN_SECONDS, WAITING, Explainers
from trimtab.platforms.kubernetes.resources import INFERENCE_SERVICES, MANAGED_BY
from trimtab.spec import Explainer, ExplainerBudget, ExplainerSummary

MANIFESTS = Path(__file__).parents[4] / "manifests" / "serving"
KERNEL = Explainer("kernel_shap", ExplainerBudget(calls=50, time="90s"))
MODEL = crowned(model(explainer=KERNEL), "3")
PLAIN = crowned(model(), "3")


@pytest.fixture
def world():
    world = World()
    world.put("ClusterServingRuntime", {"metadata": {"name": "trimtab-explainer"}})
    served(world)
    return world


@pytest.fixture
def explainers(world):
    return Explainers(world, world, clock=lambda: world.now)


def served(world, name="bike", uid="i-9"):
    world.put("InferenceService", {"metadata": {"name": name, "namespace": "crm", "uid": uid}, "spec": {}})


def there(world):
    return world.get(INFERENCE_SERVICES, "crm", "bike-explainer")


def predictor(world):
    return there(world)["spec"]["predictor"]


def pod(world, version, digest="", **status):
    labels = {"serving.kserve.io/inferenceservice": "bike-explainer", "trimtab.dev/version": version}
    metadata = {"name": f"e-{version}", "namespace": "crm", "labels": labels}
    metadata["annotations"] = {"trimtab.dev/digest": digest or version * 64}
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    world.put("Pod", {"metadata": metadata, "status": {**ready, **status}})


def test_the_champion_is_explained_with_its_own_files_and_asked_by_its_own_service(world, explainers):
    explainers.ensure(MODEL)
    found = predictor(world)
    assert found["model"]["storageUri"] == "mlflow://models/crm.bike/3?sha256=" + "3" * 64
    assert {one["name"]: one["value"] for one in found["model"]["env"]} == {
        "TRIMTAB_MODEL_NAME": "bike",
        "TRIMTAB_VERSION": "3",
        "TRIMTAB_DIGEST": "3" * 64,
        "TRIMTAB_PREDICTOR_HOST": "bike-v3-predictor.crm.svc:80",
        "TRIMTAB_METHOD": "kernel_shap",
        "TRIMTAB_CALLS": "50",
        "TRIMTAB_SECONDS": "90",
    }
    assert found["labels"] == {"trimtab.dev/version": "3"}
    assert (found["minReplicas"], found["maxReplicas"], found["serviceAccountName"]) == (1, 1, "bike-trimtab")
    assert found["automountServiceAccountToken"] is False
    assert found["timeout"] == 450, "the last of five in a row is answered"
    assert found["terminationGracePeriodSeconds"] > 90, "what is under way ends first"
    assert "canary" not in there(world)["spec"]


def test_it_belongs_to_what_it_explains_and_no_label_of_it_ever_changes(world, explainers):
    explainers.ensure(MODEL)
    metadata = there(world)["metadata"]
    [owner] = metadata["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("InferenceService", "bike", "i-9", False)
    assert metadata["labels"] == {**MANAGED_BY, "trimtab.dev/model": "bike"}
    explainers.ensure(crowned(MODEL, "4"))
    assert there(world)["metadata"]["labels"] == metadata["labels"]


def test_what_a_person_says_of_resources_and_account_is_taken(world, explainers):
    asked = Explainer(resources={"limits": {"memory": "4Gi"}})
    explainers.ensure(crowned(model(explainer=asked, service_account="scorer"), "3"))
    assert predictor(world)["model"]["resources"] == {"limits": {"memory": "4Gi"}}
    assert predictor(world)["serviceAccountName"] == "scorer"


def test_it_is_written_once_and_follows_the_champion_back_and_forth(world, explainers):
    assert not explainers.kept(MODEL)
    for champion in ("3", "4", "3"):
        following = crowned(MODEL, champion)
        assert not explainers.kept(following)
        for _ in range(3):
            explainers.ensure(following)
        assert explainers.kept(following)
        assert predictor(world)["labels"] == {"trimtab.dev/version": champion}
        assert f"bike-v{champion}-predictor.crm.svc:80" in str(predictor(world))
    assert len(world.requests) == 3


def test_another_controller_writes_it_once_whatever_is_there_and_then_leaves_it(world, explainers):
    explainers.ensure(MODEL)
    generation = there(world)["metadata"]["generation"]
    fresh = Explainers(world, world)
    fresh.ensure(MODEL)
    fresh.ensure(MODEL)
    assert len(world.requests) == 2
    assert there(world)["metadata"]["generation"] == generation


def test_a_cache_that_lags_writes_nothing_twice(world):
    behind = World()
    behind.put("ClusterServingRuntime", {"metadata": {"name": "trimtab-explainer"}})
    served(behind)
    lagging = Explainers(world, behind)
    lagging.ensure(MODEL)
    lagging.ensure(MODEL)
    assert len(world.requests) == 1


NOTHING = [
    ("a Model that asks for none", PLAIN),
    ("one without a champion", model(explainer=KERNEL)),
    ("one that is leaving", replace(MODEL, metadata=replace(MODEL.metadata, deletion_timestamp="2026-01-01T00:00:00Z"))),
    ("one whose InferenceService is not there yet", crowned(model("churn", explainer=KERNEL), "3")),
]


@pytest.mark.parametrize("of", [case[1] for case in NOTHING], ids=[case[0] for case in NOTHING])
def test_nothing_is_made_for(world, explainers, of):
    assert explainers.kept(of)
    explainers.ensure(of)
    assert world.requests == []


def test_it_goes_with_the_field_and_stays_while_the_model_leaves(world, explainers):
    explainers.ensure(MODEL)
    leaving = replace(PLAIN, metadata=replace(PLAIN.metadata, deletion_timestamp="2026-01-01T00:00:00Z"))
    explainers.ensure(leaving)
    assert there(world)
    assert not explainers.kept(PLAIN)
    explainers.ensure(PLAIN)
    assert there(world) is None
    assert explainers.kept(PLAIN)
    explainers.ensure(MODEL)
    assert there(world), "and comes back with it"


def test_somebody_elses_inference_service_is_neither_changed_nor_deleted(world, explainers):
    world.put("InferenceService", {"metadata": {"name": "bike-explainer", "namespace": "crm", "uid": "x"}, "spec": {}})
    explainers.ensure(PLAIN)
    explainers.ensure(MODEL)
    assert world.requests == []
    assert "crm/bike-explainer is there already and is not the explainer of Model 'bike'" in explainers.problems["crm/bike"]
    assert explainers.summary(MODEL).sentence == explainers.problems["crm/bike"]
    world.objects.pop(("InferenceService", "crm", "bike-explainer"))
    explainers.ensure(MODEL)
    assert explainers.problems == {}
    assert there(world)


def test_without_its_runtime_a_person_is_told_and_nothing_is_raised(world, explainers):
    world.objects.pop(("ClusterServingRuntime", "", "trimtab-explainer"))
    explainers.ensure(MODEL)
    assert not explainers.kept(MODEL)
    assert (
        "there is no ClusterServingRuntime 'trimtab-explainer', nor a ServingRuntime of that name in 'crm'"
        in (explainers.problems["crm/bike"])
    )
    world.put("ServingRuntime", {"metadata": {"name": "trimtab-explainer", "namespace": "crm"}})
    explainers.ensure(MODEL)
    assert there(world)


def test_a_foreign_change_is_put_back_once_and_then_not_fought_over(world, explainers):
    def meddle():
        changed = there(world)
        changed["spec"]["predictor"]["maxReplicas"] = 9
        world.write(INFERENCE_SERVICES, changed, "argocd")

    explainers.ensure(MODEL)
    meddle()
    explainers.ensure(MODEL)
    assert predictor(world)["maxReplicas"] == 1
    meddle()
    for _ in range(5):
        explainers.ensure(MODEL)
    assert (predictor(world)["maxReplicas"], len(world.requests)) == (9, 2)
    assert explainers.problems["crm/bike"].startswith("OwnershipConflict: 'argocd' keeps changing InferenceService crm/bike-explainer")
    world.now += 3601
    explainers.ensure(MODEL)
    assert predictor(world)["maxReplicas"] == 1
    assert explainers.problems == {}


def test_what_others_add_is_left_alone(world, explainers):
    explainers.ensure(MODEL)
    added = there(world)
    added["spec"]["predictor"]["nodeSelector"] = {"disk": "fast"}
    world.write(INFERENCE_SERVICES, added, "a-person")
    assert explainers.kept(MODEL)


ENDED = {"exitCode": 2, "message": "INFO reading\nthe version has no reference.parquet\n"}
REFUSING = {
    "conditions": [],
    "containerStatuses": [{"name": "kserve-container", "state": {"waiting": {}}, "lastState": {"terminated": ENDED}}],
}


def test_what_is_told_is_of_the_champions_own_pods(world, explainers):
    assert explainers.summary(PLAIN) is None
    assert explainers.summary(model(explainer=KERNEL)) is None
    assert explainers.summary(MODEL) == ExplainerSummary(version="3", sentence="the InferenceService 'bike-explainer' does not exist yet")
    explainers.ensure(MODEL)
    world.objects[("InferenceService", "crm", "bike-explainer")]["status"] = {"url": "http://bike-explainer-crm.example.com"}

    def told(of=MODEL):
        found = explainers.summary(of)
        assert found.url == "http://bike-explainer-crm.example.com"
        return found.version, found.ready, found.sentence

    starting = "version 3 is not explained yet: its explainer is starting"
    assert told() == ("3", False, starting)
    pod(world, "3", digest="another")
    assert told() == ("3", False, starting)
    pod(world, "3")
    assert told() == ("3", True, "version 3 is explained by kernel_shap")
    pod(world, "4", **REFUSING)
    said = "version 4 is not explained yet: the version has no reference.parquet"
    assert told(crowned(MODEL, "4")) == ("4", False, said), "what still explains version 3 does not count"


def test_the_runtime_starts_the_explainer_with_what_the_inference_service_gives_and_nothing_may_run_as_root(world, explainers):
    [runtime] = yaml.safe_load_all((MANIFESTS / "explainer.yaml").read_text())
    [predicts] = yaml.safe_load_all((MANIFESTS / "runtime.yaml").read_text())
    explainers.ensure(MODEL)
    ours = predictor(world)["model"]
    [main], [beside] = runtime["spec"]["containers"], predicts["spec"]["containers"]
    asked = {argument.split("$(")[1].split(")")[0] for argument in main["args"] if "$(" in argument}
    assert asked == {one["name"] for one in ours["env"]}
    assert ours["runtime"] == runtime["metadata"]["name"]
    assert ours["modelFormat"]["name"] in {one["name"] for one in runtime["spec"]["supportedModelFormats"]}
    assert main["securityContext"] == beside["securityContext"]
    assert main["terminationMessagePolicy"] == beside["terminationMessagePolicy"]
    assert [mount["mountPath"] for mount in main["volumeMounts"]] == ["/tmp"], "no token"  # noqa: S108
    assert f"--drain={DRAIN_SECONDS}" in main["args"]
    assert WAITING == MOST_WAITING
