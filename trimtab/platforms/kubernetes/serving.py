"""The port `Serving` on a cluster: one InferenceService a Model, moved one safe step at each `apply`.

Nothing that decides is remembered: every step follows from the InferenceService and from the route that is read back. Two things are
kept only to wait or to warn: since when a route has been as it is, and what was applied last, by which somebody else's hand is known.
What was not applied by this process yet is applied once, whatever is there: only so does a field that a Model no longer has go away.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.assigning import Assigning
from trimtab.platforms.kubernetes.isvc import OWNER_LABEL, component, document, is_version, says, shape, version_of
from trimtab.platforms.kubernetes.own_routes import OwnRoutes
from trimtab.platforms.kubernetes.ownership import intruder, last_writer, refusal
from trimtab.platforms.kubernetes.resources import (
    CLUSTER_SERVING_RUNTIMES,
    GATEWAYS,
    HPAS,
    HTTP_ROUTES,
    INFERENCE_SERVICES,
    PODS,
    SERVING_RUNTIMES,
)
from trimtab.platforms.kubernetes.route import Route, read_route
from trimtab.platforms.kubernetes.serving_parts import Memory, Settings, Writer, aim
from trimtab.platforms.kubernetes.steps import next_shape
from trimtab.platforms.kubernetes.variant_pods import Variant, staying, variant
from trimtab.platforms.smoke import smoke
from trimtab.release import ServedVersion, ServingPlan
from trimtab.spec import Model, Version

log = logging.getLogger(__name__)

SETTLE_SECONDS = 2.0
"""How long a route has to be as it is before what it gives nothing to is dropped: callers still find their way there for a moment."""

PATIENCE_SECONDS = 3600.0
"""How long nothing is written after a second foreign change, unless the InferenceService is right again before."""


class KubernetesServing:
    """All Models' InferenceServices; one look at a Model at a time. `fetch` is the registry's."""

    def __init__(
        self,
        api: Writer,
        fetch: Callable[[str, Version], Path],
        *,
        reader: Reader | None = None,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reader` may be a cache; before anything is written the API server itself is asked."""
        self._api = api
        self._reader = reader or api
        self._fetch = fetch
        self._settings = settings or Settings()
        self._clock = clock
        self._routes = OwnRoutes(api)
        self._assigning = Assigning(api, clock)
        self._memories: dict[tuple[str, str, str], Memory] = {}

    def observe(self, model: Model) -> list[ServedVersion]:
        """Every version that the InferenceService asks for, that the route names, or that still has pods; weights from the route.

        Raises InvalidInput where a person has to act: no ServingRuntime, no such Gateway or not KServe's, an InferenceService that is
        not ours, or somebody who keeps changing it (`OwnershipConflict: …`).
        """
        namespace, name = model.metadata.namespace, model.name
        isvc = self._reader.get(INFERENCE_SERVICES, namespace, name)
        route = self._route(self._reader, model)
        self._check(model, isvc, route)
        pods = self._variants(model)
        asked, route = shape(isvc), self._assigning.seen(self._reader, model, route)
        known = dict.fromkeys([*(asked.declared if asked else ()), *route.weights, *pods])
        seen = {version: pods.get(version, Variant()) for version in known if is_version(version)}
        copied = self._routes.mirror(self._reader, model).version
        return [
            ServedVersion(version, one.ready, route.weights.get(version, 0), one.restarts, one.fault, mirrored=version == copied)
            for version, one in seen.items()
        ]

    def apply(self, plan: ServingPlan) -> None:
        """One step towards the plan, and none while one before it has not come about or somebody fights over the InferenceService.

        Raises InvalidInput where the InferenceService is not ours, a version is served with another digest, or the API server refuses
        the document.
        """
        model = plan.model
        memory = self._memory(model)
        due = self._step(self._reader, plan)
        if self._routes.copies(self._reader, plan) is not None and self._routes.copy(plan):
            return
        if self._assigning.step(self._reader, plan):
            return
        if due is None:
            self._at_rest(model, memory)
            return
        live = self._api.get(INFERENCE_SERVICES, model.metadata.namespace, model.name)
        if self._fought_over(model, live):
            return
        body = self._step(self._api, plan)
        if body is None:
            return
        if live is not None and (who := self._changed_by(model, live, memory)):
            log.warning("%s/%s: %s changed fields that Trimtab owns; put back, once", model.metadata.namespace, model.name, who)
            memory.reverted = self._clock()
        memory.swept = False
        if not body:
            self._api.delete(INFERENCE_SERVICES, model.metadata.namespace, model.name)
            memory.applied, memory.sent = None, {}
            return
        following, present = shape(body), shape(live)
        if live is not None and following and present:
            self._routes.keep_warm(self._api, model, live, {*present.declared, *following.declared})
        stored = self._api.apply(INFERENCE_SERVICES, body)
        memory.applied, memory.sent = following, body
        memory.generation = stored["metadata"].get("generation", 0)

    def settled(self, plan: ServingPlan) -> bool:
        """Whether nothing is left to do for the plan: weights may agree with it before the roles, replicas or resources do."""
        try:
            at_rest = self._memory(plan.model).swept and self._routes.copies(self._reader, plan) is None
            at_rest = at_rest and self._assigning.at_rest(self._reader, plan)
            return at_rest and self._step(self._reader, plan, settled=True) is None
        except InvalidInput:
            return False

    def smoke(self, model: Model, version: Version) -> tuple[bool, str]:
        """Ask the version's own Service for the recorded predictions of 20 reference rows, off the route and uncaptured."""
        folder = self._fetch(model.registered, version)
        return smoke(folder, f"{self.address(model, version.version)}/v1/models/{model.name}:predict")

    def address(self, model: Model, version: str) -> str:
        """The base URL at which the version answers off the route (V1, V2)."""
        return self._settings.service_url.format(service=component(model.name, version), namespace=model.metadata.namespace)

    def _check(self, model: Model, isvc: dict[str, Any] | None, route: Route) -> None:
        namespace, runtime = model.metadata.namespace, self._settings.runtime
        if isvc is not None and (why := refusal(isvc, model)):
            raise InvalidInput(why)
        if not self._reader.get(CLUSTER_SERVING_RUNTIMES, "", runtime) and not self._reader.get(SERVING_RUNTIMES, namespace, runtime):
            msg = f"there is no ClusterServingRuntime {runtime!r}, nor a ServingRuntime of that name in {namespace!r}: install Trimtab's"
            raise InvalidInput(msg)
        self._check_gateway(model, route)
        if self._fought_over(model, isvc):
            who = last_writer(isvc or {"metadata": {}})
            msg = f"OwnershipConflict: {who!r} keeps changing InferenceService {namespace}/{model.name}; Trimtab owns spec.predictor.name, "
            msg += "spec.predictor.model and spec.canary: let the other tool ignore these; until they are right again, or for an hour, "
            msg += "nothing is written"
            raise InvalidInput(msg)

    def _check_gateway(self, model: Model, route: Route) -> None:
        asked = model.spec.serving.gateway
        if asked is None:
            return
        namespace, _, name = asked.rpartition("/")
        place = (namespace or model.metadata.namespace, name)
        if self._reader.get(GATEWAYS, *place) is None:
            msg = f"spec.serving.gateway: there is no Gateway {asked!r}; give an existing one as NAMESPACE/NAME, or leave it out"
            raise InvalidInput(msg)
        if route.gateways and place not in route.gateways:
            used = ", ".join("/".join(one) for one in route.gateways)
            msg = (
                f"spec.serving.gateway: found {asked!r}, but KServe routes through {used}; name that one, or change KServe's ingressGateway"
            )
            raise InvalidInput(msg)

    def _step(self, reader: Reader, plan: ServingPlan, *, settled: bool | None = None) -> dict[str, Any] | None:
        """The document to apply next; empty: delete the InferenceService; None: nothing (more) to do now.

        `settled` overrules what was seen of the route: what would be next, once it is.
        """
        model, memory = plan.model, self._memory(plan.model)
        live = reader.get(INFERENCE_SERVICES, model.metadata.namespace, model.name)
        route = self._route(reader, model)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return None
        aimed = aim(plan, live)
        if aimed is None:
            return None
        if settled is None:
            settled = route.accepted and self._clock() - memory.route_since >= SETTLE_SECONDS
        following = next_shape(aimed.wanted, aimed.present, route.weights, settled)
        if following is None:
            return None if live is None else {}
        body = document(model, following, aimed.known, live, self._settings.runtime, kept=aimed.kept == following.stable)
        if live is None or body != memory.sent:
            return body
        unchanged = live["metadata"].get("generation", 0) == memory.generation
        return None if unchanged or (says(live, body) and not intruder(live, model)) else body

    def _fought_over(self, model: Model, isvc: dict[str, Any] | None) -> bool:
        """Whether somebody changed our fields again after they were put back."""
        memory = self._memory(model)
        if isvc is None or memory.reverted is None:
            return False
        return bool(self._changed_by(model, isvc, memory)) and self._clock() - memory.reverted < PATIENCE_SECONDS

    def _changed_by(self, model: Model, isvc: dict[str, Any], memory: Memory) -> str:
        """Who changed a field of ours since we applied, if somebody did; a copy from before we applied tells nothing."""
        if isvc["metadata"].get("generation", 0) <= memory.generation:
            return ""
        changed = memory.applied is not None and shape(isvc) != memory.applied
        return intruder(isvc, model) or (last_writer(isvc) if changed else "")

    def _route(self, reader: Reader, model: Model) -> Route:
        """The route, and since when it and that of the copies have been so."""
        route = read_route(reader.get(HTTP_ROUTES, model.metadata.namespace, model.name), model.name)
        marks = f"{route.mark} {self._routes.mirror(reader, model).mark}"
        memory, seen = self._memory(model), (marks, route.weights if route.accepted else {})
        if memory.route != seen:
            memory.route, memory.route_since = seen, self._clock()
        return route

    def _variants(self, model: Model) -> dict[str, Variant]:
        found: dict[str, list[dict[str, Any]]] = {}
        for pod in self._reader.list(PODS, model.metadata.namespace, f"{OWNER_LABEL}={model.name}"):
            version = version_of(model.name, pod["metadata"]["labels"].get("app", "").removeprefix("isvc."))
            if version and staying(pod):
                found.setdefault(version, []).append(pod)
        return {version: variant(pods) for version, pods in found.items()}

    def _at_rest(self, model: Model, memory: Memory) -> None:
        """Nothing is to be changed now: what is there is as it should be, and what was left behind is deleted, once."""
        namespace = model.metadata.namespace
        isvc = self._reader.get(INFERENCE_SERVICES, namespace, model.name)
        asked = shape(isvc)
        if isvc is not None and isvc["metadata"].get("generation", 0) >= memory.generation:
            memory.applied, memory.generation = asked, isvc["metadata"].get("generation", 0)
        if memory.swept:
            return
        kept = asked.declared if asked else {}
        if isvc is not None:
            self._routes.keep_warm(self._reader, model, isvc, set(kept))
        for scaler in self._reader.list(HPAS, namespace, f"{OWNER_LABEL}={model.name}"):
            version = version_of(model.name, scaler["metadata"]["name"])
            if version and version not in kept:
                self._api.delete(HPAS, namespace, scaler["metadata"]["name"])
        memory.swept = True

    def _memory(self, model: Model) -> Memory:
        key = (model.metadata.namespace, model.name, model.metadata.uid)
        return self._memories.setdefault(key, Memory())
