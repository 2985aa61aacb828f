"""The demo's data: times that were text, rows that were shuffled, and a control in which nothing changes."""

import csv
import importlib.util
import itertools
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trimtab.documents import read_model

EXAMPLE = Path(__file__).parents[3] / "examples" / "bike-demand"


def loaded() -> Any:
    found = importlib.util.spec_from_file_location("prepare", EXAMPLE / "prepare.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


prepare = loaded()
HEADER = "dteday,season,hr,holiday,weekday,workingday,weathersit,temp,atemp,hum,windspeed,casual,registered,cnt"


@pytest.mark.parametrize(
    ("day", "hour", "expected"),
    [
        pytest.param("2011-01-01", "6am", "2011-01-01T06:00:00", id="in the morning"),
        pytest.param("2011-01-01", "12am", "2011-01-01T00:00:00", id="midnight"),
        pytest.param("2011-01-01", "12pm", "2011-01-01T12:00:00", id="noon"),
        pytest.param("2012-12-31", "11pm", "2012-12-31T23:00:00", id="late"),
    ],
)
def test_moment(day: str, hour: str, expected: str) -> None:
    assert prepare.moment(day, hour).isoformat() == expected


def test_rows_are_sorted_and_their_nulls_stay(tmp_path: Path) -> None:
    text = "\n".join([HEADER, "2011-01-02,spring,1am,No,,No,,3,4,5,6,1,2,3", "2011-01-01,spring,11pm,No,Sat,No,Mist,3,4,5,6,10,20,30", ""])
    prepare.write(prepare.prepared(text), tmp_path / "bike.csv")
    with (tmp_path / "bike.csv").open() as stream:
        first, second = csv.DictReader(stream)
    assert (first["timestamp"], first["hour_id"], first["hour"], first["demand"]) == ("2011-01-01T23:00:00", "2011-01-01T23", "23", "30")
    assert (second["weekday"], second["weathersit"], second["demand"]) == ("", "", "3")


def hourly(days: int) -> list[dict[str, str]]:
    """Rows that end before the control's weeks begin, the hour of the week as demand."""
    start = prepare.TRAINED_UNTIL - timedelta(days=days)
    moments = [start + timedelta(hours=index) for index in range(days * 24)]
    return [{**prepare.stamp(at), "demand": f"{at.weekday()}-{at.hour}", "origin": at.isoformat()} for at in moments]


def test_control_continues_the_training_rows_with_their_own_weeks() -> None:
    training = hourly(30)
    found = prepare.resampled([*training, {**prepare.stamp(prepare.TRAINED_UNTIL), "demand": "later"}], 6, 1)
    later = found[len(training) :]
    assert found[: len(training)] == training
    assert len(later) == 6 * 7 * 24
    moments = [datetime.fromisoformat(row["timestamp"]) for row in found]
    assert all(after - before == timedelta(hours=1) for before, after in itertools.pairwise(moments))
    assert len({row["hour_id"] for row in found}) == len(found)
    assert all(row["demand"] == f"{at.weekday()}-{at.hour}" for row, at in zip(found, moments, strict=True))
    assert len({row["origin"][:10] for row in later[::168]}) > 1
    assert prepare.resampled(training, 6, 1) == found
    assert prepare.resampled(training, 6, 2) != found


def test_nothing_is_done_where_the_file_is_there_and_unchanged(tmp_path: Path) -> None:
    out = tmp_path / "bike.csv"
    sha256 = prepare.write(hourly(1), out)
    out.with_suffix(".made.json").write_text(f'{{"recipe": "{prepare.recipe(False, 7)}", "sha256": "{sha256}"}}')
    command = [sys.executable, str(EXAMPLE / "prepare.py"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{out} is there already\n"


def test_the_document_can_be_read() -> None:
    model = read_model(EXAMPLE / "model.yaml")
    assert (model.name, model.spec.data.key, model.spec.monitoring.window.rows) == ("bike-demand", "hour_id", 336)
    assert model.spec.data.uri.endswith("build/bike-demand/bike.csv")
    assert set(model.spec.data.exclude) == {"casual", "registered", "atemp"}
