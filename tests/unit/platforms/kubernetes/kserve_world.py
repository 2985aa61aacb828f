"""An API server and a KServe of a few lines: enough to see what the adapters ask for, in which order."""

import copy
from typing import Any

from trimtab.platforms.kubernetes.resources import HTTP_ROUTES, INFERENCE_SERVICES, MANAGER, Resource
from trimtab.release import Arm, ServingPlan
from trimtab.spec import Data, Metadata, Model, ModelSpec, Serving, Version

Key = tuple[str, str, str]


def model(name: str = "bike", namespace: str = "crm", policy: str = "Orphan", **serving: Any) -> Model:
    spec = ModelSpec("regression", Data(uri="x.csv", label="demand"), serving=Serving(**serving), deletion_policy=policy)  # type: ignore[arg-type]
    return Model("trimtab.dev/v1alpha1", "Model", Metadata(name, namespace, uid="u-1"), spec)


def version(name: str) -> Version:
    return Version(name, name * 64)


def plan(of: Model, **weights: int) -> ServingPlan:
    return ServingPlan(of, tuple(Arm(version(name.removeprefix("v")), weight) for name, weight in weights.items()))


class World:
    """Objects by kind, namespace and name; `requests` has every write."""

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.now = 0.0
        self.put("ClusterServingRuntime", {"metadata": {"name": "trimtab"}})

    def put(self, kind: str, document: dict[str, Any]) -> dict[str, Any]:
        metadata = document["metadata"]
        self.objects[(kind, metadata.get("namespace", ""), metadata["name"])] = document
        return document

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.objects.get((resource.kind, namespace, name)))

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        asked = dict(pair.split("=") for pair in labels.split(",") if pair)
        return [
            copy.deepcopy(document)
            for (kind, place, _), document in self.objects.items()
            if kind == resource.kind and namespace in ("", place) and asked.items() <= document["metadata"].get("labels", {}).items()
        ]

    def apply(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        metadata = body["metadata"]
        self.requests.append(("apply", metadata["name"]))
        if resource is HTTP_ROUTES:
            return self.put(resource.kind, copy.deepcopy(body))
        return self.write(resource, body, MANAGER)

    def write(self, resource: Resource, body: dict[str, Any], manager: str) -> dict[str, Any]:
        """As server-side apply does it, for maps: the fields become the manager's and nobody else's."""
        metadata = body["metadata"]
        key = (resource.kind, metadata["namespace"], metadata["name"])
        live = self.objects.get(key) or {"metadata": {**metadata, "uid": "i-1", "generation": 0, "managedFields": []}, "spec": {}}
        spec = merged(live["spec"], body["spec"])
        generation = live["metadata"]["generation"] + (spec != live["spec"])
        entries = {entry["manager"]: entry["fieldsV1"] for entry in live["metadata"]["managedFields"]}
        changed = fields(body["spec"])
        others = {name: {"f:spec": without(found.get("f:spec", {}), changed)} for name, found in entries.items() if name != manager}
        kept = {} if manager == MANAGER else entries.get(manager, {}).get("f:spec", {})
        owners = {**others, manager: {"f:spec": merged(kept, changed)}}
        labels = {**live["metadata"].get("labels", {}), **metadata.get("labels", {})}
        managed = [{"manager": name, "operation": "Apply", "fieldsV1": found} for name, found in owners.items()]
        live["metadata"] = {**live["metadata"], **metadata, "labels": labels, "generation": generation, "managedFields": managed}
        live["spec"] = spec
        self.objects[key] = live
        return copy.deepcopy(live)

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        self.requests.append(("delete", f"{resource.kind}/{name}"))
        self.objects.pop((resource.kind, namespace, name), None)

    def kserve(self, name: str = "bike", namespace: str = "crm") -> None:
        """One reconcile by a KServe whose canaries are always ready."""
        live = self.get(INFERENCE_SERVICES, namespace, name)
        if live is None:
            self.objects.pop(("HTTPRoute", namespace, name), None)
            return
        canaries = live["spec"].get("canary") or []
        rest = 100 - sum(one["trafficPercent"] for one in canaries)
        shares = [(live["spec"]["predictor"]["name"], rest), *((one["predictor"]["name"], one["trafficPercent"]) for one in canaries)]
        self.route({named.removeprefix("v"): share for named, share in shares}, name, namespace)

    def route(self, weights: dict[str, int], name: str = "bike", namespace: str = "crm", accepted: str = "True") -> None:
        """The HTTPRoute with these weights; its generation grows when they change."""
        backends = [{"kind": "Service", "name": f"{name}-v{one}-predictor", "port": 80, "weight": share} for one, share in weights.items()]
        found = self.get(HTTP_ROUTES, namespace, name) or {"metadata": {"generation": 0}, "spec": {}}
        spec = {"parentRefs": [{"kind": "Gateway", "namespace": "gateways", "name": "ingress"}], "rules": [{"backendRefs": backends}]}
        generation = found["metadata"]["generation"] + (spec != found["spec"])
        status = {"parents": [{"conditions": [{"type": "Accepted", "status": accepted, "observedGeneration": generation}]}]}
        metadata = {"name": name, "namespace": namespace, "uid": "r-1", "generation": generation}
        self.put("HTTPRoute", {"metadata": metadata, "spec": spec, "status": status})

    def pod(self, of: str, name: str = "bike", namespace: str = "crm", **status: Any) -> dict[str, Any]:
        """A ready pod of a version."""
        labels = {"app": f"isvc.{name}-v{of}-predictor", "serving.kserve.io/inferenceservice": name}
        metadata = {"name": f"{name}-{of}-{len(self.objects)}", "namespace": namespace, "labels": labels, "uid": f"p-{len(self.objects)}"}
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": []}
        return self.put("Pod", {"metadata": metadata, "status": {**ready, **status}})


def merged(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in top.items():
        found[key] = merged(found[key], value) if isinstance(value, dict) and isinstance(found.get(key), dict) else value
    return found


def fields(document: dict[str, Any]) -> dict[str, Any]:
    return {f"f:{key}": fields(value) if isinstance(value, dict) else {} for key, value in document.items()}


def without(owned: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    left = {}
    for key, inner in owned.items():
        if key not in taken:
            left[key] = inner
        elif inner and taken[key] and (rest := without(inner, taken[key])):
            left[key] = rest
    return left
