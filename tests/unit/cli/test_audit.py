"""`trimtab audit` on a state folder, on a namespace of a cluster and on an export: what it says, and how it ends."""

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.audit.lived import chained, key, life, records
from tests.unit.cli.test_place import server as server
from tests.unit.platforms.kubernetes.api_server import ApiServer
from trimtab.audit.chain import short
from trimtab.audit.lines import encode
from trimtab.cli import main
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.ledger import KubernetesLedger
from trimtab.platforms.kubernetes.resources import RELEASES
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.release import Release

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A state folder that a whole life has left, its Releases still there."""
    made = State(tmp_path / "state")
    made.prepare()
    fill(SqliteLedger(made.database, made.audit_key, made.audit_export))
    return made


def fill(ledger: Any) -> None:
    """Keep each record of the life, in the order of its namespace."""
    last: dict[str, Any] = {}
    for record in life().store.chain():
        release = next(one for one in life().releases() if one.metadata.uid == record.release_uid)
        ledger.last(release)
        last[record.release_uid] = ledger.append(record, last.get(record.release_uid))


@pytest.fixture
def run(capfdbinary: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    def make(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trimtab", "audit", *words])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return make


def tampered(state: State, statement: str) -> None:
    with sqlite3.connect(state.database) as connection:
        connection.execute(statement)


def test_a_whole_store_is_whole_and_its_head_is_told(state: State, run: Run) -> None:
    code, out, _ = run("verify", "--state", str(state.folder))
    assert code == 0
    first, head = out.splitlines()
    count = len(records())
    assert first.startswith(f"whole: {count} records, signed by ")
    assert head.startswith(f"head default/{count}:")
    assert run("verify", "--state", str(state.folder), "--head", head.removeprefix("head "))[0] == 0
    said = json.loads(run("verify", "--state", str(state.folder), "--json")[1])
    assert (said["whole"], said["records"], said["signed"]) == (True, count, True)


TAMPERING = [
    ("an edit", "UPDATE audit SET body = replace(body, 'becomes champion', 'became champion')", r"not whole: record \d+ .* was edited"),
    ("a deletion", "DELETE FROM audit WHERE sequence = 5", r"not whole: record 6 .* stands where record 5 belongs"),
    ("a cut end", "DELETE FROM audit WHERE sequence > 20", r"not whole: record 21 is missing: audit.jsonl knows record \d+"),
    ("all of it", "DELETE FROM audit", r"not whole: record 1 is missing"),
]


@pytest.mark.parametrize(("statement", "said"), [case[1:] for case in TAMPERING], ids=[case[0] for case in TAMPERING])
def test_tampering_with_the_store_is_named_and_ends_with_1(state: State, run: Run, statement: str, said: str) -> None:
    tampered(state, statement)
    code, out, _ = run("verify", "--state", str(state.folder))
    assert code == 1
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(out)


def test_a_cut_end_is_found_by_a_release_s_status_too(state: State, run: Run) -> None:
    objects, ledger = SqliteObjects(state.database), SqliteLedger(state.database)
    (last,) = list(ledger.records())[-1:]
    release = objects.create(life().releases()[-1])
    objects.write_status(replace(release, status=replace(release.status, decisions=(short(last),))))
    state.audit_export.unlink()
    tampered(state, "DELETE FROM audit WHERE sequence > 20")
    code, out, _ = run("verify", "--state", str(state.folder))
    assert code == 1
    assert f"record 21 is missing: the status of Release {release.name} knows record {last.sequence}" in out


def test_an_export_is_verified_and_asked_without_the_store(state: State, run: Run, tmp_path: Path) -> None:
    export, public = tmp_path / "all.jsonl", tmp_path / "key.pub"
    assert run("export", "--state", str(state.folder), "--out", str(export))[0] == 0
    assert run("export", "--state", str(state.folder))[1].encode() == export.read_bytes() == state.audit_export.read_bytes()
    state.audit_public.rename(public)
    nowhere = ("--state", str(tmp_path / "nowhere"))
    assert run("verify", str(export), "--certificate", str(public), *nowhere)[0] == 0
    code, _, err = run("verify", str(export), *nowhere)
    assert code == 2
    assert "whose signatures are to be believed? Name a file with --certificate" in err
    assert "signatures were not looked at" in run("verify", str(export), "--unsigned", *nowhere)[1]
    lines = export.read_bytes().splitlines(keepends=True)
    export.write_bytes(b"".join(lines[:-3]))
    assert run("verify", str(export), "--certificate", str(public), *nowhere)[0] == 0, "alone a shorter export is whole"
    code, out, _ = run("verify", str(export), "--certificate", str(public), "--anchors", str(state.audit_export), *nowhere)
    assert code == 1
    assert f"record {len(lines) - 2} is missing" in out
    asked = ("served", str(export), "--at", "2026-03-01T06:00", "--model", "m", *nowhere)
    code, _, err = run(*asked)
    assert code == 2
    assert "whose signatures are to be believed? Name a file with --certificate" in err
    assert "signatures were not looked at:" in run(*asked, "--unsigned")[1]
    code, out, _ = run(*asked, "--certificate", str(public))
    assert code == 0
    assert ", signed by " in out.splitlines()[0]
    assert "80% version 3, since " in out
    assert "20% version 4, since " in out


def test_served_tells_weights_rows_event_and_approval(state: State, run: Run) -> None:
    at = next(record for record in reversed(records()) if record.reason == "Promoted").at.isoformat()
    code, out, _ = run("served", "--at", at, "--model", "m", "--state", str(state.folder))
    assert code == 0
    for part in ("100% version 3, since ", f"weights   {3:064d}", "on the rows rows-uid-", "known at 2011-", "performance: it is worse"):
        assert part in out, part
    assert "approved  by ada at 2026-03-0" in out
    said = json.loads(run("served", "--at", at, "--model", "m", "--state", str(state.folder), "--json")[1])
    assert said["shares"][0]["approval"]["by"] == "ada"
    assert said["signed"] is True


def test_it_works_on_a_namespace_of_a_cluster(server: ApiServer, run: Run, tmp_path: Path) -> None:
    ledger = KubernetesLedger(Api(server.client()), key("ours"))
    for record in life().store.chain()[:9]:
        mine = replace(life().releases()[0], metadata=replace(life().releases()[0].metadata, namespace="crm"))
        ledger.append(replace(record, namespace="crm"), ledger.last(mine))
    public = str(key("ours").with_name("ours.pub"))
    code, out, _ = run("verify", "-n", "crm", "--certificate", public)
    assert (code, out.splitlines()[1][:11]) == (0, "head crm/9:")
    export = run("export", "-n", "crm")[1]
    (tmp_path / "crm.jsonl").write_text(export)
    assert run("verify", str(tmp_path / "crm.jsonl"), "--certificate", public)[0] == 0
    server.objects = {name: body for name, body in server.objects.items() if name[2] != "0000000004"}
    code, out, _ = run("verify", "-n", "crm", "--certificate", public)
    assert code == 1
    assert "stands where record 4 belongs" in out


BAD = [
    (("verify", "nowhere.jsonl", "--unsigned"), r"'nowhere.jsonl' cannot be read: No such file"),
    (("verify", "--unsigned"), r"there is no Trimtab state in "),
    (("verify", "{empty}", "--unsigned"), r"holds no audit record"),
    (("verify", "{export}", "--certificate", "nowhere.pem"), r"'nowhere.pem' cannot be read"),
    (("verify", "{export}", "--certificate", "{export}"), r"the signing certificate cannot be read"),
    (("verify", "{export}", "--unsigned", "--head", "17"), r"--head is '17'; NAMESPACE/NUMBER:HASH is allowed"),
    (("verify", "{export}", "--unsigned", "--anchors", "{empty}"), r"holds no audit record; an export or the controller's log is allowed"),
    (("served", "{export}", "--model", "m", "--at", "soon"), r"--at: 'soon' is not a time"),
    (("served", "{export}", "--model", "m", "--at", "9999-01-01"), r"a time that has passed is allowed"),
    (("served", "{export}", "--model", "m", "--at", "0001-01-01T00:00+14:00"), r"is not a time"),
    (
        ("served", "{export}", "--model", "x", "--at", "2026-03-02", "--unsigned"),
        r"no record about a Model 'x' is as old as .*they are about m",
    ),
    (
        ("served", "{export}", "--model", "m", "--at", "2026-02-01", "--unsigned"),
        r"no record about a Model 'm' is as old as .*the oldest of all is of 2026-03-01",
    ),
    (("export", "--out", "/proc/none/x"), r"there is no Trimtab state in "),
    (("export", "--prune"), r"--prune exports a namespace of a cluster \(-n\) to a file"),
    (("export", "--prune", "-n", "crm", "--out", "x.jsonl"), r"deletes what is older than a time that has passed \(--before\)"),
    (("export", "--prune", "-n", "crm", "--out", "x.jsonl", "--before", "9999-01-01"), r"a time that has passed"),
    (
        ("export", "--prune", "-n", "crm", "--out", "{export}", "--before", "2026-03-02"),
        r"exists already: an export that something was deleted",
    ),
    (("export", "--prune", "-n", "crm", "--out", "x.jsonl", "--before", "2026-03-02"), r"whose signatures are to be believed"),
]


@pytest.mark.parametrize(("words", "said"), BAD, ids=[" ".join(case[0])[:60] for case in BAD])
def test_bad_input_gets_a_sentence_and_ends_with_2(run: Run, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    (tmp_path / "all.jsonl").write_bytes(b"".join(encode(record) + b"\n" for record in records()))
    (tmp_path / "empty").write_bytes(b"")
    given = [word.format(export=tmp_path / "all.jsonl", empty=tmp_path / "empty") for word in words]
    code, _, err = run(*given, "--state", str(tmp_path / "nowhere"))
    assert code == 2, err
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(err)


def test_served_does_not_rely_on_records_that_are_not_whole(state: State, run: Run) -> None:
    tampered(state, "DELETE FROM audit WHERE sequence = 5")
    code, _, err = run("served", "--at", "2026-03-02", "--model", "m", "--state", str(state.folder))
    assert code == 1
    assert "the records cannot be relied on: record 6" in err


STEERING = [
    ("an escape sequence", "\x1b[2K\rwhole: 65 records", "\\x1b[2K\\rwhole: 65 records"),
    ("another line", "x\nwhole: 65 records", "x\\nwhole: 65 records"),
    ("text from right to left", "\u202eelohw", "\\u202eelohw"),
]


@pytest.mark.parametrize(("words", "shown"), [case[1:] for case in STEERING], ids=[case[0] for case in STEERING])
def test_what_stands_in_a_record_steers_no_terminal(run: Run, tmp_path: Path, words: str, shown: str) -> None:
    forged, spoken = [*records()], [*records()]
    forged[3] = replace(forged[3], release=words)
    place = next(number for number, one in enumerate(spoken) if one.reason == "Approved")
    spoken[place] = replace(spoken[place], sentence=words)
    for name, kept in (("forged", forged), ("spoken", chained(spoken, key("ours")))):
        (tmp_path / name).write_bytes(b"".join(encode(one) + b"\n" for one in kept))
    code, out, _ = run("verify", str(tmp_path / "forged"), "--unsigned")
    assert (code, out.count("\n")) == (1, 1)
    assert f"record 4 ({shown}" in out
    code, out, _ = run("served", str(tmp_path / "spoken"), "--unsigned", "--model", "m", "--at", f"{records()[-1].at:%Y-%m-%dT%H:%M:%S}")
    assert code == 0
    assert shown in next(line for line in out.splitlines() if line.lstrip().startswith("approved"))


def test_the_objects_may_be_gone(state: State, run: Run) -> None:
    objects = SqliteObjects(state.database)
    assert objects.all_of(Release) == []
    assert run("served", "--at", "2026-03-02", "--model", "m", "--state", str(state.folder))[0] == 0


def test_served_does_not_rely_on_records_that_somebody_else_signed(state: State, run: Run, tmp_path: Path) -> None:
    asked = ("served", "--at", "2026-03-02", "--model", "m", "--state", str(state.folder))
    theirs = tmp_path / "theirs.pub"
    theirs.write_bytes(key("theirs").with_name("theirs.pub").read_bytes())
    code, _, err = run(*asked, "--certificate", str(theirs))
    assert code == 1
    assert "the records cannot be relied on: record 1 " in err
    assert "is signed by the key" in err
    assert run(*asked)[0] == 0, "a state folder has its own key's public part"


@pytest.fixture
def crm(server: ApiServer) -> list[Any]:
    """The records of a whole life in a namespace of a cluster, signed."""
    ledger, made = KubernetesLedger(Api(server.client()), key("ours")), []
    last: dict[str, Any] = {}
    for record in life().store.chain():
        release = next(one for one in life().releases() if one.metadata.uid == record.release_uid)
        ledger.last(replace(release, metadata=replace(release.metadata, namespace="crm")))
        made.append(ledger.append(replace(record, namespace="crm"), last.get(record.release_uid)))
        last[record.release_uid] = made[-1]
    return made


def numbers(server: ApiServer) -> list[int]:
    return sorted(int(name) for plural, _, name in server.objects if plural == "auditentries")


def test_the_oldest_records_leave_the_cluster_once_they_are_safe_in_a_file(
    server: ApiServer, run: Run, tmp_path: Path, crm: list[Any]
) -> None:
    public, out = str(key("ours").with_name("ours.pub")), tmp_path / "one.jsonl"
    middle = crm[len(crm) // 2]
    pruning = ("export", "-n", "crm", "--certificate", public, "--prune", "--before", middle.at.isoformat())
    code, said, err = run(*pruning, "--out", str(out))
    assert code == 0, err
    left = [record.sequence for record in crm if record.at >= middle.at]
    assert numbers(server) == left
    assert f"exported {len(crm)} records" in said
    assert f"deleted up to crm/{left[0] - 1}; " in said
    code, said, _ = run("verify", "-n", "crm", "--certificate", public, "--anchors", str(out))
    assert code == 0
    assert f"begins after crm/{left[0] - 1}, which {out} holds" in said
    code, said, _ = run("verify", "-n", "crm", "--certificate", public)
    assert (code, "stands where record 1 belongs" in said) == (1, True), "a beginning that is missing needs to be vouched for"
    head = crm[left[0] - 2]
    assert run("verify", "-n", "crm", "--certificate", public, "--head", f"crm/{head.sequence}:{head.hash}")[0] == 0
    asked = ("served", "-n", "crm", "--model", "m", "--at", crm[-1].at.isoformat(), "--certificate", public)
    assert "100% version 3" in run(*asked, "--anchors", str(out))[1]
    whole = run("served", str(out), *asked[3:])[1]
    assert "trained   by" in whole
    assert "unknown" not in whole, "the export still tells all of it"
    ledger = KubernetesLedger(Api(server.client()), key("ours"))
    again = replace(life().releases()[0], metadata=replace(life().releases()[0].metadata, namespace="crm", uid="new"))
    made = ledger.append(replace(crm[0], release_uid="new"), ledger.last(again))
    assert (made.sequence, made.previous) == (len(crm) + 1, crm[-1].hash), "a controller that begins anew goes on"
    code, _, err = run(*pruning[:-1], crm[-1].at.isoformat(), "--out", str(tmp_path / "two.jsonl"))
    assert (code, "stands where record 1 belongs" in err) == (1, True), "the next time the export before is named"
    assert numbers(server)[0] == left[0]
    (tmp_path / "two.jsonl").unlink()
    assert run(*pruning[:-1], crm[-1].at.isoformat(), "--anchors", str(out), "--out", str(tmp_path / "two.jsonl"))[0] == 0
    assert len(numbers(server)) == 16, "the newest stay, whatever is asked"
    assert run("verify", "-n", "crm", "--certificate", public, "--anchors", str(tmp_path / "two.jsonl"))[0] == 0


CUTS = [
    ("a record of the beginning was never exported", 3, 5, "stands where record 1 belongs"),
    ("the export ends before what is left", 8, 5, "stands where record 1 belongs"),
]


@pytest.mark.parametrize(("deleted", "exported", "said"), [case[1:] for case in CUTS], ids=[case[0] for case in CUTS])
def test_a_beginning_that_the_export_does_not_hold_is_tampering(
    server: ApiServer, run: Run, tmp_path: Path, crm: list[Any], deleted: int, exported: int, said: str
) -> None:
    gone = {f"{number:010d}" for number in range(1, deleted + 1)}
    server.objects = {name: body for name, body in server.objects.items() if name[2] not in gone}
    kept = crm[:exported] if deleted > exported else [record for record in crm[:exported] if record.sequence != deleted]
    (tmp_path / "old.jsonl").write_bytes(b"".join(encode(record) + b"\n" for record in kept))
    public = str(key("ours").with_name("ours.pub"))
    code, out, _ = run("verify", "-n", "crm", "--certificate", public, "--anchors", str(tmp_path / "old.jsonl"))
    assert (code, said in out) == (1, True), out


def test_a_chain_that_was_made_anew_after_the_export_does_not_follow_it(
    server: ApiServer, run: Run, tmp_path: Path, crm: list[Any]
) -> None:
    server.objects = {name: body for name, body in server.objects.items() if name[2] > f"{5:010d}"}
    forged = [*crm[:4], replace(crm[4], hash="0" * 64)]
    (tmp_path / "old.jsonl").write_bytes(b"".join(encode(record) + b"\n" for record in forged))
    public = str(key("ours").with_name("ours.pub"))
    code, out, _ = run("verify", "-n", "crm", "--certificate", public, "--anchors", str(tmp_path / "old.jsonl"))
    assert code == 1
    assert "does not follow record 5 of" in out


def test_what_is_not_whole_is_exported_and_nothing_of_it_deleted(server: ApiServer, run: Run, tmp_path: Path, crm: list[Any]) -> None:
    body = server.objects[("auditentries", "crm", f"{7:010d}")]
    body["record"]["sentence"] = "something else"
    words = ("export", "-n", "crm", "--certificate", str(key("ours").with_name("ours.pub")), "--prune", "--before", crm[-1].at.isoformat())
    code, _, err = run(*words, "--out", str(tmp_path / "all.jsonl"))
    assert code == 1
    assert "nothing was deleted: line 7: record 7" in err
    assert numbers(server) == [record.sequence for record in crm]


def test_a_release_that_is_under_way_keeps_its_records(server: ApiServer, run: Run, tmp_path: Path, crm: list[Any]) -> None:
    release = life().releases()[2]
    body = msgspec.to_builtins(release)
    server.put(
        RELEASES, "crm", release.name, metadata={"uid": release.metadata.uid}, spec=body["spec"], status={"phase": "Rollout", "weight": 5}
    )
    words = ("export", "-n", "crm", "--certificate", str(key("ours").with_name("ours.pub")), "--prune", "--before", crm[-1].at.isoformat())
    assert run(*words, "--out", str(tmp_path / "all.jsonl"))[0] == 0
    assert numbers(server)[0] == next(record.sequence for record in crm if record.release_uid == release.metadata.uid)
