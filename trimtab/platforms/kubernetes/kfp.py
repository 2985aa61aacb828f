"""Training runs on Kubeflow Pipelines, whose API forgets, repeats and never gives up: what is safe on it is decided here.

- A run's id follows from Release and attempt. It is looked for before it is posted, among the runs and, since an answer of 500 can
  leave work behind, among the Workflows. A second POST waits until the first (this process's, or a predecessor's that died in it)
  has surely come to its end.
- RUNNING can be for ever, so a run has a deadline of its own; and a run that was ended reads FAILED, so who ended it is remembered and
  read back from the Workflow.
- Results are never asked for here: the run's last task leaves them in MLflow.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from trimtab.control.ports import RunRequest
from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.platforms.kubernetes import kfp_reading as reading
from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.job import over
from trimtab.platforms.kubernetes.job_runner import Find
from trimtab.platforms.kubernetes.kfp_client import KfpClient
from trimtab.platforms.kubernetes.kfp_package import Pinned, Upload, ensure
from trimtab.platforms.kubernetes.resources import PODS, WORKFLOWS
from trimtab.platforms.kubernetes.runs import KfpSettings
from trimtab.platforms.kubernetes.waiting import stuck
from trimtab.platforms.pipeline import arguments
from trimtab.release import RunState
from trimtab.spec import PipelineVersion
from trimtab.units import duration

log = logging.getLogger(__name__)

RUNS = uuid.uuid5(uuid.NAMESPACE_DNS, "runs.trimtab.dev")
NOTE_SECONDS = 10.0
"""How long what keeps a run waiting is not read again."""

GONE_AFTER = timedelta(minutes=1)
"""How long after its creation a run may be without a Workflow before that is said."""

SETTLE = timedelta(seconds=30)
"""Longer than a POST can be under way after its client has gone."""

_LONGEST_NAME = 100


def run_id_of(release_uid: str, attempt: int) -> str:
    """The id of an attempt's run: a UUID that follows from both."""
    return str(uuid.uuid5(RUNS, f"{release_uid}/{attempt}"))


def _now() -> datetime:
    return datetime.now(UTC)


