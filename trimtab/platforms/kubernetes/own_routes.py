"""The HTTPRoutes of ours beside KServe's: one that keeps clusters (`route.py`), one that copies requests to a candidate (`mirror.py`)."""

from typing import Any

from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.mirror import Mirror, mirror_name, mirror_route, mirrors, read_mirror
from trimtab.platforms.kubernetes.resources import HTTP_ROUTES, INFERENCE_SERVICES
from trimtab.platforms.kubernetes.route import names_backends, read_route, warm_name, warm_route
from trimtab.platforms.kubernetes.serving_parts import Writer
from trimtab.release import ServingPlan
from trimtab.spec import Model


class OwnRoutes:
    """Both routes of every Model; nothing is remembered."""

    def __init__(self, api: Writer) -> None:
        self._api = api

    def keep_warm(self, reader: Reader, model: Model, isvc: dict[str, Any], versions: set[str]) -> None:
        """While there are several versions, a route names them all; see `route.py` for why."""
        namespace, name = model.metadata.namespace, warm_name(model.name)
        live = reader.get(HTTP_ROUTES, namespace, name)
        route = read_route(reader.get(HTTP_ROUTES, namespace, model.name), model.name)
        if len(versions) < 2:
            if live is not None:
                self._api.delete(HTTP_ROUTES, namespace, name)
        elif route.gateways and not names_backends(live, wanted := warm_route(isvc, route, versions)):
            self._api.apply(HTTP_ROUTES, wanted)

    def mirror(self, reader: Reader, model: Model) -> Mirror:
        """Which version is asked copies."""
        return read_mirror(reader.get(HTTP_ROUTES, model.metadata.namespace, mirror_name(model.name)), model.name)

    def copies(self, reader: Reader, plan: ServingPlan) -> dict[str, Any] | None:
        """The route of copies to apply next; empty: delete it; None: nothing (more) to do now.

        It comes only where KServe's own gives everything to the version that answers, so that it changes nothing for callers.
        """
        namespace, name = plan.model.metadata.namespace, plan.model.name
        live = reader.get(HTTP_ROUTES, namespace, mirror_name(name))
        asked = next((arm.version.version for arm in plan.arms if arm.mirrored), "")
        if not asked:
            return None if live is None else {}
        isvc, theirs = reader.get(INFERENCE_SERVICES, namespace, name), reader.get(HTTP_ROUTES, namespace, name)
        champion = plan.arms[0].version.version
        if isvc is None or theirs is None or read_route(theirs, name).weights != {champion: 100}:
            return None
        wanted = mirror_route(isvc, theirs, champion, asked)
        return None if mirrors(live, wanted) else wanted

    def copy(self, plan: ServingPlan) -> bool:
        """Do what `copies` says by the API server itself; returns whether anything was to be done."""
        body = self.copies(self._api, plan)
        if body is None:
            return False
        if body:
            self._api.apply(HTTP_ROUTES, body)
        else:
            self._api.delete(HTTP_ROUTES, plan.model.metadata.namespace, mirror_name(plan.model.name))
        return True
