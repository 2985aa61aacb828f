"""A chain of decisions as a whole life leaves it: promoted, retrained, approved by a person, rolled back; made once and signed."""

from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from msgspec.structs import replace

from tests.unit.control.world import SPEC, Behaviour, World
from trimtab.audit.chain import follow
from trimtab.audit.record import AuditRecord
from trimtab.audit.seal import believed_keys, make_key
from trimtab.control.intake import accept
from trimtab.release import Phase


@cache
def key(name: str) -> Path:
    """The private key of that name."""
    folder = Path(mkdtemp(prefix="trimtab-test-"))
    make_key(folder / name, folder / f"{name}.pub")
    return folder / name


@cache
def keys(name: str = "ours") -> dict[str, bytes]:
    """What believes the key of that name."""
    return believed_keys(key(name).with_name(f"{name}.pub").read_text())


def chained(records: list[AuditRecord], by: Path | None) -> list[AuditRecord]:
    """The records anew, one after the other, signed by the key."""
    made: list[AuditRecord] = []
    for record in records:
        made.append(follow(made[-1] if made else None, record, by))
    return made


@cache
def life() -> World:
    """A first version, a better one, one that a person has to say yes to, and one that errs and is taken back."""
    world = World()
    world.declare()
    world.run()
    accept(world.finding(1), world.store)
    world.run()
    world.edit(approval="manual", retraining=replace(SPEC.retraining, cooldown="1h"))
    accept(world.finding(9), world.store)
    world.run(lambda: world.releases()[-1].status.phase is Phase.AWAITING_APPROVAL)
    world.say("approve", world.releases()[-1].name)
    world.run()
    world.edit(approval="automatic")
    world.behaviours[("m", "4")] = Behaviour(errors=0.5)
    accept(world.finding(20), world.store)
    world.run()
    phases = [release.status.phase for release in world.releases()]
    assert phases == [*[Phase.PROMOTED] * 3, Phase.ROLLED_BACK], phases
    return world


@cache
def records() -> tuple[AuditRecord, ...]:
    """All of it, signed."""
    return tuple(chained(life().store.chain(), key("ours")))
