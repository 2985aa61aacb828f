"""The port `Objects` on custom resources.

The API server's own promises carry the loop's: creating is atomic on the name, and a status is written only over the resource version
that was read. While a run or a candidate of a Release is out, its Model carries
the finalizer `trimtab.dev/withdraw`, set before the status that lets something out, so that a deleted Model waits for the withdrawal.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from trimtab.control.ports import Kind
from trimtab.errors import InvalidInput, TrimtabError
from trimtab.events import aware
from trimtab.pipeline_rollout import PipelineRollout
from trimtab.platforms.kubernetes.api import Api, Reader
from trimtab.platforms.kubernetes.conditions import of_release, of_rollout
from trimtab.platforms.kubernetes.resources import (
    ACTIONS,
    MANAGED_BY,
    MODEL_LABEL,
    MODELS,
    PIPELINE_ROLLOUTS,
    RELEASES,
    Resource,
    owner,
)
from trimtab.release import DecisionRecord, Release, ReleaseAction
from trimtab.retraining.history import active
from trimtab.spec import Condition, Model

log = logging.getLogger(__name__)

FINALIZER = "trimtab.dev/withdraw"
FIRST_CUT = "trimtab.dev/first-cut"
_NEVER = datetime.min.replace(tzinfo=UTC)
RESOURCES: dict[type[Any], Resource] = {
    Model: MODELS,
    Release: RELEASES,
    ReleaseAction: ACTIONS,
    PipelineRollout: PIPELINE_ROLLOUTS,
}
_OURS = ("name", "namespace", "labels", "annotations")


class KubernetesObjects:
    """Models, Releases, ReleaseActions and PipelineRollouts; reads from `reader`, usually a cache, and puts its writes there too."""

    def __init__(
        self,
        api: Api,
        reader: Reader | None = None,
        decided: Callable[[Release, DecisionRecord], None] | None = None,
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Without a `reader` everything is read from the API server; `decided` hears of each decision once it is in a status.

        `refused` hears the kind of each object whose status the API server did not take.
        """
        self._api = api
        self._reader: Reader = reader or api
        self._decided, self._refused = decided, refused
        self._decoded: dict[tuple[type[Any], str, str], tuple[str, Any]] = {}

    def get(self, kind: type[Kind], namespace: str, name: str) -> Kind | None:
        """The object, or None; raises InvalidInput where what is stored cannot be read."""
        body = self._reader.get(RESOURCES[kind], namespace, name)
        return None if body is None else self._decode(kind, body)

    def all_of(self, kind: type[Kind]) -> list[Kind]:
        """All objects of the kind that can be read, oldest first."""
        found: list[Kind] = []
        bodies = self._reader.list(RESOURCES[kind])
        there = {(kind, body["metadata"].get("namespace", ""), body["metadata"]["name"]) for body in bodies}
        for key in [key for key in list(self._decoded) if key[0] is kind and key not in there]:
            self._decoded.pop(key, None)
        for body in bodies:
            try:
                found.append(self._decode(kind, body))
            except InvalidInput as error:
                log.warning("%s", error)
        return sorted(found, key=lambda item: (item.metadata.creation_timestamp or _NEVER, item.metadata.name))

    def create(self, item: Kind) -> Kind:
        """Create it; raises Conflict where the name is taken."""
        body = msgspec.to_builtins(item)
        metadata = {name: value for name, value in body["metadata"].items() if name in _OURS}
        metadata.setdefault("namespace", item.metadata.namespace)
        if isinstance(item, Release):
            metadata["labels"] = {**metadata.get("labels", {}), **MANAGED_BY, MODEL_LABEL: item.spec.model}
            metadata["ownerReferences"] = [owner(MODELS, item.spec.model, item.spec.model_uid)]
        made = self._api.create(RESOURCES[type(item)], {"metadata": metadata, "spec": body["spec"]})
        return self._kept(type(item), made)

    def write_status(self, item: Kind) -> Kind:
        """Write the status if the resource version is still the stored one, else raise Conflict."""
        if isinstance(item, ReleaseAction):
            msg = f"ReleaseAction {item.metadata.name!r} has no status"
            raise InvalidInput(msg)
        if isinstance(item, Release):
            if active(item):
                self._hold_model(item)
            item = replace(item, status=of_release(item, datetime.now(UTC)))
        if isinstance(item, PipelineRollout):
            item = replace(item, status=of_rollout(item, datetime.now(UTC)))
        metadata = {"name": item.name, "namespace": item.metadata.namespace, "resourceVersion": item.metadata.resource_version}
        before = self._decoded.get((type(item), item.metadata.namespace, item.name))
        body = msgspec.to_builtins(item)
        try:
            stored = self._api.replace_status(
                RESOURCES[type(item)], {"metadata": metadata, "spec": body["spec"], "status": body.get("status", {})}
            )
        except InvalidInput as error:
            self._refused(type(item).__name__)
            msg = f"StatusRefused: the API server refuses the status of {type(item).__name__} {item.name}, which stays as it is: {error}"
            raise InvalidInput(msg) from error
        if isinstance(item, Release) and self._decided:
            known = before[1].status.decisions if before else ()
            for record in item.status.decisions[-1:]:
                if record not in known:
                    self._decided(item, record)
        return self._kept(type(item), stored)

    def say(self, item: Model | Release, conditions: tuple[Condition, ...]) -> None:
        """Write the conditions and nothing else of the status: where the whole of it is refused, this is not for the same reason."""
        if conditions == item.status.conditions:
            return
        patch = {"status": {"conditions": msgspec.to_builtins(conditions)}}
        resource = RESOURCES[type(item)]
        if stored := self._api.merge(resource, item.metadata.namespace, item.name, patch, "status"):
            self._keep(resource, stored)

    def free(self, model: Model) -> None:
        """Take the finalizer from a Model of which nothing is out any more; others' finalizers stay."""
        patch = {"metadata": {"finalizers": _others(model.metadata.finalizers), "resourceVersion": model.metadata.resource_version}}
        stored = self._api.merge(MODELS, model.metadata.namespace, model.name, patch)
        if stored:
            self._keep(MODELS, stored)

    def _hold_model(self, release: Release) -> None:
        body = self._reader.get(MODELS, release.metadata.namespace, release.spec.model)
        if body is None or body["metadata"].get("deletionTimestamp") or FINALIZER in body["metadata"].get("finalizers", []):
            return
        names = [*body["metadata"].get("finalizers", []), FINALIZER]
        patch = {"metadata": {"finalizers": names, "resourceVersion": body["metadata"]["resourceVersion"]}}
        try:
            stored = self._api.merge(MODELS, release.metadata.namespace, release.spec.model, patch)
        except InvalidInput:
            there = self._api.get(MODELS, release.metadata.namespace, release.spec.model)
            if there is not None and not there["metadata"].get("deletionTimestamp"):
                raise
            log.info("the Model %s/%s is being deleted", release.metadata.namespace, release.spec.model)
            return
        if stored:
            self._keep(MODELS, stored)

    # --- bodies ---

    def _kept(self, kind: type[Kind], body: dict[str, Any]) -> Kind:
        self._keep(RESOURCES[kind], body)
        return self._decode(kind, body)

    def _keep(self, resource: Resource, body: dict[str, Any]) -> None:
        put = getattr(self._reader, "put", None)
        if put:
            put(resource, body)

    def _decode(self, kind: type[Kind], body: dict[str, Any]) -> Kind:
        metadata = body["metadata"]
        key, version = (kind, metadata.get("namespace", ""), metadata["name"]), metadata.get("resourceVersion", "")
        known = self._decoded.get(key)
        if known and known[0] == f"{metadata.get('uid')}/{version}":
            return known[1]  # type: ignore[no-any-return]
        try:
            item: Kind = msgspec.convert(_begun(body) if kind is Model else body, kind)
        except msgspec.ValidationError as error:
            msg = f"the {kind.__name__} {metadata.get('namespace')}/{metadata['name']} cannot be read: {error}"
            raise InvalidInput(msg) from error
        self._decoded[key] = (f"{metadata.get('uid')}/{version}", item)
        return item


