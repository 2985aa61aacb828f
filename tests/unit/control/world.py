"""A simulated world behind all ports of the loop: in memory, deterministic, on a clock that the test advances.

Calls of ports are numbered; `troubles` makes one fail (`unavailable` before, `unavailableAfter` it took effect) or kills the
loop at it (`crash`). After a crash `run` starts a new loop on what is stored, as a supervisor does.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tests.unit.control.adapters import (
    Ending,
    SimulatedMonitor,
    SimulatedPackages,
    SimulatedPlaces,
    SimulatedRegistry,
    SimulatedRunner,
)
from tests.unit.control.serving import SimulatedServing, SimulatedTraffic
from tests.unit.control.storage import Crash, MemoryObjects, Store, Trouble
from trimtab.audit.chain import verify
from trimtab.control.gather import Ports
from trimtab.control.loop import Loop
from trimtab.events import CloudEvent, Finding, finding_event
from trimtab.release import TERMINAL, ActionSpec, Phase, Release, ReleaseAction
from trimtab.spec import Bake, Data, Metadata, Model, ModelSpec, ModelStatus, Retraining, Rollout

START = datetime(2026, 3, 1, tzinfo=UTC)
DATA_START = datetime(2011, 7, 1, tzinfo=UTC)
SPEC = ModelSpec(
    task="regression",
    data=Data(uri="rows.csv", label="y"),
    rollout=Rollout(steps=(20, 50), bake=Bake(duration="2h")),
    retraining=Retraining(cooldown="1h", max_per_day=24),
)


class Behaviour(Struct):
    """What a version is like: how often it fails a request, its loss a row, on how many of 20 rows it predicts as others do, what its
    callers bring, and whether it can be served at all.
    """

    errors: float = 0.01
    loss: float = 1.0
    alike: int = 19
    outcome: float = 0.5
    starts: bool = True
    digest_ok: bool = True
    smoke_ok: bool = True


class World:
    """Everything that the loop sees and touches. One tick is `wall` seconds of wall time and `data` of data time."""

    def __init__(self, wall: float = 10.0, data: timedelta = timedelta(minutes=30)) -> None:
        self.now, self.data_now = START, DATA_START
        self.wall, self.data = timedelta(seconds=wall), data
        self.calls = self.made = 0
        self.troubles: dict[int, Trouble] = {}
        self.down: set[str] = set()
        self.silent: set[str] = set()
        self.endings: dict[str, Iterator[Ending]] = {}
        self.behaviours: dict[tuple[str, str], Behaviour] = {}
        self.pipelines: dict[str, Behaviour] = {}
        self.run_ticks, self.deploy_ticks, self.requests, self.traffic_on = 2, 2, 5_000, True
        self.outage = timedelta(0)
        self.store, self.objects = Store(self), MemoryObjects(self)
        self.runner, self.registry = SimulatedRunner(self), SimulatedRegistry(self)
        self.monitor, self.packages = SimulatedMonitor(self), SimulatedPackages(self)
        self.serving, self.traffic = SimulatedServing(self), SimulatedTraffic(self)
        self.places = SimulatedPlaces(self)
        parts = (self.objects, self.objects, self.runner, self.serving, self.traffic, self.registry, self.monitor)
        self.ports = Ports(*parts, self.packages, self.places)
        self.crashes = 0
        self.ended: set[str] = set()
        self.loop = self._new_loop()

    def _new_loop(self) -> Loop:
        return Loop(self.ports, lambda: self.now)

    # --- what the world is like ---

    def version(self, model: str, version: str) -> Behaviour:
        """What a version is like; all are the same unless the test says otherwise."""
        return self.behaviours.setdefault((model, version), Behaviour())

    # --- what people do ---

    def declare(self, name: str = "m", **spec: Any) -> Model:
        """A user applies a Model document."""
        return self.store.create(
            Model("trimtab.dev/v1alpha1", "Model", Metadata(name), replace(SPEC, **spec), ModelStatus(first_cut=DATA_START))
        )

    def model(self, name: str = "m") -> Model:
        return next(model for model in self.store.all_of(Model) if model.name == name)

    def edit(self, name: str = "m", **spec: Any) -> None:
        """A user applies a changed document."""
        found = self.model(name)
        self.store.edit(replace(found, spec=replace(found.spec, **spec)))

    def say(self, action: Any, release: str = "", user: str = "ada", **to: Any) -> ReleaseAction:
        """A person says a word on a Release, or on what else is named."""
        return self.store.create(ReleaseAction(Metadata(f"a{self.made + 1:04d}"), ActionSpec(action, user, release, **to)))

    def releases(self, model: str = "m") -> list[Release]:
        return [release for release in self.store.all_of(Release) if release.spec.model == model]

    def finding(self, window: int, kind: Any = "performance", name: str = "m") -> CloudEvent:
        """A finding of the monitor about the champion."""
        model = self.model(name)
        version = model.status.champion.version if model.status.champion else "1"
        now = self.data_now
        found = Finding(name, "default", model.metadata.uid, version, kind, window, now, now, now, "it is worse")
        return finding_event(found, "tests/monitor")

    # --- time ---

    def tick(self) -> None:
        """Time passes, and the world does what it was asked for."""
        before = self.now
        self.now, self.data_now = self.now + self.wall, self.data_now + self.data
        self.runner.tick()
        self.serving.tick(before, self.now)

    def step(self) -> float:
        """One pass of the loop; a crash is followed by a new loop, after the outage."""
        try:
            return self.loop.step()
        except Crash:
            self.crashes += 1
            self.restart(self.outage)
        return 0.0

    def restart(self, outage: timedelta) -> None:
        """The loop's process dies, and another one begins after the outage."""
        end = self.now + outage
        while self.now < end:
            self.tick()
        self.loop = self._new_loop()

    def run(self, until: Callable[[], bool] | None = None, ticks: int = 400) -> int:
        """Steps and ticks until the condition holds (that all has ended, if none is given); fails where it never does."""
        done = until or self.quiet
        for count in range(ticks):
            if done():
                return count
            self.step()
            self.check()
            self.tick()
        story = [(release.name, release.status.phase, release.status.reason) for release in self.store.all_of(Release)]
        msg = f"after {ticks} ticks it was still not so; {story}"
        raise AssertionError(msg)

    def quiet(self) -> bool:
        """Whether every Model has a Release and every Release has ended."""
        releases = self.store.all_of(Release)
        asked = {release.spec.model for release in releases}
        return all(model.name in asked for model in self.store.all_of(Model)) and all(release.terminal for release in releases)

    def phase(self, release: str) -> Phase:
        return next(found.status.phase for found in self.store.all_of(Release) if found.name == release)

    # --- what must always hold ---

    def check(self) -> None:
        """The invariants of every moment between two passes."""
        assert verify(self.store.chain()) is None, verify(self.store.chain())
        releases = self.store.all_of(Release)
        for model in self.store.all_of(Model):
            mine = [release for release in releases if release.spec.model_uid == model.metadata.uid]
            under_way = [one for one in mine if one.status.phase not in (*TERMINAL, Phase.PENDING) and one.status.admitted_at]
            assert len(under_way) <= 1, "one active Release a Model"
        for release in releases:
            self._check(release)

    def _check(self, release: Release) -> None:
        records = self.store.records(release.name)
        said = [(record.phase, record.weight, record.reason, record.sentence, record.champion, record.word) for record in records]
        assert all(one != other for one, other in pairwise(said)), "a decision is recorded once, whatever crashes"
        known = {record.hash for record in records}
        assert all(record.hash in known for record in release.status.decisions), "the ledger is ahead of the status"
        if release.terminal:
            assert not any(uid == release.metadata.uid for uid, _ in self.runner.runs), "a run is going"
        if release.terminal and release.name not in self.ended:
            self.ended.add(release.name)
            self._check_gone(release)

    def _check_gone(self, release: Release) -> None:
        """A version that only this ended Release speaks for is not served any more."""
        model = next((model for model in self.store.all_of(Model) if model.metadata.uid == release.spec.model_uid), None)
        if model is None or release.status.candidate is None or release.status.phase is Phase.PROMOTED:
            return
        others = [other.status for other in self.store.all_of(Release) if not other.terminal]
        spoken_for = [model.status.champion, *(status.candidate for status in others), *(status.compared_with for status in others)]
        if release.status.candidate.version not in {version.version for version in spoken_for if version}:
            assert release.status.candidate.version not in self.serving.site(model.name).servers, "a candidate is served after the end"

    def check_rest(self) -> None:
        """What holds once all is quiet: the champion alone is served and vouched for, the alias points at it, and no run is going."""
        assert self.quiet()
        assert not self.runner.runs
        for model in self.store.all_of(Model):
            champion = model.status.champion
            site = self.serving.site(model.name)
            assert list(site.servers) == ([champion.version] if champion else [])
            assert site.weights == ({champion.version: 100} if champion else {})
            assert site.mirror == ""
            assert self.registry.aliases.get(model.name) == (champion.version if champion else None)
            assert champion is None or model.name in {name for name, _ in self.registry.renewed}
