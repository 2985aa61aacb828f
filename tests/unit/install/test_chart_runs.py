"""How training runs are made, as the chart tells the controller; and what they are given: credentials, tokens, rights, ways out."""

import json

import msgspec
import pytest
import yaml

from tests.unit.install.conftest import ROOT
from trimtab.described import meta_of
from trimtab.platforms.kubernetes import kfp_client, runs

CHART = ROOT / "helm" / "trimtab"
FEATURES = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))

pytestmark = pytest.mark.usefixtures("helm")


def controller(rendered):
    """The controller's Deployment."""
    return next(body for body in rendered["controller"] if body["kind"] == "Deployment")


def told(rendered, folder):
    """What the controller reads of how training runs are made."""
    (made,) = [body for body in rendered["controller"] if body["kind"] == "ConfigMap"]
    (folder / "runs.yaml").write_text(made["data"]["runs.yaml"])
    return runs.read_runs(folder / "runs.yaml")


@pytest.mark.parametrize("feature", FEATURES)
def test_the_controller_takes_what_the_chart_tells_it_of_runs(generate, tmp_path, feature):
    given = yaml.safe_load((CHART / "ci" / feature).read_text())
    found = msgspec.json.decode(msgspec.json.encode(told(generate.render(given), tmp_path)))
    for part in ("training", "kfp"):
        for name, value in given.get(part, {}).items():
            assert found[part].get(name, value) == value, f"{part}.{name}"


