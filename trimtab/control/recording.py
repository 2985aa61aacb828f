"""What of a decision is kept in the audit store, and when: each that changes phase, step, weight, reason or champion, once.

A record tells everything that an auditor asks later, so that it can be read when Release, Model and registry are gone.
"""

import hashlib

import msgspec
from msgspec.structs import replace

from trimtab.audit.record import Asked, AuditRecord, Stand
from trimtab.control.ports import Ledger
from trimtab.release import TERMINAL, Act, CandidateOutcome, Decision, Observed, Release, ReleaseStatus
from trimtab.spec import Champion

_TOLD = ("phase", "step", "weight", "reason", "heard")


def record(ledger: Ledger, observed: Observed, decision: Decision) -> AuditRecord | None:
    """Keep the decision in the ledger and return its record; None where nothing of it is new.

    One that is in the ledger but not in the status, because of a crash between the two, is returned and not written again.
    """
    release, before, after = observed.release, observed.release.status, decision.status
    told = any(getattr(before, name) != getattr(after, name) for name in _TOLD)
    champion = crowned(observed, decision)
    if not told and champion == _champion(observed):
        return None
    last = ledger.last(release)
    if not told and last and last.champion == champion:
        return None
    made = _draft(observed, decision, champion, first=last is None)
    if last and all(last.hash != known.hash for known in before.decisions) and _said(last) == _said(made):
        return last
    return ledger.append(made, last)


def crowned(observed: Observed, decision: Decision) -> Champion | None:
    """The Model's champion once the decision has been carried out."""
    now, status = _champion(observed), decision.status
    if decision.act is Act.SWAP_CHAMPION and status.candidate:
        generation = now.generation + 1 if now else 1
        return Champion(status.candidate.version, status.candidate.digest, generation, observed.release.name, status.pipeline)
    if decision.act is Act.RESTORE_CHAMPION and status.compared_with and now:
        return replace(status.compared_with, generation=now.generation + 1)
    return now


def _champion(observed: Observed) -> Champion | None:
    model = observed.model
    return model.status.champion if model and model.metadata.uid == observed.release.spec.model_uid else None


def _said(one: AuditRecord) -> tuple[object, ...]:
    """What a record says, but for when."""
    return one.phase, one.reason, one.sentence, one.weight, one.champion, one.word


def _draft(observed: Observed, decision: Decision, champion: Champion | None, *, first: bool) -> AuditRecord:
    release, before, after = observed.release, observed.release.status, decision.status
    evidence = (observed.evidence, observed.verdict, observed.bake_verdict, observed.outcome, observed.shadow)
    return AuditRecord(
        sequence=0,
        at=observed.now,
        data_time=observed.data_now,
        phase=after.phase,
        reason=decision.reason,
        sentence=decision.sentence,
        weight=after.weight,
        evidence=_digest(evidence),
        previous="",
        hash="",
        namespace=release.metadata.namespace,
        model=release.spec.model,
        model_uid=release.spec.model_uid,
        release=release.name,
        release_uid=release.metadata.uid,
        before=Stand(before.phase, before.step, before.weight, _champion(observed)),
        step=after.step,
        champion=champion,
        candidate=after.candidate,
        by=decision.by,
        word=decision.word,
        data=_data(observed, after),
        asked=_asked(release) if first else None,
        breaker_until=observed.breaker_until if after.phase in TERMINAL else None,
    )


def _data(observed: Observed, after: ReleaseStatus) -> str:
    taken_on = after.candidate is not None and after.candidate != observed.release.status.candidate
    return observed.outcome.data if taken_on and isinstance(observed.outcome, CandidateOutcome) else ""


def _asked(release: Release) -> Asked:
    request = release.spec.request
    return Asked(
        trigger=request.trigger,
        source=request.source,
        id=request.id,
        cut=request.cut,
        recipe=release.spec.recipe,
        by=request.by,
        sentence=request.sentence,
        run=request.run,
        version=request.version,
        pipeline=request.pipeline,
        event=_digest(request.event) if request.event else "",
    )


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
