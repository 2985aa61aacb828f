"""How a Model's candidate takes over the traffic: the part of the document beneath `spec.rollout`.

The sentence below a field is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.making import Closed
from trimtab.units import Duration, MarginText

Strategy = Literal["canary", "ab", "shadow", "direct"]
Weight = Annotated[int, Meta(ge=1, le=99, description="a share of the traffic from 1 to 99 percent")]
BucketMs = Literal["50ms", "100ms", "250ms", "500ms", "1s", "1000ms", "2500ms"]


class ErrorGuard(Closed, frozen=True):
    """The share of answers without a prediction."""

    margin: MarginText = "+0.01"
    """How much larger than the champion's the candidate's share may be."""


class SlowGuard(Closed, frozen=True):
    """The share of slow answers."""

    threshold: BucketMs = "250ms"
    """From when on an answer is slow; one of Envoy's buckets."""
    margin: MarginText = "+0.02"
    """How much larger than the champion's the candidate's share may be."""


class Guard(Closed, frozen=True):
    """What a canary must not make worse."""

    errors: ErrorGuard = ErrorGuard()
    slow: SlowGuard = SlowGuard()


class QualityGuard(Closed, frozen=True):
    """The mean loss on rows that both versions scored."""

    margin: MarginText = "x1.05"
    """How much larger than the champion's the candidate's mean loss may be."""


class Bake(Closed, frozen=True):
    """What follows a promotion: the previous champion is kept warm, and comes back where the new one does harm."""

    duration: Duration = "48h"
    """How long, in data time."""
    quality: QualityGuard = QualityGuard()


class Shadow(Closed, frozen=True):
    """What strategy shadow asks of a candidate that answers copies of the callers' requests, and nobody reads its answers."""

    rows: Annotated[int, Meta(ge=20, le=10_000)] = 500
    """How many rows both must have scored before it is judged whether they agree."""
    agreement: Annotated[float, Meta(ge=0, lt=1)] = 0.8
    """The least share of these rows on which both predict alike: the same class, or numbers that differ little."""
    difference: Annotated[float, Meta(ge=0, le=10)] = 0.2
    """How much two numbers or probabilities may differ and be alike, in standard deviations of the champion's reference predictions."""


class Ab(Closed, frozen=True):
    """Strategy ab: callers are assigned to a version for good, and what their labels say decides which version is better."""

    header: Annotated[str, Meta(pattern="^[A-Za-z0-9-]{1,64}$", description="the name of a request header")] = "x-user-id"
    """The request header by whose value callers are assigned."""
    share: Weight = 50
    """The candidate's share of the callers in percent."""
    goal: Literal["larger", "smaller"] = "larger"
    """Whether a larger or a smaller mean of the labels is better."""
    effect: MarginText = "+0.01"
    """The least difference of the means that is worth a new version."""
    winner: Literal["promote", "ask"] = "promote"
    """Whether a candidate that won is promoted, or a person is asked."""


class Rollout(Closed, frozen=True):
    """How a candidate takes over the traffic."""

    strategy: Strategy = "canary"
    """canary: by growing weights, judged at each; shadow: on copies of the requests before; ab: callers are split, and their labels decide;
    direct: at once after a smoke test."""
    steps: Annotated[tuple[Weight, ...], Meta(max_length=99)] = (5, 25, 50)
    """The candidate's weights, each larger than the one before; after the last it is promoted."""
    max_duration: Duration = "2h"
    """After how long, in wall time, a rollout without a verdict is taken back as Inconclusive."""
    harm_tolerance: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Harm is found when the candidate is certainly worse than the champion by more than this share."""
    guard: Guard = Guard()
    bake: Bake = Bake()
    shadow: Shadow = Shadow()
    ab: Ab = Ab()
