"""Who may send to the monitor, said by a real API server: its TokenReviews, its RBAC. The monitor is a process beside it."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
import yaml

from tests.cluster.tools import ROOT, eventually, kubectl, needs_cluster
from tests.unit.monitoring.asking import ask
from trimtab.documents import parse_model
from trimtab.errors import InvalidInput
from trimtab.events import NEW_DATA
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.identity import SENDER
from trimtab.platforms.kubernetes.objects import KubernetesObjects
from trimtab.platforms.kubernetes.resources import NAMESPACES, RELEASES, ROLE_BINDINGS, SERVICE_ACCOUNTS, Resource
from trimtab.spec import Model
from trimtab.training import announcement

pytestmark = needs_cluster

ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
WRITER, MONITOR = "demand-predictor", "monitor"
MODEL = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {{name: demand, namespace: {namespace}}}
spec: {{task: regression, data: {{uri: "https://data.example.com/demand.csv", label: y}}}}
"""
MONITORS_RULES = [
    {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    {"apiGroups": ["trimtab.dev"], "resources": ["models", "releases"], "verbs": ["get", "list"]},
    {"apiGroups": ["trimtab.dev"], "resources": ["releases"], "verbs": ["create"]},
]


class Place:
    """Two namespaces with the Model `demand` each; the writer may send for the first one's, the reader look at it."""

    def __init__(self, api: Api) -> None:
        self.suffix = uuid.uuid4().hex[:6]
        self.shop, self.bank = f"monitor-shop-{self.suffix}", f"monitor-bank-{self.suffix}"
        self.sender = f"monitor-sender-{self.suffix}"
        self._api = api

    def make(self) -> None:
        for namespace in (self.shop, self.bank):
            self._api.create(NAMESPACES, {"metadata": {"name": namespace}})
            KubernetesObjects(self._api).create(parse_model(MODEL.format(namespace=namespace)))
        for name in (WRITER, "reader", MONITOR):
            self._api.create(SERVICE_ACCOUNTS, {"metadata": {"name": name, "namespace": self.shop}})
        self._allow(
            WRITER, {"apiGroups": ["trimtab.dev"], "resources": ["models/events"], "verbs": ["create"], "resourceNames": ["demand"]}
        )
        self._allow("reader", {"apiGroups": ["trimtab.dev"], "resources": ["models/monitoring"], "verbs": ["get"]})
        name = f"monitor-{self.suffix}"
        self._api.create(CLUSTER_ROLES, {"metadata": {"name": name}, "rules": MONITORS_RULES})
        self._api.create(CLUSTER_BINDINGS, self._binding({"name": name}, "ClusterRole", MONITOR))
        installed = yaml.safe_load_all((ROOT / "manifests" / "base" / "rbac-people.yaml").read_text())
        sender = next(role for role in installed if role["metadata"]["name"] == SENDER)
        self._api.create(CLUSTER_ROLES, {"metadata": {"name": self.sender}, "rules": sender["rules"]})

    def remove(self) -> None:
        for resource, name in ((CLUSTER_BINDINGS, "monitor"), (CLUSTER_ROLES, "monitor"), (CLUSTER_ROLES, "monitor-sender")):
            self._api.delete(resource, "", f"{name}-{self.suffix}")
        for namespace in (self.shop, self.bank):
            self._api.delete(NAMESPACES, "", namespace)

    def _allow(self, account: str, rule: dict[str, Any]) -> None:
        metadata = {"name": account, "namespace": self.shop}
        self._api.create(ROLES, {"metadata": metadata, "rules": [rule]})
        self._api.create(ROLE_BINDINGS, self._binding(metadata, "Role", account))

    def _binding(self, metadata: dict[str, Any], kind: str, account: str) -> dict[str, Any]:
        subject = {"kind": "ServiceAccount", "name": account, "namespace": self.shop}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": metadata["name"]}
        return {"metadata": metadata, "subjects": [subject], "roleRef": role}

    def token(self, account: str, audience: str = "trimtab") -> str:
        wanted = ["--audience", audience] if audience else []
        return kubectl("create", "token", account, "-n", self.shop, *wanted).strip()


@pytest.fixture(scope="module")
def place(api: Api, crds: Path) -> Iterator[Place]:
    del crds
    made = Place(api)
    try:
        made.make()
        yield made
    finally:
        made.remove()


def own_kubeconfig(folder: Path, place: Place, server: str = "") -> Path:
    """The test's cluster, but as the monitor's ServiceAccount; with `server`, at another address."""
    found = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    found["users"] = [{"name": found["contexts"][0]["context"]["user"], "user": {"token": place.token(MONITOR, "")}}]
    if server:
        found["clusters"][0]["cluster"]["server"] = server
    path = folder / "kubeconfig"
    path.write_text(json.dumps(found))
    return path


@contextmanager
def running(folder: Path, config: Path) -> Iterator[str]:
    """The monitor's own program; yields its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    options = ["--data", str(folder / "data"), "--worker", str(folder / "worker.sock"), "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "trimtab.platforms.kubernetes.monitor_main", *options]
    with subprocess.Popen(command, env={**os.environ, "KUBECONFIG": str(config)}) as process:
        try:
            eventually("the monitor", lambda: process.poll() is not None or ask(f"http://127.0.0.1:{port}/healthz")[0] == 200)
            assert process.poll() is None, "the monitor ended"
            yield f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.fixture(scope="module")
def monitor(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("monitor")
    with running(folder, own_kubeconfig(folder, place)) as url:
        eventually("a monitor that is ready", lambda: ask(f"{url}/readyz")[0] == 200)
        yield url


def event(namespace: str, kind: str = "dev.trimtab.label.v1", model: str = "demand", **data: Any) -> dict[str, Any]:
    filled = {"model": model, "namespace": namespace, "key": 1, "value": 2.0, "time": "2026-01-01T00:00:00Z", **data}
    return {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/tests", "type": kind, "data": filled}


def test_a_token_with_the_right_is_taken(monitor: str, place: Place) -> None:
    assert ask(f"{monitor}/events", place.token(WRITER), event(place.shop)) == (202, '{"accepted": 1}')


def damaged(token: str) -> str:
    head, claims, signature = token.split(".")
    found = json.loads(base64.urlsafe_b64decode(claims + "=="))
    found["sub"] = "system:serviceaccount:kube-system:default"
    return ".".join((head, base64.urlsafe_b64encode(json.dumps(found).encode()).decode().rstrip("="), signature))


@pytest.mark.parametrize("kind", ["none", "garbage", "damaged", "another audience", "the API server's audience"])
def test_a_bad_token_is_401(monitor: str, place: Place, kind: str) -> None:
    token = {
        "none": lambda: "",
        "garbage": lambda: "a.b.c",
        "damaged": lambda: damaged(place.token(WRITER)),
        "another audience": lambda: place.token(WRITER, "vault"),
        "the API server's audience": lambda: place.token(WRITER, ""),
    }[kind]()
    status, said = ask(f"{monitor}/events", token, event(place.shop))
    assert (status, "audience" in said) == (401, True), said


def test_another_namespaces_model_is_403(monitor: str, place: Place) -> None:
    token = place.token(WRITER)
    status, said = ask(f"{monitor}/events", token, event(place.bank))
    assert status == 403
    sentence = f"system:serviceaccount:{place.shop}:{WRITER} may not create models/events of trimtab.dev for the Model 'demand'"
    assert f"{sentence} in namespace '{place.bank}'" in json.loads(said)["error"]
    assert ask(f"{monitor}/events", token, event(place.shop, model="other"))[0] == 403


def test_a_batch_with_one_such_event_is_not_kept_at_all(monitor: str, place: Place) -> None:
    labels = [event(place.shop, key="batch"), event(place.bank)]
    before = json.loads(ask(f"{monitor}/models/{place.shop}/demand/state", place.token("reader"))[1])["counts"]["labels"]
    assert ask(f"{monitor}/events", place.token(WRITER), labels)[0] == 403
    after = json.loads(ask(f"{monitor}/models/{place.shop}/demand/state", place.token("reader"))[1])["counts"]["labels"]
    assert before == after


def test_the_views_need_their_own_right(monitor: str, place: Place) -> None:
    reader = place.token("reader")
    assert ask(f"{monitor}/models/{place.shop}/demand/state", reader)[0] == 200
    assert ask(f"{monitor}/models/{place.bank}/demand/state", reader)[0] == 403
    assert ask(f"{monitor}/models/{place.shop}/demand/state", place.token(WRITER))[0] == 403
    assert ask(f"{monitor}/events", reader, event(place.shop))[0] == 403


def test_new_data_becomes_a_release_and_the_same_twice_is_one(api: Api, monitor: str, place: Place) -> None:
    news = event(place.shop, NEW_DATA, cut=datetime(2026, 1, 1, tzinfo=UTC).isoformat(), sentence="a test says so")
    token = place.token(WRITER)
    assert [ask(f"{monitor}/events", token, news)[0] for _ in range(2)] == [202, 202]
    [release] = api.list(RELEASES, place.shop)
    assert release["spec"]["request"]["sentence"] == "a test says so"
    assert ask(f"{monitor}/events", token, {**news, "data": {**news["data"], "namespace": place.bank}})[0] == 403
    assert api.list(RELEASES, place.bank) == []


def bound_by_the_docs(place: Place) -> str:
    """What docs/install.md lets `pipeline-runner` do, for the test's namespaces and its own copy of the installed role."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "install.md").read_text(), re.DOTALL)
    text = next(block for block in blocks if "serviceaccounts/token" in block)
    for shown, meant in (("kubeflow", place.bank), ("crm", place.shop)):
        text = text.replace(f"namespace: {shown}", f"namespace: {meant}")
    return text.replace("trimtab-events-sender", place.sender)


def test_a_pod_of_kubeflow_pipelines_announces_with_what_the_docs_bind(
    api: Api, monitor: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod's own token is good for the API server only; with it the task asks for one that the monitor takes."""
    model = KubernetesObjects(api).get(Model, place.shop, "demand")
    account = tmp_path / "account"
    account.mkdir()
    kubectl("create", "serviceaccount", "pipeline-runner", "-n", place.bank)
    (account / "token").write_text(kubectl("create", "token", "pipeline-runner", "-n", place.bank))
    cluster = json.loads(own_kubeconfig(tmp_path, place).read_text())["clusters"][0]["cluster"]
    (account / "ca.crt").write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
    server = urlsplit(cluster["server"])
    monkeypatch.setattr(announcement, "ACCOUNT", account)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(server.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port or 443))

    def announced(run: str) -> bool:
        announcement.announce(f"{monitor}/events", msgspec.json.encode(model).decode(), run, "2026-01-01T00:00:00+00:00")
        return True

    with pytest.raises(InvalidInput, match=r"needs `create` on its `serviceaccounts/token`.*status 403"):
        announced("early")
    kubectl("apply", "-f", "-", stdin=bound_by_the_docs(place))

    def soon() -> bool:
        try:
            return announced("by-hand")
        except InvalidInput:
            return False

    eventually("the rights", soon, seconds=20, pause=0.5)
    assert [one["spec"]["request"]["run"] for one in api.list(RELEASES, place.shop) if "run" in one["spec"]["request"]] == ["by-hand"]


def test_a_right_that_is_given_later_works_within_seconds(api: Api, monitor: str, place: Place) -> None:
    kubectl("create", "serviceaccount", "late", "-n", place.shop)
    token = place.token("late")
    assert ask(f"{monitor}/events", token, event(place.shop))[0] == 403
    subject = {"kind": "ServiceAccount", "name": "late", "namespace": place.shop}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": WRITER}
    api.create(ROLE_BINDINGS, {"metadata": {"name": "late", "namespace": place.shop}, "subjects": [subject], "roleRef": role})
    eventually("the right", lambda: ask(f"{monitor}/events", token, event(place.shop))[0] == 202, seconds=20, pause=0.5)


def test_while_the_api_server_is_away_it_is_503_and_nothing_hangs(place: Place, tmp_path: Path) -> None:
    with running(tmp_path, own_kubeconfig(tmp_path, place, "https://127.0.0.1:9")) as url:
        started = time.monotonic()
        status, said = ask(f"{url}/events", place.token(WRITER), event(place.shop))
        assert (status, "it cannot be said now who may do this: TokenReview" in said) == (503, True), said
        assert ask(f"{url}/readyz")[0] == 503
        assert ask(f"{url}/healthz")[0] == 200
        assert time.monotonic() - started < 30
