"""The controller's work: looks at Models and their Releases, one Model at a time by one worker, and tells what came of it.

A Model and its Releases are one unit of work, and so are the roll-outs of pipelines in a namespace, so that each object has one writer.
What wakes a unit are the watches; how soon it is looked at again without being woken is what the loop says, and for a Model at rest
a minute.
"""

import logging
import random
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from msgspec.structs import replace

from trimtab.control.loop import Loop, key_of
from trimtab.errors import Conflict, InvalidInput, TrimtabError
from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.conditions import of_model, reason_of, reconciled, with_explainer
from trimtab.platforms.kubernetes.endpoints import Numbers
from trimtab.platforms.kubernetes.events import Recorder
from trimtab.platforms.kubernetes.lease import Lease
from trimtab.platforms.kubernetes.objects import FINALIZER, KubernetesObjects
from trimtab.platforms.kubernetes.ownership import explained
from trimtab.platforms.kubernetes.pipeline_rollouts import FLEET, FLEET_SECONDS, look_at_fleet, of_fleet
from trimtab.platforms.kubernetes.resources import ACTIONS, INFERENCE_SERVICES, MODELS, PIPELINE_ROLLOUTS, RELEASES, Resource
from trimtab.platforms.kubernetes.wiring import Wired
from trimtab.platforms.queue import WorkQueue
from trimtab.release import Phase, Release
from trimtab.retraining.history import active
from trimtab.rollout.rules.common import leaving
from trimtab.spec import Model, MonitoringSummary

log = logging.getLogger(__name__)

Unit = tuple[str, str]
Told = TypeVar("Told", Model, Release)
REST_SECONDS = 60.0
SUMMARY_SECONDS = 15.0
WORKERS = 4
STUCK_SECONDS = 300.0
UNTOLD_SECONDS = 5.0


