"""The explainer of a Model on a cluster: an InferenceService of its own, `NAME-explainer`, beside the one that predicts.

KServe has a component `explainer` for this, which was measured and is not used. During a canary KServe puts the canary's weight on the
rule for `:explain` too, so that explanations were asked of a predictor (17 of 60 at 30%). A promotion changes the host of its predictor,
by which its pods restart under their callers (3 to 4 of 139 calls failed). While it is not ready, neither is the InferenceService that
predicts. And its rule takes `:explain` from the predictor, which explains trees there itself. An InferenceService of its own has the host
that KServe's component would have (`NAME-explainer-NAMESPACE.DOMAIN`), a route, a status and pods that no rollout touches, and changes
by a rolling update: pods of the old champion answer until the new one is explained.

It explains the champion, asked by its own Service and never by the route, with that version's files out of the same fetch. It belongs
to the InferenceService that predicts: it stays with an orphaned one, and goes with a deleted one. What goes wrong with it is told in the
Model's status (`problems`) and holds up nothing else: no Release is judged by its explainer.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.identity import account
from trimtab.platforms.kubernetes.isvc import DIGEST_ANNOTATION, MODEL_FORMAT, OWNER_LABEL, component, says
from trimtab.platforms.kubernetes.ownership import explained, explainer_name, last_writer
from trimtab.platforms.kubernetes.resources import (
    CLUSTER_SERVING_RUNTIMES,
    INFERENCE_SERVICES,
    MANAGED_BY,
    MODEL_LABEL,
    PODS,
    SERVING_RUNTIMES,
    VERSION_LABEL,
    owner,
)
from trimtab.platforms.kubernetes.serving_parts import Settings, Writer
from trimtab.platforms.kubernetes.variant_pods import Variant, staying, variant
from trimtab.rollout.rules.common import leaving
from trimtab.spec import Explainer, ExplainerSummary, Model, Version
from trimtab.units import duration
from trimtab.version_uri import VersionUri

WAITING = 4
"""How many requests wait in the explainer while one is under way (serving/explaining.py)."""

DRAIN_SECONDS = 8
PATIENCE_SECONDS = 3600.0
_RESOURCES: dict[str, Any] = {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}


def document(model: Model, explainer: Explainer, champion: Version, predicts: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The InferenceService that explains `champion`, owned by `predicts`, the one that serves it."""
    namespace, seconds = model.metadata.namespace, duration(explainer.budget.time).total_seconds()
    address = settings.service_url.format(service=component(model.name, champion.version), namespace=namespace)
    environment = {
        "TRIMTAB_MODEL_NAME": model.name,
        "TRIMTAB_VERSION": champion.version,
        "TRIMTAB_DIGEST": champion.digest,
        "TRIMTAB_PREDICTOR_HOST": address.removeprefix("http://"),
        "TRIMTAB_METHOD": explainer.method,
        "TRIMTAB_CALLS": str(explainer.budget.calls),
        "TRIMTAB_SECONDS": f"{seconds:g}",
    }
    metadata = {
        "name": explainer_name(model.name),
        "namespace": namespace,
        "labels": {**MANAGED_BY, MODEL_LABEL: model.name},
        "ownerReferences": [owner(INFERENCE_SERVICES, predicts["metadata"]["name"], predicts["metadata"]["uid"], controller=False)],
    }
    predictor = {
        "minReplicas": 1,
        "maxReplicas": 1,
        "timeout": math.ceil(seconds * (1 + WAITING)),
        "terminationGracePeriodSeconds": DRAIN_SECONDS + math.ceil(seconds) + 5,
        "labels": {VERSION_LABEL: champion.version},
        "annotations": {DIGEST_ANNOTATION: champion.digest},
        "serviceAccountName": account(model),
        "automountServiceAccountToken": False,
        "model": {
            "modelFormat": {"name": MODEL_FORMAT},
            "runtime": settings.explainer_runtime,
            "storageUri": str(VersionUri(model.registered, champion.version, champion.digest)),
            "env": [{"name": name, "value": value} for name, value in environment.items()],
            "resources": explainer.resources or _RESOURCES,
        },
    }
    return {"metadata": metadata, "spec": {"predictor": predictor}}


class _Memory(Struct):
    """What was sent last, the generation that it became, and when somebody else's change of it was put back."""

    sent: dict[str, Any] = {}
    generation: int = 0
    reverted: float | None = None


