"""A new version of a pipeline comes to a fleet of real processes: what is bad ends at few Models, and is served beyond no canary.

FLEET Models on one laptop: runs, predictors, gateway and registry are the real ones, and callers ask every Model all the while. The
pipelines are Trimtab's own, published and signed; what is bad of a version is planted into the predictors of what it made, for its
gates must not see it. The tests of this file are one story in their order.
"""

import json
import os
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from pipelines import IR
from tests.local.crowd import Crowd
from tests.local.laptop import FREE_PORTS, Laptop, write_rows
from tests.local.test_candidates import PLANTED
from tests.unit.platforms.test_packages import a_key, a_package
from trimtab.documents import read_model
from trimtab.pipeline_rollout import PipelineRollout, RolloutPhase
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.platforms.packages import MlflowPackages
from trimtab.release import BAD_ENDS, TERMINAL, Phase, Release
from trimtab.retraining.fleet import bound
from trimtab.spec import Model, ModelStatus

FLEET = int(os.environ.get("FLEET", "2"))
DOCUMENT = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {name: NAME}
spec:
  task: regression
  data: {uri: rows.csv, time: at, key: id, label: load, labelDelay: 6h, history: 25d}
  rollout:
    steps: [20, 50]
    guard: {errors: {margin: "+0.10"}, slow: {threshold: 2500ms, margin: "+0.20"}}
    bake: {duration: 0s}
  retraining: {"on": [], cooldown: 0s}
  training: {pipeline: {name: churn, channel: stable}}
  pipelinePolicy:
    keys:
    - |
"""
OLD, HARMFUL, TREACHEROUS, GOOD = "1.3.0", "1.4.0", "1.5.0", "1.6.0"
"""TREACHEROUS is as good as any at the first two Models, and harmful at all others."""
EACH_SECONDS = 90.0
pytestmark = pytest.mark.timeout(300 + EACH_SECONDS * FLEET)
SLACK_SECONDS = 1.0
"""How long after a verdict the gateway may still be told of it."""


class Fleet:
    """The Models of one laptop, the packages they get, and callers once all are up."""

    crowd: Crowd

    def __init__(self, laptop: Laptop, key: Path, trigger: Path) -> None:
        self.laptop, self.key, self.trigger = laptop, key, trigger
        self.state = State(laptop.state)
        self.names = [f"m{number}" for number in range(FLEET)]
        self.state.prepare()
        self.objects = SqliteObjects(self.state.database)

    def publish(self, version: str) -> None:
        """What CI does with a commit; a version's package differs from another's by the source commit."""
        made = a_package(self.laptop.folder / version, version, IR.read_text(), commit=version)
        MlflowPackages(self.state.tracking_uri, self.laptop.folder / "ci").publish(made, self.key)

    def up(self, document: str) -> None:
        """The first Model by `trimtab local up`, the others beside it; ends when each has a champion."""
        for name in self.names:
            (self.laptop.folder / f"{name}.yaml").write_text(document.replace("NAME", name))
        self.laptop.run("local", "up", "m0.yaml", "--from", "2026-02-01T00:00:00", *FREE_PORTS)
        (first,) = self.objects.all_of(Model)
        for name in self.names[1:]:
            model = read_model(self.laptop.folder / f"{name}.yaml")
            self.objects.create(replace(model, status=ModelStatus(first_cut=first.status.first_cut)))
        self.laptop.wait("a champion of each", lambda: all(self.champions().values()) and len(self.champions()) == FLEET, 60 * FLEET)

    def callers(self) -> Crowd:
        """New callers of all Models."""
        port = urlsplit(self.state.endpoints["inference"]).port
        assert port
        return Crowd(port, self.names)

    def champions(self) -> dict[str, str]:
        """Each Model's name, and the pipeline's version that made its champion."""
        models = self.objects.all_of(Model)
        champions = {one.name: one.status.champion for one in models}
        return {name: one.pipeline.version if one and one.pipeline else "" for name, one in champions.items()}

    def rollout(self, version: str) -> PipelineRollout | None:
        return next((one for one in self.objects.all_of(PipelineRollout) if one.spec.pipeline.version == version), None)

    def tried(self, version: str) -> list[Release]:
        """The Releases by which Models try the version."""
        return [one for one in self.objects.all_of(Release) if one.spec.request.pipeline and one.spec.request.pipeline.version == version]

    def until(self, version: str, *phases: RolloutPhase, also: Callable[[], bool] = lambda: False) -> PipelineRollout:
        """The roll-out once it is in one of the phases, or `also`; its promise holds at every look."""

        def look() -> PipelineRollout | None:
            rollout, tried = self.rollout(version), self.tried(version)
            under_way = [one for one in tried if one.status.phase not in TERMINAL]
            bad = [one for one in tried if one.status.phase in BAD_ENDS]
            if rollout:
                assert len(under_way) + len(bad) <= bound(rollout.spec, FLEET), [(one.name, one.status.phase) for one in tried]
            self.crowd.eager = tuple(one.spec.model for one in under_way if one.status.phase is Phase.ROLLOUT)
            return rollout if rollout and (rollout.status.phase in phases or also()) else None

        found: PipelineRollout = self.laptop.wait(f"{version} as {phases}", look, 60 + EACH_SECONDS * FLEET)
        return found

    def served_in_its_canary_only(self, version: str) -> int:
        """How many answers the bad Releases' candidates gave, each of them while the Release was in its canary."""
        answered = 0
        for one in self.tried(version):
            if one.status.phase not in BAD_ENDS:
                continue
            assert one.status.candidate
            began = next(said.at for said in one.status.decisions if said.weight)
            ended = one.status.decisions[-1].at + timedelta(seconds=SLACK_SECONDS)
            mine = [said for said in self.crowd.asked if (said.model, said.version) == (one.spec.model, one.status.candidate.version)]
            assert mine, "its canary had no request: that says nothing"
            assert all(began.timestamp() <= said.at <= ended.timestamp() for said in mine), f"{one.name}: {began} to {ended}"
            answered += len(mine)
        return answered


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    write_rows(folder / "rows.csv", 1400)
    key, public = a_key(folder, "ci")
    trigger = folder / "trigger"
    made = Fleet(Laptop(folder), key, trigger)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(PLANTED))
        patch.setenv("PLANTED", json.dumps({f"churn {version}": "errors" for version in (HARMFUL, TREACHEROUS)}))
        patch.setenv("TRIGGER", str(trigger))
        try:
            made.publish(OLD)
            made.up(DOCUMENT + textwrap.indent(public, "      "))
            with closing(made.callers()) as made.crowd:
                yield made
        finally:
            made.objects.close()
            made.laptop.end()