class Work:
    """Takes units from the queue while the lease is held."""

    def __init__(
        self,
        loop: Loop,
        objects: KubernetesObjects,
        reader: Reader,
        lease: Lease,
        recorder: Recorder,
        numbers: Numbers,
        wired: Wired,
    ) -> None:
        """`wired` says how a Model is watched and where a run is looked at; asking may raise Unavailable."""
        self._loop, self._objects, self._reader, self._lease = loop, objects, reader, lease
        self._recorder, self._numbers, self._wired = recorder, numbers, wired
        self.queue: WorkQueue[Unit] = WorkQueue()
        self._admission = threading.Lock()
        self._summaries: dict[str, tuple[float, MonitoringSummary | None]] = {}
        self._told: dict[str, str] = {}
        self._began: dict[int, float] = {}

    def woken(self, resource: Resource, item: dict[str, Any]) -> None:
        """An object changed: its Model is to be looked at, or the roll-outs of its namespace, or both."""
        namespace, name, spec = item["metadata"].get("namespace", ""), item["metadata"]["name"], item.get("spec", {})
        if of_fleet(resource, spec):
            self.queue.add((namespace, FLEET), FLEET_SECONDS if resource == MODELS else 0.0)
        if resource == INFERENCE_SERVICES:
            name = explained(item) or name
        elif resource == RELEASES:
            name = spec.get("model", name)
        elif resource == ACTIONS:
            release = self._reader.get(RELEASES, namespace, spec.get("release", "")) if spec.get("release") else None
            name = release["spec"]["model"] if release else name
        if resource != PIPELINE_ROLLOUTS and not spec.get("pipelineRollout"):
            self.queue.add((namespace, name))

    def run(self) -> None:
        """Work until `stop`; returns when all workers have ended."""
        threads = [threading.Thread(target=self._work, name=f"worker-{number}") for number in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """Let every worker end after its present look."""
        self.queue.close()

    def stuck(self) -> str:
        """Why the controller should be started anew, or nothing."""
        oldest = min(self._began.values(), default=time.monotonic())
        seconds = time.monotonic() - oldest
        return f"a look has lasted {seconds:.0f} s" if seconds > STUCK_SECONDS else ""

    def _work(self) -> None:
        while (unit := self.queue.take()) is not None:
            self._began[threading.get_ident()] = time.monotonic()
            try:
                due = self.look(unit) if self._lease.held else 1.0
            except Exception:
                log.exception("%s/%s: a fault of ours; the others go on", *unit)
                due = 5.0
            finally:
                self._began.pop(threading.get_ident(), None)
            self.queue.done(unit)
            if due is not None:
                self.queue.add(unit, due)
            self._numbers.waiting.set(len(self.queue))

    def look(self, unit: Unit) -> float | None:
        """One look at a Model and its Releases; the seconds until the next, None where there is nothing left to look at."""
        self._numbers.looks.inc()
        if unit[1] == FLEET:
            return look_at_fleet(self._loop, self._objects, self._recorder, unit[0])
        model = self._model(unit)
        if model is not None:
            self._loop.tend(model)
        due = REST_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311 - spreads the looks
        under_way = [release for release in self._releases(unit) if not release.terminal]
        for release in under_way:
            due = min(due, self._live(release))
        model, releases = self._model(unit), self._releases(unit)
        if model is None:
            return due if under_way else None
        try:
            refused = self._tell(unit, model, releases)
        except Conflict:
            return 0.1
        except TrimtabError as error:
            log.info("%s/%s: its status could not be told: %s", *unit, error)
            return min(due, UNTOLD_SECONDS)
        if refused:
            due = min(due, UNTOLD_SECONDS)
        if key_of(model) in self._loop.problems or key_of(model) in self._loop.waits:
            due = min(due, 2.0)
        return min(due, SUMMARY_SECONDS) if model.status.champion else due

    def _live(self, release: Release) -> float:
        if release.status.phase is not Phase.PENDING:
            return self._loop.live(release)
        with self._admission:
            return self._loop.live(release)

    def _model(self, unit: Unit) -> Model | None:
        try:
            return self._objects.get(Model, *unit)
        except InvalidInput as error:
            log.warning("%s", error)
            return None

    def _releases(self, unit: Unit) -> list[Release]:
        return [one for one in self._objects.all_of(Release) if (one.metadata.namespace, one.spec.model) == unit]

    # --- telling ---

    def _tell(self, unit: Unit, model: Model, releases: Sequence[Release]) -> str:
        """Write what is known into conditions, and let a Model go of which nothing is out; returns why a status was refused, or nothing.

        While the status that would begin a Release is refused, the finalizer that went before it stays: each look would put it back.
        """
        out = any(active(release) and release.spec.model_uid == model.metadata.uid for release in releases)
        stuck = any(self._loop.problems.get(key_of(release)) for release in releases if not release.terminal) and not leaving(model)
        if FINALIZER in model.metadata.finalizers and not out and not stuck:
            self._objects.free(model)
            return ""
        now, key = datetime.now(UTC), key_of(model)
        problem, wait = self._loop.problems.get(key, ""), self._loop.waits.get(key, "")
        refused = ""
        for release in releases:
            refused = self._tell_release(release, now) or refused
            if not release.terminal:
                problem = problem or self._loop.problems.get(key_of(release), "")
                wait = wait or self._loop.waits.get(key_of(release), "")
        problem, wait = refused or problem, wait or self._wired.traffic_problem(model)
        serving = "" if leaving(model) or not model.status.champion else self._not_serving(unit)
        told = of_model(model, releases, serving=serving, problem=problem, wait=wait, monitoring=self._monitoring(unit, model), now=now)
        status = with_explainer(told, self._wired.explainer(model), model.metadata.generation, now)
        refused = self._write(model, replace(model, status=status), now) or refused
        problem = refused or problem
        if problem and self._told.get(model.metadata.uid) != problem:
            self._recorder.told(model, reason_of(problem, "Refused"), problem)
        self._told[model.metadata.uid] = problem
        return refused

    def _write(self, item: Told, told: Told, now: datetime) -> str:
        """Write the status that is told, if it is another one; where the API server refuses it, say that in a condition, and here why."""
        if told.status == item.status:
            return ""
        try:
            self._objects.write_status(told)
        except InvalidInput as error:
            log.info("%s: its status could not be told: %s", key_of(item), error)
            self._objects.say(item, reconciled(item.status.conditions, str(error), "", item.metadata.generation, now))
            return str(error)
        return ""

    def _tell_release(self, release: Release, now: datetime) -> str:
        """Why its status is refused, or nothing."""
        if release.terminal:
            return ""
        key = key_of(release)
        problem, wait = self._loop.problems.get(key, ""), self._loop.waits.get(key, "")
        conditions = reconciled(release.status.conditions, problem, wait, release.metadata.generation, now)
        run = release.status.run
        if release.status.phase in (Phase.TRAINING, Phase.COMPARING):
            run = self._wired.link(release) or run
        return self._write(release, replace(release, status=replace(release.status, conditions=conditions, run=run)), now)

    def _not_serving(self, unit: Unit) -> str:
        body = self._reader.get(INFERENCE_SERVICES, *unit)
        if body is None:
            return "the InferenceService does not exist"
        found = {one["type"]: one for one in body.get("status", {}).get("conditions", [])}
        ready = found.get("Ready", {})
        if ready.get("status") == "True":
            return ""
        return f"the InferenceService is not ready: {ready.get('message') or ready.get('reason') or 'it is starting'}"

    def _monitoring(self, unit: Unit, model: Model) -> MonitoringSummary | None:
        asked, known = self._summaries.get(model.metadata.uid, (-SUMMARY_SECONDS, None))
        if model.status.champion is None or leaving(model) or time.monotonic() - asked < SUMMARY_SECONDS:
            return known
        try:
            known = self._wired.summary(model)
        except TrimtabError as error:
            log.debug("%s/%s: %s", *unit, error)
        self._summaries[model.metadata.uid] = (time.monotonic(), known)
        return known
