"""An API server and a KServe of a few lines: enough to see what the adapters ask for, in which order."""

import copy
from typing import Any

from msgspec.structs import replace

from trimtab.platforms.kubernetes.resources import HTTP_ROUTES, INFERENCE_SERVICES, MANAGER, Resource
from trimtab.platforms.kubernetes.serving import SETTLE_SECONDS, KubernetesServing
from trimtab.release import Arm, ServingPlan
from trimtab.spec import Champion, Data, Metadata, Model, ModelSpec, Serving, Version

Key = tuple[str, str, str]


def adapter(world: "World", **changes: Any) -> KubernetesServing:
    """A controller's serving adapter over the world."""
    return KubernetesServing(world, lambda *_: None, clock=lambda: world.now, **changes)  # type: ignore[arg-type]


def isvc(world: "World") -> dict[str, Any] | None:
    return world.get(INFERENCE_SERVICES, "crm", "bike")


def walk(world: "World", serving: KubernetesServing, following: ServingPlan) -> list[str]:
    """Apply a plan until nothing is left to do, with KServe and time in between; returns the shapes on the way."""
    shapes: list[str] = []
    for _ in range(40):
        serving.apply(following)
        spec = (isvc(world) or {"spec": {}})["spec"]
        canaries = " ".join(f"{one['predictor']['name']}:{one['trafficPercent']}" for one in spec.get("canary", []))
        shape = f"{spec.get('predictor', {}).get('name', 'none')} {canaries}".strip()
        if shapes[-1:] != [shape]:
            shapes.append(shape)
        world.kserve()
        serving.observe(following.model)
        world.now += SETTLE_SECONDS / 2
        if serving.settled(following):
            return shapes
    raise AssertionError(shapes)


def model(name: str = "bike", namespace: str = "crm", policy: str = "Orphan", uid: str = "u-1", **serving: Any) -> Model:
    spec = ModelSpec("regression", Data(uri="x.csv", label="demand"), serving=Serving(**serving), deletion_policy=policy)  # type: ignore[arg-type]
    return Model("trimtab.dev/v1alpha1", "Model", Metadata(name, namespace, uid=uid), spec)


def crowned(of: Model, name: str) -> Model:
    """The Model once this version is its champion."""
    return replace(of, status=replace(of.status, champion=Champion(name, name * 64, 1)))


def version(name: str) -> Version:
    return Version(name, name * 64)


def plan(of: Model, **weights: int) -> ServingPlan:
    return ServingPlan(of, tuple(Arm(version(name.removeprefix("v")), weight) for name, weight in weights.items()))


class World:
    """Objects by kind, namespace and name; `requests` has every write, `unready` the predictors that do not start."""

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.unready: set[str] = set()
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
            found = self.get(resource, metadata["namespace"], metadata["name"]) or {"metadata": {}, "spec": None}
            generation = found["metadata"].get("generation", 0) + (found["spec"] != body["spec"])
            metadata = {**metadata, "generation": generation}
            taken = {"parents": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}
            return self.put(resource.kind, {"status": taken, **found, **copy.deepcopy(body), "metadata": metadata})
        return self.write(resource, body, MANAGER)

    def write(self, resource: Resource, body: dict[str, Any], manager: str) -> dict[str, Any]:
        """As server-side apply with force does it, for maps: the fields are the manager's, and still another's who wrote the same.

        What the manager does not name any more and nobody else does goes away; managers but Trimtab name all that they ever did.
        """
        metadata = body["metadata"]
        key = (resource.kind, metadata["namespace"], metadata["name"])
        live = self.objects.get(key) or {"metadata": {**metadata, "uid": "i-1", "generation": 0, "managedFields": []}, "spec": {}}
        entries = {entry["manager"]: entry["fieldsV1"].get("f:spec", {}) for entry in live["metadata"]["managedFields"]}
        named, before = fields(body["spec"]), entries.pop(manager, {})
        taken = fields(differing(body["spec"], live["spec"]))
        owners = {name: without(owned, taken) for name, owned in entries.items()}
        gone = without(before, named) if manager == MANAGER else {}
        for owned in owners.values():
            gone = without(gone, owned)
        spec = merged(lacking(live["spec"], gone), body["spec"])
        generation = live["metadata"]["generation"] + (spec != live["spec"])
        owners[manager] = named if manager == MANAGER else merged(before, named)
        labels = {**live["metadata"].get("labels", {}), **metadata.get("labels", {})}
        managed = [{"manager": name, "operation": "Apply", "fieldsV1": {"f:spec": found}} for name, found in owners.items()]
        live["metadata"] = {**live["metadata"], **metadata, "labels": labels, "generation": generation, "managedFields": managed}
        live["spec"] = spec
        self.objects[key] = live
        return copy.deepcopy(live)

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        self.requests.append(("delete", f"{resource.kind}/{name}"))
        self.objects.pop((resource.kind, namespace, name), None)

    def kserve(self, name: str = "bike", namespace: str = "crm") -> None:
        """One reconcile by KServe: a canary that cannot serve is left out, and its share stays with the stable predictor."""
        live = self.get(INFERENCE_SERVICES, namespace, name)
        if live is None:
            self.objects.pop(("HTTPRoute", namespace, name), None)
            return
        found = {one["predictor"]["name"]: one["trafficPercent"] for one in live["spec"].get("canary") or []}
        canaries = {named: percent for named, percent in found.items() if named not in self.unready}
        self.backends({live["spec"]["predictor"].get("name", ""): 100 - sum(canaries.values()), **canaries}, name, namespace)

    def route(self, weights: dict[str, int], name: str = "bike", namespace: str = "crm", accepted: str = "True") -> None:
        """The HTTPRoute with these weights by version."""
        self.backends({f"v{version}": weight for version, weight in weights.items()}, name, namespace, accepted)

    def backends(self, weights: dict[str, int], name: str, namespace: str, accepted: str = "True") -> None:
        """The HTTPRoute with these weights by predictor; its generation grows when they change."""
        services = {"-".join(word for word in (name, one, "predictor") if word): weight for one, weight in weights.items()}
        backends = [{"kind": "Service", "name": service, "port": 80, "weight": weight} for service, weight in services.items()]
        found = self.get(HTTP_ROUTES, namespace, name) or {"metadata": {"generation": 0}, "spec": {}}
        spec = {
            "parentRefs": [{"kind": "Gateway", "namespace": "gateways", "name": "ingress"}],
            "hostnames": [f"{name}-{namespace}.example.com"],
            "rules": [{"backendRefs": backends, "timeouts": {"request": "60s"}, "filters": [{"type": "RequestHeaderModifier"}]}],
        }
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


def differing(top: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The part of `top` that `base` does not say."""
    found = {}
    for key, value in top.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            if inner := differing(value, base[key]):
                found[key] = inner
        elif key not in base or base[key] != value:
            found[key] = value
    return found


def lacking(document: dict[str, Any], gone: dict[str, Any]) -> dict[str, Any]:
    """The document without these fields."""
    left = {}
    for key, value in document.items():
        inner = gone.get(f"f:{key}")
        if inner is None:
            left[key] = value
        elif inner and isinstance(value, dict) and (rest := lacking(value, inner)):
            left[key] = rest
    return left