class KfpRunner:
    """The port `Runner` with one pipeline run an attempt."""

    def __init__(
        self,
        client: KfpClient,
        reader: Reader,
        find: Find,
        settings: KfpSettings,
        compiled: Callable[[RunRequest], Upload],
        tracking_uri: str,
        image: str = "",
        now: Callable[[], datetime] = _now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reader` must be the API server itself, not a cache; `compiled` gives the pipeline of a request, or raises InvalidInput.

        `image` is the installation's own.
        """
        self._client, self._reader, self._find, self._settings = client, reader, find, settings
        self._compiled, self._tracking_uri, self._image = compiled, tracking_uri, image
        self._deadline = duration(settings.deadline)
        self._now, self._monotonic = now, monotonic
        self._began = monotonic()
        self._posted: dict[str, float] = {}
        self._cancelled: set[str] = set()
        self._pinned: dict[tuple[str, PipelineVersion | None], tuple[Pinned, str]] = {}
        self._notes: dict[str, tuple[float, str, str]] = {}

    def submit(self, request: RunRequest) -> None:
        """Create the run unless it, or work of it, is there; raises Unavailable while that cannot be known."""
        run_id = run_id_of(request.release_uid, request.attempt)
        if self._client.run(run_id) is not None:
            return
        namespace = self._settings.namespace
        if self._settings.multi_user:
            namespace = request.model.metadata.namespace
        if self._workflows(run_id, namespace):
            msg = f"Kubeflow Pipelines has begun run {run_id} and does not list it; it is not started a second time"
            raise Unavailable(msg)
        self._wait_for_an_earlier_post(run_id)
        body = self._body(request, run_id)
        self._posted[run_id] = self._monotonic()
        try:
            self._client.create_run(body)
        except InvalidInput:
            self._posted.pop(run_id, None)
            self._pinned.clear()
            raise
        except Unavailable:
            self._pinned.clear()
            raise

    def state(self, release_uid: str, attempt: int) -> tuple[RunState, str]:
        """Whether the run is absent, active or ended; with an active one what keeps it waiting, with an ended one why it failed."""
        run_id = run_id_of(release_uid, attempt)
        namespace = self._namespace(release_uid)
        run = self._client.run(run_id)
        if run is None:
            return self._unlisted(run_id, namespace)
        said = reading.state_of(run)
        if said in reading.GOOD:
            return "ended", ""
        if said in reading.BAD:
            return "ended", self._fault(run, run_id, namespace)
        waits, never = self._note(run, run_id, namespace)
        if reading.overdue(run, self._now(), self._deadline) or never:
            self._end_overdue(run_id)
            return "ended", never or self._too_long(waits)
        if said == "CANCELING" and not self._workflows(run_id, namespace):
            return "ended", reading.CANCELLED
        return "active", waits

    def cancel(self, release_uid: str, attempt: int) -> None:
        """Ask for the run's end; nothing happens where there is none. It is active until its Workflow has ended."""
        run_id = run_id_of(release_uid, attempt)
        run = self._client.run(run_id)
        if run is None or reading.state_of(run) in (*reading.GOOD, *reading.BAD, "CANCELING"):
            return
        self._cancelled.add(run_id)
        self._client.terminate(run_id)

    def where(self, release_uid: str, attempt: int) -> str:
        """The run's page in the UI; empty where no UI is configured."""
        page = self._settings.page.rstrip("/")
        return f"{page}/#/runs/details/{run_id_of(release_uid, attempt)}" if page else ""

    # --- submitting ---

    def _wait_for_an_earlier_post(self, run_id: str) -> None:
        left = self._unanswered(run_id) or SETTLE.total_seconds() - (self._monotonic() - self._began)
        if left > 0:
            msg = (
                f"run {run_id} is posted in {left:.0f} s: a request of before may still be under way, and a second one would start it twice"
            )
            raise Unavailable(msg)

    def _unanswered(self, run_id: str) -> float:
        """For how many seconds more a POST of this process may be under way; zero where none is."""
        posted = self._posted.get(run_id, float("-inf"))
        return max(0.0, posted + SETTLE.total_seconds() - self._monotonic())

    def _body(self, request: RunRequest, run_id: str) -> dict[str, Any]:
        metadata = request.model.metadata
        scope = metadata.namespace if self._settings.multi_user else ""
        name = f"{metadata.namespace}/{metadata.name}"
        key = name, request.pipeline
        if key not in self._pinned:
            self._pinned[key] = ensure(self._client, self._compiled(request), scope), self._experiment(name, scope)
        pinned, experiment = self._pinned[key]
        reference = {"pipeline_id": pinned.pipeline_id, "pipeline_version_id": pinned.pipeline_version_id}
        config: dict[str, Any] = {"parameters": arguments(request, self._tracking_uri)}
        if self._settings.pipeline_root:
            config["pipeline_root"] = self._settings.pipeline_root
        body = {
            "run_id": run_id,
            "display_name": f"{request.release[:_LONGEST_NAME]}-{request.attempt}",
            "description": f"Release {metadata.namespace}/{request.release}, attempt {request.attempt}",
            "experiment_id": experiment,
            "pipeline_version_reference": reference,
            "runtime_config": config,
        }
        return {**body, "service_account": self._settings.service_account} if self._settings.service_account else body

    def _experiment(self, name: str, scope: str) -> str:
        try:
            return str(self._client.experiment(name, scope)["experiment_id"])
        except Conflict:
            return str(self._client.experiment(name, scope)["experiment_id"])

    # --- reading ---

    def _unlisted(self, run_id: str, namespace: str) -> tuple[RunState, str]:
        """The state of a run that the API does not know: its Workflow may run all the same, until it is found and removed."""
        workflows = self._workflows(run_id, namespace)
        if not workflows:
            return ("active", "its creation was not answered") if self._unanswered(run_id) > 0 else ("absent", "")
        live = [item for item in workflows if not reading.done(item)]
        if not live:
            failed = any(reading.phase_of(item) != "Succeeded" for item in workflows)
            return "ended", reading.reason({}, workflows, self._pods(run_id, namespace)) if failed else ""
        if all(reading.overdue(item, self._now(), self._deadline) for item in live):
            return "ended", self._too_long("Kubeflow Pipelines does not list it")
        return "active", "Kubeflow Pipelines has begun it and does not list it"

    def _fault(self, run: dict[str, Any], run_id: str, namespace: str) -> str:
        try:
            workflows = self._workflows(run_id, namespace)
            ended_by_somebody = run_id in self._cancelled or reading.was_terminated(workflows)
            if ended_by_somebody:
                return self._too_long() if reading.lasted(run) > self._deadline else reading.CANCELLED
            return reading.reason(run, workflows, self._pods(run_id, namespace))
        except InvalidInput as error:
            return f"Kubeflow Pipelines gives no reason, and its Workflow may not be read: {error}"

    def _note(self, run: dict[str, Any], run_id: str, namespace: str) -> tuple[str, str]:
        """What keeps the run waiting, and why it will never begin (empty while it may); looked up seldom."""
        at, said, never = self._notes.get(run_id, (float("-inf"), "", ""))
        if self._monotonic() - at < NOTE_SECONDS:
            return said, never
        try:
            workflows, pods = self._workflows(run_id, namespace), self._pods(run_id, namespace)
            said = reading.waiting(workflows, pods) if workflows else ""
            never = stuck([pod for pod in pods if not over(pod)], self._image, self._now())
            if not workflows and reading.overdue(run, self._now(), GONE_AFTER):
                said = "its Workflow is not to be seen; without one it reads RUNNING for ever"
        except (InvalidInput, Unavailable) as error:
            log.debug("run %s: what it waits for is not known: %s", run_id, error)
        self._notes[run_id] = self._monotonic(), said, never
        return said, never

    def _too_long(self, why: str = "") -> str:
        return f"the run did not end within {self._deadline}" + (f": {why}" if why else "")

    def _end_overdue(self, run_id: str) -> None:
        try:
            self._client.terminate(run_id)
        except (Unavailable, InvalidInput) as error:
            log.warning("run %s has to end and could not be ended: %s", run_id, error)

    def _workflows(self, run_id: str, namespace: str) -> Sequence[dict[str, Any]]:
        return self._reader.list(WORKFLOWS, namespace, f"{reading.RUN_LABEL}={run_id}")

    def _pods(self, run_id: str, namespace: str) -> Sequence[dict[str, Any]]:
        return self._reader.list(PODS, namespace, f"{reading.RUN_LABEL}={run_id}")

    def _namespace(self, release_uid: str) -> str:
        """Where the run's Workflow is; every namespace (empty) where the Release is gone and cannot say."""
        if not self._settings.multi_user:
            return self._settings.namespace
        found = self._find(release_uid)
        return found[0] if found else ""
