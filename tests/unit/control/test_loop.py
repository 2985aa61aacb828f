"""The loop in a simulated world: every story ends as it should, and leaves nothing behind."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.unit.control.people import another_champion
from tests.unit.control.stories import asked_for, at_weight, first_version, newest, retrained, split_callers
from tests.unit.control.storybook import STORIES, Ends
from tests.unit.control.world import SPEC, START, World
from trimtab.audit.chain import short, verify
from trimtab.control.intake import accept, release_for
from trimtab.control.loop import ALIAS_CHECKED, Loop
from trimtab.package import BUILT_IN
from trimtab.release import Phase, ReleaseStatus, Request, Verdict, Verdicted
from trimtab.spec import Champion, Retraining, Rollout


@pytest.mark.parametrize("ends", STORIES.values(), ids=STORIES.keys())
def test_a_story_ends_as_it_should(ends: Ends) -> None:
    story, phases, champion = ends
    world = World()
    story(world)
    assert [(release.status.phase, release.status.reason) for release in world.releases()] == phases
    found = world.model().status.champion
    assert (found and (found.version, found.generation)) == champion
    world.check_rest()


def test_a_canary_waits_while_the_monitor_is_silent_and_goes_on_when_it_speaks() -> None:
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    world.down.add("SimulatedMonitor")
    for _ in range(30):
        world.step()
        world.tick()
    assert (newest(world).status.step, newest(world).status.reason) == (0, "QualityFindingOpen")
    assert "Monitor" in newest(world).status.sentence
    world.down.clear()
    world.run()
    assert newest(world).status.phase is Phase.PROMOTED


def test_an_alias_that_was_moved_by_hand_points_at_the_champion_again_within_minutes() -> None:
    world = World()
    retrained(world)
    world.registry.aliases["m"] = "1"
    moved = world.now
    while world.registry.aliases["m"] == "1":
        world.step()
        world.tick()
        assert world.now - moved <= ALIAS_CHECKED
    world.check_rest()


def test_what_the_steps_will_take_is_said_before_the_first_of_them() -> None:
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    plan = newest(world).status.plan
    assert plan is not None
    assert plan.requests_per_second > 0.0
    assert [step.weight for step in plan.steps][:1] == [20]
    said = next(record.sentence for record in newest(world).status.decisions if record.reason == "NextStep")
    assert "requests/s the steps need" in said


UNCOUNTED = [
    ("the deadline passes", lambda _: None, Phase.INCONCLUSIVE, "DeadlinePassed"),
    ("a person aborts", lambda world: world.say("abort", newest(world).name), Phase.CANCELLED, "AbortedByPerson"),
]


@pytest.mark.parametrize(("then", "phase", "reason"), [case[1:] for case in UNCOUNTED], ids=[case[0] for case in UNCOUNTED])
def test_a_canary_whose_requests_nothing_counts_holds_and_can_end(then: Callable[[World], None], phase: Phase, reason: str) -> None:
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    world.down.add("SimulatedTraffic")
    for _ in range(30):
        world.step()
        world.tick()
    assert (newest(world).status.step, newest(world).status.reason) == (0, "NoTraffic")
    assert newest(world).status.sentence == "nothing is counted: SimulatedTraffic.arms"
    then(world)
    world.run(ticks=1000)
    assert (newest(world).status.phase, newest(world).status.reason) == (phase, reason)


def test_an_ab_keeps_what_its_verdict_rests_on_and_what_it_takes() -> None:
    world = World()
    split_callers(world, 0.52)
    world.run(lambda: newest(world).status.plan is not None and newest(world).status.step == 0)
    plan = newest(world).status.plan
    assert plan is not None
    assert [(step.weight, step.guard) for step in plan.steps] == [(50, "label")]
    world.run(lambda: (newest(world).status.verdict or Verdict()).says == "equal")
    status = newest(world).status
    assert status.verdict is not None
    assert [guard.guard for guard in status.verdict.guards] == ["errors", "slow", "label"]
    assert status.evidence.outcomes_since is not None
    assert status.evidence.outcomes is not None
    label = status.verdict.guards[-1]
    assert (label.candidate_n, label.champion_n) == (status.evidence.outcomes.candidate.callers, status.evidence.outcomes.champion.callers)


def test_an_ab_goes_on_with_what_was_known_while_the_monitor_is_silent() -> None:
    """Nobody knows whether a quality finding is open then: a winner waits, and wins when the monitor speaks."""
    world = World()
    split_callers(world, 0.6)
    world.run(lambda: newest(world).status.evidence.outcomes is not None)
    world.down.add("SimulatedMonitor")
    for _ in range(30):
        world.step()
        world.tick()
    assert (newest(world).status.phase, newest(world).status.reason) == (Phase.ROLLOUT, "QualityFindingOpen")
    world.down.clear()
    world.run()
    assert newest(world).status.phase is Phase.PROMOTED


def test_an_ab_begins_no_comparison_while_nobody_knows_the_data_time() -> None:
    """The admission's time would do for what decides nothing; from then on the champion alone had callers."""
    world = World()
    split_callers(world, 0.6)
    world.run(lambda: newest(world).status.step == 0)
    assert newest(world).status.evidence.outcomes_since is None
    world.down.add("SimulatedMonitor")
    for _ in range(5):
        world.step()
        world.tick()
    assert newest(world).status.evidence.outcomes_since is None
    world.down.clear()
    heard_again = world.data_now
    world.run(lambda: newest(world).status.evidence.outcomes is not None)
    began = newest(world).status.evidence.outcomes_since
    assert began is not None
    assert began >= heard_again


