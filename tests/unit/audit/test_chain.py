"""The chain of decisions: whatever is done to it is found, and the first bad record named."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trimtab.audit.chain import append, digest, verify
from trimtab.release import DecisionRecord, Phase

START = datetime(2026, 3, 1, tzinfo=UTC)


def add(previous: DecisionRecord | None, number: int) -> DecisionRecord:
    moment = START + timedelta(minutes=number)
    return append(
        previous, at=moment, data_time=None, phase=Phase.ROLLOUT, reason=f"Step{number}", sentence=f"decision {number}", weight=number
    )


def chain(length: int) -> list[DecisionRecord]:
    records: list[DecisionRecord] = []
    for number in range(1, length + 1):
        records.append(add(records[-1] if records else None, number))
    return records


def inserted(records: list[DecisionRecord]) -> list[DecisionRecord]:
    return [*records[:3], add(records[2], 99), *records[3:]]


def forged(records: list[DecisionRecord]) -> list[DecisionRecord]:
    """An edit whose hash was made to fit."""
    changed = replace(records[2], sentence="it was never so")
    return [*records[:2], replace(changed, hash=digest(changed)), *records[3:]]


CASES: list[tuple[str, Callable[[list[DecisionRecord]], list[DecisionRecord]], str]] = [
    ("an edited sentence", lambda r: [*r[:2], replace(r[2], sentence="it was never so"), *r[3:]], "record 3 .* was edited"),
    ("an edited time", lambda r: [*r[:2], replace(r[2], at=START), *r[3:]], "record 3 .* was edited"),
    ("an edited weight", lambda r: [*r[:4], replace(r[4], weight=0)], "record 5 .* was edited"),
    ("an edit with a hash that fits", forged, "record 4 .* does not follow"),
    ("the first record deleted", lambda r: r[1:], "record 2 .* stands where record 1 belongs"),
    ("one in the middle deleted", lambda r: [*r[:2], *r[3:]], "record 4 .* stands where record 3 belongs"),
    ("one inserted", inserted, "record 4 .* stands where record 5 belongs"),
    ("two exchanged", lambda r: [r[0], r[2], r[1], *r[3:]], "record 3 .* stands where record 2 belongs"),
    ("one repeated", lambda r: [*r[:2], r[1], *r[2:]], "record 2 .* stands where record 3 belongs"),
    ("another chain's beginning", lambda r: [add(None, 7), *r[1:]], "record 2 .* does not follow"),
]


@pytest.mark.parametrize(("tamper", "named"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_tampering_is_found_and_named(tamper: Callable[[list[DecisionRecord]], list[DecisionRecord]], named: str) -> None:
    with pytest.raises(AssertionError, match=named):
        assert verify(tamper(chain(5))) is None


def test_a_whole_chain_is_whole_also_after_it_was_written_down() -> None:
    records = chain(5)
    assert verify(records) is None
    assert verify([]) is None
    again = msgspec.json.decode(msgspec.json.encode(records), type=list[DecisionRecord])
    assert verify(again) is None


def test_a_cut_tail_is_found_against_a_head_that_was_kept_elsewhere() -> None:
    records = chain(5)
    assert verify(records, records[-1]) is None
    found = verify(records[:3], records[-1])
    assert found is not None
    assert found.startswith("record 5 (Step5) is known from elsewhere and missing")


def test_the_same_moment_in_another_zone_has_the_same_hash() -> None:
    zoned = START.astimezone(timezone(timedelta(hours=5)))
    one, other = (append(None, at=at, data_time=at, phase=Phase.PENDING, reason="A", sentence="s") for at in (START, zoned))
    assert one.hash == other.hash
    assert one.sequence == 1
    assert one.previous == ""


@given(st.permutations(range(4)), st.sets(st.integers(0, 3)))
def test_no_other_order_and_no_gap_passes(order: list[int], missing: set[int]) -> None:
    kept = [index for index in order if index not in missing]
    records = chain(4)
    whole = kept == list(range(len(kept)))
    assert (verify([records[index] for index in kept]) is None) == whole
