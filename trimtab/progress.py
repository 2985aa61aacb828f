"""How far a Release is: what its rules have decided and the story so far, kept in its status.

The sentence below a field is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from datetime import datetime
from typing import Annotated

from msgspec import Meta, field

from trimtab.evidence import Evidence, Frozen, Plan, Shadowed, Verdict
from trimtab.spec import Champion, Condition, PipelineVersion, Rollout, Version
from trimtab.status import Phase, RunLink


class DecisionRecord(Frozen, frozen=True):
    """One decision as it is kept: numbered, hashed over its content and the hash of the one before."""

    sequence: int
    """The decision's number within the Release, from 1."""
    at: datetime
    """When it was made."""
    phase: Phase
    """Where the Release was after it."""
    reason: str
    """Why, as one constant word for programs."""
    sentence: str
    """Why, as a sentence for people."""
    weight: int
    """The candidate's share of the traffic after it, in percent."""
    evidence: str
    """The SHA-256 of the evidence that was looked at, in hexadecimal."""
    previous: str
    """The hash of the decision before; empty for the first."""
    hash: Annotated[str, Meta(max_length=64)]
    """The SHA-256 over everything else in this record, in hexadecimal."""
    data_time: datetime | None = None
    """How far data time had come."""


class Promotion(Frozen, frozen=True):
    """How far a promotion is; each act may be repeated. Once `started_at` is written there is no way back but the bake's.

    `since` is the data time at which the champion had been swapped, `since_wall` the wall time: the bake counts from them.
    """

    started_at: datetime
    """When it began; from then on there is no way back but the bake's."""
    since: datetime | None = None
    """The data time at which the champion had been swapped."""
    since_wall: datetime | None = None
    """When the champion had been swapped."""
    aliased: bool = False
    """Whether the registry's alias has followed."""
    old_dropped: bool = False
    """Whether the previous champion's servers are gone."""


class Verdicted(Frozen, frozen=True):
    """The verdict that a withdrawal carries out: the terminal phase to come, and why."""

    phase: Phase
    """The phase that the Release ends in."""
    reason: str
    """Why, as one constant word for programs."""
    sentence: str
    """Why, as a sentence for people."""


class Pause(Frozen, frozen=True):
    """A rollout that stands still because a person wants it to."""

    since: datetime
    """Since when."""
    user: str
    """Who asked for it."""
    sentence: str
    """The word as it is told."""


class PromoteTo(Frozen, frozen=True):
    """Where a person sent the rollout, without waiting until the judge says that it is not worse; until it is there."""

    step: int
    """The place in rollout.steps to go to, from 0; as many as there are steps: to 100%."""
    user: str
    """Who asked for it."""
    sentence: str
    """The word as it is told."""


class ReleaseStatus(Frozen, frozen=True):
    """The desired state and the story so far. Times are wall time unless the name says data.

    `deployed` and `weight` say what shall be served of the candidate; `attempt` which run shall exist. `phase` and `weight` have
    factories so that they are written even where they are the default: people read them in `kubectl get`.
    """

    phase: Phase = field(default_factory=lambda: Phase.PENDING)
    """Where the Release is. The terminal phases never change."""
    phase_since: datetime | None = None
    """Since when it is there."""
    reason: str = ""
    """Why it is there, as one constant word for programs."""
    sentence: str = ""
    """Why it is there, as a sentence for people."""
    rollout: Rollout | None = None
    """The Model's rollout as it was at admission: later edits do not change a Release under way."""
    admitted_at: datetime | None = None
    """When the governor let it begin."""
    admitted_data: datetime | None = None
    """How far data time had come then."""
    pipeline: PipelineVersion | None = None
    """The pipeline that its runs execute, as it was chosen at admission."""
    compared_with: Champion | None = None
    """The champion that the candidate was compared with."""
    comparisons: int = 0
    """How often it was compared anew because the champion had changed meanwhile."""
    attempt: int = 0
    """The number of the training run that shall exist."""
    attempts_failed: int = 0
    """How many runs ended without an outcome."""
    run: RunLink | None = None
    candidate: Version | None = None
    """The version that the run made and registered."""
    approved: bool = False
    """Whether a person said yes to the candidate as it was compared last."""
    heard: dict[str, datetime] = {}
    """The ReleaseActions that were heard, by their uid, and when they were said: those of the last hour before the newest."""
    paused: Pause | None = None
    paused_seconds: float = 0.0
    """For how long this rollout was paused before, which maxDuration does not count."""
    promote_to: PromoteTo | None = None
    deployed: bool = False
    """Whether the candidate shall have servers."""
    deployed_at: datetime | None = None
    """Since when it shall have them."""
    ready: bool = False
    """Whether its servers have been ready once."""
    ready_since: datetime | None = None
    """Since when they are."""
    unready_since: datetime | None = None
    """Since when they are not ready any more."""
    unready_seconds: float = 0.0
    """For how long they were unready in all after they had been ready."""
    weight_off_since: datetime | None = None
    """Since when the route's weight is not the one asked for."""
    smoked: bool = False
    """Whether the smoke test passed: reference rows gave the recorded predictions."""
    mirrored: bool = False
    """Whether the candidate shall be asked copies of the callers' requests."""
    shadow: Shadowed | None = None
    step: int = -1
    """The place in rollout.steps that it stands at, from 0; -1 before the first."""
    weight: int = field(default_factory=int)
    """The candidate's share of the traffic that shall be, in percent."""
    evidence: Evidence = Evidence()
    plan: Plan | None = None
    verdict: Verdict | None = None
    """What the judge says of the rollout."""
    bake_verdict: Verdict | None = None
    """What the judge says of the time after the promotion."""
    promotion: Promotion | None = None
    outcome: Verdicted | None = None
    decisions: tuple[DecisionRecord, ...] = ()
    """The last decisions; all of them are in the DecisionLog."""
    finished: datetime | None = None
    """When it reached its terminal phase."""
    observed_generation: int = 0
    """The metadata.generation that this status speaks of."""
    conditions: tuple[Condition, ...] = ()
    """What is so of the Release right now."""

    @property
    def why(self) -> str:
        """Why the Release is where it is: by its verdict, once there is one."""
        return self.outcome.sentence if self.outcome else self.sentence
