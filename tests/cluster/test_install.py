"""Installing on a real API server: everything is accepted, each ServiceAccount can do what the table says and no more, nothing is left.

No image is needed: the Deployments have no replicas. A cluster takes one Trimtab, so these tests leave one that is there alone.
"""

import json
import re
import shutil
import subprocess
import uuid

import pytest
import yaml

from tests.cluster.installation import bases
from tests.cluster.tools import ROOT, eventually, kubectl, needs_cluster

pytestmark = [needs_cluster, pytest.mark.skipif(not shutil.which("helm"), reason="helm is not on the PATH")]

CHART = ROOT / "helm" / "trimtab"
RELEASE = "trimtab"
STOPPED = ["--set", "controller.replicas=0,monitor.replicas=0,mlflow.replicas=0"]
WITHOUT_IMAGES = [*STOPPED, "--set", "uninstall.releaseFinalizers=false"]
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"

TABLE = {
    "trimtab-controller": {
        "models.trimtab.dev": "get list patch watch",
        "models.trimtab.dev/status": "patch update",
        "models.trimtab.dev/monitoring": "get",
        "releases.trimtab.dev": "attest create get list watch",
        "releases.trimtab.dev/status": "patch update",
        "releaseactions.trimtab.dev": "get list watch",
        "pipelinerollouts.trimtab.dev": "create get list watch",
        "pipelinerollouts.trimtab.dev/status": "update",
        "auditentries.trimtab.dev": "create get list",
        "events.events.k8s.io": "create list",
        "inferenceservices.serving.kserve.io": "create delete get list patch watch",
        "servingruntimes.serving.kserve.io": "get",
        "clusterservingruntimes.serving.kserve.io": "get",
        "httproutes.gateway.networking.k8s.io": "create delete get list patch watch",
        "backendtrafficpolicies.gateway.envoyproxy.io": "create delete get patch",
        "gateways.gateway.networking.k8s.io": "get",
        "jobs.batch": "create delete get",
        "pods": "delete list",
        "horizontalpodautoscalers.autoscaling": "delete list",
        "serviceaccounts": "create patch",
        "rolebindings.rbac.authorization.k8s.io": "create patch",
        "clusterroles.rbac.authorization.k8s.io [trimtab-events-sender]": "bind",
        "leases.coordination.k8s.io [trimtab-controller]": "get patch",
    },
    "trimtab-monitor": {
        "models.trimtab.dev": "get list",
        "releases.trimtab.dev": "attest create get list",
        "tokenreviews.authentication.k8s.io": "create",
        "subjectaccessreviews.authorization.k8s.io": "create",
    },
    "trimtab-mlflow": {},
}
"""In the installation's own namespace, where the Lease's Role counts as well."""

MANY_USERS = {
    "workflows.argoproj.io": "list",
    "runs.pipelines.kubeflow.org": "create get terminate",
    "pipelines.pipelines.kubeflow.org": "create get",
    "experiments.pipelines.kubeflow.org": "create list",
}
"""What the controller may do besides where Kubeflow Pipelines has many users (`kfp.multiUser`)."""

PEOPLE = {
    "trimtab-viewer": {
        "models.trimtab.dev": "get list watch",
        "models.trimtab.dev/monitoring": "get",
        "releases.trimtab.dev": "get list watch",
        "releaseactions.trimtab.dev": "get list watch",
        "pipelinerollouts.trimtab.dev": "get list watch",
        "auditentries.trimtab.dev": "get list watch",
    },
    "trimtab-editor": {
        "models.trimtab.dev": "create delete deletecollection get list patch update watch",
        "releases.trimtab.dev": "create",
        "pipelinerollouts.trimtab.dev": "patch update",
    },
    "trimtab-approver": {
        "models.trimtab.dev": "get list watch",
        "releases.trimtab.dev": "get list watch",
        "releaseactions.trimtab.dev": "create get list watch",
        "pipelinerollouts.trimtab.dev": "get list watch",
        "auditentries.trimtab.dev": "get list watch",
    },
    "trimtab-events-sender": {"models.trimtab.dev/events": "create"},
}


