"""Gathers what the rules of one Release look at. Reads through ports, decides nothing.

Only what the Release's phase needs is asked for, so that an idle fleet costs nothing. While the monitor does not answer, a
canary is still judged and withdrawn, and takes no further step; while nothing counts its traffic, it holds. What cannot be used as
evidence never keeps a Release from ending.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from trimtab.control import judging
from trimtab.control.pipelines import pipeline_of
from trimtab.control.ports import Ledger, Monitor, Objects, Packages, Places, Registry, Runner, Serving, Traffic
from trimtab.control.running import pipeline_fault
from trimtab.control.words import said_to
from trimtab.errors import InvalidInput, Unavailable
from trimtab.release import (
    Admission,
    Admit,
    CandidateOutcome,
    Observed,
    Outcome,
    Phase,
    Refuse,
    Release,
    RunState,
    ServedVersion,
    Wait,
)
from trimtab.retraining.govern import ROLLOUT_HALTED, govern
from trimtab.retraining.history import active, breaker_opened
from trimtab.rollout.rules.common import leaving
from trimtab.spec import Model, PipelineVersion, recipe

log = logging.getLogger(__name__)

LIMIT = 4
"""How many Releases may be under way at once, over all Models."""

_RUNS = (Phase.TRAINING, Phase.COMPARING, Phase.WITHDRAWING)
_SERVES = (Phase.ROLLOUT, Phase.COMPARING, Phase.AWAITING_APPROVAL, Phase.BAKING, Phase.WITHDRAWING)


class Ports(Struct, frozen=True):
    """Everything the loop reaches the world through."""

    objects: Objects
    ledger: Ledger
    runner: Runner
    serving: Serving
    traffic: Traffic
    registry: Registry
    monitor: Monitor
    packages: Packages
    places: Places


def data_now(ports: Ports, model: Model, now: datetime) -> datetime:
    """The data time of a Model: its watermark, never before its first cut; the wall clock where there is neither."""
    watermark = ports.monitor.watermark(model)
    known = [moment for moment in (watermark, model.status.first_cut) if moment is not None]
    return max(known) if known else now


def gather(ports: Ports, release: Release, releases: Sequence[Release], model: Model | None, *, now: datetime, fault: str) -> Observed:
    """What is observed of `release`; `fault` is why its candidate could not be served when that was last tried."""
    status = release.status
    if model is None:
        run = _run(ports, release)[0]
        return Observed(now=now, data_now=now, release=release, model=None, run=run, evidence=status.evidence)
    moment = _moment(ports, release, model, now)
    run, run_fault = _run(ports, release)
    outcome, outcome_fault = (None, "") if leaving(model) else _outcome(ports, release)
    served = tuple(ports.serving.observe(model)) if status.phase in _SERVES else ()
    pipeline = pipeline_of(ports.objects, ports.packages, release, releases, model)
    found = judging.judged(ports.traffic, ports.monitor, release, model, served, moment, now)
    return Observed(
        now=now,
        data_now=moment,
        release=release,
        model=model,
        recipe=recipe(model.spec),
        admission=_admission(release, releases, model, moment, pipeline),
        run=run,
        run_fault=run_fault or outcome_fault,
        outcome=outcome,
        serving=served,
        serving_fault=fault,
        smoke=_smoke(ports, release, model, served),
        evidence=found.evidence,
        plan=found.plan,
        verdict=found.verdict,
        bake_verdict=judging.baked(ports.monitor, release, model),
        shadow=found.shadow,
        actions=said_to(ports.objects, release),
        pipeline=pipeline if isinstance(pipeline, PipelineVersion) else None,
        quality_findings=_quality(ports, release, model),
        breaker_until=_breaker(release, releases, model, moment),
        pipeline_fault="" if leaving(model) else pipeline_fault(ports.packages, release, model, run, outcome),
    )


def _moment(ports: Ports, release: Release, model: Model, now: datetime) -> datetime:
    """The data time; where nothing is decided by it and the monitor is silent, that of the admission has to do."""
    status = release.status
    try:
        return data_now(ports, model, now)
    except Unavailable as error:
        if leaving(model):
            return status.admitted_data or now
        if status.admitted_data is None or status.promotion or status.phase not in (Phase.ROLLOUT, Phase.WITHDRAWING):
            raise
        log.warning("%s: %s", release.name, error)
        return status.admitted_data


def _quality(ports: Ports, release: Release, model: Model) -> tuple[str, ...]:
    """The open quality findings; a monitor that is silent may have one."""
    if release.status.phase is not Phase.ROLLOUT or leaving(model):
        return ()
    try:
        return tuple(ports.monitor.open_quality(model))
    except Unavailable as error:
        return (f"unknown, for {error}",)


def _admission(
    release: Release, releases: Sequence[Release], model: Model, moment: datetime, pipeline: PipelineVersion | Wait | Refuse | None
) -> Admission:
    """What the governor says; what it admits waits where there is no pipeline yet that its run could execute."""
    if release.status.phase is not Phase.PENDING:
        return Admit()
    if isinstance(pipeline, Refuse) or (isinstance(pipeline, Wait) and pipeline.reason == ROLLOUT_HALTED):
        return pipeline
    running = sum(active(other) for other in releases)
    said = govern(release, model, releases, moment, running, LIMIT)
    return pipeline if isinstance(said, Admit) and isinstance(pipeline, Wait) else said


def _breaker(release: Release, releases: Sequence[Release], model: Model, moment: datetime) -> datetime | None:
    outcome = release.status.outcome
    return breaker_opened(model, releases, release, outcome.phase, moment) if outcome else None


def _run(ports: Ports, release: Release) -> tuple[RunState, str]:
    if release.status.phase not in _RUNS or release.status.attempt == 0:
        return "absent", ""
    return ports.runner.state(release.metadata.uid, release.status.attempt)


def _outcome(ports: Ports, release: Release) -> tuple[Outcome | None, str]:
    """What the run left, and why it cannot be read where it left something else than an outcome."""
    status, request = release.status, release.spec.request
    if status.phase not in (Phase.TRAINING, Phase.COMPARING) or not (status.attempt or request.version or request.run):
        return None, ""
    if request.version and not status.attempt:
        return CandidateOutcome(request.version.version, request.version.digest), ""
    try:
        return ports.registry.outcome(release.metadata.uid, status.attempt, "" if status.attempt else request.run), ""
    except InvalidInput as error:
        return None, str(error)


def _smoke(ports: Ports, release: Release, model: Model, served: Sequence[ServedVersion]) -> tuple[bool, str] | None:
    status = release.status
    if status.phase is not Phase.ROLLOUT or status.smoked or status.candidate is None or not status.ready:
        return None
    ready = any(one.version == status.candidate.version and one.ready for one in served)
    return ports.serving.smoke(model, status.candidate) if ready else None
