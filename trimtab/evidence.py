"""What the judge remembers of a rollout and what it says of it (design §7).

The sentence below a field is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

LATENCY_MS = (1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)
"""Bounds of Envoy's buckets, in milliseconds."""
Says = Literal["harm", "notWorse", "hold", "noData", "wins", "loses", "equal"]


class Frozen(Struct, frozen=True, rename="camel", omit_defaults=True):
    """A value that never changes once made."""


class ArmCounts(Frozen, frozen=True):
    """What one version answered within a block: `errors` are answers without a prediction, `slow` took longer than the threshold.

    `times` are the answers by how long they took: up to each of `LATENCY_MS`, and longer; empty where nobody keeps them.
    """

    requests: int = 0
    errors: int = 0
    slow: int = 0
    times: tuple[int, ...] = ()


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


class Agreement(Frozen, frozen=True):
    """How champion and candidate predicted the same rows, in the order in which these came: for each, whether they were `alike`.

    `effect` is how far the candidate's predictions are from the champion's as distributions, as drift is measured; None for few rows.
    """

    alike: tuple[bool, ...] = ()
    effect: float | None = None


class ArmOutcomes(Frozen, frozen=True):
    """What the labels say of one version's callers; `variance` is that of the mean, by the delta method over callers."""

    callers: int = 0
    """Callers with at least one matured label."""
    labels: int = 0
    """Their matured labels."""
    mean: float = 0.0
    """The mean of these labels."""
    variance: float = 0.0
    """The variance of that mean: labels of one caller depend on each other, callers do not."""


class Outcomes(Frozen, frozen=True):
    """What the labels say of two versions between which callers were split, from `Evidence.outcomes_since` until `until` (data time).

    `spread` and `kurtosis` are of both versions' callers together: of the sum over a caller's labels of (label - mean of all labels).
    """

    champion: ArmOutcomes = ArmOutcomes()
    """What the champion's callers brought."""
    candidate: ArmOutcomes = ArmOutcomes()
    """What the candidate's callers brought."""
    spread: float = 0.0
    """The variance of a caller's deviation from the mean of all labels."""
    kurtosis: float = 0.0
    """Its fourth moment by its squared variance: so many callers tell as much as one whose deviations are all of one size."""
    until: datetime | None = None
    """The last event time whose labels had time to come, in data time; none before the first."""


class GuardState(Frozen, frozen=True):
    """What is kept of one guard's evidence between two looks; `rollout/eprocess.py` says what the numbers mean.

    The counts are the whole rollout's. `stratified` are the sums over blocks that the estimate is made of, `learned` the
    champion's remembered (n, x). `harm` and `step` are log E-values, a row of effects for each difference on the guard's
    grid: `harm` runs over the whole rollout, `step` starts anew at each step.
    """

    champion_n: int = 0
    """The champion's requests in the whole rollout."""
    champion_x: int = 0
    """How many of them were bad."""
    candidate_n: int = 0
    """The candidate's requests in the whole rollout."""
    candidate_x: int = 0
    """How many of them were bad."""
    stratified: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Sums over the blocks that the estimate of the difference is made of."""
    learned: tuple[float, float] = (0.0, 0.0)
    """The champion's remembered requests, and how many of them were bad."""
    harm: tuple[float, ...] = ()
    """Log E-values against "no worse", over the whole rollout: a row of effects for each difference on the guard's grid."""
    step: tuple[float, ...] = ()
    """Log E-values against "worse by the margin", anew at each step: a row of effects for each difference on the guard's grid."""


class Evidence(Frozen, frozen=True):
    """All that the judge remembers of a rollout."""

    cursor: dict[str, Any] = {}
    """Where the reading of the counters stands."""
    errors: GuardState = GuardState()
    """What is known of the answers without a prediction."""
    slow: GuardState = GuardState()
    """What is known of the slow answers."""
    at_step: int = 0
    """Requests of both versions since the step began."""
    since: datetime | None = None
    """Since when requests are counted."""
    outcomes_since: datetime | None = None
    """Since when, in data time, the callers of an A/B rollout are compared."""
    outcomes: Outcomes | None = None
    """What the labels of an A/B rollout say so far."""


