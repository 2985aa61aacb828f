"""What shall be served for a model: a pure function of its champion and of the one Release that is under way.

The champion in the Model's status is the only truth; servers and routes are made to follow this plan, again and again.
"""

from msgspec.structs import replace

from trimtab.release import Arm, Phase, Release, ReleaseStatus, ServingPlan
from trimtab.spec import Model


def in_shadow(status: ReleaseStatus) -> bool:
    """Whether the candidate is asked copies now: only while it has nothing else, whatever was written before."""
    return status.mirrored and status.phase is Phase.ROLLOUT and status.step < 0 and status.promotion is None


def serving_plan(model: Model, active: Release | None) -> ServingPlan:
    """The arms for the champion and, while `active` has one deployed, for its candidate.

    Before the champion is swapped the candidate stands beside it with its weight; after it, the previous champion is
    kept warm at 0% until the bake is over. A first version has 0% until its promotion begins. In an A/B test callers stay
    with the version that they are assigned to, until the test is over and all go to one. The plan's Model has the rollout that
    the Release was admitted with: what the predictors tell of callers changes with no edit while it is under way.
    """
    champion = model.status.champion
    arms = [Arm(champion, 100)] if champion else []
    status = active.status if active and active.spec.model_uid == model.metadata.uid else None
    if status is None or status.candidate is None or not status.deployed:
        return ServingPlan(model, tuple(arms))
    if status.rollout and active and active.spec.request.version is None:
        model = replace(model, spec=replace(model.spec, rollout=status.rollout))
    candidate = status.candidate
    if champion is None:
        return ServingPlan(model, (Arm(candidate, status.weight if status.promotion else 0),))
    if (champion.version, champion.digest) != (candidate.version, candidate.digest):
        arms = [Arm(champion, 100 - status.weight), Arm(candidate, status.weight, in_shadow(status))]
        return ServingPlan(model, tuple(arms), _sticky(status))
    old = status.compared_with
    warm = old is not None and status.promotion is not None and not status.promotion.old_dropped
    if old and warm and status.phase in (Phase.ROLLOUT, Phase.BAKING, Phase.WITHDRAWING):
        arms.append(Arm(old, 0))
    return ServingPlan(model, tuple(arms))


def _sticky(status: ReleaseStatus) -> str:
    rollout = status.rollout
    return rollout.ab.header if rollout and rollout.strategy == "ab" and status.promotion is None else ""
