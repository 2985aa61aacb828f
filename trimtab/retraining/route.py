"""What a finding leads to: its kind decides, because the kinds have different cures.

Broken data is never cured by training on it; a distribution that moved is no harm in itself; a model that got worse is.
"""

from typing import Literal

from trimtab.events import Finding
from trimtab.release import Frozen
from trimtab.spec import Model

LEAST_SEASONS = 3.0


class Route(Frozen, frozen=True):
    """What a finding leads to. `page`: a person is told; `hold`: rollouts wait until it is closed.

    `trigger` is what the Release is asked for by, where the action is to retrain.
    """

    action: Literal["retrain", "page", "watch"]
    reason: str
    sentence: str
    trigger: Literal["performance", "concept", "drift"] | None = None
    page: bool = False
    hold: bool = False


def route(finding: Finding, model: Model) -> Route:
    """The action for a finding on a model; whether a retrain may begin now is the governor's business."""
    if finding.kind == "quality":
        sentence = f"the data is in doubt, so a person is told, rollouts wait and nothing is trained on it: {finding.sentence}"
        return Route("page", "DataInDoubt", sentence, page=True, hold=True)
    if finding.kind == "performance":
        return Route("retrain", "PerformanceLost", f"the model got worse: {finding.sentence}", "performance", page=True)
    if finding.kind == "concept":
        return Route("retrain", "ConceptChanged", f"the same inputs lead to other outcomes: {finding.sentence}", "concept")
    if finding.kind == "explanation":
        return _reordered(finding)
    return _moved(finding, model)


def _reordered(finding: Finding) -> Route:
    """A version that answers by other features was not validated for it; only labels tell whether it is the worse for that."""
    if finding.hurts:
        return Route("retrain", "ExplanationHurts", f"it answers by other features and the error rose: {finding.sentence}", "concept")
    known = "no label says whether it hurts" if finding.hurts is None else "labels say that it does not hurt"
    return Route("watch", "ExplanationWatched", f"watched only: {known}: {finding.sentence}")


def _moved(finding: Finding, model: Model) -> Route:
    """A distribution moved: worth a retrain if the policy names drift and it hurts, or the reference knows the seasons."""
    if "drift" not in model.spec.retraining.on:
        return Route("watch", "DriftWatched", f"watched only: spec.retraining.on does not name drift: {finding.sentence}")
    if finding.hurts:
        return Route("retrain", "DriftHurts", f"the {finding.kind} distribution moved and it hurts: {finding.sentence}", "drift")
    if finding.hurts is False:
        return Route("watch", "DriftHarmless", f"watched only: labels say that it does not hurt: {finding.sentence}")
    if finding.seasons >= LEAST_SEASONS:
        return Route(
            "retrain",
            "DriftUnlabelled",
            f"the {finding.kind} distribution moved, and no label says whether it hurts: {finding.sentence}",
            "drift",
        )
    known = f"the reference spans {finding.seasons:.1f} of {LEAST_SEASONS:.0f} seasons, so this may be one"
    return Route("watch", "SeasonsUnknown", f"watched only: {known}: {finding.sentence}")