def test_the_chart_and_the_controller_have_the_same_defaults_and_the_same_bounds(generate, tmp_path):
    assert told(generate.render({}), tmp_path) == runs.Runs()
    schema = json.loads((CHART / "values.schema.json").read_text())
    shared = {"image", "imagePullPolicy", "imagePullSecrets"}
    for part, kind in (("training", runs.TrainingSettings), ("kfp", runs.KfpSettings)):
        said, fields = schema["properties"][part]["properties"], {one.encode_name: one for one in msgspec.structs.fields(kind)}
        assert set(said) == set(fields) - (shared if part == "training" else set())
        for name, node in said.items():
            meta = meta_of(fields[name].type)
            bound = schema["$defs"][node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node
            if meta and meta.pattern and bound != schema["$defs"]["required"]:
                assert bound["pattern"] == meta.pattern, f"{part}.{name}"


def test_another_way_of_making_runs_restarts_the_controller(generate):
    first, second = (
        controller(generate.render({"training": {"deadline": deadline}}))["spec"]["template"]["metadata"]["annotations"]
        for deadline in ("2h", "3h")
    )
    assert first != second
    kept = controller(generate.render({"controller": {"podAnnotations": {"a": "b"}}}))["spec"]["template"]["metadata"]["annotations"]
    assert kept == {**first, "a": "b"}


def test_predictors_and_explainers_get_the_pull_secrets_and_their_fetch_container_alone_the_credentials(generate):
    def bodies(given):
        found = {}
        for body in generate.render(given)["serving"]:
            found.setdefault(body["kind"], []).append(body["spec"])
        assert len(found["ClusterServingRuntime"]) == 2
        return found["ClusterServingRuntime"], found["ClusterStorageContainer"][0]["container"]

    runtimes, fetch = bodies({"imagePullSecrets": [{"name": "registry"}]})
    assert [one["imagePullSecrets"] for one in runtimes] == [[{"name": "registry"}]] * 2
    assert "envFrom" not in fetch
    runtimes, fetch = bodies({"serving": {"existingSecret": "reader"}})
    assert fetch["envFrom"] == [{"secretRef": {"name": "reader", "optional": True}}]
    for runtime in runtimes:
        (container,) = runtime["containers"]
        assert "envFrom" not in container
        assert "imagePullSecrets" not in runtime


def test_the_controller_has_a_token_for_kubeflow_pipelines_where_there_is_one(generate):
    for url, expected in (("", {"trimtab"}), ("http://ml-pipeline.kubeflow:8888", {"trimtab", "pipelines.kubeflow.org"})):
        pod = controller(generate.render({"kfp": {"url": url}}))["spec"]["template"]["spec"]
        tokens = [one["serviceAccountToken"] for volume in pod["volumes"] for one in volume.get("projected", {}).get("sources", [])]
        assert {token["audience"] for token in tokens} == expected
    arguments = pod["containers"][0]["args"]
    assert f"--kfp-token-file={kfp_client.TOKEN_FILE}" in arguments, "where clients look for it by convention"
    mounted = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    assert mounted["kfp-token"] == str(kfp_client.TOKEN_FILE.parent)


def rights(rendered):
    """What the controller may do to Workflows, and to what Kubeflow Pipelines guards, by role."""
    roles = {body["metadata"]["name"]: body for body in rendered["rbac-controller"] if body["kind"] in ("Role", "ClusterRole")}
    groups = ("argoproj.io", "pipelines.kubeflow.org")
    return {name: rules for name, body in roles.items() if (rules := [one for one in body["rules"] if one["apiGroups"][0] in groups])}


def test_workflows_are_read_where_they_run_and_nowhere_else(generate):
    assert rights(generate.render({})) == {}
    alone = generate.render({"kfp": {"url": "http://ml-pipeline.mlops:8888", "namespace": "mlops"}})
    assert rights(alone) == {"trimtab-controller-kfp": [{"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["list"]}]}
    there = [body for body in alone["rbac-controller"] if body["metadata"]["name"] == "trimtab-controller-kfp"]
    assert [(body["kind"], body["metadata"]["namespace"]) for body in there] == [("Role", "mlops"), ("RoleBinding", "mlops")]
    many = generate.render(yaml.safe_load((CHART / "ci" / "kfp-multi-user-values.yaml").read_text()))
    assert {(one["apiGroups"][0], one["resources"][0]) for one in rights(many)["trimtab-controller"]} == {
        ("argoproj.io", "workflows"),
        ("pipelines.kubeflow.org", "runs"),
        ("pipelines.kubeflow.org", "pipelines"),
        ("pipelines.kubeflow.org", "experiments"),
    }
    assert set(rights(many)) == {"trimtab-controller"}, "bound in the watched namespaces, as all else"


@pytest.mark.parametrize(
    ("given", "who", "ports"),
    [
        pytest.param({}, "controller", {443, 6443, 5000, 80, 8080, 8090, 19001}, id="the chart's own MLflow"),
        pytest.param(
            {"kfp": {"url": "http://ml-pipeline.kubeflow:8888"}}, "controller", {443, 6443, 5000, 80, 8080, 8090, 19001, 8888}, id="KFP"
        ),
        pytest.param(
            {"kfp": {"url": "https://kfp.example/"}}, "controller", {443, 6443, 5000, 80, 8080, 8090, 19001}, id="no port is HTTPS's"
        ),
        pytest.param(
            {"gateway": {"prometheusUrl": "http://prometheus:9090"}},
            "controller",
            {443, 6443, 5000, 80, 8080, 8090, 9090},
            id="Prometheus and no proxy",
        ),
        pytest.param(
            {"mlflow": {"enabled": False}, "tracking": {"uri": "http://mlflow.mlops:5050/base"}},
            "monitor",
            {443, 6443, 5050, 80, 8080},
            id="an MLflow elsewhere",
        ),
        pytest.param({"networkPolicy": {"egressPorts": [5432]}}, "mlflow", {5432}, id="what is said besides"),
        pytest.param({}, "mlflow", set(), id="and else nothing but DNS"),
    ],
)
def test_ports_that_a_part_may_reach(generate, given, who, ports):
    policy = {"networkPolicy": {"enabled": True, **given.get("networkPolicy", {})}}
    bodies = {body["metadata"]["name"]: body["spec"] for body in generate.render({**given, **policy})["networkpolicies"]}
    assert {port["port"] for rule in bodies[f"trimtab-{who}"]["egress"] for port in rule["ports"]} - {53} == ports
