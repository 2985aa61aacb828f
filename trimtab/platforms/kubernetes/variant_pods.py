"""What the pods of a version tell: ready, restarted, or unable to serve. Pure.

No condition of KServe's carries why a model could not be fetched: the pod's init container does. Exit code 2 is how the predictor
says that something is wrong with what it was given, those in `LASTING` how the fetch does; any other end (a registry that does not
answer, a full disk) may go away.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from trimtab.fetching import LASTING

MAIN = "kserve-container"
FETCH = "storage-initializer"
_LASTING = {FETCH: LASTING, MAIN: frozenset({2})}


class Variant(Struct, frozen=True):
    """The pods of one version, summed up: whether one of them is ready, how often their containers restarted, what is wrong."""

    ready: bool = False
    restarts: int = 0
    fault: str = ""


def variant(pods: Sequence[Mapping[str, Any]]) -> Variant:
    """The pods of one version that are there to stay."""
    statuses = [pod.get("status", {}) for pod in pods]
    faults = [fault for pod in statuses if (fault := _fault(pod))]
    return Variant(
        ready=any(_ready(pod) for pod in statuses),
        restarts=sum(int(one.get("restartCount", 0)) for pod in statuses for one in pod.get("containerStatuses") or []),
        fault=faults[0] if faults else "",
    )


def staying(pod: Mapping[str, Any]) -> bool:
    """Whether the pod is neither on its way out nor a leftover of one that has ended."""
    return not pod["metadata"].get("deletionTimestamp") and pod.get("status", {}).get("phase") not in ("Failed", "Succeeded")


def _ready(status: Mapping[str, Any]) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or [])


def _fault(status: Mapping[str, Any]) -> str:
    if _ready(status):
        return ""
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in containers:
        if container["name"] not in _LASTING or "running" in container.get("state", {}):
            continue
        ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated") or {}
        if ended.get("exitCode") in _LASTING[container["name"]]:
            lines = str(ended.get("message") or "").strip().splitlines()
            return lines[-1] if lines else f"the container {container['name']} says that the version cannot be served, and not why"
    return ""
