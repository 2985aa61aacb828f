"""What a pipeline run on Kubeflow Pipelines is, read from the API's run and, for what the API leaves out, from its Workflow and pods.

Pure. The API gives a state and no reason; Argo's nodes and the pods' termination messages have the reason while they last (an hour).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from trimtab.platforms.kubernetes.job import last_words
from trimtab.platforms.kubernetes.waiting import note

RUN_LABEL = "pipeline/runid"
GOOD = ("SUCCEEDED", "SKIPPED")
BAD = ("FAILED", "CANCELED")
CANCELLED = "the run was cancelled"
_MAIN = "main"
_NO_REASON = "Kubeflow Pipelines says FAILED and no reason: its Workflow and pods are gone"
_LONGEST = 1000


def state_of(run: Mapping[str, Any]) -> str:
    """The run's state; PENDING while it has none yet, which is so until its Workflow has begun."""
    return str(run.get("state") or "PENDING")


def phase_of(workflow: Mapping[str, Any]) -> str:
    """The Workflow's phase, empty while it has none."""
    return str(workflow.get("status", {}).get("phase", ""))


def done(workflow: Mapping[str, Any]) -> bool:
    """Whether nothing of the Workflow runs any more."""
    return phase_of(workflow) in ("Succeeded", "Failed", "Error")


def began(item: Mapping[str, Any]) -> datetime | None:
    """When a run (`created_at`) or a Workflow (`creationTimestamp`) was made, None where it does not say."""
    return _moment(item.get("created_at") or item.get("metadata", {}).get("creationTimestamp"))


def overdue(item: Mapping[str, Any], now: datetime, deadline: timedelta) -> bool:
    """Whether it has been there for longer than the deadline."""
    since = began(item)
    return since is not None and now - since > deadline


def was_terminated(workflows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether somebody ended the run: Kubeflow Pipelines does that by a deadline of no seconds, and calls the run FAILED afterwards."""
    return any(item.get("spec", {}).get("activeDeadlineSeconds") == 0 for item in workflows)


def lasted(run: Mapping[str, Any]) -> timedelta:
    """How long an ended run took; zero where it does not say (`finished_at` is in 1970 until then)."""
    first, last = began(run), _moment(run.get("finished_at"))
    return last - first if first and last and last > first else timedelta(0)


def reason(run: Mapping[str, Any], workflows: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> str:
    """Why the run failed, as a sentence: a pod's own last words before Argo's about it, before the Workflow's as a whole."""
    said = [(_ended(pod), words) for pod in pods if (words := last_words(pod, _MAIN))]
    if said:
        return max(said)[1][:_LONGEST]
    nodes = [node for item in workflows for node in item.get("status", {}).get("nodes", {}).values()]
    failed = [node for node in nodes if node.get("phase") in ("Failed", "Error") and node.get("message")]
    leaves = [node for node in failed if node.get("type") == "Pod"] or [node for node in failed if not _about_a_child(node)]
    if leaves:
        last = max(leaves, key=lambda node: str(node.get("finishedAt") or ""))
        return f"task {_task(last, nodes)}: {last['message']}"[:_LONGEST]
    messages = [str(item["status"]["message"]) for item in workflows if item.get("status", {}).get("message")]
    error = run.get("error") or {}
    return (messages or [str(error.get("message") or _NO_REASON)])[-1][:_LONGEST]


def waiting(workflows: Sequence[Mapping[str, Any]], pods: Sequence[Mapping[str, Any]]) -> str:
    """What keeps an active run from going on (a missing image or Secret, no node), as a sentence; empty where nothing is seen."""
    live = [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    said = note(live)
    if said:
        return said
    nodes = [node for item in workflows for node in item.get("status", {}).get("nodes", {}).values()]
    pending = [node for node in nodes if node.get("phase") == "Pending" and node.get("message")]
    return f"task {_task(pending[0], nodes)} waits: {pending[0]['message']}" if pending else ""


def _task(node: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> str:
    """The task's name in the pipeline: the pod's node is called `executor`, or `executor(0)` with retries, and hangs below it."""
    name = str(node.get("displayName", "?"))
    chain = str(node.get("name", "")).split(".")
    known = {str(other.get("displayName")) for other in nodes}
    if name.startswith("executor"):
        above = [part for part in reversed(chain) if not part.startswith("executor") and part in known]
        return above[0] if above else name
    return name


def _about_a_child(node: Mapping[str, Any]) -> bool:
    return str(node["message"]).startswith("child ")


def _ended(pod: Mapping[str, Any]) -> str:
    found = pod.get("status", {}).get("containerStatuses", [])
    return max((str(item.get("state", {}).get("terminated", {}).get("finishedAt") or "") for item in found), default="")


def _moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
