"""The work of `trimtab audit`: over the store of a state folder or a namespace, or over an export where nothing else is left."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from trimtab.audit.chain import Anchor, Chains, Fault, verify
from trimtab.audit.lines import anchors, check, encode, records
from trimtab.audit.record import AuditRecord
from trimtab.audit.seal import believed_keys
from trimtab.audit.served import Served, Share, served
from trimtab.cli.output import moment, plain, print_json, writing
from trimtab.cli.place import Place, place
from trimtab.cli.play import parse_time
from trimtab.errors import InvalidInput, TrimtabError
from trimtab.release import Release

_HEAD = re.compile(r"(?:(?P<namespace>[a-z0-9-]+)/)?(?P<sequence>[0-9]+):(?P<hash>[0-9a-f]{64})")
_NO_CERTIFICATE = (
    "whose signatures are to be believed? Name a file with --certificate: on a cluster the `tls.crt` of the Secret `trimtab-signing`, "
    "of a state folder `audit.key.pub`; --unsigned looks at the chain alone"
)


class Trust(Struct, frozen=True):
    """What a person trusts beside the records: certificates, and heads that were kept elsewhere."""

    certificate: Path | None = None
    anchors: Path | None = None
    head: str = ""
    unsigned: bool = False


def verify_records(file: Path | None, folder: Path, namespace: str | None, trust: Trust, *, as_json: bool) -> bool:
    """Tell whether the records are whole, and where they are not, the first bad one; returns whether they are."""
    keys, given = believed(folder, namespace, trust), [*given_anchors(trust, namespace)]
    anchored = list(given)
    if file is not None:
        chains = Chains(keys, given, given)
        with _opened(file) as lines:
            fault = check(lines, chains)
    else:
        here = place(folder, namespace)
        anchored += _kept_anchors(here, folder, namespace)
        chains = Chains(keys, anchored, given)
        fault = next((found for record in here.archive.records() if (found := chains.add(record))), None) or chains.end()
    if chains.count == 0 and fault is None and file is not None:
        msg = f"{str(file)!r} holds no audit record"
        raise InvalidInput(msg)
    _tell(chains, fault, anchored, as_json=as_json)
    return fault is None


def _tell(chains: Chains, fault: Fault | None, anchored: list[Anchor], *, as_json: bool) -> None:
    heads = {namespace: f"{namespace}/{head.sequence}:{head.hash}" for namespace, head in sorted(chains.heads.items())}
    if as_json:
        bad = {"place": fault.place, "sentence": fault.sentence} if fault else {}
        print_json({"whole": fault is None, **bad, "records": chains.count, "heads": [*heads.values()], "signed": chains.keys is not None})
        return
    if fault:
        print(f"not whole: {plain(fault.sentence)}")
        return
    print(f"whole: {chains.count} records, {_signed(chains.keys)}, {len(anchored)} heads that were kept elsewhere are met")
    for namespace, cut in sorted(chains.begins.items()):
        print(f"begins after {namespace}/{cut.sequence}, which {cut.where} holds: what was before it was exported and deleted")
    for head in heads.values():
        print(f"head {head}")


def _signed(keys: Mapping[str, bytes] | None) -> str:
    return f"signed by {' or '.join(keys)}" if keys is not None else "signatures were not looked at"


def show_served(at: str, model: str, file: Path | None, folder: Path, namespace: str | None, trust: Trust, *, as_json: bool) -> None:
    """Tell what served a Model at a time; raises InvalidInput where no record says it, TrimtabError where the records are not whole."""
    when = parse_time("--at", at)
    if when is None or when > datetime.now(UTC):
        msg = f"--at is {at!r}; a time that has passed is allowed"
        raise InvalidInput(msg)
    keys, given = believed(folder, namespace, trust), [*given_anchors(trust, namespace)]
    found = _all(file, folder, namespace)
    kept = _kept_anchors(place(folder, namespace), folder, namespace) if file is None else ()
    if fault := verify(found, keys, [*given, *kept], given):
        msg = f"the records cannot be relied on: {fault.sentence}; `trimtab audit verify` tells more"
        raise TrimtabError(msg)
    chains = {record.namespace for record in found if record.model == model}
    if len(chains) > 1:
        msg = f"there are Models {model!r} in {', '.join(sorted(chains))}: name one with -n"
        raise InvalidInput(msg)
    said = served([record for record in found if record.namespace in chains], model, when)
    if said is None:
        msg = f"no record about a Model {model!r} is as old as {moment(when)}; {_known(found)}"
        raise InvalidInput(msg)
    if as_json:
        print_json({**msgspec.to_builtins(said), "signed": keys is not None})
        return
    print("\n".join(map(plain, _lines(said, _signed(keys)))))


def write_export(out: Path | None, folder: Path, namespace: str | None) -> None:
    """Write all records as JSON Lines to a file or to standard output."""
    found = place(folder, namespace).archive.records()
    if out is None:
        for record in found:
            sys.stdout.buffer.write(encode(record) + b"\n")
        sys.stdout.buffer.flush()
        return
    with writing(out), out.open("wb") as stream:
        stream.writelines(encode(record) + b"\n" for record in found)


def _all(file: Path | None, folder: Path, namespace: str | None) -> list[AuditRecord]:
    if file is None:
        return [*place(folder, namespace).archive.records()]
    with _opened(file) as lines:
        return [record for record in records(lines) if namespace in (None, record.namespace)]


def believed(folder: Path, namespace: str | None, trust: Trust) -> dict[str, bytes] | None:
    """The public keys whose signatures are believed, by id; None where none is looked at. Raises InvalidInput where none are named."""
    if trust.unsigned:
        return None
    path = trust.certificate
    if path is None and namespace is None:
        from trimtab.platforms.local.state import State

        own = State(folder).audit_public
        path = own if own.exists() else None
    if path is None:
        raise InvalidInput(_NO_CERTIFICATE)
    return believed_keys(_text(path))


def given_anchors(trust: Trust, namespace: str | None) -> Iterator[Anchor]:
    """The heads that a person names; raises InvalidInput where they cannot be read."""
    if trust.anchors:
        with _opened(trust.anchors) as lines:
            yield from (anchor for anchor in anchors(lines, str(trust.anchors)) if namespace in (None, anchor.namespace))
    if trust.head:
        found = _HEAD.fullmatch(trust.head)
        if found is None:
            msg = f"--head is {trust.head!r}; NAMESPACE/NUMBER:HASH is allowed, as `trimtab audit verify` prints it"
            raise InvalidInput(msg)
        yield Anchor(found["namespace"] or namespace or "default", int(found["sequence"]), found["hash"], "--head")


def _kept_anchors(here: Place, folder: Path, namespace: str | None) -> Iterator[Anchor]:
    """The heads in the Releases' statuses, and in a state folder those in its `audit.jsonl`."""
    for release in here.objects.all_of(Release):
        for known in release.status.decisions:
            yield Anchor(release.metadata.namespace, known.sequence, known.hash, f"the status of Release {release.name}")
    if namespace is None:
        from trimtab.platforms.local.state import State

        export = State(folder).audit_export
        if export.exists() and export.stat().st_size:
            with _opened(export) as lines:
                yield from anchors(lines, export.name)


