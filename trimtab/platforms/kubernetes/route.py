"""What the HTTPRoute that KServe made says: the weights by version, and whether the gateway has taken them over. Pure."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from trimtab.platforms.kubernetes.isvc import version_of


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
    generation = metadata.get("generation", 0)
    accepted = [
        condition
        for parent in document.get("status", {}).get("parents") or []
        for condition in parent.get("conditions") or []
        if condition["type"] == "Accepted"
    ]
    taken = [condition for condition in accepted if condition["status"] == "True"]
    return Route()
    metadata, spec = document["metadata"], document.get("spec", {})
    refs = [ref for ref in spec.get("parentRefs") or [] if ref.get("kind", "Gateway") == "Gateway"]
    generation = metadata.get("generation", 0)
    said = [
        condition
        for parent in document.get("status", {}).get("parents") or []
        for condition in parent.get("conditions") or []
        if condition["type"] == "Accepted" and condition.get("observedGeneration", generation) >= generation
    ]
    refused = bool(said) and all(condition["status"] == "False" for condition in said)
    return Route(
        weights=_weights(spec, model) if taken else {},
        accepted=any(condition.get("observedGeneration", generation) >= generation for condition in taken),
        mark=f"{metadata.get('uid', '')}/{generation}",
        gateways=tuple((str(ref.get("namespace", metadata.get("namespace", ""))), str(ref["name"])) for ref in refs),
    )


def _weights(spec: Mapping[str, Any], model: str) -> dict[str, int]:
    """The weights of the last rule that names predictors: an explainer's rule stands before it."""
    for rule in reversed(spec.get("rules") or []):
        backends = {version_of(model, ref["name"]): int(ref.get("weight", 1)) for ref in rule.get("backendRefs") or []}
        backends.pop("", None)
        total = sum(backends.values())
        if total:
            return {version: round(100 * weight / total) for version, weight in backends.items() if weight}
    return {}
