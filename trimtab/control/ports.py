"""The ports: everything the loop knows of the world. Each platform implements them in one file a port.

Adapters raise `Unavailable` when their part of the world does not answer and `Conflict` when a compare-and-swap is lost;
no third-party exception passes. Everything that acts may be repeated.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from trimtab.audit.record import AuditRecord
from trimtab.package import Package
from trimtab.pipeline_rollout import PipelineRollout
from trimtab.release import Agreement, Block, Outcome, Outcomes, PairedLosses, Release, ReleaseAction, RunState, ServedVersion, Trigger
from trimtab.release import Arm as Arm
from trimtab.release import ServingPlan as ServingPlan
from trimtab.retraining.newdata import Seen
from trimtab.spec import Champion, Model, PipelineVersion, Version

Kind = TypeVar("Kind", Model, Release, ReleaseAction, PipelineRollout)


class Objects(Protocol):
    """Where Models, Releases, ReleaseActions and PipelineRollouts live."""

    def get(self, kind: type[Kind], namespace: str, name: str) -> Kind | None:
        """The object, or None."""

    def all_of(self, kind: type[Kind]) -> list[Kind]:
        """All objects of the kind, oldest first."""

    def create(self, item: Kind) -> Kind:
        """Create it, atomically on its name; raises Conflict where the name is taken. Sets uid and creation time."""

    def write_status(self, item: Kind) -> Kind:
        """Write the status if `resource_version` is still the stored one, else raise Conflict; returns the stored object."""


class Ledger(Protocol):
    """The audit store: one chain of decisions a namespace, append-only, and ahead of the status: what it holds was decided."""

    def last(self, release: Release) -> AuditRecord | None:
        """The last record about the Release, or None."""

    def append(self, draft: AuditRecord, last: AuditRecord | None) -> AuditRecord:
        """Keep the draft as the next record of its namespace's chain, numbered, hashed and signed; returns that record.

        Raises Conflict where `last` is not the last record about its Release any more.
        """


class RunRequest(Struct, frozen=True):
    """What a training run gets: everything it needs is a value, so that the same request makes the same run.

    `champion` is what the candidate is compared with; `compare_only` names an existing version to evaluate anew
    against it instead of training. `trigger` is what asked for the Release.
    `pipeline` is what is run, and `image` where on a cluster (None and empty: what comes with Trimtab); `trial`: on the champion's rows.
    """

    release: str
    release_uid: str
    attempt: int
    model: Model
    cut: datetime
    champion: Champion | None = None
    compare_only: Version | None = None
    trigger: Trigger = "person"
    pipeline: PipelineVersion | None = None
    image: str = ""
    trial: bool = False


class Runner(Protocol):
    """Training runs. A run is known by its Release's uid and the attempt."""

    def submit(self, request: RunRequest) -> None:
        """Start the run unless it was started before."""

    def state(self, release_uid: str, attempt: int) -> tuple[RunState, str]:
        """Whether the run is absent, active or ended, and for an ended one why it failed (empty if it did not)."""

    def cancel(self, release_uid: str, attempt: int) -> None:
        """End the run; nothing happens where there is none."""


class Serving(Protocol):
    """The servers and the route before them."""

    def observe(self, model: Model) -> list[ServedVersion]:
        """What is served now, the weights read back from the route."""

    def apply(self, plan: ServingPlan) -> None:
        """Make the world the plan's: deploy, change weights, drop. Returns before it is so; may be repeated.

        A version that is new gets no traffic before it is ready. Raises InvalidInput where a version cannot be
        fetched or does not have the digest it should have.
        """

    def settled(self, plan: ServingPlan) -> bool:
        """Whether nothing is left to do for a plan with whose weights the route agrees: roles, replicas or resources may differ."""

    def smoke(self, model: Model, version: Version) -> tuple[bool, str]:
        """Whether recorded reference rows get the recorded predictions through the served protocol, and a sentence."""


class Traffic(Protocol):
    """Counters of requests by version."""

    def arms(self, model: Model, champion: str, candidate: str, slow_ms: int, cursor: dict[str, Any]) -> tuple[list[Block], dict[str, Any]]:
        """The blocks since `cursor`, and the cursor after them. An empty cursor starts counting now."""


class Registry(Protocol):
    """Registered versions and what runs left behind."""

    def outcome(self, release_uid: str, attempt: int, run: str = "") -> Outcome | None:
        """The outcome that the attempt's run (or the named `run`) wrote, or None."""

    def project(self, model: str, champion: Champion) -> None:
        """Make the registry's alias `champion` of the registered model point at the champion."""

    def sign(self, model: Model, version: Version, release_uid: str) -> None:
        """Vouch for a version that passed its gates, so that servers may take it; nothing where the platform has no key, or it was done."""

    def renew(self, model: Model, version: Version) -> None:
        """Vouch for a version that serves and is vouched for by an older key also by the present one; nothing where there is no key."""

    def fetch(self, model: str, version: Version) -> Path:
        """A folder with the version's files, verified against its digest; raises InvalidInput where they differ."""


class Monitor(Protocol):
    """What the monitor knows."""

    def watermark(self, model: Model) -> datetime | None:
        """The greatest accepted event time (data time), or None before the first event."""

    def paired(self, model: Model, champion: str, candidate: str, since: datetime) -> PairedLosses:
        """Losses of both versions on the same rows with matured labels and event times after `since`."""

    def agreement(self, model: Model, champion: str, candidate: str, since: datetime, difference: float) -> Agreement:
        """How both versions predicted the same rows with event times after `since`; needs no labels.

        Numbers are alike within `difference` standard deviations of the champion's reference predictions.
        """

    def outcomes(self, model: Model, champion: str, candidate: str, since: datetime) -> Outcomes:
        """What the matured labels say of both versions' callers, of rows with event times after `since`."""

    def open_quality(self, model: Model) -> list[str]:
        """A sentence for each open quality finding."""


class Packages(Protocol):
    """Published pipelines: immutable, signed packages."""

    def published(self, name: str) -> list[PipelineVersion]:
        """The pipeline's versions that were published, whoever signed them, oldest version first."""

    def fetch(self, version: PipelineVersion, keys: tuple[str, ...]) -> tuple[Path, Package]:
        """A folder with the package's files, and its manifest, verified against digest and signature.

        Raises InvalidInput, `PackageRefused: …`, where a file is not as its digest says, or none of the `keys` signed it.
        """


class Places(Protocol):
    """The places that are watched for new data."""

    def look(self, model: Model) -> Seen | None:
        """What the Model's place was when it was looked at last, None while that is not known or is remembered already.

        Looking happens elsewhere and takes its time: this sees to it that it happens every `newData.every` after
        `status.watched.seenAt`, and returns at once. Raises InvalidInput or Unavailable where the last look failed.
        """
