"""The route by which callers are assigned to a version, beside the one that KServe made. Pure.

The Gateway API splits each request by itself. Envoy Gateway (1.9 and later) chooses among weighted backends by the hash of a header where
a BackendTrafficPolicy says so and each backend has a cluster of its own, which it has once it has a filter of its own; without one the two
are one cluster, and such a policy makes Envoy ignore the weights in it. Every rule here matches a longer path than KServe's: so it wins.

The route is *parked* (nobody can call it) before it is opened and before it is deleted: its clusters are there whenever a rule names them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from trimtab.platforms.assignment import ASSIGNED_HEADER, assigned_weights
from trimtab.platforms.kubernetes.isvc import version_of
from trimtab.platforms.kubernetes.resources import HTTP_ROUTES
from trimtab.platforms.kubernetes.route import Route, owned, predictors_rule, read_route, service, uncalled
from trimtab.release import ServingPlan
from trimtab.spec import Model

CONTROLLER = "gateway.envoyproxy.io/"
"""How the names of Envoy Gateway's controllers begin."""

_RULE = "assigned"
_PLACE = 1
"""The place of the rule in the route, which Envoy's clusters are named by. It is the last: `read_route` reads that one."""


class Split(Struct, frozen=True):
    """By which header callers are assigned to which pair (champion, candidate), the candidate's percent, and whether callers can come."""

    header: str
    pair: tuple[str, str]
    percent: int
    is_open: bool


def split_name(model: str) -> str:
    """The name of the route, and of its policy."""
    return f"{model}-trimtab-ab"


def wanted_pair(plan: ServingPlan) -> tuple[str, str] | None:
    """The versions that callers are assigned to; None where nobody is assigned."""
    both = plan.sticky and len(plan.arms) == 2 and all(arm.weight for arm in plan.arms)
    return (plan.arms[0].version.version, plan.arms[1].version.version) if both else None


def next_split(plan: ServingPlan, route: Mapping[str, int], present: Split | None, settled: bool) -> tuple[Split | None, bool]:
    """What shall follow `present`, and whether KServe's route has to wait for that.

    `route` has the percents of KServe's route, `settled` says whether `present` has been so for a moment. The candidate never has more of
    the callers than KServe's route gives it, so that it has the replicas for them, and nobody but these callers comes to it on the way up.
    """
    pair = wanted_pair(plan)
    if pair and (present is None or (present.header, present.pair) == (plan.sticky, pair)):
        if present is None or not (present.is_open or settled):
            return present or Split(plan.sticky, pair, 0, is_open=False), True
        share = min(plan.arms[1].weight, route.get(pair[1], 0))
        return replace(present, percent=share, is_open=True), not present.is_open
    if present is None:
        return None, False
    weights = {arm.version.version: arm.weight for arm in plan.arms if arm.weight}
    if route == weights or pair:
        parked = replace(present, is_open=False)
        return (None if settled and parked == present else parked), True
    share = min(weights.get(present.pair[1], 0), route.get(present.pair[1], 0))
    return (replace(present, percent=share) if present.is_open else present), False


def read_split(document: Mapping[str, Any] | None, model: str) -> Split | None:
    """The split that a route says; None where there is none."""
    if document is None:
        return None
    rule = document["spec"]["rules"][_PLACE]
    champion, candidate = (version_of(model, ref["name"]) for ref in rule["backendRefs"])
    weights = [int(ref.get("weight", 1)) for ref in rule["backendRefs"]]
    header, *parked = (str(one["name"]) for one in rule["matches"][0]["headers"])
    return Split(header, (champion, candidate), round(100 * weights[1] / sum(weights)), is_open=not parked)


def effective(route: Route, document: Mapping[str, Any] | None, model: str) -> Route:
    """The route as callers meet it: KServe's, but for the weights where the split is open."""
    split = read_split(document, model)
    if split is None or not split.is_open:
        return route
    own = read_route(document, model)
    return replace(route, weights=own.weights, accepted=route.accepted and own.accepted, mark=f"{route.mark} {own.mark}")


