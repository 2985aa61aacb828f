"""The Release: one attempt to put a new version in production, and everything its rules look at.

`ReleaseStatus` says what has been decided (the desired state); `Observed` adds what the world shows. Both are frozen
values: `rollout/decide.py` turns an `Observed` into a `Decision`, and the control loop carries it out. The sentence below a field
is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from trimtab.actions import ActionSpec as ActionSpec
from trimtab.actions import ReleaseAction as ReleaseAction
from trimtab.evidence import Agreement as Agreement
from trimtab.evidence import ArmCounts as ArmCounts
from trimtab.evidence import ArmOutcomes as ArmOutcomes
from trimtab.evidence import Block as Block
from trimtab.evidence import Evidence as Evidence
from trimtab.evidence import Frozen as Frozen
from trimtab.evidence import GuardState as GuardState
from trimtab.evidence import GuardVerdict as GuardVerdict
from trimtab.evidence import Latency as Latency
from trimtab.evidence import Outcomes as Outcomes
from trimtab.evidence import PairedLosses as PairedLosses
from trimtab.evidence import Plan as Plan
from trimtab.evidence import Says as Says
from trimtab.evidence import Shadowed as Shadowed
from trimtab.evidence import StepPlan as StepPlan
from trimtab.evidence import Verdict as Verdict
from trimtab.progress import DecisionRecord as DecisionRecord
from trimtab.progress import Pause as Pause
from trimtab.progress import PromoteTo as PromoteTo
from trimtab.progress import Promotion as Promotion
from trimtab.progress import ReleaseStatus as ReleaseStatus
from trimtab.progress import Verdicted as Verdicted
from trimtab.spec import Metadata, Model, PipelineVersion, Version
from trimtab.status import BAD_ENDS as BAD_ENDS
from trimtab.status import TERMINAL as TERMINAL
from trimtab.status import Phase as Phase
from trimtab.status import RunLink as RunLink

Trigger = Literal["person", "performance", "concept", "recipe", "pipeline", "newData", "schedule", "drift"]


class Request(Frozen, frozen=True):
    """Who or what asked for the Release. (source, id) is the asking event's identity; `cut` is in data time.

    `run` names a finished training run that was started by hand: the Release then begins at that run's outcome.
    `version` names a version that served before: the Release brings it back without a run.
    `pipeline` names a new version of the pipeline: the Release is its trial, on the rows that the champion was made of.
    """

    trigger: Trigger
    """What kind of thing asked."""
    source: str
    """Where the asking event came from; with the id its identity."""
    id: str
    """The asking event's id within its source."""
    cut: datetime
    """Up to when, in data time, the run reads."""
    by: str = ""
    """The person who asked, where one did."""
    sentence: str = ""
    """Why it was asked for."""
    run: str = ""
    """A finished training run that was started by hand: the Release begins at its outcome."""
    version: Version | None = None
    """A version that served before and is brought back without a run."""
    pipeline: PipelineVersion | None = None
    """A new version of the pipeline, which is tried on the champion's own rows."""
    event: dict[str, Any] = {}
    """The asking event's data."""


class ReleaseSpec(Frozen, frozen=True):
    """What a Release is for; it never changes."""

    model: str
    """The Model's name."""
    model_uid: str
    """The Model's metadata.uid: a Model made anew under the same name is another one."""
    recipe: str
    """The hash of task, data, training and gates; where the Model's is another one, the Release is superseded."""
    request: Request


# --- what a run leaves behind (design §5) ---------------------------------------------------------------------------


class CandidateOutcome(Version, frozen=True, tag="candidate", tag_field="verdict", rename="camel", omit_defaults=True):
    """The gates passed and the version is registered; `data` is the SHA-256 of the rows that it was trained on.

    `pipeline` is what made it; None where that is not of this run, which compared a version that there was.
    """

    metrics: dict[str, float] = {}
    compared_with: str = ""
    data: str = ""
    pipeline: PipelineVersion | None = None


class RejectedOutcome(Frozen, frozen=True, tag="rejected", tag_field="verdict"):
    """A gate stopped the candidate; `interval` is the value's 95% interval where there is one."""

    gate: str
    value: float | None
    bound: float | None
    interval: tuple[float, float] | None = None


class InvalidDataOutcome(Frozen, frozen=True, tag="invalidData", tag_field="verdict"):
    """The data did not pass validation; each check is one sentence."""

    checks: tuple[str, ...]


Outcome = CandidateOutcome | RejectedOutcome | InvalidDataOutcome
RunState = Literal["absent", "active", "ended"]


