"""The loop's ports in memory: objects, runs that take data time and no wall time, and servers that do at once as they are told.

A canary needs requests that two versions share by weight, and errors and delays that real servers have. Rows have neither: a rollout
here is direct, and what judges a candidate is its gates before, and the paired losses of the bake after.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from trimtab.audit.record import AuditRecord
from trimtab.backtest.workshop import Ended, Made, Workshop
from trimtab.control.ports import Kind, RunRequest
from trimtab.errors import Conflict, InvalidInput
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.package import Package
from trimtab.platforms.pipeline import evaluation
from trimtab.release import (
    Agreement,
    Block,
    CandidateOutcome,
    Outcome,
    Outcomes,
    PairedLosses,
    Release,
    RunState,
    ServedVersion,
    ServingPlan,
)
from trimtab.retraining.newdata import Seen
from trimtab.spec import Champion, Model, PipelineVersion, Version

Clock = Callable[[], datetime]
Item = TypeVar("Item")


class MemoryObjects:
    """Objects and the decisions about Releases; one writer, so nothing conflicts but a name."""

    def __init__(self, clock: Clock) -> None:
        """`clock` is data time."""
        self._clock = clock
        self._items: dict[tuple[type, str, str], Any] = {}
        self._records: dict[str, AuditRecord] = {}

    def get(self, kind: type[Kind], namespace: str, name: str) -> Kind | None:
        """The object, or None."""
        found: Kind | None = self._items.get((kind, namespace, name))
        return found

    def all_of(self, kind: type[Kind]) -> list[Kind]:
        """All objects of the kind, in the order in which they were created."""
        return [item for (of, _, _), item in self._items.items() if of is kind]

    def create(self, item: Kind) -> Kind:
        """Keep it; raises Conflict where the name is taken."""
        key = (type(item), item.metadata.namespace, item.metadata.name)
        if key in self._items:
            msg = f"{item.metadata.name} exists already"
            raise Conflict(msg)
        metadata = replace(item.metadata, uid=item.metadata.uid or item.metadata.name, generation=1, creation_timestamp=self._clock())
        self._items[key] = replace(item, metadata=metadata)
        made: Kind = self._items[key]
        return made

    def write_status(self, item: Kind) -> Kind:
        """Keep the object with its new status."""
        self._items[(type(item), item.metadata.namespace, item.metadata.name)] = item
        return item

    def last(self, release: Release) -> AuditRecord | None:
        """The last record about the Release, or None."""
        return self._records.get(release.metadata.uid)

    def append(self, draft: AuditRecord, last: AuditRecord | None) -> AuditRecord:
        """Keep the draft as it is: nobody audits what was never lived."""
        del last
        self._records[draft.release_uid] = draft
        return draft


class Run(Struct, frozen=True):
    """A training run: when it ends (data time), what came of it, or why nothing did."""

    request: RunRequest
    until: datetime
    ended: Ended | None
    fault: str = ""


class MemoryRunner:
    """Runner and Registry: a run is made at once, and over when `lag` of data time has passed; the first one takes none."""

    def __init__(self, workshop: Workshop, clock: Clock, lag: timedelta) -> None:
        """Nothing was made yet."""
        self._workshop, self._clock, self._lag = workshop, clock, lag
        self.runs: dict[tuple[str, int], Run] = {}
        self.versions: dict[str, Made] = {}
        self.broken: Exception | None = None

    def submit(self, request: RunRequest) -> None:
        """Make the version. What no run could make leaves no outcome, as anywhere; a fault of ours is kept in `broken`."""
        champion = self.versions[request.champion.version] if request.champion else None
        until = self._clock() + (self._lag if champion else timedelta(0))
        mode: Any = evaluation(request)
        try:
            run = Run(request, until, self._workshop.make(request.cut, mode, champion))
        except InvalidInput as error:
            run = Run(request, until, None, str(error))
        except Exception as error:
            self.broken = error
            run = Run(request, until, None, f"{type(error).__name__}: {error}")
        self.runs[(request.release_uid, request.attempt)] = run

    def state(self, release_uid: str, attempt: int) -> tuple[RunState, str]:
        """Active until its data time has come."""
        run = self.runs.get((release_uid, attempt))
        if run is None:
            return "absent", ""
        return ("active", "") if self._clock() < run.until else ("ended", run.fault)

    def cancel(self, release_uid: str, attempt: int) -> None:
        """End it now."""
        run = self.runs[(release_uid, attempt)]
        self.runs[(release_uid, attempt)] = replace(run, until=min(run.until, self._clock()))

    def outcome(self, release_uid: str, attempt: int, run: str = "") -> Outcome | None:
        """What the run came to; a version gets its number when it is looked at first."""
        found = self.runs.get((release_uid, attempt))
        if found is None or found.ended is None or self._clock() < found.until:
            return None
        if found.ended.version is None:
            return found.ended.stopped
        number = next((name for name, made in self.versions.items() if made == found.ended.version), str(len(self.versions) + 1))
        self.versions[number] = found.ended.version
        return CandidateOutcome(number, found.ended.version.digest)

    def project(self, model: str, champion: Champion) -> None:
        """There is no alias."""

    def sign(self, model: Model, version: Version, release_uid: str) -> None:
        """There is no key."""

    def renew(self, model: Model, version: Version) -> None:
        """There is no key."""

    def fetch(self, model: str, version: Version) -> Path:
        """The version's folder."""
        return self.versions[version.version].folder

    def watched(self, version: Champion) -> WatchedVersion:
        """The version as the monitor knows it."""
        return WatchedVersion(version.version, version.digest, self.versions[version.version].folder)


