"""Who served when, and why, and how a version came to be: answered from the audit records alone, whether or not anything that they are
about still exists.

What served is what had been decided: the champion and, at its weight, the candidate of the Release under way. The route follows a
decision within seconds, and what is not served as decided is itself decided about (rule 13).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from msgspec import Struct

from trimtab.audit.record import Asked, AuditRecord
from trimtab.release import TERMINAL, Phase
from trimtab.spec import Version

_IDLE = TERMINAL | {Phase.PENDING}
"""Where a Release is not the one under way, of which a Model has one at a time."""


class Approval(Struct, frozen=True):
    """Who said yes to the version, when and in which words."""

    by: str
    at: datetime
    sentence: str


class Share(Struct, frozen=True, rename="camel"):
    """A version that served, its share of the traffic in percent, and what is recorded of how it came to.

    `release` brought it into service and was `asked` for; `trained` is the Release whose run made it, from the rows of `data` (their
    SHA-256) known at `cut`. What no record tells is None or empty.
    """

    version: Version
    weight: int
    since: datetime | None
    release: str
    asked: Asked | None
    approval: Approval | None
    trained: str
    cut: datetime | None
    data: str
    records: tuple[int, ...]


class Course(Struct, frozen=True, rename="camel"):
    """How a version came to be: the Release that made it or first carried it, and what is recorded of that; None where no record tells.

    `admitted` is when it was let begin, `promoted` when the version became champion by it, both in wall time.
    """

    release: str
    asked: Asked | None
    admitted: datetime | None
    approval: Approval | None
    promoted: datetime | None


class Served(Struct, frozen=True, rename="camel"):
    """What served a Model at a time; `record` is the last decision before it, `note` what an auditor has to know beside it."""

    namespace: str
    model: str
    at: datetime
    record: int
    shares: tuple[Share, ...]
    note: str = ""


def served(records: Sequence[AuditRecord], model: str, at: datetime) -> Served | None:
    """What served the Model at that time, by the records of one namespace in their order; None where none of it is that old."""
    past = _until([record for record in records if record.model == model], at)
    if not past:
        return None
    newest = list(dict.fromkeys(record.model_uid for record in past))[-1]
    mine = [record for record in past if record.model_uid == newest]
    last = mine[-1]
    weights: dict[tuple[str, str], tuple[Version, int]] = {}
    begun = max((record.sequence for record in mine if record.phase not in _IDLE), default=0)
    for now in {record.release_uid: record for record in mine}.values():
        if now.candidate and now.weight and now.sequence >= begun and now.phase not in _IDLE and not _same(now.candidate, last.champion):
            weights[(now.candidate.version, now.candidate.digest)] = (now.candidate, now.weight)
    taken = sum(weight for _, weight in weights.values())
    if last.champion and taken < 100:
        weights = {(last.champion.version, last.champion.digest): (last.champion, 100 - taken), **weights}
    shares = tuple(_share(past, mine, version, weight) for version, weight in weights.values())
    return Served(last.namespace, model, at, last.sequence, shares, _note(mine, at))


def course(records: Iterable[AuditRecord], version: Version, release_uid: str) -> Course | None:
    """How the version came to be, by the records of its Model in their order; None where none is about it.

    `release_uid` is the Release whose run made it, empty where that is not known or none did.
    """
    known = [*records]
    begun = next((one for one in known if one.release_uid == release_uid or _same(one.candidate, version)), None)
    if begun is None:
        return None
    mine = [record for record in known if record.release_uid == begun.release_uid]
    return Course(
        release=begun.release,
        asked=next((record.asked for record in mine if record.asked), None),
        admitted=next((one.at for one in mine if one.before.phase is Phase.PENDING and one.phase not in _IDLE), None),
        approval=_approval(_approving(mine)),
        promoted=next((one.at for one in mine if _same(one.champion, version) and not _same(one.before.champion, version)), None),
    )


def _approving(mine: Iterable[AuditRecord]) -> AuditRecord | None:
    return _last(record for record in mine if record.reason == "Approved")


def _approval(record: AuditRecord | None) -> Approval | None:
    return Approval(record.by, record.at, record.sentence) if record else None


def _share(past: Sequence[AuditRecord], mine: Sequence[AuditRecord], version: Version, weight: int) -> Share:
    champion = mine[-1].champion
    carried = [record for record in mine if _same(record.candidate, version)]
    crown = _last(record for record in mine if _same(record.champion, version) and not _same(record.before.champion, version))
    begun = crown or _last(record for record in carried if record.weight and not record.before.weight)
    release = champion.release if champion and _same(champion, version) else carried[-1].release
    bringing = [record for record in mine if record.release == release]
    made = next((record for record in past if record.data and _same(record.candidate, version)), None)
    first = next((record for record in past if made and record.release_uid == made.release_uid and record.asked), None)
    asking = next((record for record in bringing if record.asked), None)
    approved = _approving(bringing)
    told = {record.sequence for record in (asking, made, approved, begun) if record}
    return Share(
        version=Version(version.version, version.digest),
        weight=weight,
        since=begun.at if begun else None,
        release=release,
        asked=asking.asked if asking else None,
        approval=_approval(approved),
        trained=made.release if made else "",
        cut=first.asked.cut if first and first.asked else None,
        data=made.data if made else "",
        records=tuple(sorted(told)),
    )


def _until(records: Sequence[AuditRecord], at: datetime) -> Sequence[AuditRecord]:
    """The records up to the last one that is as old; their order is the truth also where a clock was set back."""
    return records[: max((number for number, record in enumerate(records, 1) if record.at <= at), default=0)]


def _last(records: Iterable[AuditRecord]) -> AuditRecord | None:
    return next(reversed([*records]), None)


def _note(mine: Sequence[AuditRecord], at: datetime) -> str:
    """Where the clock was set back, or the champion was changed by something that left no record."""
    if late := next((record for record in mine if record.at > at), None):
        return f"the clock was set back: record {late.sequence} is of {late.at:%Y-%m-%d %H:%M:%S}, and others that follow it are older"
    for before, after in pairwise(mine):
        if not _same(before.champion, after.before.champion):
            was, now = (one.version if one else "none" for one in (before.champion, after.before.champion))
            return f"the champion went from {was} to {now} between records {before.sequence} and {after.sequence}, by no decision"
    return ""


def _same(one: Version | None, other: Version | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.version, one.digest) == (other.version, other.digest)
