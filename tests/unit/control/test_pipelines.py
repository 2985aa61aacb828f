"""A new version of a pipeline comes to a fleet, on the real loop: tried at one Model, at a tenth, at all; halted, resumed, taken back."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.control.world import Behaviour, World
from trimtab.control.intake import release_for
from trimtab.control.pipelines import REFUSED_FOR
from trimtab.making import PipelineRef, Training
from trimtab.package import BUILT_IN
from trimtab.pipeline_rollout import PipelineRollout, RolloutPhase
from trimtab.release import BAD_ENDS, Phase, Release, Request
from trimtab.spec import Model, PipelineVersion, Retraining

OLD, NEW, NEWER = (PipelineVersion("churn", number, letter * 64) for number, letter in (("1.3.0", "a"), ("1.4.0", "b"), ("1.5.0", "c")))
STRANGE = PipelineVersion("churn", "99.0.0", "f" * 64)
STABLE = Training(pipeline=PipelineRef("churn", channel="stable"))
HARM, POOR = Behaviour(errors=0.5), Behaviour(loss=3.0)
CALM = Retraining(on=())


def fleet(count: int, **world: Any) -> World:
    """A world whose Models were all made by the old version, on the channel stable."""
    made = World(**world)
    made.packages.versions = [OLD]
    for number in range(count):
        made.declare(f"m{number}", training=STABLE, retraining=CALM)
    made.run(ticks=2000)
    assert {champion(model) for model in made.store.all_of(Model)} == {OLD}
    return made


def champion(model: Model) -> PipelineVersion | None:
    return model.status.champion.pipeline if model.status.champion else None


def rollout(world: World, version: PipelineVersion = NEW) -> PipelineRollout:
    return next(one for one in world.store.all_of(PipelineRollout) if one.spec.pipeline == version)


def in_phase(world: World, phase: RolloutPhase, version: PipelineVersion = NEW) -> Callable[[], bool]:
    return lambda: any(one.spec.pipeline == version and one.status.phase is phase for one in world.store.all_of(PipelineRollout))


def tried(world: World, version: PipelineVersion = NEW) -> list[Release]:
    return [one for one in world.store.all_of(Release) if one.spec.request.pipeline == version]


def test_a_bad_version_is_halted_at_once_and_served_by_nobody_beyond_its_canary() -> None:
    world = fleet(20)
    world.pipelines[str(NEW)] = HARM
    world.packages.versions.append(NEW)
    world.run(in_phase(world, RolloutPhase.HALTED), ticks=2000)
    world.run(ticks=100)
    (release,) = tried(world)
    assert release.status.phase is Phase.ROLLED_BACK
    assert {champion(model) for model in world.store.all_of(Model)} == {OLD}
    assert not any(record.champion and record.champion.pipeline == NEW for record in world.store.chain())
    status = rollout(world).status
    assert [(bad.release, bad.phase) for bad in status.bad] == [(release.name, Phase.ROLLED_BACK)]
    assert (status.counts.models, status.counts.waiting, status.stage) == (20, 19, 1)
    assert f"1 of 20 Models had a Release of churn 1.4.0 that ended badly, none may in the first stage; {release.name}" in status.sentence
    world.check_rest()


def test_a_version_that_is_bad_for_some_is_halted_after_at_most_a_tenth_and_one() -> None:
    """It makes good models of the first two Models, and harmful ones of all that come after."""
    world = fleet(20)
    world.packages.versions.append(NEW)
    world.run(lambda: len(tried(world)) > 2, ticks=2000)
    world.pipelines[str(NEW)] = HARM
    world.run(in_phase(world, RolloutPhase.HALTED), ticks=2000)
    world.run(ticks=400)
    bad = [one for one in tried(world) if one.status.phase in BAD_ENDS]
    assert len(bad) == 3
    assert all(champion(world.model(one.spec.model)) == OLD for one in bad)
    assert sum(champion(model) == NEW for model in world.store.all_of(Model)) == 2
    assert rollout(world).status.counts.bad == 3
    world.check_rest()


def test_a_good_version_comes_to_all() -> None:
    world = fleet(20)
    world.packages.versions.append(NEW)
    most: list[int] = []

    def complete() -> bool:
        most.append(sum(not one.terminal for one in tried(world)))
        return in_phase(world, RolloutPhase.COMPLETE)()

    world.run(complete, ticks=4000)
    assert {champion(model) for model in world.store.all_of(Model)} == {NEW}
    assert len(tried(world)) == 20
    assert max(most) <= 3
    assert rollout(world).status.sentence == "every Model had its turn: 20 of 20 have churn 1.4.0"
    world.check_rest()


def test_a_retrain_meanwhile_is_made_by_what_made_the_champion() -> None:
    world = fleet(2)
    world.pipelines[str(NEW)] = HARM
    world.packages.versions.append(NEW)
    world.run(in_phase(world, RolloutPhase.HALTED))
    world.edit("m0", training=Training(pipeline=STABLE.pipeline, slices=("region",)))
    world.edit("m1", training=Training(pipeline=STABLE.pipeline, slices=("region",)))
    world.run(lambda: sum(one.spec.request.trigger == "recipe" for one in world.store.all_of(Release)) == 4)
    world.run()
    assert {one.status.pipeline for one in world.store.all_of(Release) if one.spec.request.trigger == "recipe"} == {OLD}


def test_a_model_that_comes_to_a_halted_channel_is_made_by_the_version_before() -> None:
    world = fleet(1)
    world.pipelines[str(NEW)] = HARM
    world.packages.versions.append(NEW)
    world.run(in_phase(world, RolloutPhase.HALTED))
    world.declare("late", training=STABLE)
    world.run()
    assert champion(world.model("late")) == OLD


def test_what_waits_goes_on_waiting_where_a_person_halts_it_and_goes_on_where_one_resumes_it() -> None:
    world = fleet(3)
    busy = [world.store.create(by_hand(world, model)) for model in world.store.all_of(Model)]
    world.endings = {one.spec.model: iter(["hang"]) for one in busy}
    world.run(lambda: all(world.phase(one.name) is Phase.TRAINING for one in busy))
    world.packages.versions.append(NEW)
    world.run(lambda: bool(tried(world)))
    (waiting,) = tried(world)
    assert waiting.status.phase is Phase.PENDING
    world.say("halt", pipeline_rollout=rollout(world).name, reason="not on a Friday")
    world.run(lambda: tried(world)[0].status.reason == "RolloutHalted", ticks=60)
    status = rollout(world).status
    assert (status.phase, status.reason) == (RolloutPhase.HALTED, "HaltedByPerson")
    assert status.hand
    assert (status.hand.user, status.hand.sentence) == ("ada", "ada asked to halt: not on a Friday")
    for one in busy:
        world.say("abort", one.name)
    world.edit(waiting.spec.model, retraining=Retraining(on=("newData",)))
    other = world.store.create(release_for(world.model(waiting.spec.model), Request("newData", "tests", "more", world.data_now)))
    world.run(lambda: world.phase(other.name) is Phase.PROMOTED, ticks=400)
    assert world.phase(waiting.name) is Phase.PENDING, "it holds up no other"
    world.say("resume", pipeline_rollout=rollout(world).name)
    world.run(in_phase(world, RolloutPhase.COMPLETE), ticks=1000)
    assert [one.status.phase for one in tried(world)] == [Phase.PROMOTED] * 3


def test_what_waits_is_withdrawn_where_a_person_takes_the_version_back() -> None:
    world = fleet(1)
    busy = world.store.create(by_hand(world, world.model("m0")))
    world.endings = {"m0": iter(["hang"])}
    world.run(lambda: world.phase(busy.name) is Phase.TRAINING)
    world.packages.versions.append(NEW)
    world.run(lambda: bool(tried(world)))
    world.say("revert", pipeline_rollout=rollout(world).name)
    world.run(in_phase(world, RolloutPhase.REVERTED), ticks=60)
    (withdrawn,) = tried(world)
    assert withdrawn.status.outcome
    assert (withdrawn.status.phase, withdrawn.status.outcome.reason) == (Phase.SUPERSEDED, "RolloutReverting")


def by_hand(world: World, model: Model) -> Release:
    return release_for(model, Request("person", "tests", "by hand", world.data_now, by="ada"))


def test_what_a_version_made_is_taken_back_by_a_word() -> None:
    world = fleet(3)
    world.packages.versions.append(NEW)
    world.run(in_phase(world, RolloutPhase.COMPLETE), ticks=1000)
    world.say("revert", pipeline_rollout=rollout(world).name, user="eve", reason="its features leak")
    world.run(in_phase(world, RolloutPhase.REVERTED), ticks=1000)
    assert {champion(model) for model in world.store.all_of(Model)} == {OLD}
    back = [one for one in world.store.all_of(Release) if one.spec.request.version and one.spec.request.source == rollout(world).source]
    assert [(one.status.phase, one.spec.request.by, one.status.pipeline) for one in back] == [(Phase.PROMOTED, "eve", OLD)] * 3
    assert all("eve asked to revert: its features leak: version 1 comes back" in one.spec.request.sentence for one in back)
    world.declare("late", training=STABLE)
    world.run()
    assert champion(world.model("late")) == OLD, "nobody gets it any more"
    assert len(tried(world)) == 3
    world.check_rest()


def test_a_newer_version_takes_over() -> None:
    world = fleet(3)
    world.packages.versions.append(NEW)
    world.run(lambda: bool(tried(world)))
    world.packages.versions.append(NEWER)
    world.run(in_phase(world, RolloutPhase.COMPLETE, NEWER), ticks=1000)
    assert rollout(world).status.phase is RolloutPhase.SUPERSEDED
    assert {champion(model) for model in world.store.all_of(Model)} == {NEWER}
    assert len(tried(world)) == 1


def test_without_a_published_version_a_release_waits_and_says_so() -> None:
    world = World()
    world.declare(training=STABLE)
    world.run(lambda: any(one.status.reason == "NoPipeline" for one in world.releases()), ticks=5)
    (waiting,) = world.releases()
    assert waiting.status.phase is Phase.PENDING
    assert waiting.status.sentence == "no version of the pipeline 'churn' is on the channel stable: published are none"
    world.packages.versions = [OLD]
    world.run()
    assert champion(world.model()) == OLD


def test_what_a_stranger_published_neither_begins_a_roll_out_nor_overtakes_one() -> None:
    world = fleet(3)
    world.packages.versions.append(NEW)
    world.run(lambda: bool(tried(world)))
    world.packages.strange = {"99.0.0"}
    world.packages.versions.append(STRANGE)
    before, began = world.packages.fetched, world.now
    world.run(in_phase(world, RolloutPhase.COMPLETE), ticks=600)
    assert [one.spec.pipeline for one in world.store.all_of(PipelineRollout)] == [NEW]
    assert {champion(model) for model in world.store.all_of(Model)} == {NEW}
    assert 0 < world.packages.fetched - before <= 1 + (world.now - began) / REFUSED_FOR


def test_the_first_version_of_a_model_is_made_by_the_newest_that_it_believes() -> None:
    world = World()
    world.packages.versions, world.packages.strange = [OLD, STRANGE], {"99.0.0"}
    world.declare(training=STABLE)
    world.run()
    assert champion(world.model()) == OLD


def test_where_no_version_is_believed_a_release_waits_and_says_so() -> None:
    world = World()
    world.packages.versions, world.packages.strange = [STRANGE], {"99.0.0"}
    world.declare(training=STABLE)
    world.run(lambda: any(one.status.reason == "NoPipeline" for one in world.releases()), ticks=5)
    (waiting,) = world.releases()
    assert waiting.status.phase is Phase.PENDING
    assert waiting.status.sentence.endswith("PackageRefused: none of the 0 keys that the Model believes signed the package churn 99.0.0")
    world.packages.strange.clear()
    world.run()
    assert champion(world.model()) == STRANGE, "it is asked for again"


def test_a_version_that_is_none_is_refused() -> None:
    world = World()
    world.declare(training=Training(pipeline=PipelineRef("churn", "newest")))
    world.run()
    (refused,) = world.releases()
    assert (refused.status.phase, refused.status.reason) == (Phase.REFUSED, "NoPipeline")
    assert "'newest' is no version" in refused.status.sentence


def test_while_what_is_published_is_not_known_roll_outs_go_on() -> None:
    world = fleet(2)
    world.packages.versions.append(NEW)
    world.run(lambda: bool(tried(world)))
    world.down.add("SimulatedPackages")
    world.run(in_phase(world, RolloutPhase.COMPLETE), ticks=600)
    assert "SimulatedPackages.published" in world.loop.waits["default/pipeline roll-outs"]


def test_a_model_whose_monitor_is_silent_keeps_no_other_roll_out_from_its_step() -> None:
    """The silent one's pipeline comes first by name."""
    other, newer = PipelineVersion("attrition", "1.0.0", "d" * 64), PipelineVersion("attrition", "1.1.0", "e" * 64)
    world = World()
    world.packages.versions = [other, OLD]
    world.declare("silent", training=Training(pipeline=PipelineRef("attrition", channel="stable")), retraining=CALM)
    world.declare("m0", training=STABLE, retraining=CALM)
    world.run()
    world.silent.add("silent")
    world.packages.versions = [other, newer, OLD, NEW]
    world.run(in_phase(world, RolloutPhase.COMPLETE), ticks=600)
    assert champion(world.model("m0")) == NEW
    assert (rollout(world, newer).status.phase, tried(world, newer)) == (RolloutPhase.PROGRESSING, [])
    assert "watermark" in world.loop.waits["default/pipeline roll-outs"]


