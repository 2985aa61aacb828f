"""The InferenceService as a document: what we write into it and what we read out of it. Pure.

What has to differ between versions stands on the predictors, never on the InferenceService itself, whose labels and annotations
KServe copies into every pod: they are given once and never changed. A canary repeats everything that the stable predictor has,
users' fields included, so that the pods stay as they are when it becomes the stable one. Its replicas are explicit, and the stable
predictor asks for as many more: KServe subtracts a canary's ready replicas from it.

A predictor that is not named as a version is called by its name after a colon (`:main`; `:` where it has none): one that stood here
before Trimtab took the InferenceService over.
"""

import contextlib
import math
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.platforms import capture
from trimtab.platforms.kubernetes.resources import MANAGED_BY, MODEL_LABEL, MODELS, VERSION_LABEL, owner
from trimtab.spec import Model, Version
from trimtab.version_uri import VersionUri, parse

MODEL_UID_LABEL = "trimtab.dev/model-uid"
DIGEST_ANNOTATION = "trimtab.dev/digest"
OWNER_LABEL = "serving.kserve.io/inferenceservice"
MODEL_FORMAT = "trimtab"

_MODEL_UID = "TRIMTAB_MODEL_UID"
_NOT_IN_A_CANARY = ("maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling", "canaryTrafficPercent", "workerSpec")
_DEFAULTS: dict[str, Any] = {"model": {"resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}}}


class Shape(Struct, frozen=True):
    """Which versions an InferenceService asks for: the stable one, and each canary with its declared percent."""

    stable: str
    canaries: tuple[tuple[str, int], ...] = ()

    @property
    def declared(self) -> dict[str, int]:
        """The percent of every version; the stable one has what the canaries leave."""
        return {self.stable: 100 - sum(percent for _, percent in self.canaries), **dict(self.canaries)}


def component(model: str, version: str) -> str:
    """The name that KServe gives to a version's Deployment, Service and HPA."""
    name = f"v{version}" if is_version(version) else version.removeprefix(":")
    return f"{model}-{name}-predictor" if name else f"{model}-predictor"


def version_of(model: str, component_name: str) -> str:
    """The version whose Deployment, Service or HPA has this name; empty where it is of no predictor of the model's."""
    found = re.fullmatch(rf"{re.escape(model)}(?:-(.+))?-predictor", component_name)
    return _called(found[1] or "") if found else ""


def is_version(called: str) -> bool:
    """Whether a predictor is named as versions are; `:main` was here before."""
    return bool(called) and not called.startswith(":")


def _called(name: object) -> str:
    """How a predictor of this name is called."""
    found = str(name or "")
    return found[1:] if found.startswith("v") and len(found) > 1 else f":{found}"


def shape(isvc: Mapping[str, Any] | None) -> Shape | None:
    """The versions that an InferenceService asks for; None where there is none."""
    if isvc is None:
        return None
    spec = isvc.get("spec", {})
    canaries = [(_called(one["predictor"].get("name")), int(one["trafficPercent"])) for one in spec.get("canary") or []]
    return Shape(_called(spec.get("predictor", {}).get("name")), tuple(canaries))


def versions(isvc: Mapping[str, Any] | None) -> dict[str, Version]:
    """The versions of an InferenceService with their digests, as their URIs say."""
    spec = (isvc or {}).get("spec", {})
    predictors = [spec.get("predictor", {}), *(one["predictor"] for one in spec.get("canary") or [])]
    found = {}
    for predictor in predictors:
        with contextlib.suppress(InvalidInput):
            uri = parse(str(predictor.get("model", {}).get("storageUri", "")))
            found[uri.version] = Version(uri.version, uri.digest)
    return found


def made_for(found: Mapping[str, Any]) -> str:
    """The uid of the Model that Trimtab made this predictor for; empty where somebody else made it."""
    variables = found.get("model", {}).get("env") or []
    return next((str(one.get("value", "")) for one in variables if one.get("name") == _MODEL_UID), "")


def document(
    model: Model, wanted: Shape, known: Mapping[str, Version], live: Mapping[str, Any] | None, runtime: str, *, kept: bool = False
) -> dict[str, Any]:
    """The InferenceService to apply: our fields and no others. `live` is what is there now, `known` the versions that can be made.

    With `kept` the stable predictor stays as it is in `live`, but for replicas. A canary that is not known is left out.
    """
    replicas = model.spec.serving.replicas
    canaries = [(version, percent) for version, percent in wanted.canaries if version in known]
    shares = {version: min(max(math.ceil(replicas * percent / 100), 1), replicas) for version, percent in canaries}
    least = replicas if replicas == 1 else replicas + sum(shares.values())
    stable = present = (live or {}).get("spec", {}).get("predictor", {})
    if not kept:
        stable = predictor(model, known[wanted.stable], least, runtime)
    elif canaries:
        stable = _with_replicas(present, max(least, present.get("minReplicas") or 1))
    base = _for_canaries(present)
    listed = [
        {"predictor": _over(base, _for_canaries(predictor(model, known[version], shares[version], runtime))), "trafficPercent": percent}
        for version, percent in canaries
    ]
    metadata: dict[str, Any] = {"name": model.name, "namespace": model.metadata.namespace, "labels": _labels(model, live)}
    if model.spec.deletion_policy == "Delete" and not kept:
        metadata["ownerReferences"] = [owner(MODELS, model.name, model.metadata.uid)]
    return {"metadata": metadata, "spec": {"predictor": stable, "canary": listed}}


def _labels(model: Model, live: Mapping[str, Any] | None) -> dict[str, str]:
    """Our labels: those that we gave when we made it, as they are now."""
    ours = {**MANAGED_BY, MODEL_LABEL: model.name, MODEL_UID_LABEL: model.metadata.uid}
    if live is None:
        return ours
    there = live["metadata"].get("labels", {})
    return {name: there[name] for name in ours if name in there}


def _for_canaries(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in _NOT_IN_A_CANARY}


def predictor(model: Model, version: Version, replicas: int, runtime: str) -> dict[str, Any]:
    """Our fields of one version's predictor: the Model's template, and over it what Trimtab sets itself."""
    serving = model.spec.serving
    environment = {
        "TRIMTAB_VERSION": version.version,
        "TRIMTAB_DIGEST": version.digest,
        "TRIMTAB_MODEL_NAMESPACE": model.metadata.namespace,
        _MODEL_UID: model.metadata.uid,
        **capture.environment(model.spec),
    }
    framework: dict[str, Any] = {
        "modelFormat": {"name": MODEL_FORMAT},
        "runtime": runtime,
        "storageUri": str(VersionUri(model.registered, version.version, version.digest)),
        "env": [{"name": name, "value": value} for name, value in environment.items()],
    }
    if serving.resources:
        framework["resources"] = serving.resources
    if serving.protocol:
        framework["protocolVersion"] = serving.protocol
    ours: dict[str, Any] = {
        "name": f"v{version.version}",
        "labels": {VERSION_LABEL: version.version},
        "annotations": {DIGEST_ANNOTATION: version.digest},
        "model": framework,
    }
    if serving.service_account:
        ours["serviceAccountName"] = serving.service_account
    return _with_replicas(_over(_over(_DEFAULTS, serving.template), ours), replicas)


def _with_replicas(found: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    """The predictor with at least so many replicas, and a bound above that allows them."""
    most = found.get("maxReplicas")
    return {**found, "minReplicas": replicas, **({"maxReplicas": max(most, replicas)} if most else {})}


def says(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether the live document has every field of ours as we want it; what others added does not matter."""
    canaries, asked = (document.get("spec", {}).get("canary") or [] for document in (live, wanted))
    if len(canaries) != len(asked) or _owned(live) != _owned(wanted):
        return False
    ours = all(_within(one, other) for one, other in zip(asked, canaries, strict=True))
    labels = _within(wanted["metadata"]["labels"], live["metadata"].get("labels", {}))
    return ours and labels and _within(wanted["spec"]["predictor"], live["spec"].get("predictor", {}))


def _owned(document: Mapping[str, Any]) -> bool:
    owners = document["metadata"].get("ownerReferences") or []
    return any((one["apiVersion"], one["kind"]) == (MODELS.api_version, MODELS.kind) for one in owners)


def _within(ours: Any, live: Any) -> bool:
    if isinstance(ours, dict):
        return isinstance(live, dict) and all(key in live and _within(value, live[key]) for key, value in ours.items())
    if isinstance(ours, list) and ours and all(isinstance(one, dict) and "name" in one for one in ours):
        named = {one.get("name"): one for one in live} if isinstance(live, list) else {}
        return all(one["name"] in named and _within(one, named[one["name"]]) for one in ours)
    return bool(ours == live)


def _over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` over `base`, as KServe merges a canary over the stable predictor, but `env` by name and `resources` as a whole."""
    joined = dict(base)
    for key, value in top.items():
        below = base.get(key)
        if key == "env" and isinstance(below, list):
            named = {_name(one) for one in value} - {None}
            joined[key] = [*(one for one in below if _name(one) not in named), *value]
        elif isinstance(value, dict) and isinstance(below, dict) and key != "resources":
            joined[key] = _over(below, value)
        else:
            joined[key] = value
    return joined


def _name(item: Any) -> Any:
    return item.get("name") if isinstance(item, dict) else None
