"""The InferenceService as a document."""

from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from tests.unit.platforms.kubernetes.kserve_world import model, version
from trimtab.platforms.kubernetes.isvc import Shape, component, document, is_version, predictor, says, shape, version_of, versions
from trimtab.rolling import Ab
from trimtab.spec import Capture, Rollout

KNOWN = {name: version(name) for name in ("3", "4")}
CANARY = Shape("3", (("4", 20),))
MANIFESTS = Path(__file__).parents[4] / "manifests" / "serving"


def made(of=None, wanted=CANARY, live=None):
    return document(of or model(), wanted, KNOWN, live, "trimtab")


def test_what_is_written_is_read_again():
    assert shape(made()) == CANARY
    assert versions(made()) == KNOWN
    assert shape(None) is None
    assert versions({"spec": {"predictor": {"model": {"storageUri": "s3://elsewhere"}}}}) == {}


def test_a_predictor_names_its_version_its_digest_and_its_files():
    found = made()["spec"]["predictor"]
    environment = {one["name"]: one["value"] for one in found["model"]["env"]}
    assert found["name"] == "v3"
    assert found["model"]["storageUri"] == "mlflow://models/crm.bike/3?sha256=" + "3" * 64
    assert (environment["TRIMTAB_VERSION"], environment["TRIMTAB_DIGEST"]) == ("3", "3" * 64)
    assert environment["TRIMTAB_MODEL_NAMESPACE"] == "crm"
    assert (found["labels"], found["annotations"]) == ({"trimtab.dev/version": "3"}, {"trimtab.dev/digest": "3" * 64})


def test_what_is_told_of_requests_is_in_the_environment_only_where_it_is_not_all():
    def environment(of):
        return {one["name"]: one["value"] for one in made(of)["spec"]["predictor"]["model"]["env"] if "CAPTURE" in one["name"]}

    assert environment(model()) == {}
    told = Capture(sample=0.1, redact=("name", "e,mail"))
    assert environment(model(capture=told)) == {"TRIMTAB_CAPTURE_SAMPLE": "0.1", "TRIMTAB_CAPTURE_REDACT": '["name","e,mail"]'}
    tested = model()
    tested = replace(tested, spec=replace(tested.spec, rollout=Rollout(strategy="ab", ab=Ab(header="x-customer"))))
    assert environment(tested) == {"TRIMTAB_CAPTURE_UNIT": "x-customer"}


def test_nothing_of_a_version_stands_on_the_inference_service_for_its_labels_restart_every_pod():
    assert made()["metadata"] == made(wanted=Shape("4"))["metadata"]
    assert "annotations" not in made()["metadata"]


def test_only_a_policy_of_delete_makes_the_model_the_owner():
    assert "ownerReferences" not in made()["metadata"]
    [owner] = made(model(policy="Delete"))["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Model", "bike", "u-1")
    assert not says(made(), made(model(policy="Delete")))
    assert not says(made(model(policy="Delete")), made())


def test_what_the_model_says_of_serving_is_in_every_predictor():
    of = model(resources={"limits": {"cpu": "2"}}, service_account="scorer", protocol="v2")
    for found in (made(of)["spec"]["predictor"], made(of)["spec"]["canary"][0]["predictor"]):
        assert (found["model"]["resources"], found["serviceAccountName"], found["model"]["protocolVersion"]) == (
            {"limits": {"cpu": "2"}},
            "scorer",
            "v2",
        )


