"""What the HTTPRoute that KServe made says: the weights by version, and whether the gateway has taken them over. Pure.

Beside it stands a route of ours that nobody can call: it names every version that is up, so that Envoy Gateway keeps their clusters.
Measured: with `mergeBackends` a weight that goes to 0 takes the version's cluster away some milliseconds before the route that still
names it, and callers get 500 (12 in 40 changes at 220 requests a second; with this route 0 in 40).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from trimtab.platforms.kubernetes.isvc import component, version_of
from trimtab.platforms.kubernetes.resources import INFERENCE_SERVICES, MANAGED_BY, MODEL_LABEL, owner

UNCALLED = "x-trimtab-warm"
"""The header that a route of ours asks for where nobody shall call it: only who knows the InferenceService's uid could."""


class Route(Struct, frozen=True):
    """An HTTPRoute as it is now. `weights` are percents by version, and empty where no gateway takes the route.

    `accepted` says whether the gateway has seen this generation; `mark` changes whenever the route's spec does.
    """

    weights: dict[str, int] = {}
    accepted: bool = False
    mark: str = ""
    gateways: tuple[tuple[str, str], ...] = ()


def read_route(document: Mapping[str, Any] | None, model: str) -> Route:
    """The route of a model; one without weights where there is none yet."""
    if document is None:
        return Route()
    metadata, spec = document["metadata"], document.get("spec", {})
    refs = [ref for ref in spec.get("parentRefs") or [] if ref.get("kind", "Gateway") == "Gateway"]
    return Route(
        weights=_weights(spec, model) if _taken(document) else {},
        accepted=accepted(document),
        mark=mark(document),
        gateways=tuple((str(ref.get("namespace", metadata.get("namespace", ""))), str(ref["name"])) for ref in refs),
    )


def accepted(document: Mapping[str, Any]) -> bool:
    """Whether a gateway has taken this generation of the route."""
    generation = document["metadata"].get("generation", 0)
    return any(condition.get("observedGeneration", generation) >= generation for condition in _taken(document))


def mark(document: Mapping[str, Any]) -> str:
    """What is another one whenever the route's spec is."""
    return f"{document['metadata'].get('uid', '')}/{document['metadata'].get('generation', 0)}"


def predictors_rule(spec: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """The last rule that names predictors, for an explainer's rule stands before it; an empty one where none does."""
    for rule in reversed(spec.get("rules") or []):
        if any(version_of(model, ref["name"]) for ref in rule.get("backendRefs") or []):
            found: Mapping[str, Any] = rule
            return found
    return {}


def owned(isvc: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The metadata of an object of ours that stands beside what KServe made, and goes with the InferenceService."""
    model, namespace, uid = (isvc["metadata"][key] for key in ("name", "namespace", "uid"))
    return {
        "name": name,
        "namespace": namespace,
        "labels": {**MANAGED_BY, MODEL_LABEL: model},
        "ownerReferences": [owner(INFERENCE_SERVICES, model, uid, controller=False)],
    }


def service(model: str, version: str) -> dict[str, Any]:
    """The version's Service, as a route names it."""
    return {"kind": "Service", "name": component(model, version), "port": 80}


def uncalled(isvc: Mapping[str, Any]) -> dict[str, str]:
    """The match of a rule that is there for the gateway's clusters alone."""
    return {"type": "Exact", "name": UNCALLED, "value": isvc["metadata"]["uid"]}


def warm_name(model: str) -> str:
    """The name of the route that keeps a model's clusters."""
    return f"{model}-trimtab-warm"


def warm_route(isvc: Mapping[str, Any], route: Route, versions: Iterable[str]) -> dict[str, Any]:
    """The route that names the Services of all these versions, and that nobody can call."""
    name, namespace = isvc["metadata"]["name"], isvc["metadata"]["namespace"]
    backends = [{**service(name, version), "weight": 1} for version in sorted(versions)]
    match = {"headers": [uncalled(isvc)]}
    return {
        "metadata": owned(isvc, warm_name(name)),
        "spec": {
            "parentRefs": [{"kind": "Gateway", "namespace": place, "name": gateway} for place, gateway in route.gateways],
            "hostnames": [f"warm.{name}.{namespace}.trimtab.invalid"],
            "rules": [{"matches": [match], "backendRefs": backends}],
        },
    }


def names_backends(live: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether a warm route is there and names what it shall."""
    if live is None:
        return False
    found, asked = ([[ref["name"] for ref in rule.get("backendRefs") or []] for rule in one["spec"]["rules"]] for one in (live, wanted))
    return found == asked


def _weights(spec: Mapping[str, Any], model: str) -> dict[str, int]:
    refs = predictors_rule(spec, model).get("backendRefs") or []
    backends = {version_of(model, ref["name"]): int(ref.get("weight", 1)) for ref in refs}
    backends.pop("", None)
    total = sum(backends.values())
    return {version: round(100 * weight / total) for version, weight in backends.items() if weight} if total else {}


def _taken(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The conditions by which gateways say that they take the route."""
    return [
        condition
        for parent in document.get("status", {}).get("parents") or []
        for condition in parent.get("conditions") or []
        if condition["type"] == "Accepted" and condition["status"] == "True"
    ]
