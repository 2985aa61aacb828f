"""The PipelineRollout: how far a new version of a pipeline has come through the Models of a namespace that follow its channel.

There is one for each pipeline, channel and version, made by the platform. What its rules decide is in its status; what it counts is
counted anew at each look, from Models and Releases. The sentence below a field is its description: in `kubectl explain`, in the CRDs
and in the reference (`described.py`).
"""

import hashlib
import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from trimtab.evidence import Frozen
from trimtab.spec import Condition, Metadata, PipelineVersion
from trimtab.status import Phase

Channel = Literal["stable", "latest"]
Share = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1")]
_PLAIN = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_NUMBERS = re.compile(r"^[0-9]+\.[0-9]+\.[0-9]+$")
_LONGEST = 40


class RolloutPhase(StrEnum):
    """Where a PipelineRollout is."""

    PROGRESSING = "Progressing"
    HALTED = "Halted"
    COMPLETE = "Complete"
    REVERTING = "Reverting"
    REVERTED = "Reverted"
    SUPERSEDED = "Superseded"


FALLEN = frozenset({RolloutPhase.HALTED, RolloutPhase.REVERTING, RolloutPhase.REVERTED})
"""The phases in which a version is given to no further Model."""


class PipelineRolloutSpec(Frozen, frozen=True):
    """Which version goes where, and how carefully."""

    pipeline: PipelineVersion
    """The version that is rolled out."""
    channel: Channel
    """The channel whose Models get it."""
    max_bad: Share = 0.1
    """The share of the Models of which so many Releases, and one more, may end badly before it halts."""
    stages: Annotated[tuple[Share, ...], Meta(min_length=1, max_length=16)] = (0.0, 0.1, 1.0)
    """The share of the Models that each stage reaches, one Model at least; the last is 1."""


class Counts(Frozen, frozen=True):
    """The Models of the channel that have a champion, by what became of this version at them.

    They have factories so that they are written even where they are 0: people read them in `kubectl get`.
    """

    models: int = field(default_factory=int)
    """How many there are."""
    done: int = field(default_factory=int)
    """At how many it was promoted, or makes the champion anyway."""
    bad: int = field(default_factory=int)
    """How many Releases ended Rejected, RolledBack or Failed and were not forgiven."""
    in_flight: int = field(default_factory=int)
    """How many Releases have not ended."""
    waiting: int = field(default_factory=int)
    """How many Models have not had their turn."""
    without_effect: int = 0
    """At how many it ended Inconclusive, Superseded, Cancelled or Refused: they keep what they have."""
    forgiven: int = 0
    """How many bad ones were forgiven when a person let it go on."""


class BadRelease(Frozen, frozen=True):
    """A Release of this version that ended badly."""

    release: str
    """The Release's name."""
    model: str
    """Its Model's name."""
    phase: Phase
    """How it ended."""
    sentence: str = ""
    """Why."""


class Hand(Frozen, frozen=True):
    """What a person said last, and that is obeyed."""

    user: str
    """Who said it."""
    sentence: str
    """The word as it is told."""
    at: datetime
    """When it was heard."""


class PipelineRolloutStatus(Frozen, frozen=True):
    """How far it is. What is bad or forgiven is kept by the Releases' names, should they be deleted."""

    phase: RolloutPhase = field(default_factory=lambda: RolloutPhase.PROGRESSING)
    """Where it is."""
    stage: int = field(default_factory=lambda: 1)
    """Which stage it is in, from 1."""
    counts: Counts = field(default_factory=Counts)
    reason: str = ""
    """Why it is there, as one constant word for programs."""
    sentence: str = ""
    """Why it is there, as a sentence for people."""
    bad: tuple[BadRelease, ...] = ()
    """The Releases that ended badly."""
    forgiven: tuple[str, ...] = ()
    """The names of those that were forgiven when a person let it go on."""
    hand: Hand | None = None
    heard: dict[str, datetime] = {}
    """The ReleaseActions that were heard, by their uid, and when they were said: those of the last hour before the newest."""
    observed_generation: int = 0
    """The metadata.generation that this status speaks of."""
    conditions: tuple[Condition, ...] = ()
    """What is so of it right now: Ready, Reconciling and Stalled."""


class PipelineRollout(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How far a new version of a pipeline has come through the Models of a namespace that follow its channel."""

    metadata: Metadata
    spec: PipelineRolloutSpec
    status: PipelineRolloutStatus = field(default_factory=PipelineRolloutStatus)
    api_version: Literal["trimtab.dev/v1alpha1"] = "trimtab.dev/v1alpha1"
    kind: Literal["PipelineRollout"] = "PipelineRollout"

    @property
    def name(self) -> str:
        """Its name, unique in its namespace."""
        return self.metadata.name

    @property
    def source(self) -> str:
        """What its Releases are asked for by."""
        return f"/pipelinerollouts/{self.metadata.namespace}/{self.name}"


def rollout_name(version: PipelineVersion, channel: Channel) -> str:
    """`<pipeline>-<channel>-<version>` as a legal name; where that takes more than hyphens for dots, a hash keeps it unique."""
    whole = f"{version.name}-{channel}-{version.version}"
    legal = re.sub(r"[^a-z0-9]+", "-", whole.lower()).strip("-")
    if _PLAIN.match(version.name) and _NUMBERS.match(version.version) and len(legal) <= _LONGEST:
        return legal
    mark = hashlib.sha256(whole.encode()).hexdigest()[:8]
    start = legal if legal[:1].isalpha() else f"p-{legal}"
    return f"{start[: _LONGEST - 9].rstrip('-')}-{mark}"
