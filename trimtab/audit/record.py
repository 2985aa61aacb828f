"""The audit record: one decision with all that an auditor asks of it, whether or not its Release still exists.

The sentence below a field is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from trimtab.evidence import Frozen
from trimtab.progress import DecisionRecord
from trimtab.release import Trigger
from trimtab.spec import Champion, PipelineVersion, Version
from trimtab.status import Phase


class Stand(Frozen, frozen=True):
    """Where a Release stood before a decision."""

    phase: Phase
    """Its phase."""
    step: int = -1
    """Its place in rollout.steps, from 0; -1 before the first."""
    weight: int = 0
    """The candidate's share of the traffic, in percent."""
    champion: Champion | None = None
    """The Model's champion."""


class Asked(Frozen, frozen=True):
    """Who or what asked for the Release; in the first record of each."""

    trigger: Trigger
    """What kind of thing asked."""
    source: str
    """Where the asking event came from; with the id its identity."""
    id: str
    """The asking event's id within its source."""
    cut: datetime
    """Up to when, in data time, the run reads."""
    recipe: str
    """The hash of task, data, training and gates that the version is made by."""
    by: str = ""
    """The person who asked, where one did."""
    sentence: str = ""
    """Why it was asked for."""
    run: str = ""
    """A finished training run that was started by hand."""
    version: Version | None = None
    """A version that served before and is brought back."""
    pipeline: PipelineVersion | None = None
    """A new version of the pipeline, which is tried."""
    event: str = ""
    """The SHA-256 of the asking event's data, in hexadecimal; empty where it had none."""


class AuditRecord(DecisionRecord, frozen=True, kw_only=True):
    """One decision about a Release, in the one chain of its namespace. Phase, step, weight and champion are those after it."""

    namespace: str
    """Whose chain it stands in."""
    model: str
    """The Model's name."""
    model_uid: str
    """The Model's metadata.uid."""
    release: str
    """The Release's name."""
    release_uid: str
    """The Release's metadata.uid."""
    before: Stand
    """How it stood before."""
    step: int = -1
    """The place in rollout.steps after it, from 0; -1 before the first."""
    champion: Champion | None = None
    """The Model's champion after it."""
    candidate: Version | None = None
    """The Release's version, once there is one."""
    by: str = ""
    """The person on whose word it was decided; empty where the rules decided alone."""
    word: str = ""
    """The name of the ReleaseAction in which the person said so, where this decision heard it."""
    data: str = ""
    """The SHA-256 of the rows that the candidate was trained on, in hexadecimal, where this decision took it on."""
    asked: Asked | None = None
    """Who or what asked for the Release; in its first record only."""
    breaker_until: datetime | None = None
    """Until when, in data time, nothing is retrained by itself, where the end of this Release opened the breaker."""
    key: str = ""
    """The id of the key that signed it."""
    signature: Annotated[str, Meta(max_length=88)] = ""
    """The controller's signature of the hash: ECDSA on P-256, r and s in base64."""


class EntryMetadata(Struct, frozen=True, rename="camel"):
    """An entry's name, which is its record's number with ten digits, and its namespace."""

    name: Annotated[str, Meta(pattern="^[0-9]{10}$")]
    namespace: str = "default"


class AuditEntry(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One decision as it is kept on a cluster, named by its number in the chain of its namespace. It never changes."""

    metadata: EntryMetadata
    record: AuditRecord
    """The decision."""
    api_version: Literal["trimtab.dev/v1alpha1"] = "trimtab.dev/v1alpha1"
    kind: Literal["AuditEntry"] = "AuditEntry"
