"""The Release: one attempt to put a new version in production, and everything its rules look at.

`ReleaseStatus` says what has been decided (the desired state); `Observed` adds what the world shows. Both are frozen
values: `rollout/decide.py` turns an `Observed` into a `Decision`, and the control loop carries it out.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from trimtab.spec import Champion, Metadata, Model, Rollout, Version


class Frozen(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A value that never changes once made."""


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

Trigger = Literal["person", "performance", "concept", "recipe", "pipeline", "newData", "schedule", "drift"]


class Request(Frozen, frozen=True):
    """Who or what asked for the Release. (source, id) is the asking event's identity; `cut` is in data time.

    `run` names a finished training run that was started by hand: the Release then begins at that run's outcome.
    `version` names a version that served before: the Release brings it back without a run.
    """

    trigger: Trigger
    source: str
    id: str
    cut: datetime
    by: str = ""
    sentence: str = ""
    run: str = ""
    version: Version | None = None
    event: dict[str, Any] = {}


class ReleaseSpec(Frozen, frozen=True):
    """What a Release is for; it never changes."""

    model: str
    model_uid: str
    recipe: str
    request: Request


# --- what a run leaves behind (design §5) ---------------------------------------------------------------------------


class CandidateOutcome(Version, frozen=True, tag="candidate", tag_field="verdict", rename="camel", omit_defaults=True):
    """The gates passed and the version is registered."""

    metrics: dict[str, float] = {}
    compared_with: str = ""


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


# --- evidence (design §7) -------------------------------------------------------------------------------------------


class ArmCounts(Frozen, frozen=True):
    """What one version answered within a block: `errors` are answers without a prediction, `slow` took longer than the threshold."""

    requests: int = 0
    errors: int = 0
    slow: int = 0


class Block(Frozen, frozen=True):
    """Both versions' counts between two looks, at one constant weight (percent to the candidate).

    `warm` is False while the candidate's process is fresh: what it answered late then says nothing of how fast it is.
    """

    weight: int
    start: datetime
    end: datetime
    champion: ArmCounts
    candidate: ArmCounts
    warm: bool = True


class PairedLosses(Frozen, frozen=True):
    """Losses of champion and candidate on the same rows, oldest first; `clip` bounds the absolute difference of one row."""

    champion: tuple[float, ...] = ()
    candidate: tuple[float, ...] = ()
    clip: float = 1.0


class GuardState(Frozen, frozen=True):
    """What is kept of one guard's evidence between two looks; `rollout/eprocess.py` says what the numbers mean.

    The counts are the whole rollout's. `stratified` are the sums over blocks that the estimate is made of, `learned` the
    champion's remembered (n, x). `harm` and `step` are log E-values, a row of effects for each difference on the guard's
    grid: `harm` runs over the whole rollout, `step` starts anew at each step.
    """

    champion_n: int = 0
    champion_x: int = 0
    candidate_n: int = 0
    candidate_x: int = 0
    stratified: tuple[float, float, float] = (0.0, 0.0, 0.0)
    learned: tuple[float, float] = (0.0, 0.0)
    harm: tuple[float, ...] = ()
    step: tuple[float, ...] = ()


class Evidence(Frozen, frozen=True):
    """All that the judge remembers of a rollout; `cursor` is where the reading of counters stands."""

    cursor: dict[str, Any] = {}
    errors: GuardState = GuardState()
    slow: GuardState = GuardState()


class GuardVerdict(Frozen, frozen=True):
    """What one guard says: how the candidate differs, the anytime-valid interval of it, and the margin it is held against.

    All four are candidate - champion where the margin is absolute, candidate / champion where it is `relative`. A bound is
    None as long as nothing is known; `lower` reaches the tolerance exactly when the guard says harm, `upper` the margin
    exactly when it says notWorse (or would, were there no harm).
    """

    guard: Literal["errors", "slow", "quality"]
    says: Literal["harm", "notWorse", "hold", "noData"]
    sentence: str
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    margin: float | None = None
    relative: bool = False
    champion_n: int = 0
    candidate_n: int = 0


class Verdict(Frozen, frozen=True):
    """What the judge says of all guards together; harm by one is harm, not worse needs all."""

    says: Literal["harm", "notWorse", "hold", "noData"] = "noData"
    sentence: str = "no requests were seen yet"
    guards: tuple[GuardVerdict, ...] = ()


# --- what people do -------------------------------------------------------------------------------------------------


