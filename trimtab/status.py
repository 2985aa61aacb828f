"""What the platform keeps of an object: its metadata, its champion, its conditions, and where a Release is.

These are the parts of Model and Release that no user writes. The sentence below a field is its description: in `kubectl explain`,
in the CRDs and in the reference (`described.py`).
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

from trimtab.units import Name


class Phase(StrEnum):
    """Where a Release is; the order is the order of a good life."""

    PENDING = "Pending"
    TRAINING = "Training"
    COMPARING = "Comparing"
    AWAITING_APPROVAL = "AwaitingApproval"
    ROLLOUT = "Rollout"
    BAKING = "Baking"
    WITHDRAWING = "Withdrawing"
    PROMOTED = "Promoted"
    REJECTED = "Rejected"
    ROLLED_BACK = "RolledBack"
    INCONCLUSIVE = "Inconclusive"
    FAILED = "Failed"
    REFUSED = "Refused"
    SUPERSEDED = "Superseded"
    CANCELLED = "Cancelled"


TERMINAL = frozenset(
    {
        Phase.PROMOTED,
        Phase.REJECTED,
        Phase.ROLLED_BACK,
        Phase.INCONCLUSIVE,
        Phase.FAILED,
        Phase.REFUSED,
        Phase.SUPERSEDED,
        Phase.CANCELLED,
    }
)


BAD_ENDS = frozenset({Phase.REJECTED, Phase.ROLLED_BACK, Phase.FAILED})
"""Where a Release did not do what it was asked to; the other ends say that it need not be done, or any more."""


class Metadata(Struct, frozen=True, rename="camel", omit_defaults=True):
    """An object's name and what the platform adds to it; `resource_version` is what a compare-and-swap compares.

    A cluster keeps more in it than is read here (managedFields and the like): what is unknown is passed over.
    """

    name: Name
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[dict[str, Any], ...] = ()


class Version(Struct, frozen=True, rename="camel"):
    """A registered version: its number in the registry, and the SHA-256 of its manifest."""

    version: str
    """The version's number in the registry."""
    digest: str
    """The SHA-256 of the version's manifest, in hexadecimal."""


class PipelineVersion(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A published version of a pipeline: what it is called, and the SHA-256 of its package's manifest."""

    name: str
    """The pipeline's name."""
    version: str
    """Its version, by Semantic Versioning 2.0.0."""
    digest: str = ""
    """The SHA-256 of its package.json, in hexadecimal; empty for the pipeline that comes with Trimtab."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Champion(Version, frozen=True, rename="camel", omit_defaults=True):
    """The version that serves; `generation` grows by one with each change and is what the champion lock compares."""

    generation: int = 1
    """Grows by one with each change of champion, back to an earlier version included."""
    release: str = ""
    """The Release that promoted it."""
    pipeline: PipelineVersion | None = None
    """The pipeline that made it; what retrains the Model until another version of it has proved itself."""


class Condition(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One thing that is so, is not so, or is not known of the object, as `kubectl wait --for=condition=…` reads it."""

    type: str
    """What is spoken of, such as Ready."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    reason: str
    """Why, as one constant word for programs."""
    message: str
    """Why, as a sentence for people."""
    last_transition_time: datetime
    """When the status changed last; a new reason alone does not move it."""
    observed_generation: int = 0
    """The object's metadata.generation that was looked at."""


class Scheduled(Struct, frozen=True, rename="camel"):
    """How far the schedule was followed. Another schedule, or one in another zone, begins anew."""

    cron: str
    """The schedule that was followed."""
    time_zone: str
    """Its time zone."""
    at: datetime
    """Up to when, in data time: the newest occurrence that asked for a Release, or where the schedule began."""


class Watched(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the place that is watched for new data was when it was last looked at. Another place, or another way to look, begins anew."""

    place: str
    """Which place, and how it is looked at: a hash of both."""
    mark: str
    """What was there, as a hash; equal marks are equal places."""
    size: int
    """How much was there: rows, files or partitions."""
    seen_at: datetime
    """When, in wall time, it was looked at."""


class MonitoringSummary(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the monitor says of the version that serves, in short."""

    drift: str = ""
    """The largest effect of the last window, or the kind of the finding that is open."""
    sentence: str = ""
    """The same as a sentence."""
    watermark: datetime | None = None
    """The greatest event time that was accepted: how far data time has come."""


class ExplainerSummary(Struct, frozen=True, rename="camel", omit_defaults=True):
    """The explainer of the version that serves, where the Model asks for one."""

    url: str = ""
    """Where it is asked: a host of its own."""
    version: str = ""
    """The version that it explains, or is about to."""
    ready: bool = False
    """Whether it explains that version."""
    sentence: str = ""
    """The same as a sentence."""


class LastRelease(Struct, frozen=True, rename="camel"):
    """The newest Release of a Model."""

    name: str
    """The Release's name."""
    phase: Phase
    """Where it is."""


class RunLink(Struct, frozen=True, rename="camel"):
    """Where the training run of a Release is looked at."""

    kind: str
    """What runs it, such as Job or KubeflowPipelinesRun."""
    name: str
    """The Job's name, or the run's id."""
    logs: str
    """The command or the URL that shows its logs."""
