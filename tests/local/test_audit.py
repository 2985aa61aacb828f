"""What is recorded of a version that was really trained and promoted: whole, there when its objects are gone, and safe from edits."""

import json
import sqlite3
from pathlib import Path

from tests.local.laptop import Laptop


def edit(laptop: Laptop, statement: str) -> None:
    """What somebody does to the database with its own tools."""
    with sqlite3.connect(laptop.state / "state.db") as connection:
        connection.execute(statement)


def test_the_records_answer_after_everything_that_they_are_about_is_gone(laptop: Laptop) -> None:
    lineage, release = laptop.ask("lineage", "1"), laptop.releases()[0]["name"]
    before = laptop.served()
    assert before["version"] == {"version": "1", "digest": lineage["digest"]}
    assert (before["release"], before["trained"], before["data"]) == (release, release, lineage["lineage"]["data"]["digest"])
    assert (before["asked"]["trigger"], before["asked"]["recipe"]) == ("recipe", lineage["lineage"]["recipe"])
    edit(laptop, "DELETE FROM objects")
    (laptop.state / "mlflow.db").unlink()
    assert laptop.releases() == []
    assert laptop.served() == before
    laptop.chain_is_whole()


def test_who_edits_the_database_is_found_out(laptop: Laptop) -> None:
    whole = laptop.ask("audit", "verify")
    assert whole["records"] == len(laptop.ask("why", laptop.releases()[0]["name"])["decisions"])
    edit(laptop, "UPDATE audit SET body = replace(body, 'passed its gates', 'passed all gates')")
    said = json.loads(laptop.run("audit", "verify", "--json", code=1).stdout)
    assert ", CandidateReady, " in said["sentence"]
    assert "was edited" in said["sentence"]


def test_an_export_is_verified_where_there_is_nothing_else(laptop: Laptop, tmp_path: Path) -> None:
    laptop.run("audit", "export", "--out", str(tmp_path / "all.jsonl"))
    assert (tmp_path / "all.jsonl").read_bytes() == (laptop.state / "audit.jsonl").read_bytes()
    elsewhere = Laptop(tmp_path, tmp_path / "nothing")
    key = str(laptop.state / "audit.key.pub")
    assert elsewhere.ask("audit", "verify", "all.jsonl", "--certificate", key)["whole"]
    head = elsewhere.ask("audit", "verify", "all.jsonl", "--certificate", key)["heads"][0]
    lines = (tmp_path / "all.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "all.jsonl").write_bytes(b"".join(lines[:-1]))
    said = elsewhere.run("audit", "verify", "all.jsonl", "--certificate", key, "--head", head, code=1).stdout
    assert f"record {len(lines)} is missing: --head knows record {len(lines)}" in said
