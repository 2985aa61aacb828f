"""A route of ours beside KServe's that copies callers' requests to a candidate without traffic. Pure: documents in, documents out.

It stands on the same hosts and says what KServe's rule says, but for the weights: the champion answers all. Where two routes match, Envoy
Gateway takes the longer regular expression, so ours is longer than KServe's `^/.*$`. It copies every path, as a canary is asked any: else
what nobody serves would count against the champion alone. Only gRPC calls, which tell no predictor their host, are not copied. While it
stands, KServe's weights do nothing, so it is taken away before a candidate gets any. Envoy appends `-shadow` to a copy's host, by which
predictors know it, and counts copies in a cluster of their own, `httproute/NAMESPACE/ROUTE/rule/0-mirror-0`, with and without
`mergeBackends`.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from trimtab.platforms.kubernetes.isvc import version_of
from trimtab.platforms.kubernetes.route import accepted, mark, owned, predictors_rule, service

PATHS = "^(/.*)$"
GRPC = r"^/inference\.GRPCInferenceService/.*$"


class Mirror(Struct, frozen=True):
    """The route of copies as it is now: the version that gets them once the gateway has taken the route, and a mark as a Route has."""

    version: str = ""
    mark: str = ""


def mirror_name(model: str) -> str:
    """The name of the route that copies a model's requests."""
    return f"{model}-trimtab-shadow"


def read_mirror(document: Mapping[str, Any] | None, model: str) -> Mirror:
    """The route of copies; one without a version where there is none, or the gateway has not taken it."""
    if document is None:
        return Mirror()
    return Mirror(version_of(model, _copied(document)) if accepted(document) else "", mark(document))


def mirror_route(isvc: Mapping[str, Any], live: Mapping[str, Any], champion: str, candidate: str) -> dict[str, Any]:
    """The route that lets `champion` answer and copies to `candidate`, out of KServe's own (`live`), which names predictors."""
    name = isvc["metadata"]["name"]
    theirs = predictors_rule(live["spec"], name)
    copies = {"type": "RequestMirror", "requestMirror": {"backendRef": service(name, candidate)}}
    answered = {**{key: value for key, value in theirs.items() if key == "timeouts"}, "backendRefs": [service(name, champion)]}
    filters = theirs.get("filters") or []
    rules = [{**answered, "matches": _on(PATHS), "filters": [copies, *filters]}, {**answered, "matches": _on(GRPC), "filters": filters}]
    return {
        "metadata": owned(isvc, mirror_name(name)),
        "spec": {**{key: live["spec"][key] for key in ("parentRefs", "hostnames")}, "rules": rules},
    }


def mirrors(live: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    """Whether a route of copies is there and says what it shall; what the API server filled in does not matter."""
    return live is not None and _told(live) == _told(wanted)


def _told(document: Mapping[str, Any]) -> tuple[Any, ...]:
    spec = document["spec"]
    answering = [ref["name"] for rule in spec["rules"] for ref in rule.get("backendRefs") or []]
    gateways = [ref["name"] for ref in spec["parentRefs"]]
    return _copied(document), answering, gateways, spec["hostnames"], [rule.get("timeouts") for rule in spec["rules"]]


def _copied(document: Mapping[str, Any]) -> str:
    """The Service that gets the copies."""
    filters = [one for rule in document["spec"]["rules"] for one in rule.get("filters") or []]
    return next((str(one["requestMirror"]["backendRef"]["name"]) for one in filters if one["type"] == "RequestMirror"), "")


def _on(paths: str) -> list[dict[str, Any]]:
    return [{"path": {"type": "RegularExpression", "value": paths}}]
