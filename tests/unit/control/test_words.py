"""What people say while the loop lives, is killed and begins anew: each word is heard once, in its order, and moves only what it may."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.control.chaos import Said
from tests.unit.control.stories import asked_for, at_weight, newest, under_way
from tests.unit.control.world import DATA_START, SPEC, World
from trimtab.actions import Word
from trimtab.audit.record import AuditRecord
from trimtab.cli import saying
from trimtab.control.intake import release_for
from trimtab.control.loop import Loop
from trimtab.errors import InvalidInput
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.release import TERMINAL, Phase, Release, Request
from trimtab.spec import ApprovalPolicy, Metadata, Model, ModelStatus

FEW = settings(max_examples=25, derandomize=True, database=None, deadline=None)


class Beat(NamedTuple):
    """What happens before some ticks pass: words that are said at once, and what befalls the loop or the candidate."""

    words: tuple[Said, ...]
    trouble: str
    ticks: int


SAID = st.sampled_from(
    [*(Said(word) for word in get_args(Word)), *(Said("promote", step) for step in (1, 2, 3)), Said("promote", full=True)]
)
KIND = st.sampled_from([Said("pause"), Said("pause"), Said("resume"), Said("promote"), Said("promote", 2), Said("promote", full=True)])
TROUBLE = st.sampled_from(["", "", "crash", "unavailable", "unavailableAfter", "down", "slow", "forgotten"])
LIVES = st.lists(st.builds(Beat, st.lists(st.one_of(KIND, KIND, SAID), max_size=3).map(tuple), TROUBLE, st.integers(1, 3)), max_size=8)


def befall(world: World, trouble: str) -> None:
    """One trouble of a beat."""
    if trouble == "down" and "2" in world.serving.site("m").servers:
        world.serving.site("m").servers["2"].down = 2
    elif trouble == "slow":
        world.traffic_on = not world.traffic_on
    elif trouble == "forgotten":
        world.restart(timedelta(minutes=2))
    elif trouble:
        world.troubles[world.calls + 4] = trouble  # type: ignore[assignment]


def end(world: World) -> None:
    """Time passes faster after a while, so that what is paused ends too."""
    for _ in range(20):
        world.step()
        world.tick()
    world.wall = timedelta(hours=6)
    world.run()


def live(world: World, beats: list[Beat]) -> list[str]:
    """The beats, one after the other; the names of the words that were said while the Release could still hear."""
    said = []
    for beat in beats:
        for word in beat.words:
            if newest(world).status.phase not in (*TERMINAL, Phase.WITHDRAWING):
                said.append(world.say(word.word, newest(world).name, step=word.step, full=word.full).metadata.name)
        befall(world, beat.trouble)
        for _ in range(beat.ticks):
            world.step()
            world.check()
            world.tick()
    return said


@FEW
@given(LIVES)
def test_each_word_is_heard_once_in_its_order_and_a_pause_keeps_the_weight(beats: list[Beat]) -> None:
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    said = live(world, beats)
    world.troubles.clear()
    world.traffic_on = True
    end(world)
    records = world.store.records(newest(world).name)
    heard = [record.word for record in records if record.word]
    unheard = said[len(heard) :]
    assert heard == said[: len(heard)], "in the order in which they were said, each once"
    assert not unheard or newest(world).terminal, "what was not heard came when it had ended"
    assert_moves(records)


def assert_moves(records: list[AuditRecord]) -> None:
    """Read as an auditor reads: who moved what, and what no word may move."""
    stands: AuditRecord | None = None
    reached = -1
    for record in records:
        if record.word and record.reason == "Paused":
            stands = record
        if record.reason == "Resumed":
            stands = None
        forward = record.weight > record.before.weight
        if forward and stands:
            assert record.by, "while it is paused only a person's word moves it on"
        if record.reason == "NextStep":
            assert record.step > reached, "it goes forward only"
            assert record.by or record.step == reached + 1, "over a step only by a word"
            reached = record.step
        if record.reason in ("ChampionChanged", "ApprovalMissing"):
            reached = -1
        if record.word:
            assert record.by == "ada"
            assert record.weight == record.before.weight, "a word moves no traffic by itself"


@FEW
@given(LIVES, st.sampled_from(["errors", "starts", "smoke_ok", "digest_ok"]))
def test_no_word_promotes_a_candidate_that_does_harm_or_cannot_be_served(beats: list[Beat], fault: str) -> None:
    """A person may send one to 100% before a request shows its harm: that word is left out there."""
    world = World()
    world.requests = 50_000
    setattr(world.version("m", "2"), fault, 0.4 if fault == "errors" else False)
    asked_for(world)
    world.run(lambda: newest(world).status.deployed)
    left_out = "promote" if fault == "errors" else ""
    live(world, [beat._replace(words=tuple(word for word in beat.words if word.word != left_out), trouble="") for beat in beats])
    end(world)
    champion = world.model().status.champion
    assert champion
    assert champion.version == "1"


def test_a_candidate_that_is_not_ready_stays_back_whoever_promotes_it() -> None:
    world = World()
    world.version("m", "2").smoke_ok = False
    asked_for(world)
    world.run(lambda: newest(world).status.deployed)
    world.say("promote", newest(world).name, full=True)
    world.run()
    assert (newest(world).status.phase, newest(world).status.reason) == (Phase.ROLLED_BACK, "SmokeFailed")
    assert newest(world).status.promotion is None


def test_a_pause_of_many_hours_costs_nothing_of_max_duration_and_one_of_eight_days_ends_it() -> None:
    for pause, phase in ((timedelta(hours=20), Phase.PROMOTED), (timedelta(days=8), Phase.INCONCLUSIVE)):
        world = World()
        asked_for(world)
        world.run(at_weight(world, 20))
        world.say("pause", newest(world).name)
        usual, world.wall = world.wall, pause / 40
        for _ in range(41):
            world.step()
            world.tick()
        world.wall = usual
        if not newest(world).terminal:
            assert (newest(world).status.weight, newest(world).status.reason) == (20, "Paused")
            world.say("resume", newest(world).name)
        world.run()
        assert newest(world).status.phase is phase


def test_what_was_approved_before_another_champion_came_has_to_be_approved_again() -> None:
    world = World()
    asked_for(world)
    world.edit(approval="manual")
    world.run(under_way(world, Phase.AWAITING_APPROVAL))
    world.say("approve", newest(world).name)
    world.run(at_weight(world, 20))
    other = world.registry.register("m")
    model = world.model()
    assert model.status.champion
    by_hand = replace(model.status.champion, version=other.version, digest=other.digest, generation=2, release="by-hand")
    world.store.write_status(replace(model, status=replace(model.status, champion=by_hand)))
    world.run(under_way(world, Phase.AWAITING_APPROVAL))
    world.say("approve", newest(world).name, user="bob")
    world.run()
    approvals = [(record.reason, record.by) for record in world.store.records(newest(world).name) if record.reason == "Approved"]
    assert approvals == [("Approved", "ada"), ("Approved", "bob")]
    assert newest(world).status.phase is Phase.PROMOTED


# --- with the objects, the audit store and the commands of a laptop ---


class Laptop:
    """A state folder with real objects and audit records, in a simulated world otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        state = State(folder)
        state.prepare()
        self.objects, self.ledger = SqliteObjects(state.database), SqliteLedger(state.database)
        self.world = World()
        self.world.now = datetime.now(UTC)
        self.restart()

    def restart(self) -> None:
        world = self.world
        ports = replace(world.ports, objects=self.objects, ledger=self.ledger)
        world.loop = Loop(ports, lambda: world.now)

    def release(self) -> Release:
        return self.objects.all_of(Release)[-1]

    def ask(self, by: str) -> None:
        model = self.objects.all_of(Model)[0]
        request = Request("person", "tests", by or "first", self.world.data_now, by=by)
        self.objects.create(release_for(model, request))

    def run(self, *phases: Phase, weight: int | None = None) -> None:
        for _ in range(400):
            status = self.release().status if self.objects.all_of(Release) else None
            if status and status.phase in phases and weight in (None, status.weight):
                return
            self.world.loop.step()
            self.world.tick()
        msg = f"{self.release().name} is in {self.release().status.phase}: {self.release().status.sentence}"
        raise AssertionError(msg)

    def say(self, action: Word, by: str = "ada", **to: int) -> None:
        step, full = to.get("step"), bool(to.get("full"))
        saying.act(action, "m", "because", by, self.folder, None, step=step, full=full, as_json=True)


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    """One with a first version that serves."""
    made = Laptop(tmp_path / "state")
    made.objects.create(Model("trimtab.dev/v1alpha1", "Model", Metadata("m"), SPEC, ModelStatus(first_cut=DATA_START)))
    made.run(Phase.PROMOTED)
    yield made
    made.objects.close()


