"""The work of `trimtab audit export --prune`: the oldest records of a namespace leave the cluster once they are safe in a file.

Nothing is deleted that was not read back from the file and found whole; what goes is a stretch from the beginning, oldest first, so that
a chain that is cut off anywhere is one without gaps.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from trimtab.audit.chain import Anchor, Chains
from trimtab.audit.lines import check, encode
from trimtab.audit.record import AuditRecord
from trimtab.cli.auditing import Trust, believed, given_anchors
from trimtab.cli.output import writing
from trimtab.cli.play import parse_time
from trimtab.errors import InvalidInput, TrimtabError
from trimtab.release import Release

_WHAT = "--prune exports a namespace of a cluster (-n) to a file (--out) and deletes what is older than a time that has passed (--before)"


def export_and_prune(out: Path | None, namespace: str | None, before: str, trust: Trust) -> None:
    """Export a namespace's records, verify the file, delete those that are older; raises TrimtabError where they are not whole."""
    moment = parse_time("--before", before or None)
    if out is None or not namespace or moment is None or moment > datetime.now(UTC):
        raise InvalidInput(_WHAT)
    if out.exists():
        msg = f"{str(out)!r} exists already: an export that something was deleted by is never overwritten; name another file with --out"
        raise InvalidInput(msg)
    keys, given = believed(Path(), namespace, trust), [*given_anchors(trust, namespace)]
    try:
        from trimtab.platforms.kubernetes.api import Api, Namespaces, connect
        from trimtab.platforms.kubernetes.ledger import RECENT, KubernetesLedger
        from trimtab.platforms.kubernetes.objects import KubernetesObjects
    except ImportError as error:
        msg = "the Kubernetes client is not installed here: pip install 'trimtab[controller]'"
        raise InvalidInput(msg) from error
    api = Api(connect())
    archive = KubernetesLedger(api, namespace=namespace)
    releases = KubernetesObjects(api, Namespaces(api, [namespace])).all_of(Release)
    live = {release.metadata.uid for release in releases if not release.terminal}
    records = [*archive.records()]
    with writing(out), out.open("xb") as stream:
        stream.writelines(encode(record) + b"\n" for record in records)
        stream.flush()
        os.fsync(stream.fileno())
    _verify(out, len(records), keys, given)
    gone = 0
    for record in _old(records[: max(0, len(records) - RECENT)], live, moment):
        archive.delete(record)
        gone = record.sequence
    print(f"exported {len(records)} records to {out}, verified")
    print(
        f"deleted up to {namespace}/{gone}; `verify` and `served` take what is left with --anchors {out}" if gone else "nothing was deleted"
    )


def _old(records: Sequence[AuditRecord], live: set[str], moment: datetime) -> Iterator[AuditRecord]:
    """The records from the beginning that are older, up to the first one of a Release that is under way."""
    for record in records:
        if record.at >= moment or record.release_uid in live:
            return
        yield record


def _verify(out: Path, count: int, keys: Mapping[str, bytes] | None, given: Sequence[Anchor]) -> None:
    chains = Chains(keys, given, given)
    with out.open("rb") as lines:
        fault = check(lines, chains)
    if fault or chains.count != count:
        msg = f"nothing was deleted: {fault.sentence if fault else f'{str(out)!r} has {chains.count} of {count} records'}"
        raise TrimtabError(msg)
