"""What the monitor knows of the world outside: which versions to watch, and where other events and its findings go."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from trimtab.events import CloudEvent
from trimtab.spec import Model


class WatchedVersion(Struct, frozen=True):
    """A version that serves: `folder` holds its schema, reference and metrics; `url` is its predictor's base, empty if not to be asked."""

    version: str
    digest: str
    folder: Path
    url: str = ""


class Watched(Struct, frozen=True):
    """A model to watch; `others` are the candidate in a rollout or the previous champion in a bake."""

    model: Model
    champion: WatchedVersion | None = None
    others: tuple[WatchedVersion, ...] = ()

    @property
    def id(self) -> str:
        """The model's name in the store: `namespace/name`."""
        return f"{self.model.metadata.namespace}/{self.model.name}"

    @property
    def versions(self) -> tuple[WatchedVersion, ...]:
        """All versions that serve, the champion first."""
        return (*((self.champion,) if self.champion else ()), *self.others)


class Fleet(Protocol):
    """The models that are watched."""

    def watched(self) -> list[Watched]:
        """All of them, as they are now; called at every tick, and when an event names a model that was not there."""


class SinkAnswer(Struct, frozen=True):
    """What became of an event that asks for a Release; `refused` is a 400, `unknown` a 404, each with its sentence."""

    says: Literal["accepted", "duplicate", "refused", "unknown"]
    sentence: str = ""


Sink = Callable[[CloudEvent], SinkAnswer]
Emit = Callable[[CloudEvent], None]
Page = Callable[[CloudEvent], bool]
"""Tells a finding to people; False where it has to be told later."""
