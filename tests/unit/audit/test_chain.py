"""The chain of decisions: whatever is done to it is found, and the first bad record named."""

import base64
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.audit.lived import chained, key, keys, life, records
from trimtab.audit.chain import Anchor, Chains, Fault, digest, follow, short, verify
from trimtab.audit.lines import anchors, check, encode
from trimtab.audit.lines import records as read
from trimtab.audit.record import AuditRecord
from trimtab.audit.seal import sealed
from trimtab.errors import InvalidInput

Records = list[AuditRecord]
PLACES = st.integers(0, len(records()) - 1)


def whole() -> Records:
    return list(records())


def exported(kept: Records) -> list[bytes]:
    return [encode(record) + b"\n" for record in kept]


def found(lines: list[bytes], anchored: list[Anchor] | None = None) -> Fault | None:
    return check(lines, Chains(keys(), anchored or []))


def head() -> Anchor:
    last = whole()[-1]
    return Anchor(last.namespace, last.sequence, last.hash, "the last export")


def test_a_life_leaves_a_whole_chain_that_is_whole_also_after_it_was_written_down() -> None:
    assert len(whole()) > 40
    assert verify(whole(), keys(), [head()]) is None
    assert found(exported(whole()), [head()]) is None
    assert list(read(exported(whole()))) == whole()
    assert verify([]) is None


# --- any single change of an export is found, and the first bad record named ---


@settings(max_examples=400, deadline=None)
@given(place=PLACES, spot=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_any_byte_that_is_changed(place: int, spot: int, byte: int) -> None:
    lines = exported(whole())
    text = bytearray(lines[place])
    spot %= len(text) - 1
    if text[spot] == byte:
        byte = (byte + 1) % 256
    text[spot] = byte
    fault = found([line for part in (lines[:place], [bytes(text)], lines[place + 1 :]) for line in part])
    assert fault is not None
    assert fault.place == place + 1


NOTHING = {"sequence": 7000, "step": 7, "weight": 77, "at": life().now, "data_time": life().now, "before": records()[3].before}


@settings(max_examples=200, deadline=None)
@given(place=PLACES, field=st.sampled_from(AuditRecord.__struct_fields__))
def test_any_field_that_is_changed_and_written_well(place: int, field: str) -> None:
    kept, donors = whole(), [record for record in records() if getattr(record, field) != getattr(records()[place], field)]
    value = getattr(donors[0], field) if donors else NOTHING.get(field, "other")
    kept[place] = replace(kept[place], **{field: value})
    fault = found(exported(kept))
    assert fault is not None
    assert fault.place == place + 1
    assert verify(kept, keys()) is not None


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, len(records()) - 2), more=st.integers(1, 5))
def test_records_that_are_deleted(place: int, more: int) -> None:
    kept = whole()
    del kept[place : min(place + more, len(kept) - 1)]
    fault = found(exported(kept))
    assert fault is not None
    assert fault.place == place + 1
    assert f"stands where record {place + 1} belongs" in fault.sentence


@settings(max_examples=100, deadline=None)
@given(place=PLACES, other=PLACES, forged=st.sampled_from(["copy", "unsigned", "stranger"]))
def test_a_record_that_is_inserted(place: int, other: int, forged: str) -> None:
    kept = whole()
    before = kept[place - 1] if place else None
    signer = key("theirs") if forged == "stranger" else None
    made = kept[other] if forged == "copy" else follow(before, replace(kept[other], sentence="it was so"), signer)
    if made == kept[place]:
        return
    fault = found(exported([*kept[:place], made, *kept[place:]]))
    assert fault is not None
    assert fault.place == place + 1


@settings(max_examples=100, deadline=None)
@given(st.tuples(PLACES, PLACES).filter(lambda pair: pair[0] < pair[1]))
def test_records_that_are_exchanged(pair: tuple[int, int]) -> None:
    kept, (one, other) = whole(), pair
    kept[one], kept[other] = kept[other], kept[one]
    fault = found(exported(kept))
    assert fault is not None
    assert fault.place == one + 1


@settings(max_examples=50, deadline=None)
@given(PLACES)
def test_an_end_that_is_cut_off_against_a_head_that_was_kept_elsewhere(place: int) -> None:
    kept = whole()[:place]
    assert found(exported(kept)) is None, "alone it is a whole chain"
    fault = found(exported(kept), [head()])
    assert fault is not None
    assert fault.place == place + 1
    assert f"record {place + 1} is missing: the last export knows record {len(whole())}" in fault.sentence


@settings(max_examples=100, deadline=None)
@given(place=PLACES, signer=st.sampled_from(["kept", "none", "stranger"]))
def test_hashes_that_are_computed_anew_by_who_has_not_the_key(place: int, signer: str) -> None:
    """Whoever edits and recomputes all that follows has a chain without a flaw, but for the signatures."""
    kept = whole()
    edited = [replace(kept[place], sentence="it was never so"), *kept[place + 1 :]]
    made, last = kept[:place], kept[place - 1] if place else None
    for old in edited:
        last = follow(last, old, key("theirs") if signer == "stranger" else None)
        if signer == "kept":
            last = replace(last, key=old.key, signature=old.signature)
            last = replace(last, hash=digest(last))
        made.append(last)
    assert verify(made) is None, "the chain alone is whole"
    fault = found(exported(made))
    assert fault is not None
    assert fault.place == place + 1


