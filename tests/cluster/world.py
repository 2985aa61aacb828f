"""The cluster as the end-to-end tests see it: an installation, a namespace with data and a Model, traffic, and what came of it."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from tests.cluster.tools import ROOT, eventually, kubectl

SYSTEM = "trimtab-system"
TERMINAL = ("Promoted", "Rejected", "RolledBack", "Inconclusive", "Failed", "Refused", "Superseded", "Cancelled")
FIRST_CUT = "2011-07-01"
EXAMPLE = ROOT / "examples" / "bike-demand"
DATA = ROOT / "build" / "bike-demand" / "bike.csv"


class Forward:
    """`kubectl port-forward` to a Service, started again when it breaks off: it ends with the pod that it found."""

    def __init__(self, namespace: str, service: str, port: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port: int = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = ["kubectl", "port-forward", "-n", namespace, f"service/{service}", f"{self.port}:{port}"]
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(AssertionError):
            eventually("the port", lambda: self._open() or process.poll() is not None, 15)
        return process

    def _open(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        return False

    def again(self) -> str:
        """The address, after the pod behind it was replaced."""
        if self._process.poll() is not None:
            self.close()
            self._process = self._start()
        return self.url

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Player:
    """The example's rows as traffic, at a rate that may be changed; counts go on over all of it."""

    def __init__(self, world: "World", folder: Path) -> None:
        self._world, self._folder = world, folder
        self._progress = folder / "progress.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.rate = 0.0

    def play(self, rate: float) -> None:
        if rate == self.rate and self._process and self._process.poll() is None:
            return
        self.stop()
        self.rate = rate
        world = self._world
        document = self._folder / "model.yaml"
        document.write_text(yaml.safe_dump(world.document))
        words = [str(DATA), "--model", str(document), "--gateway", world.gateway.again(), "--host", world.host]
        words += ["--events", f"{world.monitor.again()}/events", "--token", world.token("labels"), "--after", FIRST_CUT]
        words += ["--rate", f"{rate:g}", "--progress", str(self._progress)]
        with (self._folder / "play.log").open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "tests.cluster.play", *words], cwd=ROOT, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
        self._process = None

    @property
    def broken(self) -> str:
        """Why the play broke off, or nothing."""
        code = self._process.poll() if self._process else None
        return (self._folder / "play.log").read_text()[-500:] if code else ""

    @property
    def counts(self) -> SimpleNamespace:
        found = json.loads(self._progress.read_text()) if self._progress.exists() else {}
        names = ("answered", "failed", "retried", "codes", "versions", "data_time")
        return SimpleNamespace(**{name: found.get(name, {} if name in ("codes", "versions") else 0) for name in names})


class World:
    """A namespace with the example's data and Model."""

    def __init__(self, namespace: str, **spec: Any) -> None:
        self.namespace, self.name = namespace, "bike-demand"
        document = yaml.safe_load((EXAMPLE / "model.yaml").read_text())
        annotations = {"trimtab.dev/first-cut": FIRST_CUT}
        document["metadata"] = {"name": self.name, "namespace": namespace, "annotations": annotations}
        document["spec"]["data"]["uri"] = f"http://data.{namespace}.svc/bike.parquet"
        document["spec"].update(spec)
        self.document: dict[str, Any] = document
        self.host = f"{self.name}-{namespace}.example.com"
        self._open: list[Forward] = []

    def prepare(self) -> "World":
        """Namespace (restricted Pod Security), data, and a ServiceAccount whose token may send labels."""
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bike.parquet"
            _parquet(path)
            kubectl("create", "configmap", "data", "-n", self.namespace, f"--from-file=bike.parquet={path}")
        apply(*_data_server(self.namespace), *_labels_account(self.namespace))
        kubectl("rollout", "status", "-n", self.namespace, "deployment/data", "--timeout=60s")
        return self

    def connect(self) -> "World":
        """Ways to gateway, monitor and MLflow that work on any cluster."""
        found = json.loads(kubectl("get", "services", "-A", "-l", "gateway.envoyproxy.io/owning-gateway-name", "-o", "json"))["items"]
        service = found[0]["metadata"]
        self.gateway = self._forward(service["namespace"], service["name"], 80)
        self.monitor = self._forward(SYSTEM, "trimtab-monitor", 8090)
        self.mlflow = self._forward(SYSTEM, "trimtab-mlflow", 5000)
        return self

    def _forward(self, namespace: str, service: str, port: int) -> Forward:
        self._open.append(Forward(namespace, service, port))
        return self._open[-1]

    def close(self) -> None:
        for forward in self._open:
            forward.close()

    def delete(self) -> None:
        """Nothing is left of it but a namespace that ends by itself."""
        self.close()
        kubectl("delete", "ttm", "--all", "-n", self.namespace, "--timeout=60s")
        kubectl("delete", "namespace", self.namespace, "--wait=false")

    def token(self, account: str, audience: str = "trimtab") -> str:
        return kubectl("create", "token", account, "-n", self.namespace, "--audience", audience, "--duration", "1h").strip()

    def apply(self) -> None:
        apply(self.document)

    # --- what is there ---

    def model(self) -> dict[str, Any]:
        return get("ttm", self.namespace, self.name) or {}

    def champion(self) -> str:
        return str(self.model().get("status", {}).get("champion", {}).get("version", ""))

    def releases(self) -> list[dict[str, Any]]:
        found = json.loads(kubectl("get", "ttr", "-n", self.namespace, "-o", "json"))["items"]
        mine = [one for one in found if one["spec"]["model"] == self.name]
        return sorted(mine, key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]))

    def release(self, *triggers: str) -> dict[str, Any] | None:
        """The first Release that one of these asked for."""
        return next((one for one in self.releases() if one["spec"]["request"]["trigger"] in triggers), None)

    def phase(self, *triggers: str) -> str:
        found = self.release(*triggers)
        return str(found.get("status", {}).get("phase", "Pending")) if found else ""

    def decisions(self, release: dict[str, Any]) -> list[dict[str, Any]]:
        found = json.loads(kubectl("get", "ttd", "-n", self.namespace, "-o", "json"))["items"]
        return [one["record"] for one in found if one["record"]["releaseUid"] == release["metadata"]["uid"]]

    def story(self) -> str:
        """What happened so far, for a test that fails."""
        lines = []
        for release in self.releases():
            lines.append(f"{release['metadata']['name']} ({release['spec']['request']['trigger']})")
            lines += [f"  {one['phase']} {one['weight']}% {one['reason']}: {one['sentence']}" for one in self.decisions(release)]
            conditions = release.get("status", {}).get("conditions", [])
            lines += [f"  {one['type']}={one['status']} {one['reason']}: {one['message']}" for one in conditions]
        conditions = self.model().get("status", {}).get("conditions", [])
        return "\n".join([*lines, *(f"{one['type']}={one['status']} {one['reason']}: {one['message']}" for one in conditions)])

    def isvc(self) -> dict[str, Any] | None:
        return get("inferenceservice", self.namespace, self.name)

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """A failure inside is told with the whole story."""
        try:
            yield
        except AssertionError as error:
            msg = f"{error}\n{self.story()}"
            raise AssertionError(msg) from error


