"""Who a predictor is: a ServiceAccount of its own that may send events about models of its namespace, and nothing else.

It belongs to the InferenceService, not to the Model, so that an orphaned InferenceService keeps working after its Model was deleted.
A Model that names a ServiceAccount of its own (`spec.serving.serviceAccount`) binds that one itself.
"""

import time
from collections.abc import Callable
from typing import Any

from trimtab.platforms.kubernetes.api import Api, Reader
from trimtab.platforms.kubernetes.resources import (
    INFERENCE_SERVICES,
    MANAGED_BY,
    MODEL_LABEL,
    ROLE_BINDINGS,
    SERVICE_ACCOUNTS,
    owner,
)
from trimtab.spec import Model

SENDER = "trimtab-events-sender"


def account(model: Model) -> str:
    """The name of the ServiceAccount that the predictor's pods run as."""
    return model.spec.serving.service_account or f"{model.name}-trimtab"


def documents(model: Model, isvc: dict[str, Any] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ServiceAccount and its RoleBinding, owned by the InferenceService once there is one."""
    name, namespace = account(model), model.metadata.namespace
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": {**MANAGED_BY, MODEL_LABEL: model.name}}
    if isvc is not None:
        metadata["ownerReferences"] = [owner(INFERENCE_SERVICES, isvc["metadata"]["name"], isvc["metadata"]["uid"], controller=False)]
    binding = {
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": SENDER},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    return {"metadata": metadata, "automountServiceAccountToken": False}, binding


KEEP_SECONDS = 3600.0
"""How long what was applied is taken to be there: it may not be read, and somebody may delete it."""


class Identities:
    """Keeps the predictors' ServiceAccounts; what was applied is applied again where something differs, and once an hour."""

    def __init__(self, api: Api, reader: Reader, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is asked yet."""
        self._api, self._reader, self._clock = api, reader, clock
        self._applied: dict[tuple[str, str], tuple[float, dict[str, Any]]] = {}

    def kept(self, model: Model) -> bool:
        """Whether the Model's ServiceAccount was applied lately, as it shall be."""
        if model.spec.serving.service_account:
            return True
        key, (_, binding) = self._wanted(model)
        return self._lately(key, binding)

    def ensure(self, model: Model) -> None:
        """Make the Model's ServiceAccount be there and be owned by its InferenceService."""
        if model.spec.serving.service_account:
            return
        key, (account_document, binding) = self._wanted(model)
        if self._lately(key, binding):
            return
        self._api.apply(SERVICE_ACCOUNTS, account_document)
        self._api.apply(ROLE_BINDINGS, binding)
        self._applied[key] = (self._clock(), binding)

    def _wanted(self, model: Model) -> tuple[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]]:
        key = (model.metadata.namespace, model.name)
        return key, documents(model, self._reader.get(INFERENCE_SERVICES, *key))

    def _lately(self, key: tuple[str, str], binding: dict[str, Any]) -> bool:
        at, applied = self._applied.get(key, (float("-inf"), {}))
        return self._clock() - at < KEEP_SECONDS and applied == binding
