"""What a status says in the words of Kubernetes: conditions, generations and summaries. Pure.

Conditions are a map by type; a transition time moves only when the status flips (Kubernetes API conventions). Reconciling and Stalled
are there only while they are so: kstatus, by which `kubectl`-like tools and Flux tell what is in progress and what has failed, reads them
in that way (kubernetes-sigs/cli-utils, pkg/kstatus).
"""

import re
from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from trimtab.pipeline_rollout import PipelineRollout, PipelineRolloutStatus, RolloutPhase
from trimtab.release import BAD_ENDS, Phase, Release, ReleaseStatus
from trimtab.retraining.history import breaker_open
from trimtab.rollout.rules.common import leaving
from trimtab.spec import Condition, ExplainerSummary, LastRelease, Model, ModelStatus, MonitoringSummary

_REASON = re.compile(r"^(?P<reason>[A-Z][A-Za-z]{2,60}): ")
_MESSAGE = 1024


def of_release(release: Release, now: datetime) -> ReleaseStatus:
    """The Release's status with its conditions Finished and Promoted as its phase says, and Reachable as its plan does."""
    status, generation = release.status, release.metadata.generation
    reason, sentence = status.reason or str(status.phase), status.sentence
    if status.outcome:
        reason, sentence = status.outcome.reason, status.outcome.sentence
    promoted = "True" if status.phase is Phase.PROMOTED else "False" if release.terminal else "Unknown"
    told = {"Finished": "True" if release.terminal else "False", "Promoted": promoted}
    told["Reconciling"] = "" if release.terminal else "True"
    told["Stalled"] = "True" if status.phase in BAD_ENDS else ""
    conditions = status.conditions
    for kind, state in told.items():
        conditions = put(conditions, kind, state, reason, sentence, generation, now)
    if status.paused:
        conditions = put(conditions, "Paused", "True", "PausedByPerson", status.paused.sentence, generation, now)
    elif any(one.type == "Paused" for one in conditions):
        conditions = put(conditions, "Paused", "False", "NotPaused", "it is not paused any more", generation, now)
    if plan := status.plan:
        reachable = ("True", "PlanFits") if plan.fits else ("False", "OutOfReach")
        conditions = put(conditions, "Reachable", *reachable, plan.sentence, generation, now)
    return replace(status, conditions=conditions, observed_generation=generation)


def of_rollout(rollout: PipelineRollout, now: datetime) -> PipelineRolloutStatus:
    """The status with the conditions that kstatus reads of any object: Ready, Reconciling while it goes on, Stalled where it was halted."""
    status, generation = rollout.status, rollout.metadata.generation
    going_on = status.phase in (RolloutPhase.PROGRESSING, RolloutPhase.REVERTING)
    halted = status.phase is RolloutPhase.HALTED
    told = {"Ready": not going_on and not halted, "Reconciling": going_on, "Stalled": halted}
    conditions = status.conditions
    for kind, state in told.items():
        conditions = put(conditions, kind, str(state), status.reason or str(status.phase), status.sentence, generation, now)
    return replace(status, conditions=conditions, observed_generation=generation)


def reconciled(conditions: Sequence[Condition], problem: str, wait: str, generation: int, now: datetime) -> tuple[Condition, ...]:
    """The conditions with Reconciled: False while something must be mended (`problem`) or does not answer (`wait`)."""
    if problem:
        return put(conditions, "Reconciled", "False", reason_of(problem, "Refused"), problem, generation, now)
    if wait:
        return put(conditions, "Reconciled", "False", "Waiting", f"waiting: {wait}", generation, now)
    return put(conditions, "Reconciled", "True", "UpToDate", "what shall be is, or is under way", generation, now)


def of_model(
    model: Model,
    releases: Sequence[Release],
    *,
    serving: str,
    problem: str,
    wait: str,
    monitoring: MonitoringSummary | None,
    now: datetime,
) -> ModelStatus:
    """The Model's status as it is told. `serving` is why the InferenceService does not serve, empty where it does."""
    generation, champion = model.metadata.generation, model.status.champion
    conditions = reconciled(model.status.conditions, problem, wait, generation, now)
    if leaving(model):
        ready = ("False", "Leaving", "the Model was deleted; what is out of its Release is being withdrawn")
    elif champion is None:
        ready = ("False", reason_of(problem, "NoChampion"), problem or "no version has been promoted yet")
    elif serving:
        ready = ("False", "NotServing", serving)
    else:
        ready = ("True", "Serving", f"version {champion.version} serves")
    conditions = put(conditions, "Ready", *ready, generation, now)
    watched = monitoring or model.status.monitoring
    newest = max(releases, key=lambda one: (one.metadata.creation_timestamp or now, one.name), default=None)
    stuck = "" if leaving(model) else problem or _without_a_version(model, newest)
    conditions = put(conditions, "Stalled", "True" if stuck else "", reason_of(stuck, "Refused"), stuck, generation, now)
    return replace(
        model.status,
        conditions=conditions,
        observed_generation=generation,
        last_release=LastRelease(newest.name, newest.status.phase) if newest else model.status.last_release,
        monitoring=watched,
        breaker_since=breaker_open(model, releases, watched.watermark) if watched and watched.watermark else None,
    )


def _without_a_version(model: Model, newest: Release | None) -> str:
    """Why a Model that has no version will not get one by itself, or nothing."""
    if model.status.champion or newest is None or not newest.terminal:
        return ""
    return f"{newest.status.phase}: Release {newest.name}: {newest.status.why}"


def with_explainer(status: ModelStatus, explainer: ExplainerSummary | None, generation: int, now: datetime) -> ModelStatus:
    """The status with what is known of the explainer and its condition Explaining; without both where the Model asks for none."""
    if explainer is None:
        return replace(status, explainer=None, conditions=put(status.conditions, "Explaining", "", "", "", generation, now))
    state, reason = ("True", "Explaining") if explainer.ready else ("False", reason_of(explainer.sentence, "NotExplaining"))
    conditions = put(status.conditions, "Explaining", state, reason, explainer.sentence, generation, now)
    return replace(status, explainer=explainer, conditions=conditions)


def put(
    conditions: Sequence[Condition], kind: str, state: str, reason: str, message: str, generation: int, now: datetime
) -> tuple[Condition, ...]:
    """The conditions with this one, in the order of their types; without it where `state` is empty."""
    others = tuple(one for one in conditions if one.type != kind)
    if not state:
        return others
    before = next((one for one in conditions if one.type == kind), None)
    since = before.last_transition_time if before and before.status == state else now
    made = Condition(
        type=kind,
        status=state,  # type: ignore[arg-type]
        reason=reason,
        message=message[:_MESSAGE],
        observed_generation=generation,
        last_transition_time=since,
    )
    return tuple(sorted((*others, made), key=lambda one: one.type))


def reason_of(sentence: str, otherwise: str) -> str:
    """The reason constant that a sentence begins with (`OwnershipConflict: …`), or `otherwise`."""
    found = _REASON.match(sentence)
    return found["reason"] if found else otherwise
