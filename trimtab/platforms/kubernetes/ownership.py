"""Whose an InferenceService is, whether it can be taken over, and who wrote our fields last. Pure.

It is a Model's where its label says so, which is given when Trimtab creates it and never changed, for a changed label restarts every
pod; or where Trimtab made one of its predictors for that Model, as their environment says: so it is with one that was taken over.
Server-side apply keeps the books of who wrote what (`managedFields`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.platforms.kubernetes.isvc import MODEL_UID_LABEL, made_for
from trimtab.platforms.kubernetes.resources import MANAGED_BY, MANAGER, MODEL_LABEL
from trimtab.spec import Model

_OURS = (
    ("spec", "predictor", "name"),
    ("spec", "predictor", "model", "runtime"),
    ("spec", "predictor", "model", "storageUri"),
    ("spec", "predictor", "model", "env"),
    ("spec", "canary"),
)
_MODE = "serving.kserve.io/deploymentMode"
_ANY_SERVERS = {"name", "modelFormat", "runtime", "storageUri", "protocolVersion", "env", "resources"}


def predecessor(isvc: Mapping[str, Any], model: Model) -> bool:
    """Whether the stable predictor was here before the Model, and so serves until its first version takes over."""
    uid = model.metadata.uid
    return _label(isvc) != uid and made_for(_predictor(isvc)) != uid


def stranger(isvc: Mapping[str, Any], model: Model) -> bool:
    """Whether nothing of the InferenceService is this Model's."""
    made = [made_for(one["predictor"]) for one in isvc.get("spec", {}).get("canary") or []]
    return predecessor(isvc, model) and model.metadata.uid not in made


def explainer_name(model: str) -> str:
    """The name of the InferenceService that explains a Model's champion (`explainer.py`)."""
    return f"{model}-explainer"


def explained(isvc: Mapping[str, Any]) -> str:
    """The name of the Model whose explainer an InferenceService is; empty where it is none of Trimtab's."""
    labels = isvc["metadata"].get("labels", {})
    model = str(labels.get(MODEL_LABEL, ""))
    return model if MANAGED_BY.items() <= labels.items() and isvc["metadata"]["name"] == explainer_name(model) else ""


def refusal(isvc: Mapping[str, Any], model: Model) -> str:
    """Why the InferenceService of the Model's name is not this Model's and will not be; empty where it is, or may be taken over."""
    if not stranger(isvc, model):
        return ""
    name = f"InferenceService {model.metadata.namespace}/{model.name}"
    if other := explained(isvc):
        return f"{name} is the explainer of Model {other!r}; give this Model another name"
    if not model.spec.serving.adopt:
        orphan = _label(isvc) or made_for(_predictor(isvc))
        origin = "outlived the Model that it was made for" if orphan else "is there already and was not made by Trimtab"
        return f"{name} {origin}; set spec.serving.adopt: true to take it over, give the Model another name, or delete it"
    why = _obstacle(isvc)
    return f"{name} cannot be taken over: {why}" if why else ""


def _obstacle(isvc: Mapping[str, Any]) -> str:
    """Why no version of ours could stand beside the predictor as its canary and then take its place; empty where one can."""
    spec, predictor = isvc.get("spec", {}), _predictor(isvc)
    if made_for(predictor):
        return ""
    mode = isvc["metadata"].get("annotations", {}).get(_MODE, "Standard")
    if mode != "Standard":
        return f"its {_MODE} is {mode!r}, and KServe has canaries in 'Standard' only; delete it, or give the Model another name"
    for part in ("transformer", "explainer"):
        if spec.get(part):
            return f"it has spec.{part}, which KServe passes by for a canary's share of the requests; remove that first"
    if spec.get("canary"):
        return "it has a canary already; promote or remove that first"
    server = predictor.get("model") or {}
    if not server.get("storageUri"):
        return (
            "KServe allows a canary only beside spec.predictor.model with a storageUri, which it lacks; move the callers to a Model "
            "of another name, or delete it, and nothing is served until the first version is ready"
        )
    alien = [f"spec.predictor.model.{key}" for key, value in server.items() if value and key not in _ANY_SERVERS]
    alien += ["spec.predictor.model.modelFormat.version"] if server.get("modelFormat", {}).get("version") else []
    if alien:
        return f"{', '.join(alien)}: meant for another server, and would stay beside Trimtab's; remove that first"
    return ""


def intruder(isvc: Mapping[str, Any], model: Model) -> str:
    """Who has taken one of our fields from us by writing it, else nothing; a predecessor's fields are not ours yet."""
    if predecessor(isvc, model):
        return ""
    entries = list(_entries(isvc))
    ours = [entry.get("fieldsV1", {}) for entry in entries if entry["manager"] == MANAGER]
    for path in _OURS:
        if any(_has(fields, path) for fields in ours):
            continue
        for entry in entries:
            if entry["manager"] != MANAGER and _has(entry.get("fieldsV1", {}), path):
                return str(entry["manager"])
    return ""


def last_writer(isvc: Mapping[str, Any]) -> str:
    """The manager, other than us, that wrote last."""
    others = [entry for entry in _entries(isvc) if entry["manager"] != MANAGER]
    return str(max(others, key=lambda entry: str(entry.get("time", "")))["manager"]) if others else "somebody"


def _label(isvc: Mapping[str, Any]) -> str:
    return str(isvc["metadata"].get("labels", {}).get(MODEL_UID_LABEL, ""))


def _predictor(isvc: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = isvc.get("spec", {}).get("predictor", {})
    return found


def _entries(isvc: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for entry in isvc["metadata"].get("managedFields") or []:
        if not entry.get("subresource"):
            yield entry


def _has(fields: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    for part in path:
        if f"f:{part}" not in fields:
            return False
        fields = fields[f"f:{part}"]
    return True