@contextmanager
def _opened(path: Path) -> Iterator[Iterable[bytes]]:
    if str(path) == "-":
        yield sys.stdin.buffer
        return
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        msg = f"{str(path)!r} cannot be read: {error.strerror}"
        raise InvalidInput(msg) from error


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeError) as error:
        msg = f"{str(path)!r} cannot be read: {error}"
        raise InvalidInput(msg) from error


def _known(found: list[AuditRecord]) -> str:
    if not found:
        return "there are no records"
    models = sorted({record.model for record in found})
    return f"the oldest of all is of {moment(min(record.at for record in found))}, and they are about {', '.join(models)}"


def _lines(said: Served, signed: str) -> Iterator[str]:
    yield f"{said.model} at {moment(said.at)} UTC, by the records of {said.namespace} up to {said.record}, {signed}:"
    if not said.shares:
        yield "  nothing served"
    for share in said.shares:
        since = f", since {moment(share.since)}" if share.since else ""
        yield f"  {share.weight}% version {share.version.version}{since} (records {', '.join(map(str, share.records)) or 'none'})"
        yield from (f"      {name:<9} {text}" for name, text in _told(share))
    if said.note:
        yield f"  note: {said.note}"


def _told(share: Share) -> Iterator[tuple[str, str]]:
    yield "weights", share.version.digest
    if share.trained:
        cut = f", known at {moment(share.cut)} (data time)" if share.cut else ""
        yield "trained", f"by {share.trained} on the rows {share.data}{cut}"
    else:
        yield "trained", "unknown: no record tells"
    if share.asked:
        who = f" by {share.asked.by}" if share.asked.by else ""
        yield "asked", f"{share.release}: {share.asked.trigger}{who}: {share.asked.sentence}"
        yield "event", f"{share.asked.source} {share.asked.id}"
    else:
        yield "asked", f"{share.release or 'unknown'}: no record tells by whom"
    yield (
        ("approved", f"by {share.approval.by} at {moment(share.approval.at)}: {share.approval.sentence}")
        if share.approval
        else ("approved", "by the rules alone: no person was asked")
    )
