"""Stories in which people take part: they cancel, approve, roll back, edit, announce runs and change champions by hand."""

from datetime import timedelta

from msgspec.structs import replace

from tests.unit.control.stories import asked_for, at_weight, ends_like, first_version, newest, retrained, under_way
from tests.unit.control.world import World
from trimtab.control.intake import accept, release_for
from trimtab.events import CANDIDATE, CloudEvent
from trimtab.release import CandidateOutcome, Phase, Request
from trimtab.spec import ApprovalPolicy, Champion, Data, Version


def cancelled_in_training(world: World) -> None:
    ends_like(world, "candidate", "hang")
    asked_for(world)
    world.run(lambda: bool(world.runner.runs))
    world.say("abort", newest(world).name)
    world.run()


def rolled_back_by_a_person(world: World) -> None:
    asked_for(world)
    world.run(at_weight(world, 20))
    world.say("rollback", newest(world).name)
    world.run()


def rolled_back_in_the_bake(world: World) -> None:
    asked_for(world)
    world.run(under_way(world, Phase.BAKING))
    world.say("rollback", newest(world).name)
    world.run()


def edited_in_the_canary(world: World) -> None:
    """The recipe changes while a candidate has traffic: its Release is superseded and a new one promoted."""
    asked_for(world)
    world.run(at_weight(world, 20))
    world.edit(data=Data(uri="more.csv", label="y"))
    world.run(lambda: len(world.releases()) == 3 and world.quiet())


def approved(world: World) -> None:
    asked_for(world)
    world.edit(approval="manual")
    world.run(under_way(world, Phase.AWAITING_APPROVAL))
    world.say("approve", newest(world).name)
    world.run()


def approval_given_up(world: World) -> None:
    asked_for(world)
    world.edit(approval="manual")
    world.run(under_way(world, Phase.AWAITING_APPROVAL))
    world.edit(approval="automatic")
    world.run()


def led_by_hand(world: World) -> None:
    """A canary is paused, sent on to its next step, where it stands, and from there to 100%."""
    asked_for(world)
    world.run(at_weight(world, 20))
    world.say("pause", newest(world).name)
    world.run(lambda: newest(world).status.reason == "Paused")
    world.say("promote", newest(world).name)
    world.run(lambda: newest(world).status.weight == 50 and newest(world).status.reason == "Paused")
    world.say("promote", newest(world).name, full=True)
    world.run()


def paused_for_a_day(world: World) -> None:
    """Much longer than maxDuration, which does not count it."""
    asked_for(world)
    world.run(at_weight(world, 20))
    world.say("pause", newest(world).name)
    usual, world.wall = world.wall, timedelta(hours=2)
    world.run(lambda: newest(world).status.paused is not None and world.now - newest(world).status.paused.since > timedelta(days=1))
    world.wall = usual
    world.say("resume", newest(world).name)
    world.run()


def nobody_approves(world: World) -> None:
    asked_for(world)
    world.edit(approval="manual", approval_policy=ApprovalPolicy(expiry="1m"))
    world.run(under_way(world, Phase.AWAITING_APPROVAL))
    world.run()


def approved_by_another(world: World) -> None:
    """Who asked may not approve, and says so first; somebody else may."""
    first_version(world, approval="automatic")
    world.edit(approval="manual", approval_policy=ApprovalPolicy(separation_of_duties=True))
    world.store.create(release_for(world.model(), Request("person", "tests", "again", world.data_now, by="ada")))
    world.run(under_way(world, Phase.AWAITING_APPROVAL))
    world.say("approve", newest(world).name, "ada")
    world.say("approve", newest(world).name, "bob")
    world.run()


def another_champion(world: World) -> None:
    """The champion is changed by hand in the middle of a canary: the candidate is compared with the new one, and goes on."""
    asked_for(world)
    world.run(at_weight(world, 20))
    model = world.model()
    other = world.registry.register("m")
    by_hand = Champion(other.version, other.digest, generation=2, release="by-hand")
    world.store.write_status(replace(model, status=replace(model.status, champion=by_hand)))
    world.run()


def brought_back(world: World) -> None:
    """A person wants the version back that served before."""
    retrained(world)
    previous = world.model().status.previous
    assert previous
    request = Request("person", "tests", "back", world.data_now, version=Version(previous.version, previous.digest))
    world.store.create(release_for(world.model(), request))
    world.run()


def announced(world: World) -> None:
    """A run that was started by hand announces its candidate, which nobody has compared with the champion yet."""
    first_version(world)
    version = world.registry.register("m")
    world.registry.by_hand["run-7"] = CandidateOutcome(version.version, version.digest)
    data = {"model": "m", "run": "run-7", "cut": world.data_now.isoformat(), "by": "ada"}
    accept(CloudEvent(id="7", source="tests", type=CANDIDATE, data=data), world.store)
    world.run()


def announced_nothing(world: World) -> None:
    first_version(world)
    world.registry.by_hand["run-8"] = None
    data = {"model": "m", "run": "run-8", "cut": world.data_now.isoformat()}
    accept(CloudEvent(id="8", source="tests", type=CANDIDATE, data=data), world.store)
    world.run()


def announced_a_run_that_never_was(world: World) -> None:
    first_version(world)
    data = {"model": "m", "run": "run-8", "cut": world.data_now.isoformat()}
    accept(CloudEvent(id="8", source="tests", type=CANDIDATE, data=data), world.store)
    world.run()