class ActionSpec(Frozen, frozen=True):
    """A person's word on a Release: what, who and why."""

    release: str
    action: Literal["approve", "reject", "cancel", "rollback"]
    user: str
    reason: str = ""


class ReleaseAction(Struct, frozen=True, rename="camel", omit_defaults=True):
    """How a person acts: by creating one of these, which takes no right to write the Release itself."""

    metadata: Metadata
    spec: ActionSpec
    api_version: Literal["trimtab.dev/v1alpha1"] = "trimtab.dev/v1alpha1"
    kind: Literal["ReleaseAction"] = "ReleaseAction"


# --- status ---------------------------------------------------------------------------------------------------------


class DecisionRecord(Frozen, frozen=True):
    """One decision as it is kept: numbered, hashed over its content and the hash of the one before."""

    sequence: int
    at: datetime
    data_time: datetime | None
    phase: Phase
    reason: str
    sentence: str
    weight: int
    evidence: str
    previous: str
    hash: str


class Promotion(Frozen, frozen=True):
    """How far a promotion is; each act may be repeated. Once `started_at` is written there is no way back but the bake's.

    `since` is the data time at which the champion had been swapped, `since_wall` the wall time: the bake counts from them.
    """

    started_at: datetime
    since: datetime | None = None
    since_wall: datetime | None = None
    aliased: bool = False
    old_dropped: bool = False


class Verdicted(Frozen, frozen=True):
    """The verdict that a withdrawal carries out: the terminal phase to come, and why."""

    phase: Phase
    reason: str
    sentence: str


class ReleaseStatus(Frozen, frozen=True):
    """The desired state and the story so far. Times are wall time unless the name says data.

    `deployed` and `weight` say what shall be served of the candidate; `attempt` which run shall exist.
    """

    phase: Phase = Phase.PENDING
    phase_since: datetime | None = None
    reason: str = ""
    sentence: str = ""
    rollout: Rollout | None = None
    admitted_at: datetime | None = None
    admitted_data: datetime | None = None
    compared_with: Champion | None = None
    comparisons: int = 0
    attempt: int = 0
    attempts_failed: int = 0
    candidate: Version | None = None
    approved: bool = False
    deployed: bool = False
    deployed_at: datetime | None = None
    ready: bool = False
    ready_since: datetime | None = None
    unready_since: datetime | None = None
    unready_seconds: float = 0.0
    weight_off_since: datetime | None = None
    smoked: bool = False
    step: int = -1
    weight: int = 0
    evidence: Evidence = Evidence()
    verdict: Verdict | None = None
    bake_verdict: Verdict | None = None
    promotion: Promotion | None = None
    outcome: Verdicted | None = None
    decisions: tuple[DecisionRecord, ...] = ()
    finished: datetime | None = None


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
    """The governor lets it begin later; `until` is in data time, None where it depends on something else than time."""

    until: datetime | None
    reason: str
    sentence: str


class Refuse(Frozen, frozen=True, tag=True):
    """The governor ends it; `phase` is Refused, or Superseded where another Release speaks for it."""

    reason: str
    sentence: str
    phase: Phase = Phase.REFUSED


Admission = Admit | Wait | Refuse


class ServedVersion(Frozen, frozen=True):
    """One version as it is served: `weight` is read back from the route, never inferred from what was asked."""

    version: str
    ready: bool
    weight: int
    restarts: int = 0
    fault: str = ""


class Arm(Frozen, frozen=True):
    """One version in a serving plan and its share of the traffic in percent."""

    version: Version
    weight: int


class ServingPlan(Frozen, frozen=True):
    """What shall be served for a model, the stable version first. Weights sum to 100 unless nothing may get traffic yet."""

    model: Model
    arms: tuple[Arm, ...]


class Observed(Frozen, frozen=True):
    """All that the rules of one Release look at; `now` is wall time, `data_now` the watermark (data time).

    `evidence` is the Release's evidence after this look, `serving_fault` why what shall be served cannot be.
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
    verdict: Verdict = Verdict()
    bake_verdict: Verdict = Verdict()
    quality_findings: tuple[str, ...] = ()
    actions: tuple[ActionSpec, ...] = ()


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

    `look_again` is in seconds: when the next look is due if nothing wakes the loop before.
    """

    act: Act
    reason: str
    sentence: str
    status: ReleaseStatus
    look_again: Annotated[float, Meta(ge=0)] = 1.0