def split_clusters(document: Mapping[str, Any] | None, model: str) -> dict[str, str]:
    """Envoy's clusters by version for callers who are assigned; none where nobody is."""
    split = read_split(document, model)
    if document is None or split is None or not split.is_open:
        return {}
    name = f"httproute/{document['metadata']['namespace']}/{split_name(model)}/rule/{_PLACE}/backend"
    return {version: f"{name}/{place}" for place, version in enumerate(split.pair)}


def foreign(route: Mapping[str, Any]) -> str:
    """Who takes KServe's route, where that is not Envoy Gateway; empty where it is, or nobody does."""
    names = [str(parent.get("controllerName", "")) for parent in route.get("status", {}).get("parents") or []]
    return "" if any(name.startswith(CONTROLLER) for name in names) else ", ".join(names)


def taken(policy: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a gateway has accepted the policy, and why not where one says so."""
    generation = policy["metadata"].get("generation", 0)
    said = [
        condition
        for ancestor in policy.get("status", {}).get("ancestors") or []
        for condition in ancestor.get("conditions") or []
        if condition["type"] == "Accepted" and condition.get("observedGeneration", generation) >= generation
    ]
    why = next((str(condition.get("message", "")) for condition in said if condition["status"] == "False"), "")
    return bool(said) and not why, why


def split_policy(isvc: Mapping[str, Any], header: str) -> dict[str, Any]:
    """The policy by which the hash of the header chooses, and beside it all that a policy of the gateway says."""
    name = split_name(isvc["metadata"]["name"])
    target = {"group": HTTP_ROUTES.group, "kind": HTTP_ROUTES.kind, "name": name, "sectionName": _RULE}
    chosen = {"type": "ConsistentHash", "consistentHash": {"type": "Headers", "headers": [{"name": header}]}}
    return {"metadata": owned(isvc, name), "spec": {"targetRefs": [target], "mergeType": "StrategicMerge", "loadBalancer": chosen}}


def split_route(isvc: Mapping[str, Any], routes: Sequence[Mapping[str, Any]], model: Model, split: Split) -> dict[str, Any]:
    """The route: callers with the header by its hash, others to the champion; for all hosts of KServe's `routes`, else as the first.

    No weight is 0, which would take a cluster away before its callers: 0% is less than two callers in a million.
    """
    champion, candidate = split.pair
    weights = assigned_weights(model, {champion: 100 - split.percent, candidate: split.percent})
    path = {"type": "RegularExpression", "value": "^/(.*)$"}
    parked = [] if split.is_open else [uncalled(isvc)]
    named = {"type": "RegularExpression", "name": split.header, "value": ".+"}
    kept = {key: value for key, value in predictors_rule(routes[0]["spec"], model.name).items() if key in ("filters", "timeouts")}
    backends = [
        {**_backend(model, version, set=[{"name": ASSIGNED_HEADER, "value": version}]), "weight": max(weight, 1)}
        for version, weight in weights.items()
    ]
    rules = [
        {
            "name": "others",
            "matches": [{"path": path, "headers": parked}],
            "backendRefs": [_backend(model, champion, remove=[ASSIGNED_HEADER])],
            **kept,
        },
        {"name": _RULE, "matches": [{"path": path, "headers": [named, *parked]}], "backendRefs": backends, **kept},
    ]
    hosts = [host for route in routes for host in route["spec"].get("hostnames") or []]
    spec = {"parentRefs": routes[0]["spec"]["parentRefs"], "hostnames": hosts, "rules": rules}
    return {"metadata": owned(isvc, split_name(model.name)), "spec": spec}


def _backend(model: Model, version: str, **headers: Any) -> dict[str, Any]:
    """A version's Service, and what is done to the headers of requests to it."""
    change = {"type": "RequestHeaderModifier", "requestHeaderModifier": headers}
    return {**service(model.name, version), "filters": [change]}
