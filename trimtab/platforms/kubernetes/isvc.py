"""The InferenceService as a document: what we write into it and what we read out of it. Pure.

What has to differ between versions stands on the predictors, never on the InferenceService itself, whose labels and annotations
KServe copies into every pod. A canary repeats everything that the stable predictor has, users' fields included, so that the pods
stay as they are when it becomes the stable one. Its replicas are explicit, and the stable predictor asks for as many more: KServe
subtracts a canary's ready replicas from it.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from trimtab.platforms.kubernetes.resources import MANAGED_BY, MODEL_LABEL, MODELS, VERSION_LABEL, owner
from trimtab.spec import Model, Version, version_uri

MODEL_UID_LABEL = "trimtab.dev/model-uid"
DIGEST_ANNOTATION = "trimtab.dev/digest"
OWNER_LABEL = "serving.kserve.io/inferenceservice"
MODEL_FORMAT = "trimtab"

_NOT_IN_A_CANARY = ("maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling", "canaryTrafficPercent", "workerSpec")
_URI = re.compile(r"^mlflow://models/[^/]+/(?P<version>[^/?]+)\?sha256=(?P<digest>[0-9a-f]+)$")
_DEFAULT_RESOURCES: dict[str, Any] = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}


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
    return f"{model}-v{version}-predictor"


def version_of(model: str, component_name: str) -> str:
    """The version whose Deployment, Service or HPA has this name; empty where it is none of the model's versions."""
    found = re.fullmatch(rf"{re.escape(model)}-v(.+)-predictor", component_name)
    return found[1] if found else ""


def shape(isvc: Mapping[str, Any] | None) -> Shape | None:
    """The versions that an InferenceService asks for; None where there is none."""
    if isvc is None:
        return None
    spec = isvc.get("spec", {})
    named = str(spec.get("predictor", {}).get("name", "")).removeprefix("v")
    canaries = spec.get("canary") or []
    return Shape(named, tuple((str(one["predictor"]["name"]).removeprefix("v"), int(one["trafficPercent"])) for one in canaries))


def versions(isvc: Mapping[str, Any] | None) -> dict[str, Version]:
    """The versions of an InferenceService with their digests, as their URIs say."""
    spec = (isvc or {}).get("spec", {})
    predictors = [spec.get("predictor", {}), *(one["predictor"] for one in spec.get("canary") or [])]
    found = {}
    for predictor in predictors:
        match = _URI.match(str(predictor.get("model", {}).get("storageUri", "")))
        if match:
            found[match["version"]] = Version(match["version"], match["digest"])
    return found


def document(model: Model, wanted: Shape, known: Mapping[str, Version], live: Mapping[str, Any] | None, runtime: str) -> dict[str, Any]:
    """The InferenceService to apply: our fields and no others. `known` has every version of `wanted`, `live` is what is there now."""
    replicas = model.spec.serving.replicas
    shares = {version: min(max(math.ceil(replicas * percent / 100), 1), replicas) for version, percent in wanted.canaries}
    least = replicas if replicas == 1 else replicas + sum(shares.values())
    stable = predictor(model, known[wanted.stable], least, runtime)
    present = (live or {}).get("spec", {}).get("predictor", {})
    base = {key: value for key, value in present.items() if key not in _NOT_IN_A_CANARY}
    canaries = [
        {"predictor": _over(base, predictor(model, known[version], shares[version], runtime)), "trafficPercent": percent}
        for version, percent in wanted.canaries
    ]
    labels = {**MANAGED_BY, MODEL_LABEL: model.name, MODEL_UID_LABEL: model.metadata.uid}
    metadata: dict[str, Any] = {"name": model.name, "namespace": model.metadata.namespace, "labels": labels}
    if model.spec.deletion_policy == "Delete":
        metadata["ownerReferences"] = [owner(MODELS, model.name, model.metadata.uid)]
    return {"metadata": metadata, "spec": {"predictor": stable, "canary": canaries}}


def predictor(model: Model, version: Version, replicas: int, runtime: str) -> dict[str, Any]:
    """Our fields of one version's predictor."""
    serving = model.spec.serving
    environment = {
        "TRIMTAB_VERSION": version.version,
        "TRIMTAB_DIGEST": version.digest,
        "TRIMTAB_MODEL_NAMESPACE": model.metadata.namespace,
        "TRIMTAB_MODEL_UID": model.metadata.uid,
    }
    framework: dict[str, Any] = {
        "modelFormat": {"name": MODEL_FORMAT},
        "runtime": runtime,
        "storageUri": version_uri(model.registered, version),
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": serving.resources or _DEFAULT_RESOURCES,
    }
    if serving.protocol:
        framework["protocolVersion"] = serving.protocol
    found: dict[str, Any] = {
        "name": f"v{version.version}",
        "minReplicas": replicas,
        "labels": {VERSION_LABEL: version.version},
        "annotations": {DIGEST_ANNOTATION: version.digest},
        "model": framework,
    }
    if serving.service_account:
        found["serviceAccountName"] = serving.service_account
    return found


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
            named = {one["name"] for one in value}
            joined[key] = [*(one for one in below if one.get("name") not in named), *value]
        elif isinstance(value, dict) and isinstance(below, dict) and key != "resources":
            joined[key] = _over(below, value)
        else:
            joined[key] = value
    return joined
