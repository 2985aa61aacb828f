"""What people are told by events: promotions, rollbacks, an opened breaker, and what asks for a person. Pure.

The audit chain is where they come from: every decision is in it, numbered and written ahead, so that what was not told yet is never
lost. The one thing that pages without a decision is a finding of broken data, which leads to no Release; the monitor keeps those.
"""

from datetime import datetime

import msgspec

from trimtab.audit.record import AuditRecord
from trimtab.events import BREAKER_OPENED, ESCALATION, PROMOTED, ROLLED_BACK, CloudEvent, Finding, data_of
from trimtab.evidence import Frozen
from trimtab.release import Phase
from trimtab.spec import Version


class Notice(Frozen, frozen=True):
    """An event's data. What is not so of a decision is left out; `weights` are percent of the traffic by version."""

    namespace: str
    model: str
    reason: str
    sentence: str
    release: str = ""
    phase: Phase | None = None
    by: str = ""
    version: Version | None = None
    champion: Version | None = None
    previous_champion: Version | None = None
    weights: dict[str, int] = {}
    data_time: datetime | None = None
    breaker_until: datetime | None = None


def of_record(record: AuditRecord) -> tuple[CloudEvent, ...]:
    """The events of a decision, none for most. An event's id is its record's hash, so that a receiver knows one that comes again."""
    notice = Notice(
        namespace=record.namespace,
        model=record.model,
        reason=record.reason,
        sentence=record.sentence,
        release=record.release,
        phase=record.phase,
        by=record.by,
        version=_plain(record.candidate),
        champion=_plain(record.champion),
        weights=_weights(record),
        data_time=record.data_time,
    )
    found = []
    if record.reason == "ChampionSwapped":
        promoted = msgspec.structs.replace(notice, previous_champion=_plain(record.before.champion))
        found.append(_event(record, PROMOTED, promoted))
    elif record.phase is Phase.ROLLED_BACK:
        found.append(_event(record, ROLLED_BACK, notice))
    elif _escalates(record):
        found.append(_event(record, ESCALATION, notice))
    elif record.asked and record.asked.trigger == "performance":
        told = {"reason": "PerformanceLost", "sentence": record.asked.sentence}
        found.append(_event(record, ESCALATION, msgspec.structs.replace(notice, **told)))
    if record.breaker_until:
        sentence = f"too many Releases in a row failed, the last: {record.sentence}"
        opened = msgspec.structs.replace(notice, reason="BreakerOpen", sentence=sentence, breaker_until=record.breaker_until)
        found.append(_event(record, BREAKER_OPENED, opened, "-breaker"))
    return tuple(found)


def of_finding(event: CloudEvent) -> CloudEvent | None:
    """The event of a finding that pages and asks for no Release: data that is in doubt. Its id is the finding's."""
    finding = data_of(event, Finding)
    if finding.kind != "quality":
        return None
    data = {**msgspec.to_builtins(Notice(finding.namespace, finding.model, "DataInDoubt", finding.sentence, data_time=finding.cut))}
    return msgspec.structs.replace(event, type=ESCALATION, data={**data, "severity": finding.severity})


def _escalates(record: AuditRecord) -> bool:
    """Whether a person has something to do: a Release that failed, an approval, a winner, a champion that was changed under a promotion."""
    asks = record.phase is Phase.AWAITING_APPROVAL and record.before.phase is not Phase.AWAITING_APPROVAL
    asks = asks or record.reason == "WinnerAwaitsPerson"
    lost = record.reason == "ChampionChanged" and record.phase is Phase.WITHDRAWING and record.before.weight == 100
    return record.phase is Phase.FAILED or asks or lost


def _weights(record: AuditRecord) -> dict[str, int]:
    champion, candidate = record.champion, record.candidate
    weights = {candidate.version: record.weight} if candidate and record.weight else {}
    if champion and champion.version not in weights and record.weight < 100:
        weights[champion.version] = 100 - record.weight
    return weights


def _plain(version: Version | None) -> Version | None:
    return Version(version.version, version.digest) if version else None


def _event(record: AuditRecord, kind: str, notice: Notice, part: str = "") -> CloudEvent:
    return CloudEvent(
        id=record.hash + part,
        source=f"/namespaces/{record.namespace}/audit",
        type=kind,
        time=record.at,
        subject=f"{record.namespace}/{record.model}",
        data=msgspec.to_builtins(notice),
        extensions={"sequence": str(record.sequence)},
    )
