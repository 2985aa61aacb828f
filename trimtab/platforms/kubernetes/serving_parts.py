"""What the serving adapter is made of beside its steps: what it may be told, what it keeps, and which versions it knows."""

from typing import Any, Protocol

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.api import Reader
from trimtab.platforms.kubernetes.isvc import Shape, versions
from trimtab.platforms.kubernetes.ownership import intruder
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
    """What an installation may choose: the (Cluster)ServingRuntime, and how a Service in the cluster is reached."""

    runtime: str = "trimtab"
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


def known_versions(plan: ServingPlan, live: dict[str, Any] | None) -> dict[str, Version]:
    """The versions of the plan and of the InferenceService; one that is served with another digest is an error, unless it was put there."""
    found = versions(live)
    for arm in plan.arms:
        there = found.get(arm.version.version)
        if live and there and there.digest != arm.version.digest and not intruder(live):
            msg = f"version {there.version!r} of {plan.model.name!r} is served with digest {there.digest[:12]}, asked is "
            msg += f"{arm.version.digest[:12]}: a version never changes"
            raise InvalidInput(msg)
        found[arm.version.version] = Version(arm.version.version, arm.version.digest)
    return found
