"""One Kubernetes Job a training run: the pure half, which builds the Job and reads what became of it.

The Job retries what the machine did (once; a pod that was evicted or whose node was drained does not count) and nothing that a
person has to mend: the exit code 2 means InvalidInput. A pod is replaced only when it has ended, so that no two pipelines of one
attempt run at once.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from trimtab.control.ports import RunRequest
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.resources import (
    ATTEMPT_LABEL,
    JOBS,
    MANAGED_BY,
    MODEL_LABEL,
    RELEASE_LABEL,
    RELEASE_UID_LABEL,
    RELEASES,
    owner,
)
from trimtab.platforms.kubernetes.runs import TrainingSettings
from trimtab.platforms.pipeline import QUIET, last_error
from trimtab.spec import ModelStatus
from trimtab.units import duration

CONTAINER = "training"
COMMAND = ("python", "-m", "trimtab.platforms.kubernetes.job_main")
REQUEST_VARIABLE = "TRIMTAB_REQUEST"
TRACKING_VARIABLE = "TRIMTAB_TRACKING_URI"
WORK = "/work"
INVALID_INPUT = 2
"""The exit code of a run that would fail again and again until a person mends something."""

USER = 65532
_LONGEST_NAME = 63
_LONGEST_REQUEST = 60_000
_LONGEST_WORDS = 1000


def job_name(release: str, attempt: int) -> str:
    """`<release>-<attempt>`, cut to the 63 characters that a pod's label takes; a hash keeps apart what the cut would make equal."""
    suffix = f"-{attempt}"
    plain = release.replace(".", "-")
    if plain == release and len(release) + len(suffix) <= _LONGEST_NAME:
        return release + suffix
    suffix = f"-{hashlib.sha256(release.encode()).hexdigest()[:8]}{suffix}"
    return plain[: _LONGEST_NAME - len(suffix)].rstrip("-") + suffix


def labels(request: RunRequest) -> dict[str, str]:
    """The labels of the Job and its pods."""
    return {
        **MANAGED_BY,
        "app.kubernetes.io/name": "trimtab",
        "app.kubernetes.io/component": "training",
        MODEL_LABEL: label_value(request.model.name),
        RELEASE_LABEL: label_value(request.release),
        RELEASE_UID_LABEL: request.release_uid,
        ATTEMPT_LABEL: str(request.attempt),
    }


def label_value(text: str) -> str:
    """The text as a label may hold it: its first 63 characters, a letter or digit at the end."""
    return re.sub(r"[^A-Za-z0-9]+$", "", text[:_LONGEST_NAME])


def document(request: RunRequest, settings: TrainingSettings, tracking_uri: str, command: Sequence[str] = COMMAND) -> dict[str, Any]:
    """The Job of one attempt, with MLflow at `tracking_uri`, in the image of the request or else the installation's.

    Raises InvalidInput where the request is too long for an environment.
    """
    asked = msgspec.json.encode(msgspec.structs.replace(request, model=msgspec.structs.replace(request.model, status=ModelStatus())))
    if len(asked) > _LONGEST_REQUEST:
        msg = f"the Model {request.model.name!r} is {len(asked)} bytes long as JSON; a training Job takes at most {_LONGEST_REQUEST}"
        raise InvalidInput(msg)
    environment = {TRACKING_VARIABLE: tracking_uri, REQUEST_VARIABLE: _literal(asked.decode())}
    metadata = {
        "name": job_name(request.release, request.attempt),
        "namespace": request.model.metadata.namespace,
        "labels": labels(request),
        "ownerReferences": [owner(RELEASES, request.release, request.release_uid)],
    }
    spec = {
        "completions": 1,
        "parallelism": 1,
        "backoffLimit": settings.retries,
        "podReplacementPolicy": "Failed",
        "activeDeadlineSeconds": _seconds(settings.deadline),
        "ttlSecondsAfterFinished": _seconds(settings.ttl),
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [INVALID_INPUT]}},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "template": {
            "metadata": {"labels": labels(request)},
            "spec": _pod(settings, request.image or settings.image, environment, command),
        },
    }
    return {"apiVersion": JOBS.api_version, "kind": JOBS.kind, "metadata": metadata, "spec": spec}


