"""A namespace with a tiny ServingRuntime of its own, and callers behind the gateway: what the tests of serving need of a cluster.

The test has to run where pods and Services are reached: on the node, or in a pod.
"""

import http.client
import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.cluster.tools import until
from trimtab.errors import Conflict
from trimtab.platforms.kubernetes.api import Api, connect
from trimtab.platforms.kubernetes.resources import GATEWAYS, HTTP_ROUTES, NAMESPACES, SERVICES, SERVING_RUNTIMES, Resource
from trimtab.platforms.kubernetes.serving import KubernetesServing
from trimtab.platforms.kubernetes.serving_parts import Settings
from trimtab.release import Arm, ServedVersion, ServingPlan
from trimtab.spec import Data, Metadata, Model, ModelSpec, Serving, Version

IMAGE = os.environ.get("TRIMTAB_TEST_IMAGE", "python:3.11-slim")
RUNTIME = "tiny"
STORAGE = Resource("serving.kserve.io", "v1alpha1", "clusterstoragecontainers", "ClusterStorageContainer", namespaced=False)

FETCH = """
import sys
uri, folder = sys.argv[1:]
if "/9?" in uri:
    print("SignatureMismatch: 'model.json' was changed", file=sys.stderr)
    sys.exit(8)
open(folder + "/uri", "w").write(uri)
"""

PREDICTOR = """
import json, os, signal, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
VERSION = os.environ["TRIMTAB_VERSION"]
assert VERSION in open("/mnt/models/uri").read()
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        self.answer(200, {"version": VERSION})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        if body.get("crash"):
            os._exit(1)
        time.sleep(body.get("delay", {}).get(VERSION, 0))
        rows = len(body.get("instances", [1]))
        self.answer(500 if VERSION in body.get("fail", []) else 200, {"predictions": [float(VERSION)] * rows})
    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("x-trimtab-version", VERSION)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(ThreadingHTTPServer):
    request_queue_size = 64
signal.signal(signal.SIGTERM, lambda *_: threading.Timer(3, os._exit, [0]).start())
Server(("", 8080), Handler).serve_forever()
"""

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