def test_hashes_that_are_computed_anew_are_found_by_a_head_even_where_nothing_is_signed() -> None:
    kept = chained(whole(), None)
    known = Anchor(kept[-1].namespace, kept[-1].sequence, kept[-1].hash, "the log")
    forged = chained([replace(kept[0], sentence="it was never so"), *kept[1:]], None)
    assert verify(kept, None, [known]) is None
    fault = verify(forged, None, [known])
    assert fault is not None
    assert "is not the one that the log knows" in fault.sentence


# --- tables ---

SENTENCES: list[tuple[str, Callable[[Records], Records], str]] = [
    ("an edited sentence", lambda r: [*r[:2], replace(r[2], sentence="never"), *r[3:]], r"record 3 \(.*\) was edited"),
    ("the first record deleted", lambda r: r[1:], r"record 2 \(.*\) stands where record 1 belongs"),
    ("one repeated", lambda r: [*r[:2], r[1], *r[2:]], r"record 2 \(.*\) stands where record 3 belongs"),
    ("another beginning", lambda r: [follow(None, r[3], key("ours")), *r[1:]], r"record 2 \(.*\) does not follow"),
    ("no signature", lambda r: chained(r, None), r"record 1 \(.*\) is not signed"),
    ("another key's", lambda r: chained(r, key("theirs")), r"record 1 \(.*\) is signed by the key '.*', believed are "),
    ("another record's signature", lambda r: [replace(r[0], signature=r[1].signature), *r[1:]], "has a signature that the key .* did not"),
    ("another namespace's record", lambda r: [r[0], follow(None, replace(r[1], namespace="b"), key("ours")), r[2]], "record 3 .* belongs"),
]


@pytest.mark.parametrize(("tamper", "named"), [case[1:] for case in SENTENCES], ids=[case[0] for case in SENTENCES])
def test_what_is_said_of_it(tamper: Callable[[Records], Records], named: str) -> None:
    fault = verify(tamper(whole()), keys())
    assert fault is not None
    with pytest.raises(AssertionError, match=named):
        raise AssertionError(fault.sentence)


def test_each_namespace_is_a_chain_of_its_own_in_one_export() -> None:
    other = chained([replace(record, namespace="crm") for record in whole()[:9]], key("ours"))
    mixed = [record for pair in zip(whole(), other, strict=False) for record in pair]
    assert found(exported(mixed)) is None
    fault = found(exported([record for record in mixed if record is not other[4]]))
    assert fault is not None
    assert fault.place == 11, "the next of that namespace"


def test_a_key_is_replaced_and_the_old_one_still_believed_for_what_it_signed() -> None:
    kept = whole()[:5]
    kept.append(follow(kept[-1], whole()[5], key("theirs")))
    assert verify(kept, {**keys(), **keys("theirs")}) is None
    fault = verify(kept, keys("theirs"))
    assert fault is not None
    assert fault.place == 1


def test_the_other_signature_that_ecdsa_allows_is_none() -> None:
    record = whole()[0]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    raw = base64.b64decode(record.signature)
    twin = raw[:32] + (order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big")
    message, (public,) = b"trimtab.dev/audit " + record.hash.encode(), keys().values()
    assert sealed(message, record.signature, public)
    assert not sealed(message, base64.b64encode(twin).decode(), public)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_anybody_can_check_a_signature_with_openssl(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    record = whole()[7]
    raw = base64.b64decode(record.signature)
    (tmp_path / "signature").write_bytes(encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")))
    (tmp_path / "message").write_bytes(b"trimtab.dev/audit " + record.hash.encode())
    (tmp_path / "key.pub").write_bytes(next(iter(keys().values())))
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pub", "-signature", "signature", "message"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Verified OK"


def test_the_same_moment_in_another_zone_has_the_same_hash() -> None:
    record = whole()[4]
    zoned = replace(record, at=record.at.astimezone(timezone(timedelta(hours=5))))
    assert follow(whole()[3], zoned, None).hash == follow(whole()[3], record, None).hash


def test_what_a_status_keeps_of_a_record_has_its_number_and_hash() -> None:
    kept = short(whole()[8])
    assert (kept.sequence, kept.hash, kept.reason) == (9, whole()[8].hash, whole()[8].reason)


# --- heads kept elsewhere ---


def test_heads_are_read_from_an_export_and_from_a_log_and_other_lines_are_passed_over() -> None:
    logged = b'{"time":"2026-03-01T00:00:00Z","logger":"trimtab.audit","message":"m","record":' + encode(whole()[2]) + b"}\n"
    lines = [b"starting\n", exported(whole())[0], logged, b'{"message":"ending"}\n']
    assert [(one.sequence, one.hash, one.where) for one in anchors(lines, "the log")] == [
        (1, whole()[0].hash, "the log"),
        (3, whole()[2].hash, "the log"),
    ]
    with pytest.raises(InvalidInput, match=r"^the log holds no audit record; an export or the controller's log is allowed$"):
        list(anchors([b"starting\n", b"[" * 100_000], "the log"))


@pytest.mark.parametrize("text", [b"", b"{}", b"null", b"[" * 100_000, b"\xff\xfe", b'{"sequence": 1}'])
def test_a_line_that_is_no_record_is_named(text: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^line 2 is no audit record"):
        list(read([exported(whole())[0], text + b"\n"]))
