"""Stories: what happens to a Model in a simulated world, from its declaration until all is quiet (`storybook.py`: how each ends).

Every story is told once undisturbed (`test_loop.py`), and again with the loop killed or a port silent at one call after the
other (`test_loop_crashes.py`): it has to end the same way.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from tests.unit.control.adapters import Ending
from tests.unit.control.world import SPEC, World
from trimtab.control.intake import accept, release_for
from trimtab.release import Phase, Release, Request
from trimtab.spec import Ab, Bake, Rollout

Story = Callable[[World], None]


def newest(world: World, model: str = "m") -> Release:
    return world.releases(model)[-1]


def under_way(world: World, phase: Phase, model: str = "m") -> Callable[[], bool]:
    """Whether the Model's newest Release is in the phase."""
    return lambda: bool(world.releases(model)) and newest(world, model).status.phase is phase


def at_weight(world: World, weight: int) -> Callable[[], bool]:
    """Whether the newest Release's candidate has this share of the traffic."""
    return lambda: newest(world).status.weight == weight and weight in world.serving.site("m").weights.values()


def ends_like(world: World, *endings: Ending) -> None:
    """The Model's runs end like this, one after the other; all later ones bring a candidate."""
    world.endings["m"] = iter(endings)


def first_version(world: World, **spec: Any) -> None:
    world.declare(**spec)
    world.run()


def asked_for(world: World, window: int = 1, **spec: Any) -> None:
    """A first version serves; a finding asks for another one, and more data has come when it is heard."""
    first_version(world, **spec)
    found = world.finding(window)
    world.data_now += timedelta(hours=3)
    accept(found, world.store)


def retrained(world: World) -> None:
    asked_for(world)
    world.run()


def harmful(world: World) -> None:
    world.version("m", "2").errors = 0.3
    retrained(world)


def bake_harm(world: World) -> None:
    world.version("m", "2").loss = 3.0
    retrained(world)


def wrong_digest(world: World) -> None:
    world.version("m", "2").digest_ok = False
    retrained(world)


def cannot_start(world: World) -> None:
    world.version("m", "2").starts = False
    retrained(world)


def smoke_fails(world: World) -> None:
    world.version("m", "2").smoke_ok = False
    retrained(world)


def gate_rejects(world: World) -> None:
    ends_like(world, "candidate", "rejected")
    retrained(world)


def bad_data(world: World) -> None:
    ends_like(world, "invalidData")
    first_version(world)


def run_fails_twice(world: World) -> None:
    ends_like(world, "fault", "fault", "candidate")
    first_version(world)


def run_fails_for_good(world: World) -> None:
    ends_like(world, "fault", "fault", "fault")
    first_version(world)


def run_vanishes(world: World) -> None:
    ends_like(world, "vanish", "candidate")
    first_version(world)


def held_by_quality(world: World) -> None:
    asked_for(world)
    world.monitor.quality["m"] = ["nulls in temp"]
    world.run(lambda: newest(world).status.reason == "QualityFindingOpen")
    for _ in range(20):
        world.step()
        world.tick()
    assert newest(world).status.step == -1
    world.monitor.quality.clear()
    world.run()


def monitor_is_silent(world: World) -> None:
    """The monitor is away from the canary's start until its end: harm is found and acted on without it."""
    world.version("m", "2").errors = 0.3
    asked_for(world)
    world.run(at_weight(world, 20))
    world.down.add("SimulatedMonitor")
    world.run()
    world.down.clear()


def bake_cannot_be_judged(world: World) -> None:
    """What was scored is no evidence, for the reference gives no scale: the bake ends by its time."""
    world.monitor.clip = 0.0
    retrained(world)


def no_traffic(world: World) -> None:
    """Nobody calls the model: nothing is ever shown, and the rollout's time passes."""
    world.traffic_on = False
    world.wall = timedelta(minutes=1)
    asked_for(world, rollout=replace(SPEC.rollout, max_duration="20m"))
    world.run()


