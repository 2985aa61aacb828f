"""Whose an InferenceService is, and who wrote our fields last. Pure; server-side apply keeps the books (`managedFields`)."""

from collections.abc import Iterator, Mapping
from typing import Any

from trimtab.platforms.kubernetes.isvc import MODEL_UID_LABEL
from trimtab.platforms.kubernetes.resources import MANAGER
from trimtab.spec import Model

_OURS = (
    ("spec", "predictor", "name"),
    ("spec", "predictor", "model", "runtime"),
    ("spec", "predictor", "model", "storageUri"),
    ("spec", "predictor", "model", "env"),
    ("spec", "canary"),
)


def refusal(isvc: Mapping[str, Any], model: Model) -> str:
    """Why the InferenceService of the Model's name is not this Model's; empty where it is."""
    name = f"InferenceService {model.metadata.namespace}/{model.name}"
    way_out = "adopting it is coming: until then give the Model another name, or delete it"
    if not any(entry["manager"] == MANAGER for entry in _entries(isvc)):
        return f"{name} is there already and was not made by Trimtab; {way_out}"
    if isvc["metadata"].get("labels", {}).get(MODEL_UID_LABEL) != model.metadata.uid:
        return f"{name} outlived the Model that it was made for; {way_out}"
    return ""


def intruder(isvc: Mapping[str, Any]) -> str:
    """Who has taken one of our fields from us by writing it, else nothing."""
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
