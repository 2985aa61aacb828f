"""The report tells what happened, from the state folder alone, in one page that loads nothing and lets no data become markup."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from trimtab.cli.report import numbers, write_report
from trimtab.cli.reports import report
from trimtab.errors import InvalidInput
from trimtab.platforms.local.report import Story
from trimtab.platforms.local.report_page import lead, page
from trimtab.platforms.local.state import State

from .report_monitored import START
from .report_state import read, write_story

HOURS = 2400


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    return write_story(tmp_path_factory.mktemp("state"), HOURS)


@pytest.fixture(scope="module")
def story(state: State) -> Story:
    return read(state)


# --- what is read -----------------------------------------------------------------------------------------------------


def test_every_request_is_counted_with_the_version_that_got_it_and_whether_it_was_answered(story: Story) -> None:
    assert story.requests == story.keys == HOURS
    assert {one.version for one in story.traffic} == {"1", "2", "3"}
    failing = [one for one in story.traffic if one.without_prediction]
    assert [one.version for one in failing] == ["3"]
    assert story.without_prediction == failing[0].without_prediction > 0


def test_the_means_of_label_and_prediction_are_those_of_the_rows(story: Story) -> None:
    course = story.course
    assert course is not None
    assert course.step == "day"
    assert len(course.times) == len(course.label) == len(course.prediction) == HOURS // 24
    assert course.times[0] == START
    assert course.prediction[0] == pytest.approx(150, abs=1)
    assert course.label[-2] == pytest.approx(150 + 130, abs=20)
    assert course.label[-1] != course.label[-1], "the last day has no label yet"


def test_the_new_champion_is_compared_with_the_stale_one_only_on_rows_after_its_promotion(story: Story) -> None:
    assert [(pair.before, pair.after) for pair in story.paired] == [("1", "2")]
    pair = story.paired[0]
    assert pair.rows == 503, "504 hours were scored from the promotion on; the first of them is the promotion's own"
    assert pair.after_error == pytest.approx(45, rel=0.1)
    assert pair.before_error > 1.2 * pair.after_error


def test_a_finding_knows_the_release_that_it_led_to(story: Story) -> None:
    led = [(story.findings[number].kind, release.spec.request.trigger) for number, release in story.led.items()]
    assert led == [("performance", "performance")]


def test_a_state_without_traffic_is_a_story_too(tmp_path: Path) -> None:
    state = write_story(tmp_path, HOURS)
    state.monitor_database.unlink()
    story = read(state)
    assert story.requests == 0
    assert story.course is None
    assert "No request has been captured yet." in lead(story)
    assert "version 2" in page(story, datetime.now(UTC))
    assert not state.monitor_database.exists(), "a report creates nothing in the state folder"


def test_a_version_whose_files_are_gone_leaves_the_comparison_out(tmp_path: Path) -> None:
    state = write_story(tmp_path, HOURS)
    (state.version_folder("bikes", "1") / "metrics.json").unlink()
    story = read(state)
    assert story.paired == []
    assert story.course is not None


# --- the command ------------------------------------------------------------------------------------------------------


def test_the_command_writes_the_page_and_says_the_same_in_numbers(state: State, tmp_path: Path) -> None:
    out = tmp_path / "new" / "report.html"
    command = [str(Path(sys.executable).parent / "trimtab"), "local", "report", "--state", str(state.folder), "--out", str(out), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    said: dict[str, Any] = json.loads(done.stdout)
    assert out.read_text().startswith("<!doctype html>")
    assert said["report"] == str(out)
    assert (said["champion"], said["releases"], said["requests"], said["keys"]) == ("2", 3, HOURS, HOURS)
    assert said["judged"] == said["windows"] > 0
    assert said["paired"][0]["afterError"] < said["paired"][0]["beforeError"]
    assert {one["version"]: one["withoutPrediction"] for one in said["versions"]}["3"] == said["withoutPrediction"]


def test_numbers_name_the_release_of_a_finding(story: Story) -> None:
    asked = [one for one in numbers(story)["findings"] if one["release"]]
    assert [(one["kind"], one["release"]) for one in asked] == [("performance", story.releases[1].name)]


def test_a_page_that_cannot_be_written_is_one_sentence(state: State, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(InvalidInput, match=r"report.html' cannot be written: .*; name another file with --out"):
        write_report(state.folder, None, tmp_path / "taken" / "report.html", as_json=False)


def test_what_the_monitor_saw_is_read_from_the_folder(state: State, tmp_path: Path) -> None:
    report(None, None, None, tmp_path / "life.html", state.folder, None, "", as_json=False)
    assert "Windows in numbers" in (tmp_path / "life.html").read_text()
    report(None, 0, "1", tmp_path / "window.html", state.folder, None, "", as_json=False)
    assert "window 0 of version 1" in (tmp_path / "window.html").read_text()
    with pytest.raises(InvalidInput, match="has no window 999"):
        report(None, 999, None, tmp_path / "none.html", state.folder, None, "", as_json=False)


def test_a_folder_without_a_state_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no Trimtab state in"):
        write_report(tmp_path, None, tmp_path / "report.html", as_json=False)