def route_stuck(world: World) -> None:
    asked_for(world)
    world.run(at_weight(world, 20))
    world.serving.site("m").stuck = True
    world.run(lambda: newest(world).status.outcome is not None)
    world.serving.site("m").stuck = False
    world.run()


def short_outage(world: World) -> None:
    """The candidate's server dies once and is back after 20 s; nobody happened to call it meanwhile."""
    asked_for(world)
    world.run(at_weight(world, 20))
    world.traffic_on = False
    world.serving.site("m").servers["2"].down = 2
    world.run(lambda: not world.serving.site("m").servers["2"].down)
    world.traffic_on = True
    world.run()


def files_rot_in_the_canary(world: World) -> None:
    """The server dies in the canary and its files are found to be damaged: it can be neither served nor kept at 0%."""
    asked_for(world)
    world.run(at_weight(world, 20))
    world.version("m", "2").digest_ok = False
    world.serving.site("m").servers["2"].down = 1_000
    world.run()


def in_shadow(world: World, steps: tuple[int, ...] = ()) -> None:
    """A version is asked copies before it has any traffic; nobody ever gets an answer of it there."""
    asked_for(world, rollout=replace(SPEC.rollout, strategy="shadow", steps=steps))
    world.run(lambda: world.serving.site("m").mirror == "2" or newest(world).terminal)
    world.run()
    copied = [look for look in world.serving.site("m").looks if look.mirror]
    assert copied
    assert all(look.weights["2"] == 0 for look in copied)


def shadow_then_steps(world: World) -> None:
    in_shadow(world, (50,))


def harmful_in_shadow(world: World) -> None:
    """It fails every third copy: no caller was ever answered by it."""
    world.version("m", "2").errors = 0.3
    in_shadow(world)
    assert all(look.weights.get("2", 0) == 0 for look in world.serving.site("m").looks)


def disagrees_in_shadow(world: World) -> None:
    world.version("m", "2").alike = 8
    in_shadow(world)


def shadow_without_a_monitor(world: World) -> None:
    """While the monitor is silent, nobody knows whether both agree: it holds, and goes on when the monitor is back."""
    asked_for(world, rollout=replace(SPEC.rollout, strategy="shadow", steps=()))
    world.run(lambda: world.serving.site("m").mirror == "2")
    world.down.add("SimulatedMonitor")
    for _ in range(20):
        world.step()
        world.tick()
    assert newest(world).status.mirrored
    world.down.clear()
    world.run()


def waiting_one_collapses(world: World) -> None:
    """A finding's Release waits for the cooldown; a person does not have to, and speaks for it."""
    retrained(world)
    world.edit(retraining=replace(SPEC.retraining, cooldown="52w"))
    accept(world.finding(2), world.store)
    world.run(lambda: newest(world).status.reason == "Cooldown")
    world.tick()
    world.store.create(release_for(world.model(), Request("person", "tests", "now", world.data_now)))
    world.run()


def split_callers(world: World, outcome: float, **asked: Any) -> None:
    """A candidate whose callers bring so much on average, where the champion's bring a half, and 0.05 is worth a new version."""
    world.version("m", "2").outcome = outcome
    asked_for(world, rollout=Rollout(strategy="ab", ab=Ab(effect="+0.05", **asked), max_duration="10m", bake=Bake(duration="2h")))


def better_labels(world: World) -> None:
    split_callers(world, 0.6)
    world.run()


def worse_labels(world: World) -> None:
    split_callers(world, 0.4)
    world.run()


def fewer_wanted(world: World) -> None:
    split_callers(world, 0.4, goal="smaller")
    world.run()


def equal_labels(world: World) -> None:
    split_callers(world, 0.5)
    world.run()


def better_labels_but_errors(world: World) -> None:
    world.version("m", "2").errors = 0.3
    better_labels(world)


def a_person_takes_the_winner(world: World) -> None:
    split_callers(world, 0.6, winner="ask")
    world.run(lambda: newest(world).status.reason == "WinnerAwaitsPerson")
    world.say("promote", newest(world).name)
    world.run()


def nobody_takes_the_winner(world: World) -> None:
    split_callers(world, 0.6, winner="ask")
    world.run(ticks=1000)
