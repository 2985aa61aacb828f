"""What a cluster refuses, each with a sentence that says what is wrong: places that do not exist, and files that were changed."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from tests.cluster.test_crashes import ROLLOUT, trimtab
from tests.cluster.tools import eventually, kubectl, needs_cluster
from tests.cluster.world import World, apply, fresh, get

pytestmark = [needs_cluster, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def world(installation: None) -> Iterator[World]:
    del installation
    world = World(fresh("refused"), rollout=ROLLOUT, approval="manual").prepare().connect()
    yield world
    world.delete()


def refusal(world: World) -> str:
    """What the Model's condition Reconciled says while it is False."""
    found = world.model().get("status", {}).get("conditions", [])
    return next((one["message"] for one in found if one["type"] == "Reconciled" and one["status"] == "False"), "")


def forget(world: World) -> None:
    kubectl("delete", "ttm", world.name, "-n", world.namespace, "--timeout=60s")


def test_a_gateway_that_does_not_exist_is_named_and_nothing_is_trained(world: World) -> None:
    world.document["spec"]["serving"] = {"gateway": "nowhere/nothing"}
    world.apply()
    sentence = eventually("a refusal", lambda: "Gateway" in refusal(world) and refusal(world), 60)
    assert "there is no Gateway 'nowhere/nothing'" in str(sentence)
    assert world.releases() == []
    events = kubectl("events", "-n", world.namespace, "--for", f"model/{world.name}")
    assert "nowhere/nothing" in events
    del world.document["spec"]["serving"]
    forget(world)


@contextmanager
def refusing(world: World) -> Iterator[None]:
    """An admission policy takes no status of a Release that is to train, and no Model called `probe`, by which is seen that it is there."""
    name = f"trimtab-test-{world.namespace}"
    rules = [("UPDATE", "releases/status"), ("CREATE", "models")]
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    expression = "object.metadata.name != 'probe' && !(has(object.status) && has(object.status.phase) && object.status.phase == 'Training')"
    constraints = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
        "resourceRules": [
            {"apiGroups": ["trimtab.dev"], "apiVersions": ["*"], "operations": [verb], "resources": [resource]} for verb, resource in rules
        ],
    }
    policy = {"matchConstraints": constraints, "validations": [{"expression": expression, "message": "not today"}]}
    apply(
        {**head, "kind": "ValidatingAdmissionPolicy", "spec": policy},
        {**head, "kind": "ValidatingAdmissionPolicyBinding", "spec": {"policyName": name, "validationActions": ["Deny"]}},
    )
    try:
        probe = yaml.safe_dump({**world.document, "metadata": {"name": "probe", "namespace": world.namespace}})
        eventually("the policy", lambda: "not today" in kubectl("create", "--dry-run=server", "-f", "-", stdin=probe, check=False))
        yield
    finally:
        kubectl("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", name)


def test_a_status_that_the_api_server_refuses_is_told_on_the_release_and_its_model(world: World) -> None:
    with refusing(world):
        world.apply()
        sentence = eventually("the refusal", lambda: "StatusRefused" in refusal(world) and refusal(world), 60)
        assert "not today" in str(sentence)
        release = world.releases()[0]
        said = {one["type"]: one for one in release["status"]["conditions"]}["Reconciled"]
        assert (said["status"], said["reason"]) == ("False", "StatusRefused")
        assert "not today" in said["message"]
        assert world.phase("recipe") == "Pending"
        events = kubectl("events", "-n", world.namespace, "--for", f"model/{world.name}")
        assert "StatusRefused" in events
        assert [one["reason"] for one in world.decisions(release)] == ["Admitted"], (
            "it was decided once, however often the status was refused"
        )
    with world.telling():
        eventually("the run, now that its status is taken", lambda: world.phase("recipe") not in ("", "Pending"), 60)
    forget(world)


def test_a_serving_runtime_that_does_not_exist_is_named_and_nothing_is_trained(world: World) -> None:
    runtime = yaml.safe_load(kubectl("get", "clusterservingruntime", "trimtab", "-o", "yaml"))
    for field in ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields"):
        runtime["metadata"].pop(field, None)
    kubectl("delete", "clusterservingruntime", "trimtab")
    try:
        world.apply()
        sentence = eventually("a refusal", lambda: "ServingRuntime" in refusal(world) and refusal(world), 60)
        assert "there is no ClusterServingRuntime 'trimtab'" in str(sentence)
        assert world.releases() == []
    finally:
        kubectl("apply", "-f", "-", stdin=yaml.safe_dump(runtime))
    eventually("a Release, now that there is one", world.releases, 90)


def test_a_tampered_model_file_does_not_serve(world: World) -> None:
    with world.telling():
        eventually("the version's registration", lambda: world.phase("recipe") == "AwaitingApproval", 180)
    release = world.releases()[0]
    version = release["status"]["candidate"]["version"]
    _tamper(world, version)
    trimtab(world, "approve", release["metadata"]["name"])
    with world.telling():
        eventually("the refusal", lambda: world.phase("recipe") == "Failed", 120)
    outcome = world.releases()[0]["status"]["outcome"]
    assert outcome["reason"] == "SignatureMismatch", outcome
    assert "model.json" in outcome["sentence"]
    print(f"\ntampered: {outcome['reason']}: {outcome['sentence']}")
    eventually("nothing that serves it", lambda: get("inferenceservice", world.namespace, world.name) is None, 60)


def _tamper(world: World, version: str) -> None:
    """Change the model's file where MLflow keeps it, as somebody with access to its store may."""
    base = world.mlflow.again()
    asked = f"{base}/api/2.0/mlflow/model-versions/get?name={world.namespace}.{world.name}&version={version}"
    with urllib.request.urlopen(asked) as answer:
        run = json.load(answer)["model_version"]["run_id"]
    with urllib.request.urlopen(f"{base}/api/2.0/mlflow/runs/get?run_id={run}") as answer:
        root = json.load(answer)["run"]["info"]["artifact_uri"].removeprefix("mlflow-artifacts:/")
    place = f"{base}/api/2.0/mlflow-artifacts/artifacts/{root}/model/model.json"
    with urllib.request.urlopen(place) as answer:
        body = answer.read()
    changed = body[:-2] + b" " + body[-2:]
    with urllib.request.urlopen(urllib.request.Request(place, changed, method="PUT")):
        pass