class Site:
    """A namespace in which Models are served by the tiny runtime; `close` removes it."""

    def __init__(self, prefix: str = "serving") -> None:
        self.api = Api(connect())
        self.namespace = f"{prefix}-{uuid.uuid4().hex[:6]}"
        self.storage = f"a-{self.namespace}"
        self.api.create(NAMESPACES, {"metadata": {"name": self.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
        probe = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}
        main = {"name": "kserve-container", "image": IMAGE, "command": ["python", "-c", PREDICTOR], "readinessProbe": probe}
        main |= {"ports": [{"containerPort": 8080, "protocol": "TCP"}], "securityContext": RESTRICTED}
        runtime = {"supportedModelFormats": [{"name": "trimtab", "version": "1"}], "containers": [main]}
        self.api.create(SERVING_RUNTIMES, {"metadata": {"name": RUNTIME, "namespace": self.namespace}, "spec": runtime})
        fetch = {"name": "storage-initializer", "image": IMAGE, "command": ["python", "-c", FETCH], "securityContext": RESTRICTED}
        spec = {"container": fetch, "supportedUriFormats": [{"regex": f"^mlflow://models/{self.namespace}\\."}]}
        self.api.create(STORAGE, {"metadata": {"name": self.storage}, "spec": spec})
        self.serving = self.adapter()

    def adapter(self, **changes: Any) -> KubernetesServing:
        """Another controller over the same cluster."""
        arguments: dict[str, Any] = {"fetch": lambda *_: None, "settings": Settings(runtime=RUNTIME), **changes}
        return KubernetesServing(self.api, **arguments)

    def close(self) -> None:
        """Delete everything; the namespace ends by itself."""
        self.api.delete(STORAGE, "", self.storage)
        self.api.delete(NAMESPACES, "", self.namespace)

    def model(self, name: str, **serving: Any) -> Model:
        """A Model that only serving needs to know."""
        settings = Serving(**{"resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}, **serving})
        spec = ModelSpec(task="regression", data=Data(uri="x.csv", label="demand"), serving=settings)
        return Model("trimtab.dev/v1alpha1", "Model", Metadata(name, self.namespace, uid=f"uid-of-{name}"), spec)

    def plan(self, model: Model, **weights: int) -> ServingPlan:
        """A plan of versions `v3=80, v4=20`, the stable one first."""
        found = {name.removeprefix("v"): weight for name, weight in weights.items()}
        return ServingPlan(model, tuple(Arm(Version(version, version * 64), weight) for version, weight in found.items()))

    def seen(self, model: Model) -> dict[str, ServedVersion]:
        """What is observed, by version."""
        return {one.version: one for one in self.serving.observe(model)}

    def weights(self, model: Model) -> dict[str, int]:
        """The observed weights by version."""
        return {version: one.weight for version, one in self.seen(model).items()}

    def reach(self, model: Model, **weights: int) -> None:
        """Apply a plan until nothing is left to do and the world is as it says."""
        plan = self.plan(model, **weights)
        wanted = {name.removeprefix("v"): weight for name, weight in weights.items()}
        self.push(plan, lambda: self.weights(model) == wanted and self.serving.settled(plan))

    def push(self, plan: ServingPlan, there: Callable[[], object]) -> None:
        """Apply a plan again and again, as the loop does, until the world is so."""

        def pushed() -> object:
            try:
                self.serving.apply(plan)
            except Conflict:
                return False
            return there()

        until(pushed, 90, said=lambda: (plan.arms, self.seen(plan.model)))

    def gateway(self, model: Model) -> tuple[str, str]:
        """The address of the gateway and the host under which the model answers there."""
        route = self.api.get(HTTP_ROUTES, self.namespace, model.name)
        assert route
        parent = route["spec"]["parentRefs"][0]
        found = self.api.get(GATEWAYS, parent["namespace"], parent["name"])
        assert found
        return found["status"]["addresses"][0]["value"], route["spec"]["hostnames"][0]

    def service_url(self, model: Model, version: str) -> str:
        """The address of a version's own Service."""
        found = self.api.get(SERVICES, self.namespace, f"{model.name}-v{version}-predictor")
        assert found
        return f"http://{found['spec']['clusterIP']}:80"


class Load:
    """Callers that ask through the gateway without a break; `answers` counts (status, version)."""

    def __init__(self, site: Site, model: Model, callers: int = 3, pause: float = 0.03, body: dict[str, Any] | None = None) -> None:
        self.answers: Counter[tuple[int, str]] = Counter()
        self.body = body or {}
        self._address, self._host = site.gateway(model)
        self._path = f"/v1/models/{model.name}:predict"
        self._pause = pause
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(callers)]

    def __enter__(self) -> "Load":
        until(lambda: self._ask(http.client.HTTPConnection(self._address, 80, timeout=20))[0] != 404)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    @property
    def failed(self) -> dict[tuple[int, str], int]:
        """The answers that were none."""
        with self._lock:
            return {key: count for key, count in self.answers.items() if key[0] != 200}

    def count(self, version: str = "") -> int:
        """How many answers there were, or how many of one version."""
        with self._lock:
            return sum(count for key, count in self.answers.items() if not version or key[1] == version)

    def more(self, answers: int, version: str = "") -> None:
        """Wait for so many more answers."""
        seen = self.count(version)
        until(lambda: self.count(version) >= seen + answers)

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._address, 80, timeout=20)
        while not self._end.wait(self._pause):
            key = self._ask(connection)
            with self._lock:
                self.answers[key] += 1

    def _ask(self, connection: http.client.HTTPConnection) -> tuple[int, str]:
        try:
            connection.request("POST", self._path, json.dumps(self.body), {"Host": self._host, "Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("x-trimtab-version", "none")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return 0, type(error).__name__
