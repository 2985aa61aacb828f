"""The chart and what is generated from it: values and schema agree, nothing is dead, every pod is restricted."""

import base64
import json
import re
import subprocess

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import trimtab
from tests.unit.install.conftest import ROOT, script

CHART = ROOT / "helm" / "trimtab"
FEATURES = sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))
FREE = {"strings", "amounts", "global"}
"""Maps whose keys are the user's."""
POD_KINDS = ("Deployment", "Job")


def values():
    return yaml.safe_load((CHART / "values.yaml").read_text())


def schema():
    return json.loads((CHART / "values.schema.json").read_text())


def objects(node, name=""):
    """Every schema of an object, with the key that it stands under."""
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield name, node
        for key, value in node.items():
            yield from objects(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from objects(value, name)


def described(node, definitions):
    """The schema with what it refers to filled in."""
    return definitions[node["$ref"].removeprefix("#/$defs/")] if "$ref" in node else node


def test_no_value_that_the_chart_does_not_know_is_accepted():
    for name, node in objects(schema()):
        if name not in FREE and "checked by the API server" not in node.get("description", ""):
            assert node.get("additionalProperties") is False, f"{name} takes any key"


def test_the_schema_has_the_values_and_no_others():
    definitions = schema()["$defs"]

    def compare(node, given, path):
        node = described(node, definitions)
        if "properties" in node and isinstance(given, dict) and given and path[-1:] != ["resources"]:
            known = set(node["properties"]) - {"global"}
            assert known == set(given), f"{'.'.join(path) or 'the top'}: schema and values.yaml differ"
            for key, value in given.items():
                compare(node["properties"][key], value, [*path, key])

    compare(schema(), values(), [])


def test_every_value_is_explained(generate):
    said = generate.comments((CHART / "values.yaml").read_text())
    repeated = {"tolerations", "affinity"}
    for path, _ in generate.leaves(values()):
        assert path in said or ("controller", path[-1]) in said or path[-1] in repeated, f"{'.'.join(path)} has no comment"


SAID = {feature: yaml.safe_load((CHART / "ci" / feature).read_text()) for feature in FEATURES}
PATHS = [path for path, _ in script("helm/generate.py").leaves(values()) if path != ("signing", "days")]
"""Every value. How long a certificate is valid has a test of its own: no two renderings have the same one."""


def says(given, path):
    return not path or (isinstance(given, dict) and path[0] in given and says(given[path[0]], path[1:]))


def without(given, path):
    """The values but for the one at the path."""
    if len(path) == 1:
        return {key: value for key, value in given.items() if key != path[0]}
    return {**given, path[0]: without(given[path[0]], path[1:])}


def seen(generate, given):
    """What is rendered, as text without key and certificate, which are made anew each time; nothing where Helm refuses."""
    try:
        rendered = generate.render(given)
    except subprocess.CalledProcessError:
        return ""
    for body in rendered.get("signing", []):
        del body["data"]
    return re.sub(r"-----BEGIN CERTIFICATE.*?END CERTIFICATE", "", json.dumps(rendered))


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_every_value_is_in_an_example_and_is_not_dead(generate, path):
    examples = [given for given in SAID.values() if says(given, path)]
    assert examples, f"no ci/*-values.yaml says {'.'.join(path)}"
    assert any(seen(generate, given) != seen(generate, without(given, path)) for given in examples), "it changes nothing"


@pytest.mark.usefixtures("helm")
def test_a_certificate_is_valid_as_long_as_is_said(generate):
    (secret,) = generate.render({"signing": {"days": 7}})["signing"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
    assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 7


def test_chart_images_and_package_have_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == trimtab.__version__


def test_the_copies_in_the_chart_are_fresh(generate):
    expected = generate.copies()
    found = {path: path.read_text() for path in (CHART / "files").rglob("*.yaml")}
    assert found == expected, "run `python helm/generate.py`"


def test_the_readme_is_fresh(generate):
    ((path, text),) = generate.readme().items()
    assert path.read_text() == text, "run `python helm/generate.py`"


@pytest.mark.usefixtures("helm")
def test_the_kustomize_bases_are_the_charts_rendering(generate):
    folders = (ROOT / "manifests" / "base", ROOT / "manifests" / "uninstall")
    found = {path: path.read_text() for folder in folders for path in folder.glob("*.yaml")}
    assert found == generate.bases(), "run `python helm/generate.py`"


def pods(rendered):
    for bodies in rendered.values():
        for body in bodies:
            if body["kind"] in POD_KINDS:
                yield body["metadata"]["name"], body["spec"]["template"]["spec"]


def restricted(pod):
    """The rules of the Pod Security Standard `restricted`, and a root that nothing may write to."""
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["readOnlyRootFilesystem"] is True
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}  # noqa: S108
        assert container["resources"]["requests"]
        assert container["resources"]["limits"]["memory"]
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= {"emptyDir", "secret", "projected", "persistentVolumeClaim", "configMap"}


@pytest.mark.usefixtures("helm")
@pytest.mark.parametrize("feature", ["defaults", *FEATURES])
def test_every_feature_renders_restricted_pods(generate, feature):
    given = {} if feature == "defaults" else yaml.safe_load((CHART / "ci" / feature).read_text())
    rendered = generate.render(given)
    names = [name for name, pod in pods(rendered) if restricted(pod) is None]
    assert any(name.endswith("-controller") for name in names)
    for bodies in rendered.values():
        for body in bodies:
            assert body["metadata"]["labels"]["app.kubernetes.io/part-of"] == "trimtab"


@pytest.mark.usefixtures("helm")
def test_only_the_container_that_needs_a_token_has_one(generate):
    rendered = generate.render({})
    monitor = next(pod for name, pod in pods(rendered) if name == "trimtab-monitor")
    tokens = {volume["name"] for volume in monitor["volumes"] if "projected" in volume}
    mounts = {container["name"]: {mount["name"] for mount in container["volumeMounts"]} & tokens for container in monitor["containers"]}
    assert monitor["automountServiceAccountToken"] is False
    assert mounts == {"monitor": {"kube-api"}, "detectors": set()}
    assert next(pod for name, pod in pods(rendered) if name == "trimtab-mlflow")["automountServiceAccountToken"] is False
    for bodies in rendered.values():
        for body in bodies:
            if body["kind"] == "ServiceAccount":
                assert body["automountServiceAccountToken"] is False, "a pod that wants a token says so itself"


@pytest.mark.usefixtures("helm")
def test_the_certificate_that_is_believed_is_the_keys_own(generate):
    rendered = generate.render({})
    (secret,) = rendered["signing"]
    certificate = base64.b64decode(secret["data"]["tls.crt"]).decode()
    key = base64.b64decode(secret["data"]["tls.key"]).decode()
    public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
    assert serialization.load_pem_private_key(key.encode(), None).public_key() == public
    assert public.curve.name == "secp256r1"
    storage = next(body for body in rendered["serving"] if body["kind"] == "ClusterStorageContainer")
    believed = next(one["value"] for one in storage["spec"]["container"]["env"] if one["name"] == "TRIMTAB_SIGNING_CERTIFICATE")
    assert believed == certificate
    controller = next(pod for name, pod in pods(rendered) if name == "trimtab-controller")["containers"][0]
    assert {"name": "TRIMTAB_SIGNING_CERTIFICATE", "value": certificate} in controller["env"]


@pytest.mark.usefixtures("helm")
def test_kserves_objects_get_this_installations_images_and_addresses(generate):
    given = {"images": {"registry": "registry.example/x", "tag": "7"}, "fullnameOverride": "tt"}
    bodies = generate.render(given)["serving"]
    runtimes = {body["metadata"]["name"]: body["spec"] for body in bodies if body["kind"] == "ClusterServingRuntime"}
    storage = next(body for body in bodies if body["kind"] == "ClusterStorageContainer")["spec"]["container"]
    (predictor,), (explainer,) = (runtimes[name]["containers"] for name in ("trimtab", "trimtab-explainer"))
    assert predictor["image"] == "registry.example/x/trimtab/predictor:7"
    assert explainer["image"] == "registry.example/x/trimtab/explainer:7"
    assert storage["image"] == "registry.example/x/trimtab/fetch:7"
    environment = {one["name"]: one.get("value") for one in [*predictor["env"], *storage["env"]]}
    assert environment["TRIMTAB_MONITOR_URL"] == "http://tt-monitor.trimtab-system.svc:8090"
    assert environment["TRIMTAB_TRACKING_URI"] == "http://tt-mlflow.trimtab-system.svc:5000"


@pytest.mark.usefixtures("helm")
def test_crds_are_kept_unless_told_otherwise(generate):
    for keep, annotation in ((True, "keep"), (False, None)):
        bodies = generate.render({"crds": {"keep": keep}})["crds"]
        assert len(bodies) == len(list((ROOT / "manifests" / "crds").glob("*.yaml")))
        for body in bodies:
            assert body["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == annotation


@pytest.mark.usefixtures("helm")
def test_namespaces_that_are_watched_are_all_that_is_written_to(generate):
    rendered = generate.render({"watch": {"namespaces": ["crm", "shop"]}, "gateway": {"prometheusUrl": "http://prometheus:9090"}})
    roles = {body["metadata"]["name"]: body for name in rendered for body in rendered[name] if body["kind"] == "ClusterRole"}
    everywhere = [
        body["roleRef"]["name"]
        for name in ("rbac-controller", "rbac-monitor")
        for body in rendered[name]
        if body["kind"] == "ClusterRoleBinding"
    ]
    for name in everywhere:
        for rule in roles[name]["rules"]:
            reviews = {"tokenreviews", "subjectaccessreviews"}
            assert set(rule["verbs"]) <= {"get"} or set(rule["resources"]) <= reviews, f"{name} may {rule} everywhere"
    bound = {
        (body["metadata"]["namespace"], body["roleRef"]["name"]) for body in rendered["rbac-controller"] if body["kind"] == "RoleBinding"
    }
    assert bound >= {("crm", "trimtab-controller"), ("shop", "trimtab-controller")}


@pytest.mark.usefixtures("helm")
def test_a_webhook_is_told_by_two_parts_with_a_token_from_a_secret_and_the_right_to_one_config_map(generate):
    rendered = generate.render(SAID["notifications-values.yaml"])
    for part in ("controller", "monitor"):
        pod = next(body for body in rendered[part] if body["kind"] == "Deployment")["spec"]["template"]["spec"]
        container = next(one for one in pod["containers"] if one["name"] == part)
        assert "--notify-url=https://events.example:8443/trimtab" in container["args"]
        (token,) = [argument for argument in container["args"] if argument.startswith("--notify-token-file=")]
        (mount,) = [one for one in container["volumeMounts"] if token.startswith(f"--notify-token-file={one['mountPath']}/")]
        assert mount["readOnly"]
        (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
        assert volume["secret"]["secretName"] == "trimtab-webhook"
        assert volume["secret"]["items"] == [{"key": "bearer", "path": token.rpartition("/")[2]}]
        assert all(mount not in one["volumeMounts"] for one in pod["containers"] if one["name"] != part), "the detectors get no token"
    (kept,) = rendered["notifications"]
    rights = [rule for body in rendered["rbac-controller"] for rule in body.get("rules", []) if "configmaps" in rule["resources"]]
    assert rights == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [kept["metadata"]["name"]], "verbs": ["get", "patch"]}
    ]
    controller = next(body for body in rendered["controller"] if body["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert f"--notify-config-map={kept['metadata']['name']}" in controller["args"]
    assert "data" not in kept, "an upgrade must leave what the controller wrote"
    assert "notifications" not in generate.render({})


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"notifications": {"url": "ftp://events"}}, "notifications/url"),
        ({"notifications": {"url": "https://user:secret@events"}}, "notifications/url"),
        ({"mlflow": {"enabled": False}}, "there is no MLflow: set tracking.uri"),
        ({"tracking": {"uri": "http://mlflow:5000"}}, "tracking.uri names an MLflow server, and mlflow.enabled installs another one"),
        ({"signing": {"existingSecret": "ours"}}, 'the certificate of signing.existingSecret "ours" cannot be found'),
        ({"controller": {"replicas": 2}}, "controller/replicas"),
        ({"monitor": {"resorces": {}}}, "resorces"),
        ({"watch": {"namespaces": ["Crm"]}}, "watch/namespaces/0"),
        ({"training": {"deadline": "soon"}}, "training/deadline"),
        ({"training": {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}}, "training/env/0/valueFrom"),
        ({"kfp": {"url": "ml-pipeline:8888"}}, "kfp/url"),
        ({"kfp": {"namespace": ""}}, "kfp/namespace"),
    ],
)
def test_values_that_cannot_work_are_refused(generate, helm, given, sentence):
    assert helm
    with pytest.raises(subprocess.CalledProcessError) as refused:
        generate.render(given)
    assert sentence in refused.value.stderr
