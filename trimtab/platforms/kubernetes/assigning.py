"""The split on a cluster: made, moved and taken away one step at each call. What it does follows from what is there; see `split.py`."""

from collections.abc import Callable, Mapping
from typing import Any

from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.resources import BACKEND_TRAFFIC_POLICIES, HTTP_ROUTES, INFERENCE_SERVICES
from trimtab.platforms.kubernetes.route import Route, read_route
from trimtab.platforms.kubernetes.serving_parts import Writer
from trimtab.platforms.kubernetes.split import (
    effective,
    foreign,
    next_split,
    read_split,
    split_name,
    split_policy,
    split_route,
    taken,
    wanted_pair,
)
from trimtab.release import ServingPlan
from trimtab.spec import Model

SETTLE_SECONDS = 2.0
"""How long the route has to be parked before it is opened or deleted: Envoy has its clusters, and nobody is on the way to them."""


class Assigning:
    """All Models' splits. Kept is only since when a route has been as it is."""

    def __init__(self, api: Writer, clock: Callable[[], float]) -> None:
        self._api, self._clock = api, clock
        self._since: dict[str, tuple[str, float]] = {}

    def seen(self, reader: Reader, model: Model, route: Route) -> Route:
        """KServe's route as callers meet it, who may be assigned."""
        return effective(route, reader.get(HTTP_ROUTES, model.metadata.namespace, split_name(model.name)), model.name)

    def at_rest(self, reader: Reader, plan: ServingPlan) -> bool:
        """Whether there is a split, or none, as the plan says."""
        document = reader.get(HTTP_ROUTES, plan.model.metadata.namespace, split_name(plan.model.name))
        split, pair = read_split(document, plan.model.name), wanted_pair(plan)
        return split is None if pair is None else split is not None and split.is_open and split.pair == pair

    def step(self, reader: Reader, plan: ServingPlan) -> bool:
        """One step towards what the plan says of callers; returns whether KServe's next step has to wait.

        Raises InvalidInput where the gateway cannot assign callers, or refuses how we ask for it.
        """
        model = plan.model
        namespace, name = model.metadata.namespace, split_name(model.name)
        pair = wanted_pair(plan)
        if pair is None and reader.get(HTTP_ROUTES, namespace, name) is None:
            return False
        isvc = self._api.get(INFERENCE_SERVICES, namespace, model.name)
        kserve = self._api.get(HTTP_ROUTES, namespace, model.name)
        if isvc is None or kserve is None or isvc["metadata"].get("deletionTimestamp"):
            return False
        if pair and (who := foreign(kserve)):
            msg = f"spec.rollout.strategy ab: callers are assigned by Envoy Gateway, 1.9 or later, and KServe routes through {who}; "
            msg += "use strategy canary here, or have KServe route through Envoy Gateway"
            raise InvalidInput(msg)
        document = self._api.get(HTTP_ROUTES, namespace, name)
        own = read_route(document, model.name)
        settled = own.accepted and self._for_a_moment(f"{namespace}/{name}", own.mark)
        if pair:
            settled = self._policy_is_taken(isvc, plan.sticky) and settled
        present = read_split(document, model.name)
        following, waits = next_split(plan, read_route(kserve, model.name).weights, present, settled)
        if following is None and present is not None:
            self._api.delete(BACKEND_TRAFFIC_POLICIES, namespace, name)
            self._api.delete(HTTP_ROUTES, namespace, name)
        if following is not None and following != present:
            inner = self._api.get(HTTP_ROUTES, namespace, f"{model.name}-predictor")
            routes = [kserve, *([inner] if inner and _owned(inner, isvc) else [])]
            self._api.apply(HTTP_ROUTES, split_route(isvc, routes, model, following))
        return waits or (pair is not None and not own.accepted)

    def _for_a_moment(self, key: str, mark: str) -> bool:
        known = self._since.get(key)
        if known is None or known[0] != mark:
            known = self._since[key] = (mark, self._clock())
        return self._clock() - known[1] >= SETTLE_SECONDS

    def _policy_is_taken(self, isvc: Mapping[str, Any], header: str) -> bool:
        """Whether the gateway has accepted the policy, which is made where there is none."""
        namespace, name = isvc["metadata"]["namespace"], split_name(isvc["metadata"]["name"])
        policy = self._api.get(BACKEND_TRAFFIC_POLICIES, namespace, name)
        if policy is None:
            self._api.apply(BACKEND_TRAFFIC_POLICIES, split_policy(isvc, header))
            return False
        accepted, why = taken(policy)
        if why:
            msg = f"the gateway does not assign callers by BackendTrafficPolicy {namespace}/{name}: {why}"
            raise InvalidInput(msg)
        return accepted


def _owned(route: Mapping[str, Any], isvc: Mapping[str, Any]) -> bool:
    """Whether it is the InferenceService's second route, for a host of its own, and not another InferenceService's first."""
    return any(one.get("uid") == isvc["metadata"]["uid"] for one in route["metadata"].get("ownerReferences") or [])
