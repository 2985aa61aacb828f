"""What the serving adapter is made of beside its steps: what it may be told, what it keeps, and what a plan asks of what is there."""

from typing import Any, Protocol

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.isvc import Shape, shape, versions
from trimtab.platforms.kubernetes.ownership import intruder, predecessor, refusal, stranger
from trimtab.platforms.kubernetes.resources import Resource
from trimtab.release import ServingPlan
from trimtab.spec import Version


class Writer(Reader, Protocol):
    """The API server, as far as serving writes to it."""

    def apply(self, resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply of our fields."""

    def delete(self, resource: Resource, namespace: str, name: str) -> None:
        """Delete it; nothing where it is gone."""


class Settings(Struct, frozen=True):
    """What an installation may choose: the (Cluster)ServingRuntimes, and how a Service in the cluster is reached."""

    runtime: str = "trimtab"
    explainer_runtime: str = "trimtab-explainer"
    service_url: str = "http://{service}.{namespace}.svc:80"


class Memory(Struct):
    """What is kept of one InferenceService between two looks."""

    route: tuple[str, dict[str, int]] = ("", {})
    route_since: float = 0.0
    applied: Shape | None = None
    sent: dict[str, Any] = {}
    generation: int = 0
    reverted: float | None = None
    swept: bool = False


class Aim(Struct, frozen=True):
    """What a plan asks of an InferenceService that is there, or of none.

    `wanted` has the percents by version, the one to be stable first; `known` are the versions that can be made. `present` is what is
    there, None where it is nothing that can be moved. `kept` is its stable predictor where that was here before the Model: as long as
    it is the stable one, it stays as it is.
    """

    wanted: dict[str, int]
    known: dict[str, Version]
    present: Shape | None = None
    kept: str = ""


def aim(plan: ServingPlan, live: dict[str, Any] | None) -> Aim | None:
    """What to move towards; None while a predecessor serves and no version of ours is to stand beside it.

    A predecessor has what the plan leaves until there is a champion, and is then replaced as one version is by the next. Raises
    InvalidInput where what is there is not to be touched, or a version of the plan cannot be served.
    """
    model, present = plan.model, shape(live)
    if live is not None and (why := refusal(live, model)):
        raise InvalidInput(why)
    known = _known(plan, live)
    wanted = {arm.version.version: arm.weight for arm in plan.arms}
    if live is None or present is None:
        return Aim(wanted, known)
    if not predecessor(live, model) or present.stable in wanted:
        return Aim(wanted, known, present if present.declared.keys() <= known.keys() else None)
    if not wanted and stranger(live, model):
        return None
    if model.status.champion is None:
        wanted = {present.stable: 100 - sum(wanted.values()), **wanted}
    return Aim(wanted, known, present, kept=present.stable)


def _known(plan: ServingPlan, live: dict[str, Any] | None) -> dict[str, Version]:
    """The versions of the plan and of the InferenceService; one that is served with another digest is an error, unless it was put there."""
    found, model = versions(live), plan.model
    taken = shape(live) if live and predecessor(live, model) else None
    for arm in plan.arms:
        version = arm.version.version
        there = found.get(version)
        if taken and there is None and version == taken.stable:
            msg = f"the predictor 'v{version}' that serves as InferenceService {model.metadata.namespace}/{model.name} is not version "
            msg += f"{version!r} of the Model, and no two predictors have one name; ask for another Release, whose version has another"
            raise InvalidInput(msg)
        if live and there and there.digest != arm.version.digest and not intruder(live, model):
            msg = f"version {version!r} of {model.name!r} is served with digest {there.digest[:12]}, asked is "
            msg += f"{arm.version.digest[:12]}: a version never changes"
            raise InvalidInput(msg)
        found[version] = Version(version, arm.version.digest)
    return found
