"""Runs, registered versions and the monitor, simulated: deterministic, on the world's clock."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from tests.unit.control.storage import Part, port
from trimtab.control.ports import RunRequest
from trimtab.errors import InvalidInput
from trimtab.package import Package, in_order
from trimtab.release import (
    Agreement,
    ArmOutcomes,
    CandidateOutcome,
    InvalidDataOutcome,
    Outcome,
    Outcomes,
    PairedLosses,
    RejectedOutcome,
    Release,
    RunState,
)
from trimtab.retraining.newdata import Seen, place_of, watch_of
from trimtab.spec import Champion, Model, PipelineVersion, Version

if TYPE_CHECKING:
    from tests.unit.control.world import World

Ending = Literal["candidate", "rejected", "invalidData", "fault", "vanish", "hang"]
LONG_RUN = 1_000_000


class Run(Struct):
    """A training run: how many ticks it still takes, and how it will end."""

    request: RunRequest
    left: int
    ending: Ending


class SimulatedRunner(Part):
    """Runs take some ticks and end as the world's plan for their Model says."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.runs: dict[tuple[str, int], Run] = {}
        self.ended: dict[tuple[str, int], str] = {}
        self.submitted: list[tuple[str, int]] = []
        self.requests: list[RunRequest] = []

    @port
    def submit(self, request: RunRequest) -> None:
        key = (request.release_uid, request.attempt)
        msgspec.json.decode(msgspec.json.encode(request), type=RunRequest)
        if key in self.runs or key in self.ended or self.world.registry.written(*key):
            return
        self.submitted.append(key)
        self.requests.append(request)
        ending: Ending = "candidate" if request.compare_only else next(self.world.endings.get(request.model.name, iter(())), "candidate")
        self.runs[key] = Run(request, LONG_RUN if ending == "hang" else self.world.run_ticks, ending)

    @port
    def state(self, release_uid: str, attempt: int) -> tuple[RunState, str]:
        key = (release_uid, attempt)
        if key in self.runs:
            return "active", ""
        return ("ended", self.ended[key]) if key in self.ended else ("absent", "")

    @port
    def cancel(self, release_uid: str, attempt: int) -> None:
        if self.runs.pop((release_uid, attempt), None):
            self.ended[(release_uid, attempt)] = "cancelled"

    def tick(self) -> None:
        for key, run in list(self.runs.items()):
            run.left -= 1
            if run.left <= 0:
                del self.runs[key]
                self._end(key, run)

    def _end(self, key: tuple[str, int], run: Run) -> None:
        if run.ending == "vanish":
            return
        self.ended[key] = "out of memory" if run.ending == "fault" else ""
        compared = run.request.champion.version if run.request.champion else ""
        if run.ending == "rejected":
            self.world.registry.outcomes[key] = RejectedOutcome("rmse", 12.0, 11.0, (11.5, 12.5))
        elif run.ending == "invalidData":
            self.world.registry.outcomes[key] = InvalidDataOutcome(("no rows",))
        elif run.ending == "candidate":
            version = run.request.compare_only or self.world.registry.register(run.request.model.metadata.name)
            self._take_after(run.request, version)
            self.world.registry.outcomes[key] = CandidateOutcome(
                version.version, version.digest, {"rmse": 1.0}, compared, "" if run.request.compare_only else f"rows-{key[0]}"
            )

    def _take_after(self, request: RunRequest, version: Version) -> None:
        """A version is as the pipeline that made it makes them."""
        release = self.world.store.get(Release, request.model.metadata.namespace, request.release)
        made = self.world.pipelines.get(str(release.status.pipeline)) if release else None
        if made and not request.compare_only:
            self.world.behaviours[(request.model.name, version.version)] = made