def test_what_an_object_waited_for_is_not_said_once_it_is_gone() -> None:
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    world.down.add("SimulatedServing")
    world.step()
    told = {f"default/{newest(world).name}", "default/m"}
    assert told <= world.loop.waits.keys()
    world.store.drop(world.model())
    world.down.clear()
    world.run(lambda: newest(world).terminal)
    world.step()
    assert not told & world.loop.waits.keys()


def test_the_servers_follow_the_champion_while_the_monitor_is_silent() -> None:
    """After a start from the stored state the champion serves, whether or not the monitor is up yet."""
    world = World()
    first_version(world)
    world.serving.sites.clear()
    world.down.add("SimulatedMonitor")
    world.restart(timedelta(0))
    world.run(lambda: world.serving.site("m").weights == {"1": 100}, ticks=10)


@pytest.mark.parametrize(
    "part", ["MemoryObjects", "SimulatedRunner", "SimulatedServing", "SimulatedTraffic", "SimulatedRegistry", "SimulatedMonitor"]
)
def test_the_loop_outlives_a_port_that_is_silent_for_long_and_asks_for_a_pause(part: str) -> None:
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    world.down.add(part)
    assert all(world.step() > 0 for _ in range(30))
    world.down.clear()
    world.run()
    assert newest(world).status.phase is Phase.PROMOTED


def test_a_model_that_is_deleted_in_a_training_takes_its_run_along() -> None:
    world = World()
    world.endings["m"] = iter(("candidate", "hang"))
    asked_for(world)
    world.run(lambda: bool(world.runner.runs))
    world.store.drop(world.model())
    world.run(lambda: all(release.terminal for release in world.releases()))
    assert (newest(world).status.phase, newest(world).status.reason) == (Phase.SUPERSEDED, "ModelGone")
    assert not world.runner.runs


def test_the_first_version_of_a_model_made_anew_takes_the_place_of_what_the_old_one_left() -> None:
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    world.store.drop(world.model())
    world.declare()
    world.run(lambda: len(world.releases()) == 3 and world.quiet())
    assert [release.status.phase for release in world.releases()] == [Phase.PROMOTED, Phase.SUPERSEDED, Phase.PROMOTED]
    world.check_rest()


def test_a_long_life_keeps_the_last_decisions_in_the_status_and_all_in_the_ledger() -> None:
    """The reason changes at every look for 100 looks; the status stays small, and both chains are whole."""
    world = World()
    asked_for(world, rollout=replace(SPEC.rollout, max_duration="4h"))
    world.run(at_weight(world, 20))
    for look in range(100):
        world.monitor.quality["m"] = ["nulls"] if look % 2 else []
        world.serving.site("m").stuck = False
        world.traffic_on = False
        world.step()
        world.check()
        world.tick()
    kept, records = newest(world).status.decisions, world.store.records(newest(world).name)
    assert len(kept) == 64
    assert len(records) > 100
    assert list(kept) == [short(record) for record in records[-64:]]
    assert verify(world.store.chain()) is None


