"""What people and strangers do meanwhile: words, wishes, edits, champions and aliases moved by hand, files changed, processes killed."""

from datetime import timedelta
from typing import Any

import msgspec
from msgspec.structs import replace
from typer.testing import CliRunner

from tests.local.interleaved.chronicle import BY_HAND
from tests.local.interleaved.stock import poison
from tests.local.interleaved.workshop import Ending
from tests.local.interleaved.world import NAME, QUICK, SPEC, World, kill
from trimtab.cli.app import app
from trimtab.control.intake import accept
from trimtab.errors import Conflict, InvalidInput
from trimtab.events import Finding, finding_event
from trimtab.platforms.local.serving_files import version_path
from trimtab.release import Phase, Release
from trimtab.rolling import Rollout
from trimtab.spec import Champion, Model

HOUR = timedelta(hours=1)
MOST_RELEASES = 3
EDITS: dict[str, dict[str, Any]] = {
    "recipe": {"data": replace(SPEC.data, history="30d")},
    "recipe back": {"data": SPEC.data},
    "direct": {"rollout": Rollout(strategy="direct", guard=QUICK, bake=SPEC.rollout.bake)},
    "two steps": {"rollout": replace(SPEC.rollout, steps=(20, 50))},
    "no capture": {"serving": msgspec.convert({"capture": {"sample": 0.5}}, type(SPEC.serving))},
    "manual": {"approval": "manual"},
    "automatic": {"approval": "automatic"},
}


def command(world: World, *words: str) -> None:
    """What a person types; a refusal in a sentence is an answer too."""
    done = CliRunner().invoke(app, [*words, "--state", str(world.state.folder)])
    if done.exception is not None and not isinstance(done.exception, InvalidInput | Conflict):
        raise done.exception


def wish(world: World, ending: Ending = "good", looks: int = 0) -> None:
    """A person wants a new version; its run ends like that after so many looks."""
    world.workshop.wanted.append((ending, looks))
    command(world, "retrain")


def bring_back(world: World, _: int = 0) -> None:
    """A person wants the previous champion back, or what is under way taken back."""
    if len(world.releases()) < MOST_RELEASES:
        command(world, "rollback", NAME)


def say(world: World, word: str, which: int) -> None:
    """A person says a word on one of the Releases under way: the command's own words."""
    live = world.live()
    if live:
        command(world, *word.split(), live[which % len(live)].name)


def finding(world: World, which: int) -> None:
    """The monitor finds the champion worse."""
    window = which % 2
    model, now = world.model(), world.monitor.now
    version = model.status.champion.version if model.status.champion else "1"
    found = Finding(NAME, "default", model.metadata.uid, version, "performance", window, now, now, now, "it is worse")
    accept(finding_event(found, "tests/monitor"), world.store)


def edit(world: World, which: int) -> None:
    """A person applies a changed document."""
    apply(world, list(EDITS)[which % len(EDITS)])


def apply(world: World, name: str) -> None:
    """That edit of the document."""
    model = world.model()
    world.store.write_spec(replace(model, spec=replace(model.spec, **EDITS[name])))


def crown(world: World, which: int) -> None:
    """Another hand makes a registered version champion, as the lock wants it: by compare-and-swap, of a new generation."""
    model = world.model()
    before = model.status.champion
    able = [version for version, made in world.workshop.versions.values() if made.kind == "good" and not _is(before, version.version)]
    if before and able:
        chosen = able[which % len(able)]
        now = Champion(chosen.version, chosen.digest, before.generation + 1, BY_HAND)
        world.store.write_status(replace(model, status=replace(model.status, champion=now, previous=before)))


def crown_again(world: World, which: int) -> None:
    """Somebody registers a version's files anew, and makes that champion."""
    versions = [number for number, (_, made) in world.workshop.versions.items() if made.kind == "good"]
    if versions:
        world.workshop.register_again(versions[which % len(versions)])
        crown(world, -1)


def move_alias(world: World, which: int) -> None:
    """Somebody moves the alias in MLflow."""
    numbers = list(world.workshop.versions)
    if numbers:
        world.workshop.move_alias(numbers[which % len(numbers)])


def admit(world: World, _: int = 0) -> None:
    """Another governor, which did not see the Release under way, admits the next one."""
    waiting = [release for release in world.live() if release.status.phase is Phase.PENDING]
    if waiting and waiting[0].spec.request.version is None:
        model, status = world.model(), waiting[0].status
        admitted = replace(
            status,
            phase=Phase.TRAINING,
            phase_since=world.now(),
            rollout=model.spec.rollout,
            admitted_at=world.now(),
            admitted_data=world.monitor.now,
            compared_with=model.status.champion,
        )
        world.store.write_status(replace(waiting[0], status=admitted))


def tamper(world: World, which: int) -> None:
    """Somebody changes a version's files in the registry."""
    numbers = list(world.workshop.versions)
    if numbers:
        world.workshop.tamper(numbers[which % len(numbers)], whole=which % 2 == 0)


def tamper_kept(world: World, which: int) -> None:
    """Somebody changes the copy that is served."""
    kept = [number for number in world.workshop.versions if version_path(world.state.folder, NAME, number).is_dir()]
    if kept:
        poison(version_path(world.state.folder, NAME, kept[which % len(kept)]), world.workshop.stock, whole=which % 2 == 0)


def kill_predictor(world: World, which: int) -> None:
    """A predictor dies."""
    pids = [pid for name, pid in sorted(world.serving.pids().items()) if name.startswith("predictor-")]
    if pids:
        kill(pids[which % len(pids)])


def kill_gateway(world: World, _: int = 0) -> None:
    """Envoy dies."""
    pid = world.envoy.pid
    if pid is not None:
        kill(pid)


def time_passes(world: World, which: int) -> None:
    """Data time goes on, and the clocks on the wall with it."""
    minutes = (10, 60, 180, 900)[which % 4]
    world.monitor.now += timedelta(minutes=minutes)
    world.moved += timedelta(minutes=minutes / 60)


def worse(world: World, _: int = 0) -> None:
    """What is out beside a previous champion turns out to be worse on the rows that come."""
    world.monitor.worse |= {release.status.candidate.version for release in world.live() if release.status.candidate}


def approve_all(world: World, _: int = 0) -> None:
    """Somebody says yes to whatever waits for it."""
    for release in world.live():
        if release.status.phase is Phase.AWAITING_APPROVAL:
            command(world, "approve", release.name)


def resume_all(world: World) -> None:
    """Nothing stays paused."""
    for release in world.live():
        if release.status.paused:
            command(world, "rollout", "resume", release.name)


def at(world: World, goal: str) -> bool:
    """Whether a Release is where the goal says, or none is under way."""
    live = world.live()
    return not live or any(_GOALS[goal](release) for release in live)


def _is(champion: Model | Champion | None, number: str) -> bool:
    return isinstance(champion, Champion) and champion.version == number


_GOALS: dict[str, Any] = {
    "dark": lambda release: release.status.deployed,
    "canary": lambda release: release.status.weight > 0,
    "promoting": lambda release: release.status.promotion is not None,
    "swapped": lambda release: release.status.promotion is not None and release.status.promotion.since is not None,
    "baking": lambda release: release.status.phase is Phase.BAKING,
    "withdrawing": lambda release: release.status.phase is Phase.WITHDRAWING,
}
GOALS = tuple(_GOALS)


def ended(releases: list[Release]) -> list[str]:
    """How all of them ended."""
    return [str(release.status.phase) for release in releases if release.terminal]