def test_what_is_bad_everywhere_ends_at_the_first_model(fleet: Fleet, record_property: Callable[[str, object], None]) -> None:
    fleet.trigger.touch()
    fleet.publish(HARMFUL)
    halted = fleet.until(HARMFUL, RolloutPhase.HALTED)
    (bad,) = fleet.tried(HARMFUL)
    assert bad.status.phase is Phase.ROLLED_BACK, bad.status.sentence
    assert bad.name in halted.status.sentence
    assert set(fleet.champions().values()) == {OLD}
    answered = fleet.served_in_its_canary_only(HARMFUL)
    record_property("table", told("bad at all", halted, answered, fleet))


@pytest.mark.long
def test_what_is_bad_at_most_is_halted_after_a_tenth_and_one(fleet: Fleet, record_property: Callable[[str, object], None]) -> None:
    fleet.trigger.unlink()
    fleet.publish(TREACHEROUS)
    good = min(2, FLEET - 1)

    def promoted() -> list[str]:
        return [one.spec.model for one in fleet.tried(TREACHEROUS) if one.status.phase is Phase.PROMOTED]

    fleet.until(TREACHEROUS, RolloutPhase.HALTED, also=lambda: len(promoted()) >= good)
    spared = promoted()
    fleet.trigger.write_text("\n".join(name for name in fleet.names if name not in spared))
    halted = fleet.until(TREACHEROUS, RolloutPhase.HALTED)
    fleet.until(TREACHEROUS, also=lambda: all(one.status.phase in TERMINAL for one in fleet.tried(TREACHEROUS)))
    bad = [one for one in fleet.tried(TREACHEROUS) if one.status.phase in BAD_ENDS]
    assert 1 <= len(bad) <= bound(halted.spec, FLEET)
    assert {one.status.phase for one in bad} == {Phase.ROLLED_BACK}, [one.status.sentence for one in bad]
    champions = fleet.champions()
    assert {name for name, version in champions.items() if version == TREACHEROUS} == set(promoted())
    answered = fleet.served_in_its_canary_only(TREACHEROUS)
    record_property("table", told(f"bad at all but {len(promoted())}", halted, answered, fleet))


@pytest.mark.long
def test_what_is_good_comes_to_all_and_no_caller_notices(fleet: Fleet, record_property: Callable[[str, object], None]) -> None:
    before = len(fleet.crowd.asked)
    fleet.publish(GOOD)
    complete = fleet.until(GOOD, RolloutPhase.COMPLETE, RolloutPhase.HALTED)
    assert complete.status.phase is RolloutPhase.COMPLETE, complete.status.sentence
    assert set(fleet.champions().values()) == {GOOD}
    failed = Counter(one.code for one in fleet.crowd.asked[before:])
    assert set(failed) == {200}, failed
    fleet.laptop.chain_is_whole()
    record_property("table", told("good", complete, 0, fleet))


def told(what: str, rollout: PipelineRollout, answered: int, fleet: Fleet) -> str:
    """A line for the table."""
    counts, codes = rollout.status.counts, Counter(one.code for one in fleet.crowd.asked)
    return (
        f"{what:20}{rollout.status.phase:12}{counts.done:3} of {counts.models} have it, {counts.bad} bad of at most "
        f"{bound(rollout.spec, counts.models)}; its bad candidates answered {answered} requests; all requests so far: {dict(codes)}"
    )
