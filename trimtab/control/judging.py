"""What the judge says at this look: of the requests that were counted, of a shadow's copies, of an A/B's callers, and of the bake.

Reads counters and the monitor and asks `rollout/`; while one of them is silent, what was known before stands, and no more is claimed.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from trimtab.control.ports import Monitor, Traffic
from trimtab.errors import InvalidInput, Unavailable
from trimtab.release import Block, Evidence, GuardVerdict, Outcomes, Phase, Plan, Release, ServedVersion, Shadowed, Verdict
from trimtab.rollout import shadow
from trimtab.rollout.ab import joined, judge_outcomes
from trimtab.rollout.ab_power import planned_ab
from trimtab.rollout.judge import is_warm, judge, look
from trimtab.rollout.plan import in_shadow
from trimtab.rollout.power import planned
from trimtab.rollout.quality import judge_quality
from trimtab.rollout.rules.common import leaving, rolling_for
from trimtab.spec import Model
from trimtab.units import duration, margin

log = logging.getLogger(__name__)


class Judged(Struct, frozen=True):
    """The evidence after a look, what it says, and what it lets expect."""

    evidence: Evidence
    verdict: Verdict
    shadow: Shadowed | None
    plan: Plan | None


def judged(
    traffic: Traffic, monitor: Monitor, release: Release, model: Model, served: Sequence[ServedVersion], moment: datetime, now: datetime
) -> Judged:
    """What is known of a rollout at this look; `moment` is data time."""
    blocks, evidence, verdict = _counted(traffic, release, model, now)
    evidence, verdict = _callers(monitor, release, model, _split_since(release, served, moment), evidence, verdict)
    shadowed = _shadow(monitor, release, model, blocks)
    return Judged(evidence, verdict, shadowed, _plan(release, model, evidence, shadowed or release.status.shadow, now))


def _counted(traffic: Traffic, release: Release, model: Model, now: datetime) -> tuple[list[Block], Evidence, Verdict]:
    """The blocks of this look, the evidence after it, and what the judge says."""
    status = release.status
    champion = model.status.champion
    if status.phase is not Phase.ROLLOUT or status.rollout is None or status.candidate is None or champion is None:
        return [], status.evidence, Verdict()
    if status.promotion or not status.deployed:
        return [], status.evidence, status.verdict or Verdict()
    threshold = round(duration(status.rollout.guard.slow.threshold) / timedelta(milliseconds=1))
    try:
        blocks, cursor = traffic.arms(model, champion.version, status.candidate.version, threshold, status.evidence.cursor)
    except Unavailable as error:
        return [], status.evidence, Verdict("noData", f"nothing is counted: {error}")
    counted = [replace(block, warm=is_warm(status, block)) for block in blocks if block.weight == status.weight]
    evidence = look(status.evidence, counted, status.rollout)
    evidence = replace(evidence, cursor=cursor, since=evidence.since or now)
    return counted, evidence, judge(evidence, status.rollout)


def _shadow(monitor: Monitor, release: Release, model: Model, blocks: Sequence[Block]) -> Shadowed | None:
    """What is known of a candidate that answers copies; while the monitor is silent, no more than before, and no verdict."""
    status, champion = release.status, model.status.champion
    if not in_shadow(status) or not status.shadow or leaving(model):
        return None
    if status.rollout is None or status.candidate is None or champion is None:
        return None
    known, asked = shadow.counted(status.shadow, blocks), status.rollout.shadow
    try:
        pair = (champion.version, status.candidate.version)
        return shadow.judged(known, monitor.agreement(model, *pair, known.since, asked.difference), asked)
    except (Unavailable, InvalidInput) as error:
        return replace(known, says="hold", sentence=f"whether both predict alike is not known: {error}")


def _split_since(release: Release, served: Sequence[ServedVersion], moment: datetime) -> datetime | None:
    """Since when, in data time, an A/B's callers are split: since the route was seen to be; None before."""
    status = release.status
    split = any((one.version, one.weight) == (status.candidate.version, status.weight) for one in served) if status.candidate else False
    return status.evidence.outcomes_since or (moment if split else None)


def _callers(
    monitor: Monitor, release: Release, model: Model, since: datetime | None, evidence: Evidence, verdict: Verdict
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
            outcomes = monitor.outcomes(model, champion.version, status.candidate.version, since)
        except (Unavailable, InvalidInput) as error:
            log.warning("%s: %s", release.name, error)
            since = evidence.outcomes_since
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


def baked(monitor: Monitor, release: Release, model: Model) -> Verdict:
    """What the losses of both versions say since the promotion; no data outside of the bake."""
    status = release.status
    since = status.promotion.since if status.promotion and not status.promotion.old_dropped else None
    if leaving(model) or status.phase is not Phase.BAKING:
        return Verdict()
    if since is None or status.compared_with is None or status.candidate is None or not status.rollout:
        return Verdict()
    losses = monitor.paired(model, status.compared_with.version, status.candidate.version, since)
    try:
        verdict: GuardVerdict = judge_quality(losses, margin(status.rollout.bake.quality.margin))
    except InvalidInput as error:
        return Verdict("noData", f"what was scored cannot be judged: {error}")
    return Verdict(verdict.says, verdict.sentence, (verdict,))
