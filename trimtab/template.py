"""What of a predictor is Trimtab's own and may not stand in `spec.serving.template`, with what to say instead."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Owned(Struct, frozen=True):
    """A field of KServe's PredictorSpec that Trimtab sets: its path, its type, and where a person says it."""

    path: str
    kind: type[Any]
    instead: str


_ROLLOUT = "weights are moved as spec.rollout says; leave it out"
_REGISTRY = "a version's files come from the registry; leave it out"
_RUNTIME = "versions run in the installation's ServingRuntime; leave it out"

OWNED = (
    Owned("name", str, "a predictor is named after its version; leave it out"),
    Owned("minReplicas", int, "give spec.serving.replicas"),
    Owned("serviceAccountName", str, "give spec.serving.serviceAccount"),
    Owned("serviceAccount", str, "give spec.serving.serviceAccount"),
    Owned("canary", list, _ROLLOUT),
    Owned("canaryTrafficPercent", int, _ROLLOUT),
    Owned("storageUris", list, _REGISTRY),
    Owned("storageContainerName", str, _REGISTRY),
    Owned("model.storageUri", str, _REGISTRY),
    Owned("model.storage", dict, _REGISTRY),
    Owned("model.modelFormat", dict, _RUNTIME),
    Owned("model.runtime", str, _RUNTIME),
    Owned("model.protocolVersion", str, "give spec.serving.protocol"),
)


def given(template: Mapping[str, Any], path: str) -> bool:
    """Whether the template says anything at the path."""
    here: Any = template
    for name in path.split("."):
        if not isinstance(here, Mapping) or name not in here:
            return False
        here = here[name]
    return True