def _begun(body: dict[str, Any]) -> dict[str, Any]:
    """The Model with its first cut, where a person gave it as an annotation: rows of the past are being replayed."""
    given = body["metadata"].get("annotations", {}).get(FIRST_CUT)
    if not given or body.get("status", {}).get("firstCut"):
        return body
    try:
        first = aware(datetime.fromisoformat(given)).isoformat()
    except (ValueError, OverflowError):
        log.warning("%s: the annotation %s is %r, an ISO 8601 time is allowed", body["metadata"]["name"], FIRST_CUT, given)
        return body
    return {**body, "status": {**body.get("status", {}), "firstCut": first}}


def _others(finalizers: Iterable[str]) -> list[str] | None:
    """The finalizers without ours; None, which takes the field away, where there are no others."""
    return [name for name in finalizers if name != FINALIZER] or None


def free_all(api: Api) -> int:
    """Clear the finalizer from every Model, as uninstalling does; returns how many had it."""
    freed = 0
    for body in api.list(MODELS):
        names = body["metadata"].get("finalizers", [])
        if FINALIZER not in names:
            continue
        try:
            api.merge(MODELS, body["metadata"]["namespace"], body["metadata"]["name"], {"metadata": {"finalizers": _others(names)}})
            freed += 1
        except TrimtabError as error:
            log.warning("%s", error)
    return freed
