"""Gathers what the rules of one Release look at. Reads through ports, decides nothing.

Only what the Release's phase needs is asked for, so that an idle fleet costs nothing. While the monitor does not answer, a
canary is still judged and withdrawn, and takes no further step; while nothing counts its traffic, it holds. What cannot be used as
evidence never keeps a Release from ending.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from trimtab.control.ports import Ledger, Monitor, Objects, Registry, Runner, Serving, Traffic
from trimtab.control.words import said_to
from trimtab.errors import InvalidInput, Unavailable
from trimtab.release import (
    Admission,
    Admit,
    Block,
    CandidateOutcome,
    Evidence,
    GuardVerdict,
    Observed,
    Outcome,
    Outcomes,
    Phase,
    Plan,
    Release,
    RunState,
    ServedVersion,
    Shadowed,
    Verdict,
)
from trimtab.retraining.govern import govern
from trimtab.retraining.history import active, breaker_opened
from trimtab.rollout import shadow
from trimtab.rollout.ab import joined, judge_outcomes
from trimtab.rollout.ab_power import planned_ab
from trimtab.rollout.judge import is_warm, judge, look
from trimtab.rollout.plan import in_shadow
from trimtab.rollout.power import planned
from trimtab.rollout.quality import judge_quality
from trimtab.rollout.rules.common import leaving, rolling_for
from trimtab.spec import Model, recipe
from trimtab.units import duration, margin

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
    blocks, counted, found = _traffic(ports, release, model, now)
    evidence, verdict = _callers(ports, release, model, _split_since(release, served, moment), counted, found)
    shadowed = _shadow(ports, release, model, blocks)
    return Observed(
        now=now,
        data_now=moment,
        release=release,
        model=model,
        recipe=recipe(model.spec),
        admission=_admission(release, releases, model, moment),
        run=run,
        run_fault=run_fault or outcome_fault,
        outcome=outcome,
        serving=served,
        serving_fault=fault,
        smoke=_smoke(ports, release, model, served),
        evidence=evidence,
        plan=_plan(release, model, evidence, shadowed or status.shadow, now),
        verdict=verdict,
        bake_verdict=_bake(ports, release, model),
        shadow=shadowed,
        actions=said_to(ports.objects, release),
        quality_findings=_quality(ports, release, model),
        breaker_until=_breaker(release, releases, model, moment),
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


def _admission(release: Release, releases: Sequence[Release], model: Model, moment: datetime) -> Admission:
    if release.status.phase is not Phase.PENDING:
        return Admit()
    running = sum(active(other) for other in releases)
    return govern(release, model, releases, moment, running, LIMIT)


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


def _traffic(ports: Ports, release: Release, model: Model, now: datetime) -> tuple[list[Block], Evidence, Verdict]:
    """The blocks of this look, the evidence after it, and what the judge says."""
    status = release.status
    champion = model.status.champion
    if status.phase is not Phase.ROLLOUT or status.rollout is None or status.candidate is None or champion is None:
        return [], status.evidence, Verdict()
    if status.promotion or not status.deployed:
        return [], status.evidence, status.verdict or Verdict()
    threshold = round(duration(status.rollout.guard.slow.threshold) / timedelta(milliseconds=1))
    try:
        blocks, cursor = ports.traffic.arms(model, champion.version, status.candidate.version, threshold, status.evidence.cursor)
    except Unavailable as error:
        return [], status.evidence, Verdict("noData", f"nothing is counted: {error}")
    counted = [replace(block, warm=is_warm(status, block)) for block in blocks if block.weight == status.weight]
    evidence = look(status.evidence, counted, status.rollout)
    evidence = replace(evidence, cursor=cursor, since=evidence.since or now)
    return counted, evidence, judge(evidence, status.rollout)


def _shadow(ports: Ports, release: Release, model: Model, blocks: Sequence[Block]) -> Shadowed | None:
    """What is known of a candidate that answers copies; while the monitor is silent, no more than before, and no verdict."""
    status, champion = release.status, model.status.champion
    if not in_shadow(status) or not status.shadow or leaving(model):
        return None
    if status.rollout is None or status.candidate is None or champion is None:
        return None
    known, asked = shadow.counted(status.shadow, blocks), status.rollout.shadow
    try:
        pair = (champion.version, status.candidate.version)
        return shadow.judged(known, ports.monitor.agreement(model, *pair, known.since, asked.difference), asked)
    except (Unavailable, InvalidInput) as error:
        return replace(known, says="hold", sentence=f"whether both predict alike is not known: {error}")


def _split_since(release: Release, served: Sequence[ServedVersion], moment: datetime) -> datetime | None:
    """Since when, in data time, an A/B's callers are split: since the route was seen to be; None before."""
    status = release.status
    split = any((one.version, one.weight) == (status.candidate.version, status.weight) for one in served) if status.candidate else False
    return status.evidence.outcomes_since or (moment if split else None)


def _callers(
    ports: Ports, release: Release, model: Model, since: datetime | None, evidence: Evidence, verdict: Verdict
) -> tuple[Evidence, Verdict]:
    """What an A/B's evidence and verdict come to with the labels of the callers; while the monitor is silent, with those known before."""
    status, champion, rollout = release.status, model.status.champion, release.status.rollout
    if status.phase is not Phase.ROLLOUT or status.step < 0 or status.promotion or leaving(model):
        return evidence, verdict
    if rollout is None or rollout.strategy != "ab" or status.candidate is None or champion is None:
        return evidence, verdict
    outcomes = evidence.outcomes
    if since is not None:
        try:
            outcomes = ports.monitor.outcomes(model, champion.version, status.candidate.version, since)
        except (Unavailable, InvalidInput) as error:
            log.warning("%s: %s", release.name, error)
    evidence = replace(evidence, outcomes_since=since, outcomes=outcomes)
    return evidence, joined(verdict, judge_outcomes(outcomes or Outcomes(), rollout.ab))


def _plan(release: Release, model: Model, evidence: Evidence, shadowed: Shadowed | None, now: datetime) -> Plan | None:
    """What the evidence lets expect of the steps that are left."""
    status = release.status
    if status.phase is not Phase.ROLLOUT or status.rollout is None or status.promotion:
        return None
    left = duration(status.rollout.max_duration) - rolling_for(status, now)
    if status.rollout.strategy == "ab":
        return planned_ab(evidence, status.rollout.ab, (left - duration(model.spec.data.label_delay)).total_seconds())
    if status.rollout.strategy == "direct":
        return None
    return planned(evidence, status.rollout, status.step, now, left.total_seconds(), shadowed.copies if shadowed else 0)


def _bake(ports: Ports, release: Release, model: Model) -> Verdict:
    status = release.status
    since = status.promotion.since if status.promotion and not status.promotion.old_dropped else None
    if leaving(model) or status.phase is not Phase.BAKING:
        return Verdict()
    if since is None or status.compared_with is None or status.candidate is None or not status.rollout:
        return Verdict()
    losses = ports.monitor.paired(model, status.compared_with.version, status.candidate.version, since)
    try:
        verdict: GuardVerdict = judge_quality(losses, margin(status.rollout.bake.quality.margin))
    except InvalidInput as error:
        return Verdict("noData", f"what was scored cannot be judged: {error}")
    return Verdict(verdict.says, verdict.sentence, (verdict,))