class Explainers:
    """Keeps every Model's explainer. `problems` has, by `namespace/name` of a Model, what a person has to mend."""

    def __init__(self, api: Writer, reader: Reader, settings: Settings | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`reader` may be a cache; before anything is written the API server itself is asked."""
        self._api, self._reader, self._clock = api, reader, clock
        self._settings = settings or Settings()
        self._memories: dict[tuple[str, str], _Memory] = {}
        self.problems: dict[str, str] = {}

    def kept(self, model: Model) -> bool:
        """Whether the explainer is as the Model says, or is none of ours to change."""
        try:
            kept = self._change(self._reader, model) is None
        except InvalidInput:
            return False
        if kept:
            self.problems.pop(_key(model), None)
        return kept

    def ensure(self, model: Model) -> None:
        """Make the explainer be as the Model says; what a person has to mend is in `problems` and not raised."""
        key = _key(model)
        try:
            if self._change(self._reader, model) is not None and (body := self._change(self._api, model)) is not None:
                self._write(model, body)
            self.problems.pop(key, None)
        except InvalidInput as error:
            self.problems[key] = str(error)

    def summary(self, model: Model) -> ExplainerSummary | None:
        """Where the explainer answers and whether it explains the champion; None where the Model asks for none."""
        champion = model.status.champion
        if model.spec.serving.explainer is None or champion is None:
            return None
        namespace, name = model.metadata.namespace, explainer_name(model.name)
        live = self._reader.get(INFERENCE_SERVICES, namespace, name)
        if (why := self.problems.get(_key(model), "")) or live is None:
            return ExplainerSummary(version=champion.version, sentence=why or f"the InferenceService {name!r} does not exist yet")
        seen = self._pods(namespace, name, champion)
        if seen.ready:
            said = f"version {champion.version} is explained by {model.spec.serving.explainer.method}"
        else:
            said = f"version {champion.version} is not explained yet: {seen.fault or 'its explainer is starting'}"
        return ExplainerSummary(str(live.get("status", {}).get("url", "")), champion.version, seen.ready, said)

    def _pods(self, namespace: str, name: str, champion: Version) -> Variant:
        pods = self._reader.list(PODS, namespace, f"{OWNER_LABEL}={name},{VERSION_LABEL}={champion.version}")
        digests = [(pod, pod["metadata"].get("annotations", {}).get(DIGEST_ANNOTATION)) for pod in pods if staying(pod)]
        return variant([pod for pod, digest in digests if digest == champion.digest])

    def _change(self, reader: Reader, model: Model) -> dict[str, Any] | None:
        """What is to be applied; empty: the explainer is to be deleted; None: nothing. Raises InvalidInput where a person has to act."""
        explainer, champion, namespace = model.spec.serving.explainer, model.status.champion, model.metadata.namespace
        predicts = reader.get(INFERENCE_SERVICES, namespace, model.name)
        live = reader.get(INFERENCE_SERVICES, namespace, explainer_name(model.name))
        if leaving(model) or (live is not None and live["metadata"].get("deletionTimestamp")):
            return None
        ours = live is not None and explained(live) == model.name
        if explainer is None:
            return {} if ours else None
        if champion is None or predicts is None:
            return None
        if live is not None and not ours:
            msg = f"InferenceService {namespace}/{explainer_name(model.name)} is there already and is not the explainer of Model "
            msg += f"{model.name!r}: delete it, or give the Model another name"
            raise InvalidInput(msg)
        body = document(model, explainer, champion, predicts, self._settings)
        if live is not None and self._stands(model, live, body):
            return None
        self._check_runtime(reader, namespace)
        return body

    def _stands(self, model: Model, live: dict[str, Any], body: dict[str, Any]) -> bool:
        """Whether what is there is what is wanted; raises InvalidInput where somebody changes it again and again."""
        memory, generation = self._memory(model), live["metadata"].get("generation", 0)
        if body != memory.sent:
            return False
        if generation <= memory.generation or says(live, body):
            return True
        if memory.reverted is not None and self._clock() - memory.reverted < PATIENCE_SECONDS:
            msg = f"OwnershipConflict: {last_writer(live)!r} keeps changing InferenceService {model.metadata.namespace}/"
            msg += f"{explainer_name(model.name)}, which is Trimtab's: let the other tool ignore it; for an hour nothing is written"
            raise InvalidInput(msg)
        return False

    def _write(self, model: Model, body: dict[str, Any]) -> None:
        memory = self._memory(model)
        if not body:
            self._api.delete(INFERENCE_SERVICES, model.metadata.namespace, explainer_name(model.name))
            self._memories.pop((_key(model), model.metadata.uid), None)
            return
        if body == memory.sent:
            memory.reverted = self._clock()
        stored = self._api.apply(INFERENCE_SERVICES, body)
        memory.sent, memory.generation = body, stored["metadata"].get("generation", 0)

    def _check_runtime(self, reader: Reader, namespace: str) -> None:
        runtime = self._settings.explainer_runtime
        if not reader.get(CLUSTER_SERVING_RUNTIMES, "", runtime) and not reader.get(SERVING_RUNTIMES, namespace, runtime):
            msg = f"spec.serving.explainer: there is no ClusterServingRuntime {runtime!r}, nor a ServingRuntime of that name in "
            msg += f"{namespace!r}: install Trimtab's"
            raise InvalidInput(msg)

    def _memory(self, model: Model) -> _Memory:
        return self._memories.setdefault((_key(model), model.metadata.uid), _Memory())


def _key(model: Model) -> str:
    return f"{model.metadata.namespace}/{model.name}"
