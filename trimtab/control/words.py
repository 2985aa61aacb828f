"""What people said to a Release or a PipelineRollout, read for the loop that hears it and for the commands that say more."""

from trimtab.control.ports import Objects
from trimtab.pipeline_rollout import PipelineRollout
from trimtab.release import Release, ReleaseAction


def said_to(objects: Objects, item: Release | PipelineRollout) -> tuple[ReleaseAction, ...]:
    """What people said to it, in the order in which they said it.

    Times may be told in whole seconds; within one the resource version tells the order, which grows with each object that is made
    (Kubernetes API concepts). What was said before it existed was said to another one of its name.
    """
    born = item.metadata.creation_timestamp
    found = [action for action in objects.all_of(ReleaseAction) if _to(action, item)]
    since = [action for action in found if not born or not action.metadata.creation_timestamp or action.metadata.creation_timestamp >= born]
    return tuple(sorted(since, key=_order))


def _to(action: ReleaseAction, item: Release | PipelineRollout) -> bool:
    name = action.spec.release if isinstance(item, Release) else action.spec.pipeline_rollout
    return (name, action.metadata.namespace) == (item.name, item.metadata.namespace)


def _order(action: ReleaseAction) -> tuple[float, int, str]:
    metadata = action.metadata
    at = metadata.creation_timestamp.timestamp() if metadata.creation_timestamp else 0.0
    return at, int(metadata.resource_version) if metadata.resource_version.isdigit() else 0, metadata.name
