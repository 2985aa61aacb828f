"""The port `Serving` on a laptop: one predictor process a version, Envoy in front, and one rule for who gets traffic.

A version gets traffic once it was ready, and keeps its share when its process dies: then its callers get 503, counted against it by
Envoy, while it is started again. A version that never was ready gets none.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trimtab.control.ports import Arm, ServingPlan
from trimtab.errors import InvalidInput, TrimtabError
from trimtab.platforms.assignment import assigned_weights
from trimtab.platforms.capture import environment
from trimtab.platforms.local.envoy import Envoy
from trimtab.platforms.local.envoy_config import cluster_name, unassigned_name
from trimtab.platforms.local.serving_files import version_folder
from trimtab.platforms.local.serving_process import Launch, Predictor
from trimtab.platforms.smoke import smoke
from trimtab.release import ServedVersion
from trimtab.spec import Model, Version

log = logging.getLogger(__name__)

DRAIN_SECONDS = 12.0


class LocalServing:
    """All models of one state folder. `tend` is to be called about twice a second; all methods may be called from any thread.

    `fetch` is the registry's; `launch` says how predictors are started.
    """

    def __init__(self, envoy: Envoy, launch: Launch, fetch: Callable[[str, Version], Path]) -> None:
        self._envoy = envoy
        self._launch = launch
        self._fetch = fetch
        self._lock = threading.RLock()
        self._plans: dict[str, ServingPlan] = {}
        self._predictors: dict[str, Predictor] = {}
        self._leaving: dict[str, float] = {}

    def observe(self, model: Model) -> list[ServedVersion]:
        """Every version that has a process, its readiness asked now, its weight (percent) read back from Envoy.

        Raises Unavailable while Envoy does not answer.
        """
        with self._envoy.admin() as admin:
            route = admin.routes().get(model.name)
        with self._lock:
            predictors = [predictor for predictor in self._predictors.values() if predictor.model == model.name]
        return [
            ServedVersion(
                version=predictor.version.version,
                ready=predictor.probe(),
                weight=route.percent(predictor.version.version) if route else 0,
                restarts=predictor.restarts,
                fault=predictor.fault,
                mirrored=route is not None and route.mirror == predictor.version.version,
            )
            for predictor in predictors
        ]

    def apply(self, plan: ServingPlan) -> None:
        """Fetch and verify what is new, start it, and turn the route as far as versions are ready; `tend` does the rest.

        Raises InvalidInput where a version cannot be fetched or its digest differs; then nothing was changed.
        """
        model = plan.model
        for arm in plan.arms:
            name = cluster_name(model.name, arm.version.version)
            known = self._predictors.get(name)
            if known is None or known.fault:
                version_folder(self._launch.state, model.name, arm.version, self._fetch)
            elif known.version.digest != arm.version.digest:
                msg = f"version {arm.version.version!r} of {model.name!r} is served with digest {known.version.digest[:12]}, asked is "
                msg += f"{arm.version.digest[:12]}: a version never changes"
                raise InvalidInput(msg)
        told = environment(model.spec)
        with self._lock:
            for arm in plan.arms:
                name = cluster_name(model.name, arm.version.version)
                if name in self._predictors:
                    self._predictors[name].change(told)
                else:
                    version = Version(arm.version.version, arm.version.digest)
                    self._predictors[name] = Predictor(model.name, model.metadata.namespace, version, self._launch, told)
                self._leaving.pop(name, None)
            self._plans[model.name] = plan
            self._reconcile()

    def settled(self, plan: ServingPlan) -> bool:
        """Versions, weights and copies are all that a laptop's plan says, and what its predictors tell of requests.

        But a version that cannot be served from its kept copy needs another.
        """
        with self._lock:
            found = [one for one in self._predictors.values() if one.model == plan.model.name]
        planned = {arm.version.version for arm in plan.arms}
        fault = any(one.fault for one in found if one.version.version in planned)
        return plan.model.name in self._plans and not fault and all(one.environment == environment(plan.model.spec) for one in found)

    def tend(self) -> None:
        """Restart what has died, give traffic to what got ready, end what has left the plan. Faults are logged and met again next time."""
        with self._lock:
            try:
                for predictor in self._predictors.values():
                    predictor.tend()
                self._envoy.tend()
                self._reconcile()
            except TrimtabError as error:
                log.warning("serving: %s", error)

    def close(self) -> None:
        """End Envoy and every predictor; predictors still send what they have captured (up to 2 s)."""
        with self._lock:
            self._envoy.close()
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(Predictor.stop, self._predictors.values()))
            self._predictors.clear()
            self._plans.clear()

    def smoke(self, model: Model, version: Version) -> tuple[bool, str]:
        """Ask the version itself for the recorded predictions of 20 reference rows, off the route and uncaptured."""
        with self._lock:
            predictor = self._predictors.get(cluster_name(model.name, version.version))
        if predictor is None:
            return False, f"version {version.version!r} of {model.name!r} is not served"
        return smoke(predictor.folder, f"{predictor.url}/v1/models/{model.name}:predict")

    def address(self, model: Model, version: str) -> str | None:
        """The base URL at which the version answers off the route (V1, V2), or None where it is not served."""
        with self._lock:
            predictor = self._predictors.get(cluster_name(model.name, version))
            return predictor.url if predictor else None

    def addresses(self) -> dict[str, str]:
        """The base URLs of all versions that were ready once, by `model/version`."""
        with self._lock:
            found = self._predictors.values()
            return {cluster_name(one.model, one.version.version): one.url for one in found if one.was_ready}

    def pids(self) -> dict[str, int]:
        """The process ids of all predictors and of Envoy, by name."""
        with self._lock:
            predictors = {f"predictor-{one.model}-{one.version.version}": one.pid for one in self._predictors.values()}
            return {name: pid for name, pid in {**predictors, "envoy": self._envoy.pid}.items() if pid is not None}

    def _reconcile(self) -> None:
        """One step towards the plans: clusters, then routes, and only then the end of what left.

        A cluster is there before a route names it, and goes after Envoy has confirmed routes without it and its requests have ended.
        """
        planned = {cluster_name(model, arm.version.version) for model, plan in self._plans.items() for arm in plan.arms}
        ports = {name: predictor.port for name, predictor in self._predictors.items()}
        sticky = {model: plan.sticky for model, plan in self._plans.items()}
        routed = self._envoy.publish_clusters(_clusters(ports)) and self._envoy.publish_routes(
            self._weights(), mirrors=self._mirrors(), sticky=sticky
        )
        if not routed:
            log.warning("the gateway has not confirmed its new configuration yet")
            return
        now = time.monotonic()
        for name in self._predictors.keys() - planned:
            self._leaving.setdefault(name, now)
        gone = [name for name, since in self._leaving.items() if now - since > DRAIN_SECONDS or not self._envoy.busy(name)]
        if gone and self._envoy.publish_clusters(_clusters({name: port for name, port in ports.items() if name not in gone})):
            for name in gone:
                del self._leaving[name]
                self._predictors.pop(name).end()

    def _weights(self) -> Mapping[str, Mapping[str, int]]:
        """The weights by model and version: the plan's, for versions that were ready once; callers are assigned once the champion was."""
        found = {}
        for name, plan in self._plans.items():
            ready = {arm.version.version: arm.weight for arm in plan.arms if self._was_ready(name, arm)}
            if plan.sticky:
                ready = assigned_weights(plan.model, ready) if plan.arms[0].version.version in ready else {}
            found[name] = ready
        return found

    def _mirrors(self) -> Mapping[str, str]:
        """The version by model that is asked copies: the plan's, once it was ready."""
        copied = ((model, arm) for model, plan in self._plans.items() for arm in plan.arms if arm.mirrored)
        return {model: arm.version.version for model, arm in copied if self._was_ready(model, arm)}

    def _was_ready(self, model: str, arm: Arm) -> bool:
        return self._predictors[cluster_name(model, arm.version.version)].was_ready


def _clusters(ports: Mapping[str, int]) -> dict[str, int]:
    """The ports by cluster: each version has a second one, for callers who are not assigned."""
    return {**ports, **{unassigned_name(name): port for name, port in ports.items()}}