class StepPlan(Frozen, frozen=True):
    """What can be expected of one step, by its slowest guard and for a candidate that is as good as the champion.

    `requests` (of both versions) and `seconds` are what it takes in the median, `at_most` the requests within which four of
    five are decided, all three from now on; `detectable` is the smallest difference of rates (candidate - champion) that is
    called harm in four of five cases meanwhile. All are None where no number of requests can show the margin.
    """

    weight: int
    """The step's weight in percent; 0 is the shadow before the first."""
    guard: str
    """The guard that decides last."""
    fits: bool
    """Whether this step and those before it end before the deadline in the median."""
    sentence: str
    """The same as a sentence."""
    requests: int | None = None
    """Requests of both versions together that it takes in the median, of those still to come."""
    seconds: float | None = None
    """How long that is at the traffic there is; none where there is no traffic."""
    at_most: int | None = None
    """Requests within which four of five candidates that are as good are found not worse."""
    detectable: float | None = None
    """The smallest difference of rates that is called harm in four of five cases meanwhile."""


class Plan(Frozen, frozen=True):
    """What can be expected of the steps that are left, at the traffic and the champion's rates there are."""

    requests_per_second: float
    """Requests to both versions together, as counted so far."""
    errors: float
    """The champion's rate of answers without a prediction."""
    slow: float
    """The champion's rate of slow answers."""
    fits: bool
    """Whether the steps can be expected to end before the deadline."""
    sentence: str
    """The same as a sentence."""
    steps: tuple[StepPlan, ...] = ()
    """The step that it stands at and those after it."""


class GuardVerdict(Frozen, frozen=True):
    """What one guard says: how the candidate differs, the anytime-valid interval of it, and the margin it is held against.

    All four are candidate - champion where the margin is absolute, candidate / champion where it is `relative`. A bound is
    None as long as nothing is known; `lower` reaches the tolerance exactly when the guard says harm, `upper` the margin
    exactly when it says notWorse (or would, were there no harm). For the label, `margin` is the least effect that is worth a new version.
    """

    guard: Literal["errors", "slow", "quality", "label"]
    """What is compared."""
    says: Says
    """What follows from it."""
    sentence: str
    """The same as a sentence."""
    difference: float | None = None
    """The estimate of candidate - champion, or of candidate / champion where the margin is relative."""
    lower: float | None = None
    """The lower bound of the difference; it holds at any time of looking."""
    upper: float | None = None
    """The upper bound of the difference; it holds at any time of looking."""
    margin: float | None = None
    """What the upper bound must be below; of the label, the effect that is worth a new version."""
    relative: bool = False
    """Whether difference, bounds and margin are candidate / champion."""
    champion_n: int = 0
    """The champion's requests, rows or callers that this rests on."""
    candidate_n: int = 0
    """The candidate's requests, rows or callers that this rests on."""


class Verdict(Frozen, frozen=True):
    """What the judge says of all guards together; harm by one is harm, not worse needs all."""

    says: Says = "noData"
    """harm: take it back. notWorse: go on. hold: look on. noData: nothing was seen. wins, loses, equal: what the labels of an A/B say."""
    sentence: str = "no requests were seen yet"
    """The same as a sentence."""
    guards: tuple[GuardVerdict, ...] = ()
    """What each guard says."""


class Latency(Frozen, frozen=True):
    """How long a version's answers took, by the gateway's buckets."""

    counts: tuple[int, ...] = ()
    """Answers that took up to 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000 ms, and longer."""
    p50: float | None = None
    """Half of the answers took at most so many milliseconds; the bound of a bucket, none where it was longer than all."""
    p99: float | None = None
    """99 of 100 answers took at most so many milliseconds; likewise."""


class Shadowed(Frozen, frozen=True):
    """What is known of a candidate that answers copies of the callers' requests: whether it predicts as the champion does, and how fast."""

    since: datetime
    """From which data time on rows are compared."""
    copies: int = 0
    """How many copies of requests the candidate was asked."""
    rows: int = 0
    """How many rows both have scored."""
    agreement: float | None = None
    """The share of these rows on which both predict alike."""
    lower: float | None = None
    """The lower bound of that share; it holds at any time of looking."""
    upper: float | None = None
    """The upper bound of that share; it holds at any time of looking."""
    effect: float | None = None
    """How far the candidate's predictions are from the champion's as distributions, as drift is measured."""
    champion: Latency = Latency()
    """How long the champion's answers took meanwhile."""
    candidate: Latency = Latency()
    """How long the candidate's answers to the copies took."""
    says: Literal["agrees", "disagrees", "hold", "noData"] = "noData"
    """agrees: surely on enough rows. disagrees: surely on too few. hold: look on. noData: no row was scored by both."""
    sentence: str = "no row has been scored by both versions yet"
    """The same as a sentence."""