def test_what_is_published_is_asked_for_at_most_every_30_seconds_and_by_nobody_without_a_channel() -> None:
    world = fleet(2)
    before, began = world.packages.asked, world.now
    for _ in range(30):
        world.step()
        world.tick()
    assert 0 < world.packages.asked - before <= 1 + (world.now - began) / timedelta(seconds=30)
    plain = World()
    plain.declare()
    plain.run()
    assert champion(plain.model()) == BUILT_IN
    assert plain.packages.asked == 0


def told(world: World) -> dict[str, Any]:
    """How a roll-out ended, at each Model and over all of them."""
    releases = sorted((one.name, str(one.status.phase), str(one.status.pipeline)) for one in world.store.all_of(Release))
    champions = sorted((one.name, str(champion(one))) for one in world.store.all_of(Model))
    return {"releases": releases, "champions": champions, "phases": [str(one.status.phase) for one in world.store.all_of(PipelineRollout)]}


def good(world: World) -> None:
    world.packages.versions.append(NEW)
    world.run(in_phase(world, RolloutPhase.COMPLETE), ticks=1000)


def bad(world: World) -> None:
    world.pipelines[str(NEW)] = POOR
    world.packages.versions.append(NEW)
    world.run(in_phase(world, RolloutPhase.HALTED), ticks=1000)


def taken_back(world: World) -> None:
    good(world)
    world.say("revert", pipeline_rollout=rollout(world).name)
    world.run(in_phase(world, RolloutPhase.REVERTED), ticks=1000)


@pytest.mark.parametrize("story", [good, bad, taken_back])
@pytest.mark.parametrize("trouble", ["crash", "unavailable", "unavailableAfter"])
def test_killed_at_any_call_a_roll_out_ends_as_if_nothing_happened(story: Callable[[World], None], trouble: Any) -> None:
    plain = fleet(2)
    before = plain.calls
    story(plain)
    plain.run()
    for call in range(before + 1 + len(trouble), plain.calls, 97):
        world = fleet(2)
        world.troubles = {call: trouble}
        story(world)
        world.run()
        world.check_rest()
        assert told(world) == told(plain), f"{trouble} at call {call}"