def helm(*arguments, check=True):
    done = subprocess.run(["helm", *arguments], capture_output=True, text=True, timeout=300, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def rights(namespace, account):
    """What a ServiceAccount may do in a namespace by the API server's own answer, without what everybody may."""
    user = f"system:serviceaccount:{namespace}:{account}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    flags = [f"--as={user}", *(f"--as-group={group}" for group in groups)]
    answer = json.loads(kubectl("create", *flags, "--validate=false", "-o", "json", "-f", "-", stdin=json.dumps(review)))
    return table(answer["status"]["resourceRules"])


def table(rules):
    """Verbs by `resource.group [names]`."""
    found = {}
    for rule in rules:
        names = f" [{', '.join(rule['resourceNames'])}]" if rule.get("resourceNames") else ""
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                plural, _, part = resource.partition("/")
                key = ".".join(filter(None, [plural, group])) + (f"/{part}" if part else "") + names
                found.setdefault(key, set()).update(rule["verbs"])
    return {key: " ".join(sorted(verbs)) for key, verbs in found.items()}


def rendered(*flags):
    return [body for body in yaml.safe_load_all(helm("template", RELEASE, str(CHART), *flags)) if body]


def name(body):
    """As kubectl takes it."""
    group, _, version = body["apiVersion"].rpartition("/")
    return f"{body['kind']}.{version}.{group}/{body['metadata']['name']}"


def shared(bodies):
    """The cluster-scoped objects, but for the CRDs."""
    return [name(body) for body in bodies if "namespace" not in body["metadata"] and body["kind"] != "CustomResourceDefinition"]


def there(names, *flags):
    return kubectl("get", "--ignore-not-found", "-o", "name", *flags, *names).split()


@pytest.fixture(scope="module")
def serving():
    """Flags that leave out what the cluster has no CRDs for."""
    known = kubectl("api-resources", "-o", "name").split()
    return [] if "clusterstoragecontainers.serving.kserve.io" in known else ["--set", "serving.enabled=false"]


@pytest.fixture(scope="module")
def space():
    namespace = f"install-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", namespace)
    kubectl("label", "namespace", namespace, RESTRICTED)
    yield namespace
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def own(space, serving, crds):
    """The chart, installed for one test on CRDs that are there already and stay: (namespace, flags)."""
    assert crds
    if installation():
        pytest.skip("a Trimtab is installed already, and is left alone")
    flags = ["--namespace", space, *WITHOUT_IMAGES, "--set", "crds.enabled=false", *serving]
    helm("install", RELEASE, str(CHART), *flags, "--wait", "--timeout", "2m")
    yield space, flags
    helm("uninstall", RELEASE, "--namespace", space, "--ignore-not-found", check=False)


def installation():
    """The namespace that the chart is installed in, or nothing."""
    where = "{.metadata.annotations.meta\\.helm\\.sh/release-namespace}"
    return kubectl("get", "clusterrole", "trimtab-controller", "--ignore-not-found", "-o", f"jsonpath={where}")


@pytest.fixture
def system(request):
    """The namespace of an installation: the one that is there, else one for the test."""
    return installation() or request.getfixturevalue("own")[0]


def test_each_service_account_can_do_what_the_table_says_and_no_more(system):
    everybody = rights(system, "anybody")
    runs = kubectl("get", "configmap", "trimtab-controller", "--namespace", system, "-o", "jsonpath={.data.runs\\.yaml}")
    kfp = yaml.safe_load(runs)["kfp"]
    more = MANY_USERS if kfp["url"] and kfp["multiUser"] else {}
    for account, expected in (TABLE | {"trimtab-controller": TABLE["trimtab-controller"] | more}).items():
        found = eventually(f"rights of {account}", lambda account=account: rights(system, account), 10)
        own = {key: verbs for key, verbs in found.items() if everybody.get(key) != verbs}
        assert own == expected, account


def test_the_controller_can_hand_out_one_role_and_no_other(system):
    user = f"--as=system:serviceaccount:{system}:trimtab-controller"
    binding = ["create", "rolebinding", "x", f"--serviceaccount={system}:default", "--namespace", system, user, "--dry-run=server"]
    assert "created" in kubectl(*binding, "--clusterrole=trimtab-events-sender")
    assert re.search(r"forbidden.*attempting to grant RBAC permissions", kubectl(*binding, "--clusterrole=view", check=False), re.DOTALL)


def test_roles_for_people(system):
    assert system
    for role, expected in PEOPLE.items():
        body = json.loads(kubectl("get", "clusterrole", role, "-o", "json"))
        assert table(body["rules"]) == expected, role
    approver = json.loads(kubectl("get", "clusterrole", "trimtab-approver", "-o", "json"))
    assert not any("aggregate" in label for label in approver["metadata"]["labels"]), "who edits a namespace does not approve in it"
    edit = eventually("aggregation", lambda: table(json.loads(kubectl("get", "clusterrole", "edit", "-o", "json"))["rules"]), 10)
    assert edit["models.trimtab.dev"] == PEOPLE["trimtab-editor"]["models.trimtab.dev"]
    assert "create" not in edit.get("releaseactions.trimtab.dev", "")