class SimulatedPackages(Part):
    """Pipelines by name, as they were published."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.versions: list[PipelineVersion] = []
        self.strange: set[str] = set()
        """The versions that nobody signed whom a Model believes."""
        self.asked, self.fetched = 0, 0
        self.kept: set[PipelineVersion] = set()

    @port
    def published(self, name: str) -> list[PipelineVersion]:
        self.asked += 1
        return in_order(one for one in self.versions if one.name == name)

    def fetch(self, version: PipelineVersion, keys: tuple[str, ...]) -> tuple[Path, Package]:
        """What was fetched once is on the disk."""
        if version not in self.kept:
            self._download(version, keys)
        return Path(), Package(version.name, version.version, "c0ffee", f"images/{version.name}:{version.version}", {}, {}, {}, "0.1.0")

    @port
    def _download(self, version: PipelineVersion, keys: tuple[str, ...]) -> None:
        self.fetched += 1
        if version.version in self.strange:
            msg = f"PackageRefused: none of the {len(keys)} keys that the Model believes signed the package {version}"
            raise InvalidInput(msg)
        self.kept.add(version)


class SimulatedRegistry(Part):
    """Versions, outcomes and the alias."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.outcomes: dict[tuple[str, int], Outcome] = {}
        self.by_hand: dict[str, Outcome | None] = {}
        self.aliases: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.signed: set[tuple[str, str, str]] = set()
        self.renewed: set[tuple[str, str]] = set()

    def register(self, model: str) -> Version:
        """A new version of a Model."""
        self.versions[model] = self.versions.get(model, 0) + 1
        return Version(str(self.versions[model]), f"{self.versions[model]:064d}")

    def written(self, release_uid: str, attempt: int) -> bool:
        return (release_uid, attempt) in self.outcomes

    @port
    def outcome(self, release_uid: str, attempt: int, run: str = "") -> Outcome | None:
        if run and run not in self.by_hand:
            msg = f"there is no run {run!r}"
            raise InvalidInput(msg)
        return self.by_hand[run] if run else self.outcomes.get((release_uid, attempt))

    @port
    def project(self, model: str, champion: Champion) -> None:
        self.aliases[model] = champion.version

    @port
    def renew(self, model: Model, version: Version) -> None:
        self.renewed.add((model.name, version.version))

    @port
    def sign(self, model: Model, version: Version, release_uid: str) -> None:
        self.signed.add((model.name, version.version, release_uid))

    @port
    def fetch(self, model: str, version: Version) -> Path:
        raise NotImplementedError


class SimulatedMonitor(Part):
    """A watermark that advances with the world, paired losses of the versions' own, and quality findings."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.quality: dict[str, list[str]] = {}
        self.knows = True
        self.clip = 4.0

    @port
    def watermark(self, model: Model) -> datetime | None:
        return self.world.data_now if self.knows and model.name else None

    @port
    def paired(self, model: Model, champion: str, candidate: str, since: datetime) -> PairedLosses:
        rows = int((self.world.data_now - since) / timedelta(minutes=1)) if self.knows else 0
        wave = [((7919 * row) % 101) / 101 for row in range(min(rows, 400))]
        one, other = self.world.version(model.name, champion), self.world.version(model.name, candidate)
        return PairedLosses(tuple(one.loss + part for part in wave), tuple(other.loss + part for part in wave), clip=self.clip)

    @port
    def agreement(self, model: Model, champion: str, candidate: str, since: datetime, difference: float) -> Agreement:
        """Both score 20 rows a minute; the versions' own `alike` says how many of 20 they agree on."""
        rows = int((self.world.data_now - since) / timedelta(minutes=1)) * 20 if self.knows else 0
        alike = min(self.world.version(model.name, version).alike for version in (champion, candidate))
        return Agreement(tuple(row % 20 < alike for row in range(min(rows, 2000))), difference)

    @port
    def outcomes(self, model: Model, champion: str, candidate: str, since: datetime) -> Outcomes:
        minutes = max(0.0, (self.world.data_now - since) / timedelta(minutes=1)) if self.knows else 0.0
        arms = [self._arm(model, version, minutes) for version in (champion, candidate)]
        return Outcomes(*arms, spread=0.25, kurtosis=1.0, until=self.world.data_now) if all(arm.callers for arm in arms) else Outcomes()

    def _arm(self, model: Model, version: str, minutes: float) -> ArmOutcomes:
        callers = int(minutes * 10)
        mean = self.world.version(model.name, version).outcome
        return ArmOutcomes(callers, callers, mean, 0.25 / callers) if callers else ArmOutcomes()

    @port
    def open_quality(self, model: Model) -> list[str]:
        return list(self.quality.get(model.name, []))


class SimulatedPlaces(Part):
    """One watched place, which holds `rows` rows; it is looked at whenever the loop asks, unless it was at that very moment."""

    def __init__(self, world: "World") -> None:
        super().__init__(world)
        self.rows = 1000
        self.mark = ""

    @port
    def look(self, model: Model) -> Seen | None:
        found = watch_of(model)
        return Seen(place_of(*found), self.mark or str(self.rows), self.rows, self.world.now) if found else None