def test_two_loops_by_mistake_make_one_champion_and_one_run_each() -> None:
    """Nothing but the compare-and-swap stands between two loops; whoever loses looks again."""
    world = World()
    for number in (7, 40, 90, 111, 160, 190, 230, 301, 350):
        world.troubles[number] = lambda: Loop(world.ports, lambda: world.now).step()
    retrained(world)
    champion = world.model().status.champion
    assert champion
    assert (champion.version, champion.generation) == ("2", 2)
    assert len(world.runner.submitted) == 2
    world.check_rest()


def test_models_wait_for_each_other_where_too_many_are_under_way() -> None:
    world = World()
    for name in "abcdef":
        world.declare(name)
    world.step()
    phases = [world.releases(name)[0].status.phase for name in "abcdef"]
    assert phases == [*[Phase.TRAINING] * 4, *[Phase.PENDING] * 2]
    world.run()
    assert all(world.model(name).status.champion for name in "abcdef")


def test_a_finding_waits_out_a_cooldown_of_a_month_and_is_trained_on_then() -> None:
    world = World()
    first_version(world, retraining=Retraining(cooldown="30d", max_per_day=24))
    trained = newest(world).status.admitted_data
    accept(world.finding(1), world.store)
    usual, world.wall, world.data = (world.wall, world.data), timedelta(hours=1), timedelta(hours=1)
    world.run(lambda: newest(world).status.phase is Phase.TRAINING, ticks=1000)
    again = newest(world).status.admitted_data
    assert trained
    assert again
    assert timedelta(days=30) <= again - trained <= timedelta(days=31)
    world.wall, world.data = usual
    world.run()
    assert newest(world).status.phase is Phase.PROMOTED


def test_the_rollout_is_frozen_and_the_rest_of_the_document_is_not() -> None:
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    world.edit(rollout=Rollout(strategy="direct"))
    world.run()
    reasons = [record.reason for record in world.store.records(newest(world).name)]
    assert reasons.count("NextStep") == 2
    accept(world.finding(2), world.store)
    world.data_now += timedelta(hours=9)
    world.run()
    assert "NextStep" not in [record.reason for record in world.store.records(newest(world).name)]


def test_a_run_is_asked_for_with_the_cut_of_its_event_and_with_what_it_is_compared_to() -> None:
    """Data goes on coming while a Release waits: the run sees nothing after the event's cut."""
    world = World()
    another_champion(world)
    _, trained, compared = world.runner.requests
    release = newest(world)
    assert trained.cut == release.spec.request.cut < (release.status.admitted_data or trained.cut)
    assert (trained.champion and trained.champion.version, trained.compare_only) == ("1", None)
    assert compared.compare_only == release.status.candidate
    assert (compared.champion and compared.champion.version, compared.attempt) == ("3", 2)
    assert compared.cut > trained.cut
    assert (trained.trigger, compared.trigger) == (release.spec.request.trigger,) * 2


def test_requests_at_another_weight_than_the_steps_are_no_evidence_for_the_step() -> None:
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    world.serving.site("m").stuck = True
    world.run(lambda: newest(world).status.step == 1)
    counted = newest(world).status.evidence.errors.candidate_n
    for _ in range(3):
        world.step()
        world.tick()
    assert newest(world).status.reason == "WaitingForRoute"
    assert newest(world).status.evidence.errors.candidate_n == counted
    world.serving.site("m").stuck = False
    world.run()
    assert newest(world).status.phase is Phase.PROMOTED


def test_a_withdrawal_that_hangs_beside_a_canary_does_not_take_its_traffic() -> None:
    """An older Release cannot end, for its run cannot be asked about; what is served is the younger one's affair."""
    world = World()
    asked_for(world)
    world.run(at_weight(world, 20))
    older = world.store.create(release_for(world.model(), Request("person", "tests", "older", world.data_now)))
    hanging = ReleaseStatus(phase=Phase.WITHDRAWING, attempt=1, outcome=Verdicted(Phase.CANCELLED, "AbortedByPerson", "x"))
    world.store.write_status(replace(older, metadata=replace(older.metadata, creation_timestamp=START), status=hanging))
    world.down.add("SimulatedRunner")
    world.serving.applied.clear()
    for _ in range(9):
        world.step()
        world.tick()
    assert all("2" in {arm.version.version for arm in plan.arms} for plan in world.serving.applied), "the canary is in every plan"
    world.down.clear()
    world.run()
    assert world.model().status.champion == Champion("2", f"{2:064d}", 2, newest(world).name, BUILT_IN)