def _pod(settings: TrainingSettings, image: str, ours: Mapping[str, str], command: Sequence[str]) -> dict[str, Any]:
    scratch = {"emptyDir": {"sizeLimit": settings.scratch_size}}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "command": list(command),
        "env": _environment(settings, ours),
        "resources": msgspec.to_builtins(settings.resources),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "work", "mountPath": WORK}],  # noqa: S108
    }
    if settings.existing_secret:
        container["envFrom"] = [{"secretRef": {"name": settings.existing_secret, "optional": True}}]
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", **scratch}, {"name": "work", **scratch}],
    }
    if settings.service_account_name:
        pod["serviceAccountName"] = settings.service_account_name
    if settings.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret.name} for secret in settings.image_pull_secrets]
    return pod


def _environment(settings: TrainingSettings, ours: Mapping[str, str]) -> list[dict[str, Any]]:
    """Defaults first, which an installation may change; what is ours last, which it may not."""
    quiet = {**QUIET, "HOME": "/tmp", "PYTHONUNBUFFERED": "1"}  # noqa: S108
    given = {variable.name: msgspec.to_builtins(variable) for variable in settings.env}
    return list({**_plain(quiet), **given, **_plain(ours)}.values())


def _plain(variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    return {name: {"name": name, "value": value} for name, value in variables.items()}


def _seconds(text: str) -> int:
    return int(duration(text).total_seconds())


def _literal(text: str) -> str:
    """The text as an environment variable's value that the kubelet leaves as it is: it would fill in `$(NAME)`."""
    return text.replace("$(", "$$(")


def fault(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], settings: TrainingSettings) -> str:
    """Why the ended Job failed, as a sentence; empty where it did not."""
    failed = condition(job, "Failed")
    if failed is None:
        return ""
    if failed.get("reason") == "DeadlineExceeded":
        seconds = job.get("spec", {}).get("activeDeadlineSeconds", _seconds(settings.deadline))
        return f"the run did not end within {timedelta(seconds=seconds)}"
    said = [words for pod in sorted(pods, key=_created) if (words := last_words(pod))]
    return said[-1] if said else f"{failed.get('reason', 'Failed')}: {failed.get('message', 'Kubernetes gives no reason')}"


def last_words(pod: Mapping[str, Any], container: str = CONTAINER) -> str:
    """What a failed pod says of its end: its termination message, else the kubelet's or the kernel's reason; empty where it did well."""
    status = pod.get("status", {})
    for found in status.get("containerStatuses", []):
        ended = found.get("state", {}).get("terminated")
        if found.get("name") != container or not ended or ended.get("exitCode") == 0:
            continue
        text = str(ended.get("message", "")).strip()
        if ended.get("reason") == "OOMKilled":
            return "the run's process was killed for want of memory (OOMKilled)"
        if text:
            return (last_error(text) or text.splitlines()[-1].strip())[:_LONGEST_WORDS]
        return f"the run's process ended with exit code {ended.get('exitCode')} ({ended.get('reason', 'Error')}) and without a word"
    if status.get("phase") == "Failed" and status.get("reason"):
        return f"{status['reason']}: {status.get('message', 'the kubelet gives no message')}"
    return ""


def refused(job: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> str:
    """Why the Job's pod could not even be created (no ServiceAccount, quota, Pod Security), from the namespace's Events; else empty."""
    uid = job.get("metadata", {}).get("uid")
    about = [event for event in events if event.get("regarding", {}).get("uid") == uid and event.get("type") == "Warning"]
    return f"its pod cannot be created: {max(about, key=_created).get('note', '')}" if about else ""


def condition(job: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    """The Job's condition of that type where it is true, else None."""
    found = job.get("status", {}).get("conditions", [])
    return next((dict(item) for item in found if item.get("type") == kind and item.get("status") == "True"), None)


def over(pod: Mapping[str, Any]) -> bool:
    """Whether no process of the pod runs any more."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _created(item: Mapping[str, Any]) -> str:
    return str(item.get("metadata", {}).get("creationTimestamp") or "")


def plain_pod(settings: TrainingSettings, environment: Mapping[str, str], command: Sequence[str]) -> dict[str, Any]:
    """A pod of the training image with the namespace's credentials, no token and no rights, that runs another command."""
    return _pod(settings, settings.image, {name: _literal(value) for name, value in environment.items()}, command)