def test_a_promoted_predictor_is_the_canarys_so_that_its_pods_stay():
    live = made(wanted=Shape("3"))
    live["spec"]["predictor"] |= {"timeout": 77, "nodeSelector": {"disk": "fast"}, "maxReplicas": 9}
    live["spec"]["predictor"]["model"]["env"].append({"name": "THEIRS", "value": "1"})
    live["spec"]["predictor"]["model"]["resources"] = {"limits": {"cpu": "9"}}
    canary = made(live=live)["spec"]["canary"][0]["predictor"]
    assert (canary["timeout"], canary["nodeSelector"], "maxReplicas" in canary) == (77, {"disk": "fast"}, False)
    assert [one["name"] for one in canary["model"]["env"]].count("THEIRS") == 1
    ours = predictor(model(), KNOWN["4"], 1, "trimtab")
    assert says(
        {"metadata": made()["metadata"], "spec": {"predictor": canary}}, {"metadata": made()["metadata"], "spec": {"predictor": ours}}
    )


REPLICAS = [
    ("one replica is never taken from the champion", 1, (("4", 20),), 1, [1]),
    ("a canary at 0% stands by", 4, (("4", 0),), 5, [1]),
    ("a canary has its share, rounded up", 4, (("4", 30),), 6, [2]),
    ("and all of it at 100%", 4, (("4", 100),), 8, [4]),
]


@pytest.mark.parametrize(("replicas", "canaries", "stable", "each"), [case[1:] for case in REPLICAS], ids=[case[0] for case in REPLICAS])
def test_replicas(replicas, canaries, stable, each):
    spec = made(model(replicas=replicas), Shape("3", canaries))["spec"]
    assert spec["predictor"]["minReplicas"] == stable
    assert [one["predictor"]["minReplicas"] for one in spec["canary"]] == each


def test_what_others_added_does_not_matter_and_what_they_changed_does():
    live = made()
    live["metadata"]["annotations"] = {"serving.kserve.io/deploymentMode": "Standard"}
    live["spec"]["predictor"]["model"]["env"].insert(0, {"name": "THEIRS", "value": "1"})
    live["spec"]["explainer"] = {}
    assert says(live, made())
    live["spec"]["predictor"]["model"]["env"][1]["value"] = "9"
    assert not says(live, made())
    assert not says(made(wanted=Shape("3")), made())
    assert not says(made(wanted=Shape("3", (("4", 50),))), made())
    assert says({**made(), "spec": {"predictor": made(wanted=Shape("3"))["spec"]["predictor"]}}, made(wanted=Shape("3")))


def test_names_of_components_are_read_as_they_are_made():
    for called, name in (
        ("12", "bike-v12-predictor"),
        (":", "bike-predictor"),
        (":main", "bike-main-predictor"),
        (":v", "bike-v-predictor"),
    ):
        assert (component("bike", called), version_of("bike", name)) == (name, called)
        assert is_version(called) == (called == "12")
    for name in ("bikes-v3-predictor", "bike-explainer", ""):
        assert version_of("bike", name) == ""
    assert not is_version("")


def test_the_runtime_starts_the_predictor_with_what_the_inference_service_gives_and_nothing_may_run_as_root():
    [runtime] = yaml.safe_load_all((MANIFESTS / "runtime.yaml").read_text())
    [storage] = yaml.safe_load_all((MANIFESTS / "storage.yaml").read_text())
    [main], fetch = runtime["spec"]["containers"], storage["spec"]["container"]
    ours = predictor(model(), KNOWN["3"], 1, runtime["metadata"]["name"])["model"]
    given = {one["name"] for one in [*ours["env"], *main["env"]]}
    asked = {argument.split("$(")[1].split(")")[0] for argument in main["args"] if "$(" in argument}
    assert asked == {"TRIMTAB_VERSION", "TRIMTAB_DIGEST", "TRIMTAB_MONITOR_URL"} <= given
    assert {"name": ours["modelFormat"]["name"]}.items() <= runtime["spec"]["supportedModelFormats"][0].items()
    assert ours["storageUri"].startswith(storage["spec"]["supportedUriFormats"][0]["prefix"])
    for container in (main, fetch):
        security = container["securityContext"]
        assert (security["runAsNonRoot"], security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, True, False)
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    [source] = next(one for one in runtime["spec"]["volumes"] if "projected" in one)["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "trimtab"