class MemoryServing:
    """Serving and Traffic: what is applied is so at once, and nothing is counted."""

    def __init__(self) -> None:
        self._plan: ServingPlan | None = None

    def observe(self, model: Model) -> list[ServedVersion]:
        """The arms of the last plan."""
        arms = self._plan.arms if self._plan else ()
        return [ServedVersion(arm.version.version, ready=True, weight=arm.weight, mirrored=arm.mirrored) for arm in arms]

    def apply(self, plan: ServingPlan) -> None:
        """Take the plan for the world."""
        self._plan = plan

    def settled(self, plan: ServingPlan) -> bool:
        """Nothing is ever left to do."""
        return True

    def smoke(self, model: Model, version: Version) -> tuple[bool, str]:
        """There is no served protocol that could answer otherwise than the model."""
        return True, "nothing is served over a protocol here"

    def arms(self, model: Model, champion: str, candidate: str, slow_ms: int, cursor: dict[str, Any]) -> tuple[list[Block], dict[str, Any]]:
        """No traffic."""
        return [], cursor


class MemoryFleet:
    """The monitor's view of the one Model."""

    def __init__(self, objects: MemoryObjects, runner: MemoryRunner) -> None:
        """Both are only read."""
        self._objects, self._runner = objects, runner

    def watched(self) -> list[Watched]:
        """The Model with its champion, once there is one."""
        return [
            Watched(model, self._runner.watched(model.status.champion) if model.status.champion else None)
            for model in self._objects.all_of(Model)
        ]


class MemoryMonitor:
    """The loop's port to a monitor in this process; `losses` pairs two versions over the rows since a moment."""

    def __init__(
        self, watermark: Callable[[], datetime | None], quality: Callable[[], list[str]], losses: Callable[..., PairedLosses]
    ) -> None:
        """All three are asked anew each time."""
        self._watermark, self._quality, self._losses = watermark, quality, losses

    def watermark(self, model: Model) -> datetime | None:
        """The greatest event time so far."""
        return self._watermark()

    def paired(self, model: Model, champion: str, candidate: str, since: datetime) -> PairedLosses:
        """Losses of both on the rows after `since` whose labels are known."""
        return self._losses(champion, candidate, since)

    def agreement(self, model: Model, champion: str, candidate: str, since: datetime, difference: float) -> Agreement:
        """Nothing is asked copies here: every rollout is direct."""
        return Agreement()

    def outcomes(self, model: Model, champion: str, candidate: str, since: datetime) -> Outcomes:
        """Nothing: a backtest has no callers to split."""
        return Outcomes()

    def open_quality(self, model: Model) -> list[str]:
        """A sentence for each open quality finding."""
        return self._quality()


class MemoryPackages:
    """No pipeline is published: a life over old rows is made by the one that comes with Trimtab."""

    def published(self, name: str) -> list[PipelineVersion]:
        """None."""
        return []

    def fetch(self, version: PipelineVersion, keys: tuple[str, ...]) -> tuple[Path, Package]:
        """Raises InvalidInput."""
        msg = f"a backtest runs no pipeline {version}"
        raise InvalidInput(msg)


class MemoryPlaces:
    """No place is watched: rows of the past come by themselves, and nobody knows when they were written."""

    def look(self, model: Model) -> Seen | None:
        """Nothing."""
