"""The port `Places` on a cluster: a small Job looks, with the training image and the namespace's Secret; the controller reads what it said.

The pod has no token: its answer is its termination message. A Job is named by the Model and the time slot that it looks in, so that nothing
is remembered here, and a controller that begins anew finds what is under way. Owner is the Model.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from trimtab.errors import Conflict, Unavailable
from trimtab.platforms import looking
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.job import CONTAINER, condition, fault, label_value, plain_pod
from trimtab.platforms.kubernetes.resources import JOBS, MANAGED_BY, MODEL_LABEL, MODELS, PODS, owner
from trimtab.platforms.kubernetes.runs import Resources, TrainingSettings
from trimtab.platforms.kubernetes.waiting import note
from trimtab.retraining.newdata import Seen
from trimtab.spec import Model

OFTEN = timedelta(minutes=1)
"""However short `every` is, a pod is not started more often."""
WITHIN_SECONDS = 600
KEPT_SECONDS = 600
"""How long an ended Job is kept; one that failed is made anew after that."""
RESOURCES = Resources({"cpu": "50m", "memory": "256Mi"}, {"memory": "2Gi"})
COMMAND = ("python", "-m", looking.MODULE)


class KubernetesPlaces:
    """One Job a look."""

    def __init__(
        self, api: Api, settings: TrainingSettings, clock: Callable[[], datetime] | None = None, command: Sequence[str] = COMMAND
    ) -> None:
        """`api` must be the API server itself; `clock` gives the wall time."""
        self._api, self._settings, self._command = api, replace(settings, resources=RESOURCES, retries=0), command
        self._clock = clock or (lambda: datetime.now(UTC))

    def look(self, model: Model) -> Seen | None:
        """What this slot's Job saw; creates it where there is none. Raises what it failed by."""
        place, every, environment = looking.question(model)
        begins = _slot(model, self._clock(), max(every, OFTEN))
        known = model.status.watched
        if known and known.place == place and known.seen_at >= begins:
            return None
        name = job_name(model, place, begins)
        job = self._api.get(JOBS, model.metadata.namespace, name)
        if job is None:
            self._create(model, name, environment)
            return None
        pods = self._api.list(PODS, model.metadata.namespace, f"batch.kubernetes.io/job-name={name}")
        if said := _words(pods):
            return looking.seen(place, said, max(begins, _moment(job)))
        why = fault(job, pods, self._settings) if condition(job, "Failed") else note(pods)
        if why:
            msg = f"retraining.newData: the place could not be looked at: {why}"
            raise Unavailable(msg)
        return None

    def _create(self, model: Model, name: str, environment: Mapping[str, str]) -> None:
        labels = {
            **MANAGED_BY,
            "app.kubernetes.io/name": "trimtab",
            "app.kubernetes.io/component": "look",
            MODEL_LABEL: label_value(model.name),
        }
        metadata = {
            "name": name,
            "namespace": model.metadata.namespace,
            "labels": labels,
            "ownerReferences": [owner(MODELS, model.name, model.metadata.uid)],
        }
        spec = {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            "activeDeadlineSeconds": WITHIN_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": plain_pod(self._settings, environment, self._command)},
        }
        with suppress(Conflict):  # it was made a moment ago
            self._api.create(JOBS, {"apiVersion": JOBS.api_version, "kind": JOBS.kind, "metadata": metadata, "spec": spec})


def job_name(model: Model, place: str, begins: datetime) -> str:
    """The look of a Model at a place in the slot that begins then."""
    identity = hashlib.sha256(f"{model.metadata.uid}|{place}|{begins.isoformat()}".encode()).hexdigest()[:10]
    return f"{model.name}-look-{identity}"


def _slot(model: Model, now: datetime, every: timedelta) -> datetime:
    """When the slot of wall time that `now` is in began; slots of different Models begin apart, so that not all look at once."""
    seconds = int(every.total_seconds())
    apart = int(hashlib.sha256(model.metadata.uid.encode()).hexdigest()[:8], 16) % seconds
    return datetime.fromtimestamp((int(now.timestamp()) - apart) // seconds * seconds + apart, UTC)


def _words(pods: Sequence[Mapping[str, Any]]) -> str:
    """What the pod that ended well said."""
    for pod in pods:
        for found in pod.get("status", {}).get("containerStatuses", []):
            ended = found.get("state", {}).get("terminated") or {}
            if found.get("name") == CONTAINER and ended.get("exitCode") == 0:
                return str(ended.get("message", ""))
    return ""


def _moment(job: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(job["metadata"]["creationTimestamp"])