def get(kind: str, namespace: str, name: str) -> dict[str, Any] | None:
    found = kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
    return json.loads(found) if found.strip() else None


def apply(*documents: dict[str, Any]) -> None:
    kubectl("apply", "--server-side", "--field-manager", "a-person", "-f", "-", stdin=yaml.safe_dump_all(documents))


def instant(text: str) -> datetime:
    """A time of the API server's."""
    return datetime.fromisoformat(re.sub(r"Z$", "+00:00", text))


def _parquet(path: Path) -> None:
    import duckdb

    if not DATA.exists():
        subprocess.run([sys.executable, str(EXAMPLE / "prepare.py"), "--out", str(DATA)], check=True, cwd=ROOT)
    duckdb.sql(f"COPY (SELECT * FROM read_csv('{DATA}', sample_size=-1)) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")  # noqa: S608


def _data_server(namespace: str) -> list[dict[str, Any]]:
    metadata = {"name": "data", "namespace": namespace}
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
    container = {
        "name": "data",
        "image": "trimtab/predictor:0.1.0",
        "command": ["python", "-m", "http.server", "8000", "--directory", "/data"],
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        "securityContext": security,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "data", "configMap": {"name": "data"}}],
    }
    labels = {"app": "data"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    return [
        {**deployment, "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}},
        {**service, "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]}},
    ]


def _labels_account(namespace: str) -> list[dict[str, Any]]:
    metadata = {"name": "labels", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "trimtab-events-sender"}
    subject = {"kind": "ServiceAccount", **metadata}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {**binding, "roleRef": role, "subjects": [subject]},
    ]


def fresh(prefix: str) -> str:
    """A namespace's name that was never used."""
    return f"{prefix}-{uuid.uuid4().hex[:5]}"


def predict(world: World, seconds: float = 5.0) -> int:
    """The status of one prediction through the gateway; 0 where nobody answers."""
    import http.client

    body = json.dumps({"instances": [ROW]})
    world.gateway.again()
    connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=seconds)
    try:
        connection.request("POST", f"/v1/models/{world.name}:predict", body, {"Host": world.host, "Content-Type": "application/json"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


ROW = {
    "timestamp": "2011-07-01T01:00:00",
    "hour_id": "warm-up",
    "hour": 1,
    "weekday": "Fri",
    "workingday": 1,
    "holiday": 0,
    "weathersit": "clear",
    "temp": 0.5,
    "hum": 0.5,
    "windspeed": 0.1,
}


def wait_gone(kind: str, namespace: str, name: str, seconds: float = 60.0) -> None:
    eventually(f"the end of {kind} {namespace}/{name}", lambda: get(kind, namespace, name) is None, seconds)
