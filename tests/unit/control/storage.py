"""Objects and Ledger in memory, and what all simulated ports share: every call is counted and may be made to go wrong.

Everything that is written passes through JSON, so that nothing hides that could not be stored.
"""

import functools
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar

import msgspec
from msgspec.structs import replace

from trimtab.audit.chain import follow
from trimtab.audit.record import AuditRecord
from trimtab.control.ports import Kind
from trimtab.errors import Conflict, Unavailable
from trimtab.release import Release
from trimtab.spec import Model

if TYPE_CHECKING:
    from tests.unit.control.world import World

Trouble = Literal["crash", "unavailable", "unavailableAfter"] | Callable[[], object]
"""What goes wrong at a call: the loop dies, the port fails before or after it did its work, or somebody else acts just before it."""

P = ParamSpec("P")
R = TypeVar("R")


class Crash(BaseException):
    """The loop's process dies here."""


class Part:
    """One port's adapter, as the loop calls it."""

    def __init__(self, world: "World") -> None:
        self.world = world


Self = TypeVar("Self", bound=Part)


def port(method: Callable[Concatenate[Self, P], R]) -> Callable[Concatenate[Self, P], R]:
    """A method of a port: counted, and interrupted where the world's plan says so."""

    @functools.wraps(method)
    def called(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        world = self.world
        world.calls += 1
        trouble = world.troubles.get(world.calls)
        if type(self).__name__ in world.down or any(isinstance(arg, Model) and arg.name in world.silent for arg in args):
            trouble = trouble or "unavailable"
        if callable(trouble):
            trouble()
        if trouble == "crash":
            raise Crash(method.__qualname__)
        if trouble == "unavailable":
            raise Unavailable(method.__qualname__)
        found = method(self, *args, **kwargs)
        if trouble == "unavailableAfter":
            raise Unavailable(method.__qualname__)
        return found

    return called


class Store:
    """What is stored, with a real compare-and-swap: as people and the sink use it, whom nothing interrupts."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self._bodies: dict[tuple[str, str, str], bytes] = {}
        self._ledger: list[AuditRecord] = []
        self._about: defaultdict[str, list[AuditRecord]] = defaultdict(list)

    def get(self, kind: type[Kind], namespace: str, name: str) -> Kind | None:
        body = self._bodies.get((kind.__name__, namespace, name))
        return msgspec.json.decode(body, type=kind) if body else None

    def all_of(self, kind: type[Kind]) -> list[Kind]:
        found = [msgspec.json.decode(body, type=kind) for (name, _, _), body in self._bodies.items() if name == kind.__name__]
        return sorted(found, key=lambda item: (item.metadata.creation_timestamp or self.world.now, item.metadata.name))

    def create(self, item: Kind) -> Kind:
        if _key(item) in self._bodies:
            msg = f"{item.metadata.name} exists already"
            raise Conflict(msg)
        self.world.made += 1
        uid = "-".join(("uid", *_key(item))) + (f"-{self.world.made}" if isinstance(item, Model) else "")
        metadata = replace(item.metadata, uid=uid, generation=1, resource_version="1", creation_timestamp=self.world.now)
        return self._keep(replace(item, metadata=metadata))

    def write_status(self, item: Kind) -> Kind:
        stored = self._stored(item)
        assert stored.spec == item.spec, "a status write does not change a spec"
        return self._keep(replace(item, metadata=replace(item.metadata, resource_version=_next(stored))))

    def edit(self, model: Model) -> Model:
        """What a user's edit does: the spec is written, the generation grows."""
        stored = self._stored(model)
        metadata = replace(stored.metadata, generation=stored.metadata.generation + 1, resource_version=_next(stored))
        return self._keep(replace(model, metadata=metadata))

    def drop(self, model: Model) -> None:
        """A user deletes a Model."""
        del self._bodies[_key(model)]

    def _stored(self, item: Kind) -> Kind:
        stored = msgspec.json.decode(self._bodies[_key(item)], type=type(item))
        if stored.metadata.resource_version != item.metadata.resource_version:
            msg = f"{item.metadata.name} was changed meanwhile"
            raise Conflict(msg)
        _check_write(stored, item)
        return stored

    def _keep(self, item: Kind) -> Kind:
        body = msgspec.json.encode(item)
        assert msgspec.json.decode(body, type=type(item)) == item, f"does not survive storage: {item}"
        self._bodies[_key(item)] = body
        return item

    def chain(self) -> list[AuditRecord]:
        return list(self._ledger)

    def records(self, release: str) -> list[AuditRecord]:
        return list(self._about[release])

    def append(self, draft: AuditRecord, last: AuditRecord | None) -> AuditRecord:
        mine = [record for record in self._about[draft.release] if record.release_uid == draft.release_uid]
        if (mine[-1] if mine else None) != last:
            msg = f"another decision about {draft.release} was recorded meanwhile"
            raise Conflict(msg)
        made = follow(self._ledger[-1] if self._ledger else None, draft, None)
        kept = msgspec.json.decode(msgspec.json.encode(made), type=AuditRecord)
        self._ledger.append(kept)
        self._about[made.release].append(kept)
        return made


class MemoryObjects(Part):
    """The ports Objects and Ledger on the world's store."""

    @port
    def get(self, kind: type[Kind], namespace: str, name: str) -> Kind | None:
        return self.world.store.get(kind, namespace, name)

    @port
    def all_of(self, kind: type[Kind]) -> list[Kind]:
        return self.world.store.all_of(kind)

    @port
    def create(self, item: Kind) -> Kind:
        return self.world.store.create(item)

    @port
    def write_status(self, item: Kind) -> Kind:
        return self.world.store.write_status(item)

    @port
    def last(self, release: Release) -> AuditRecord | None:
        return next(reversed(self.world.store.records(release.name)), None)

    @port
    def append(self, draft: AuditRecord, last: AuditRecord | None) -> AuditRecord:
        return self.world.store.append(draft, last)


def _key(item: Any) -> tuple[str, str, str]:
    return type(item).__name__, item.metadata.namespace, item.metadata.name


def _next(stored: Any) -> str:
    return str(int(stored.metadata.resource_version) + 1)


def _check_write(before: Any, after: Any) -> None:
    """What ends stays as it is, and a champion changes by one generation at a time."""
    if isinstance(before, Release):
        assert not before.terminal or after.status == before.status, "a terminal phase never changes"
    if isinstance(before, Model) and before.status.champion != after.status.champion:
        old, new = before.status.champion, after.status.champion
        assert new is not None, "a champion is never taken away"
        assert new.generation == (old.generation if old else 0) + 1, "a champion changes by one generation at a time"