class Release(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One attempt to put a new version in production."""

    metadata: Metadata
    spec: ReleaseSpec
    status: ReleaseStatus = field(default_factory=ReleaseStatus)
    api_version: Literal["trimtab.dev/v1alpha1"] = "trimtab.dev/v1alpha1"
    kind: Literal["Release"] = "Release"

    @property
    def name(self) -> str:
        """The Release's name, unique in its namespace."""
        return self.metadata.name

    @property
    def terminal(self) -> bool:
        """Whether the Release has ended for good."""
        return self.status.phase in TERMINAL


# --- what the world shows -------------------------------------------------------------------------------------------


class Admit(Frozen, frozen=True, tag=True):
    """The governor lets the Release begin."""

    reason: str = "Admitted"
    sentence: str = "nothing stands against it"


class Wait(Frozen, frozen=True, tag=True):
    """The governor lets it begin later; `until` is in data time, None where it depends on something else than time.

    `ends` is False where nothing that is under way ends the wait: no time that comes, and no Release with deadlines of its own.
    """

    until: datetime | None
    reason: str
    sentence: str
    ends: bool = True


class Refuse(Frozen, frozen=True, tag=True):
    """The governor ends it; `phase` is Refused, or Superseded where another Release speaks for it."""

    reason: str
    sentence: str
    phase: Phase = Phase.REFUSED


Admission = Admit | Wait | Refuse


class ServedVersion(Frozen, frozen=True):
    """One version as it is served: `weight` and `mirrored` (whether it is asked copies) are read back from the route, never inferred."""

    version: str
    ready: bool
    weight: int
    restarts: int = 0
    fault: str = ""
    mirrored: bool = False


class Arm(Frozen, frozen=True):
    """One version in a serving plan and its share of the traffic in percent; `mirrored`: it is asked copies of all requests beside."""

    version: Version
    weight: int
    mirrored: bool = False


class ServingPlan(Frozen, frozen=True):
    """What shall be served for a model, the stable version first. Weights sum to 100 unless nothing may get traffic yet.

    `sticky` names the request header by whose value a caller is assigned to one of the two arms for good; empty: each request by itself.
    """

    model: Model
    arms: tuple[Arm, ...]
    sticky: str = ""


class Observed(Frozen, frozen=True):
    """All that the rules of one Release look at; `now` is wall time, `data_now` the watermark (data time).

    `evidence` is the Release's evidence after this look, `plan` what it lets expect, `serving_fault` why what shall be served cannot be.
    `pipeline` is what a run would execute, `pipeline_fault` why that must not be.
    `actions` are people's words on it in the order in which they were said, those that were heard before among them.
    `breaker_until` is until when (data time) its end holds retrains back, where the verdict that it withdraws for opens the breaker.
    """

    now: datetime
    data_now: datetime
    release: Release
    model: Model | None
    recipe: str = ""
    admission: Admission = Admit()
    run: RunState = "absent"
    run_fault: str = ""
    outcome: Outcome | None = None
    serving: tuple[ServedVersion, ...] = ()
    serving_fault: str = ""
    smoke: tuple[bool, str] | None = None
    evidence: Evidence = Evidence()
    plan: Plan | None = None
    verdict: Verdict = Verdict()
    bake_verdict: Verdict = Verdict()
    shadow: Shadowed | None = None
    quality_findings: tuple[str, ...] = ()
    pipeline: PipelineVersion | None = None
    pipeline_fault: str = ""
    actions: tuple[ReleaseAction, ...] = ()
    breaker_until: datetime | None = None


class Act(StrEnum):
    """What the loop is asked to do once the status is written. Everything it does may be repeated."""

    NOTHING = "Nothing"
    SUBMIT = "Submit"
    CANCEL_RUN = "CancelRun"
    SERVE = "Serve"
    SWAP_CHAMPION = "SwapChampion"
    RESTORE_CHAMPION = "RestoreChampion"
    SET_ALIAS = "SetAlias"


class Decision(Frozen, frozen=True):
    """One decision: the status to write, then what to do; why (a constant) and a sentence for people.

    `look_again` is in seconds: when the next look is due if nothing wakes the loop before. `by` is the person on whose word it
    is, where it is on anyone's, and `word` the name of the ReleaseAction where the decision heard it.
    """

    act: Act
    reason: str
    sentence: str
    status: ReleaseStatus
    look_again: Annotated[float, Meta(ge=0)] = 1.0
    by: str = ""
    word: str = ""