def test_an_upgrade_keeps_the_signing_key(own):
    space, flags = own
    before = kubectl("get", "secret", "trimtab-signing", "--namespace", space, "-o", "jsonpath={.data}")
    helm("upgrade", RELEASE, str(CHART), *flags, "--set", "commonLabels.changed=yes")
    assert kubectl("get", "secret", "trimtab-signing", "--namespace", space, "-o", "jsonpath={.data}") == before
    assert kubectl("get", "deployment", "trimtab-controller", "--namespace", space, "-o", "jsonpath={.metadata.labels.changed}") == "yes"


def test_workflows_are_read_in_kubeflow_pipelines_namespace_and_nowhere_else(own):
    space, flags = own
    elsewhere = f"{space}-kfp"
    kubectl("create", "namespace", elsewhere)
    try:
        settings = f"kfp.url=http://ml-pipeline.{elsewhere}:8888,kfp.namespace={elsewhere}"
        helm("upgrade", RELEASE, str(CHART), *flags, "--set", settings)
        user = f"system:serviceaccount:{space}:trimtab-controller"
        eventually("the right", lambda: may_list_workflows(user, elsewhere), 10)
        assert not may_list_workflows(user, space)
    finally:
        kubectl("delete", "namespace", elsewhere, "--wait=false")


def may_list_workflows(user, namespace):
    """By a review: `kubectl auth can-i` asks about no kind that is not installed."""
    asked = {"namespace": namespace, "verb": "list", "group": "argoproj.io", "resource": "workflows"}
    spec = {"user": user, "resourceAttributes": asked}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    return json.loads(kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review)))["status"]["allowed"]


def test_uninstalling_leaves_nothing_but_the_crds(own):
    space, flags = own
    bodies = rendered(*flags)
    assert len(there(shared(bodies))) == len(shared(bodies))
    helm("uninstall", RELEASE, "--namespace", space, "--wait", "--timeout", "2m")
    assert there(shared(bodies)) == []
    kinds = "deployment,pod,service,serviceaccount,secret,persistentvolumeclaim,configmap,role,rolebinding,lease,networkpolicy,job"
    left = set(kubectl("get", kinds, "--namespace", space, "-o", "name").split())
    assert left <= {"serviceaccount/default", "configmap/kube-root-ca.crt"}
    assert kubectl("get", "crd", "models.trimtab.dev", "-o", "name")


@pytest.mark.parametrize("feature", ["", *sorted(path.name for path in (CHART / "ci").glob("*-values.yaml"))])
def test_the_api_server_accepts_every_feature(space, serving, crds, feature):
    """Network policies are validated here and nowhere else: not every test cluster enforces them."""
    assert crds
    flags = ["--namespace", space, *serving, *(["--values", str(CHART / "ci" / feature)] if feature else [])]
    known = {line.split()[-1] for line in kubectl("api-resources", "--no-headers").splitlines()}
    bodies = [body for body in rendered(*flags) if body["kind"] in known]
    dropped = {body["kind"] for body in rendered(*flags)} - known
    assert dropped <= {"ServiceMonitor"}
    for namespace in {body["metadata"].get("namespace", space) for body in bodies} - {space}:
        for body in bodies:
            if body["metadata"].get("namespace") == namespace:
                body["metadata"]["namespace"] = space  # a watched namespace of the example's, which this cluster has not
    documents = "\n---\n".join(json.dumps(body) for body in bodies)
    said = kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=documents, check=False)
    refused = [line for line in said.splitlines() if "serverside-applied" not in line]
    assert not refused, "\n".join(refused)
    assert said.count("serverside-applied") == len(bodies)


def test_the_api_server_accepts_the_kustomize_bases(tmp_path, serving, crds):
    assert crds
    if serving:
        pytest.skip("KServe's CRDs are not installed")
    folder = bases(tmp_path) / "default"
    text = kubectl("kustomize", str(folder))
    bodies = list(yaml.safe_load_all(text))
    storage = next(body for body in bodies if body["kind"] == "ClusterStorageContainer")
    believed = next(one["value"] for one in storage["spec"]["container"]["env"] if one["name"] == "TRIMTAB_SIGNING_CERTIFICATE")
    assert believed == (folder / "tls.crt").read_text()
    deployment = next(body for body in bodies if body["kind"] == "Deployment" and body["metadata"]["name"] == "trimtab-controller")
    (controller,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "TRIMTAB_SIGNING_CERTIFICATE", "value": believed} in controller["env"]
    assert [body["metadata"]["name"] for body in bodies if body["kind"] == "ConfigMap"] == ["trimtab-controller"], "no local one"
    if not there(["namespace/trimtab-system"]):
        text = text.replace("trimtab-system", "default")  # a dry run makes no namespace
    said = kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=text, check=False)
    assert said.count("serverside-applied") == len(bodies), said
