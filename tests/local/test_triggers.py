"""Releases that nobody asks for by hand: a schedule comes round in the data's own time, and a file that grew is noticed after a restart."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.local.laptop import FREE_PORTS, START, TRAINED, Laptop, interrupt, write_rows

DOCUMENT = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {name: load}
spec:
  task: regression
  data: {uri: rows.csv, time: at, key: id, label: load, labelDelay: 6h, history: 25d}
  gates: [{metric: rmse, max: 1000}]
  rollout: {strategy: direct, bake: {duration: 0s}}
  monitoring: {window: {rows: 120}}
  retraining:
    "on": [schedule, newData]
    schedule: {cron: "0 13 * * *", timeZone: Europe/Berlin}
    newData: {by: count, rows: 24, every: 5s}
    cooldown: 0s
    maxPerDay: 10
"""


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Laptop]:
    """A folder with data and document of its own, and nothing running."""
    write_rows(tmp_path / "rows.csv", TRAINED + 200)
    (tmp_path / "model.yaml").write_text(DOCUMENT)
    made = Laptop(tmp_path)
    yield made
    made.end()


@pytest.mark.timeout(900)
def test_a_schedule_comes_round_and_a_file_that_grew_is_noticed(fresh: Laptop, tmp_path: Path) -> None:
    laptop = fresh
    laptop.up()
    assert laptop.release("schedule", "Pending", "Training") is None, "data time stands still before the first event"
    until = START + timedelta(hours=TRAINED + 20)
    playing = laptop.play("--rate", "10", "--until", until.isoformat())
    try:
        promoted = laptop.wait("the scheduled version", lambda: laptop.release("schedule", "Promoted", "Rejected", "Failed"), 240)
    finally:
        interrupt(playing)
    assert promoted["phase"] == "Promoted", f"{promoted['sentence']}\n{laptop.log()}"
    laptop.down()

    write_rows(tmp_path / "rows.csv", TRAINED + 224)
    laptop.run("local", "up", "model.yaml", *FREE_PORTS)
    grown = laptop.wait("the version of the new rows", lambda: laptop.release("newData", "Promoted", "Rejected", "Failed"), 240)
    assert grown["version"], f"{grown['sentence']}\n{laptop.log()}"

    told = {one["trigger"]: one for one in json.loads(laptop.run("releases", "--why", "--json").stdout)}
    assert sorted(told) == ["newData", "recipe", "schedule"]
    assert len(laptop.releases()) == 3, "one Release each, the restart notwithstanding"
    assert told["schedule"]["event"]["data"]["occurrence"] == "2026-02-10T12:00:00Z"
    assert told["schedule"]["why"] == "the schedule '0 13 * * *' (Europe/Berlin) came round at 2026-02-10 13:00 CET"
    assert told["newData"]["why"] == f"24 more rows at {tmp_path / 'rows.csv'}, {TRAINED + 224} in all"
    assert all(one["governor"]["said"] == "admitted" for one in told.values())
    assert "came round at" in laptop.run("releases", "--why").stdout
