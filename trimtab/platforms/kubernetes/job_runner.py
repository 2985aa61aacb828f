"""Training runs as Jobs: created once a Release and attempt, read live, ended with their pods.

Nothing is remembered here: a Job's name follows from Release and attempt, and the API server takes a name once. A Job that was
deleted counts as active until its pods have ended: else a withdrawn run could still register, and a repeated one run twice.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from trimtab.control.ports import RunRequest
from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.job import COMMAND, condition, document, fault, job_name, over, refused
from trimtab.platforms.kubernetes.resources import ATTEMPT_LABEL, EVENTS, JOBS, MANAGED_BY, PODS, RELEASE_UID_LABEL
from trimtab.platforms.kubernetes.runs import TrainingSettings
from trimtab.platforms.kubernetes.waiting import note, stuck
from trimtab.release import RunState

log = logging.getLogger(__name__)

Find = Callable[[str], tuple[str, str, str] | None]
"""A Release's namespace, name and its Model's runner ("" where the Model is gone) by its uid; None where the Release is gone."""


def _now() -> datetime:
    return datetime.now(UTC)


class JobRunner:
    """The port `Runner` with one Job an attempt."""

    def __init__(
        self,
        api: Api,
        find: Find,
        settings: TrainingSettings,
        tracking_uri: str,
        command: Sequence[str] = COMMAND,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """`api` must be the API server itself: a cache may not show yet what was created a moment ago."""
        self._now = now
        self._api = api
        self._find = find
        self._settings, self._tracking_uri, self._command = settings, tracking_uri, command

    def submit(self, request: RunRequest) -> None:
        """Create the Job unless it is there; raises InvalidInput where its name is another's or Kubernetes refuses it."""
        body = document(request, self._settings, self._tracking_uri, self._command)
        namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
        try:
            self._api.create(JOBS, body)
        except Conflict as error:
            found = self._api.get(JOBS, namespace, name)
            if found is None or "deletionTimestamp" in found["metadata"]:
                msg = f"Job {namespace}/{name} is being deleted; it is created anew when it is gone"
                raise Unavailable(msg) from error
            given = found["metadata"].get("labels", {})
            if _belongs(given, request.release_uid, request.attempt):
                return
            if MANAGED_BY.items() <= given.items() and RELEASE_UID_LABEL in given:
                msg = f"Job {namespace}/{name} is of an earlier Release of that name and is waited for until it is removed"
                raise Unavailable(msg) from error
            msg = f"there is a Job {namespace}/{name} that is not Trimtab's; delete it, or the run of {request.release!r} cannot start"
            raise InvalidInput(msg) from error

    def state(self, release_uid: str, attempt: int) -> tuple[RunState, str]:
        """Whether the run is absent, active or ended; with an active one what keeps it waiting, with an ended one why it failed.

        One whose pod will not start is ended here.
        """
        place = self._place(release_uid, attempt)
        if place is None:
            return "absent", ""
        namespace, name = place
        job = self._job(namespace, name, release_uid, attempt)
        pods = self._pods(namespace, release_uid, attempt)
        if job is None:
            return ("active", "its Job was deleted, its pod is ending") if any(not over(pod) for pod in pods) else ("absent", "")
        if condition(job, "Complete") or condition(job, "Failed"):
            return "ended", fault(job, pods, self._settings)
        live = [pod for pod in pods if not over(pod)]
        if never := stuck(live, self._settings.image, self._now()):
            self.cancel(release_uid, attempt)
            return "ended", never
        waits = note(live)
        return "active", waits or ("" if pods else refused(job, self._api.list(EVENTS, namespace)))

    def cancel(self, release_uid: str, attempt: int) -> None:
        """Delete the Job and its pods; nothing happens where there are none."""
        place = self._place(release_uid, attempt)
        if place is None:
            return
        namespace, name = place
        if self._job(namespace, name, release_uid, attempt) is not None:
            self._api.delete(JOBS, namespace, name)
        for pod in self._pods(namespace, release_uid, attempt):
            if not over(pod) and "deletionTimestamp" not in pod["metadata"]:
                self._api.delete(PODS, namespace, pod["metadata"]["name"])

    def where(self, release_uid: str, attempt: int) -> str:
        """How a person reads the run's log; empty where the Release is gone."""
        place = self._place(release_uid, attempt)
        return f"kubectl logs --namespace {place[0]} job/{place[1]}" if place else ""

    def _place(self, release_uid: str, attempt: int) -> tuple[str, str] | None:
        found = self._find(release_uid)
        return (found[0], job_name(found[1], attempt)) if found else None

    def _job(self, namespace: str, name: str, release_uid: str, attempt: int) -> dict[str, Any] | None:
        job = self._api.get(JOBS, namespace, name)
        return job if job and _belongs(job["metadata"].get("labels", {}), release_uid, attempt) else None

    def _pods(self, namespace: str, release_uid: str, attempt: int) -> list[dict[str, Any]]:
        return self._api.list(PODS, namespace, f"{RELEASE_UID_LABEL}={release_uid},{ATTEMPT_LABEL}={attempt}")


def _belongs(given: dict[str, str], release_uid: str, attempt: int) -> bool:
    return given.get(RELEASE_UID_LABEL) == release_uid and given.get(ATTEMPT_LABEL) == str(attempt)
