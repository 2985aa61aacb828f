"""The port `Ledger` in a state folder's SQLite file, and the export beside it that a crash must not leave behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.audit.drafts import NOW, draft
from tests.unit.audit.lived import key, keys
from trimtab.audit.chain import Chains, verify
from trimtab.audit.lines import check
from trimtab.audit.record import AuditRecord
from trimtab.errors import Conflict, InvalidInput
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.release import Release, ReleaseSpec, Request
from trimtab.spec import Metadata


def release(name: str = "bikes-1", namespace: str = "default") -> Release:
    return Release(Metadata(name, namespace, uid=f"{name}-uid"), ReleaseSpec("bikes", "uid", "recipe", Request("person", "cli", name, NOW)))


def opened(folder: Path) -> SqliteLedger:
    return SqliteLedger(folder / "state.db", key("ours"), folder / "audit.jsonl")


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    return opened(tmp_path)


def decide(ledger: SqliteLedger, of: Release, *reasons: str) -> list[AuditRecord]:
    return [ledger.append(draft(of, reason), ledger.last(of)) for reason in reasons]


def exported(folder: Path) -> list[bytes]:
    return (folder / "audit.jsonl").read_bytes().splitlines(keepends=True)


def test_all_releases_of_a_namespace_are_one_signed_chain(ledger: SqliteLedger, tmp_path: Path) -> None:
    one, two = release(), release("bikes-2")
    made = [*decide(ledger, one, "Admitted"), *decide(ledger, two, "Cooldown"), *decide(ledger, one, "RunSubmitted")]
    other = decide(ledger, release(namespace="crm", name="cars-1"), "Admitted")
    assert list(ledger.records()) == [*other, *made]
    assert ledger.of(one) == [made[0], made[2]]
    assert ledger.last(two) == made[1]
    assert verify(ledger.records(), keys()) is None
    assert check(exported(tmp_path), Chains(keys())) is None
    assert len(exported(tmp_path)) == 4


def test_who_decided_on_an_old_last_record_loses_and_nothing_is_kept(ledger: SqliteLedger) -> None:
    first, second = decide(ledger, release(), "Admitted", "RunSubmitted")
    with pytest.raises(Conflict, match="another decision about 'bikes-1' was recorded meanwhile"):
        ledger.append(draft(release(), "Other"), first)
    assert list(ledger.records()) == [first, second]


def test_two_processes_at_once_make_one_chain(ledger: SqliteLedger, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from tests.unit.platforms.local.test_ledger import decide, release
from trimtab.platforms.local.ledger import SqliteLedger
ledger = SqliteLedger(Path({str(tmp_path / "state.db")!r}))
for number in range(40):
    decide(ledger, release(sys.argv[1]), f"R{{number}}")
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, f"bikes-{number}"]) for number in range(2)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    assert len(list(ledger.records())) == 80
    assert verify(ledger.records()) is None


def test_a_line_that_a_crash_kept_from_the_export_is_there_after_the_next_start(ledger: SqliteLedger, tmp_path: Path) -> None:
    made = decide(ledger, release(), *(f"R{number}" for number in range(5)))
    ledger.close()
    lines = exported(tmp_path)
    (tmp_path / "audit.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:100])
    decide(opened(tmp_path), release(), "Next")
    assert exported(tmp_path)[:5] == lines
    assert check(exported(tmp_path), Chains(keys())) is None
    assert len(exported(tmp_path)) == len(made) + 1


def test_a_reader_needs_no_key_and_writes_no_export(ledger: SqliteLedger, tmp_path: Path) -> None:
    decide(ledger, release(), "Admitted")
    before = (tmp_path / "audit.jsonl").stat().st_mtime_ns
    assert len(list(SqliteLedger(tmp_path / "state.db").records())) == 1
    assert (tmp_path / "audit.jsonl").stat().st_mtime_ns == before


def test_what_is_no_record_is_named(ledger: SqliteLedger) -> None:
    ledger._connection.execute("INSERT INTO audit VALUES ('default', 1, 'r', '{}')")
    with pytest.raises(InvalidInput, match="the audit store holds something that is no record"):
        list(ledger.records())


def test_a_key_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    ledger = SqliteLedger(tmp_path / "state.db", tmp_path / "key")
    with pytest.raises(InvalidInput, match=r"the signing key .* cannot be used"):
        decide(ledger, release(), "Admitted")
    assert list(ledger.records()) == []
