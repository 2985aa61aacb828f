"""What keeps the pods of a run, a Job's or a Workflow's, from starting, and from when on they never will."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from trimtab.platforms.kubernetes.job import CONTAINER

PATIENCE = timedelta(minutes=5)
"""How long a pod may wait for the image of a published pipeline."""

_OURS = (CONTAINER, "main")
"""The container that runs our code: in a Job, and in a task of Kubeflow Pipelines."""
_DRIVER = "-driver-"
"""In the name of a pod that runs Kubeflow Pipelines' own program."""
_WAITS = ("ContainerCreating", "PodInitializing", "")


def note(pods: Sequence[Mapping[str, Any]]) -> str:
    """What keeps a Job's pod from running, as a sentence: no node, no image, no Secret; empty where nothing does."""
    for pod in pods:
        status = pod.get("status", {})
        for found in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
            waiting = found.get("state", {}).get("waiting") or {}
            if waiting.get("reason", "") not in _WAITS:
                return f"its pod waits: {waiting['reason']}: {waiting.get('message', found.get('image', ''))}"
        for found in status.get("conditions", []):
            if found.get("type") == "PodScheduled" and found.get("status") == "False":
                return f"its pod cannot be scheduled: {found.get('message', found.get('reason', ''))}"
    return ""


def stuck(pods: Sequence[Mapping[str, Any]], own: str, now: datetime) -> str:
    """Why no pod of the run will start, as a sentence: it has waited for another image than the installation's `own` for five minutes.

    A published pipeline brings its image, which nobody may have pushed; the installation's own, and that of Kubeflow Pipelines' drivers,
    come back with their registry. Empty where a pod may start yet.
    """
    for pod in pods:
        if _DRIVER in pod.get("metadata", {}).get("name", ""):
            continue
        since, said = pod.get("status", {}).get("startTime"), note([pod])
        foreign = any(one.get("image") not in (own, None) for one in pod.get("spec", {}).get("containers", []) if one["name"] in _OURS)
        if said and since and foreign and now - datetime.fromisoformat(str(since)) > PATIENCE:
            return f"{said}; the pipeline's image did not start within {PATIENCE.seconds // 60} minutes"
    return ""