def test_a_rollout_is_led_by_hand_by_the_commands(laptop: Laptop) -> None:
    laptop.ask("ada")
    laptop.run(Phase.ROLLOUT, weight=20)
    laptop.say("pause")
    laptop.say("resume")
    laptop.say("pause", "bob")
    for _ in range(30):
        laptop.world.loop.step()
        laptop.world.tick()
    assert (laptop.release().status.weight, laptop.release().status.reason) == (20, "Paused")
    with pytest.raises(InvalidInput, match="is paused already: bob asked to pause: because"):
        laptop.say("pause")
    laptop.restart()
    laptop.say("promote")
    laptop.run(Phase.ROLLOUT, weight=50)
    assert laptop.release().status.paused
    laptop.say("promote", "bob")
    laptop.run(Phase.PROMOTED)
    told = [(record.reason, record.by) for record in laptop.ledger.of(laptop.release()) if record.by]
    assert told == [
        ("Paused", "ada"),
        ("Resumed", "ada"),
        ("Paused", "bob"),
        ("PromoteAsked", "ada"),
        ("NextStep", "ada"),
        ("PromoteAsked", "bob"),
        ("PromotionStarted", "bob"),
    ]


def test_who_asked_for_it_may_not_approve_it_and_is_told_so_by_command_and_controller(laptop: Laptop) -> None:
    (model,) = laptop.objects.all_of(Model)
    duties = replace(model.spec, approval="manual", approval_policy=ApprovalPolicy(separation_of_duties=True))
    laptop.objects.write_spec(replace(model, spec=duties))
    laptop.ask("ada")
    laptop.run(Phase.AWAITING_APPROVAL)
    with pytest.raises(InvalidInput, match="who asked for it may not approve it"):
        laptop.say("approve", "ada")
    laptop.say("approve", "bob")
    laptop.run(Phase.PROMOTED)
    assert [(record.by, record.sentence) for record in laptop.ledger.of(laptop.release()) if record.reason == "Approved"] == [
        ("bob", "bob asked to approve: because")
    ]
