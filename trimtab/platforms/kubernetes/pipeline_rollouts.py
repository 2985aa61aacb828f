"""The roll-outs of pipelines in a namespace as a unit of the controller's work: what wakes it, and one look."""

from typing import Any

from trimtab.control.loop import Loop
from trimtab.pipeline_rollout import PipelineRollout, RolloutPhase
from trimtab.platforms.kubernetes.events import Recorder
from trimtab.platforms.kubernetes.objects import KubernetesObjects
from trimtab.platforms.kubernetes.resources import MODELS, PIPELINE_ROLLOUTS, RELEASES, Resource
from trimtab.retraining.pipelines import on_a_channel
from trimtab.spec import Model

FLEET = ""
"""The name of the unit; no Model has it."""
FLEET_SECONDS = 1.0
"""How soon a Model's change wakes it: a fleet's Models change all the time."""


def of_fleet(resource: Resource, spec: dict[str, Any]) -> bool:
    """Whether a change of such an object may change a roll-out; where a Model left its channel, the next look sees it."""
    if resource == MODELS:
        return bool(spec.get("training", {}).get("pipeline", {}).get("channel"))
    if resource == RELEASES:
        return str(spec.get("request", {}).get("source", "")).startswith("/pipelinerollouts/")
    return resource == PIPELINE_ROLLOUTS or bool(spec.get("pipelineRollout"))


def look_at_fleet(loop: Loop, objects: KubernetesObjects, recorder: Recorder, namespace: str) -> float | None:
    """One look, which tells where a roll-out is in another phase; the seconds until the next, None where no Model may get a version."""
    before = {one.metadata.uid: one.status.phase for one in _rollouts(objects, namespace)}
    if not before and not any(one.metadata.namespace == namespace and on_a_channel(one) for one in objects.all_of(Model)):
        return None
    due = loop.fleet(namespace)
    for one in _rollouts(objects, namespace):
        if one.status.reason and before.get(one.metadata.uid) is not one.status.phase:
            kind = "Warning" if one.status.phase is RolloutPhase.HALTED else "Normal"
            recorder.told(one, one.status.reason, one.status.sentence, kind)
    return due


def _rollouts(objects: KubernetesObjects, namespace: str) -> list[PipelineRollout]:
    return [one for one in objects.all_of(PipelineRollout) if one.metadata.namespace == namespace]
