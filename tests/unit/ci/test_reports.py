"""Reports that other tools read: JUnit XML as GitHub and GitLab take it, and JSON."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from trimtab.ci import reports
from trimtab.ci.stages import Case, Report, Result
from trimtab.spec import PipelineVersion

CASES = (Case("tests.test_a", "test_x", 0.5), Case("tests.test_a", "test_y", 0.25, "failed", "assert 1 == 2\n  at line 3"))
STOPPED = Report(
    "shop",
    "1.4.0",
    "c0ffee",
    False,
    (
        Result("lint", "passed", "ruff finds nothing", 0.5),
        Result("tests", "failed", "1 of 2 tests failed", 1.25, CASES),
        Result("contract", "skipped", "tests failed"),
    ),
)


def parsed(report: Report, said: dict[str, str] | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(reports.junit(report, said or {}))  # noqa: S314 - our own


def test_a_suite_a_stage_whose_counts_are_those_of_its_cases() -> None:
    root = parsed(STOPPED)
    assert root.tag == "testsuites"
    suites = root.findall("testsuite")
    assert [suite.get("name") for suite in suites] == ["lint", "tests", "contract"]
    for one in (root, *suites):
        cases = list(one.iter("testcase"))
        assert int(one.get("tests", "")) == len(cases)
        assert int(one.get("failures", "")) == sum(case.find("failure") is not None for case in cases)
        assert int(one.get("skipped", "1" if one is root else "")) == sum(case.find("skipped") is not None for case in cases)
        assert int(one.get("errors", "")) == 0
    assert root.attrib == {"name": "shop 1.4.0", "tests": "5", "failures": "2", "errors": "0", "time": "1.750"}


def test_a_failure_tells_the_sentence_and_the_end_of_the_log() -> None:
    stage, _, test = parsed(STOPPED, {"tests": "the last line"}).findall("testsuite[@name='tests']/testcase")
    failed = stage.find("failure")
    assert failed is not None
    assert failed.get("message") == "1 of 2 tests failed"
    assert failed.text == "1 of 2 tests failed\n\nthe last line"
    own = test.find("failure")
    assert own is not None
    assert (own.get("message"), own.text) == ("assert 1 == 2", "assert 1 == 2\n  at line 3")


@pytest.mark.parametrize("text", ["\x1b[31mred\x00", "<&>\"'", "\ud800", "é 漢 \U0001f600"], ids=["control", "markup", "surrogate", "any"])
def test_whatever_a_stage_says_the_report_stays_xml(text: str) -> None:
    report = Report("shop", "1.0.0", "", False, (Result("lint", "failed", text, 0.1, (Case(text, text, 0.0, "failed", text),)),))
    said = parsed(report, {"lint": text})
    assert len(list(said.iter("failure"))) == 2


def test_what_pytest_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tests.xml"
    path.write_text(
        '<testsuites><testsuite><testcase classname="a" name="good" time="0.5"/>'
        '<testcase classname="a" name="bad" time="0.1"><failure message="no">trace</failure></testcase>'
        '<testcase classname="a" name="broken" time="0"><error message="collect"/></testcase>'
        '<testcase classname="a" name="left" time="0"><skipped message="later"/></testcase></testsuite></testsuites>'
    )
    assert reports.cases_of(path) == (
        Case("a", "good", 0.5),
        Case("a", "bad", 0.1, "failed", "no\ntrace"),
        Case("a", "broken", 0.0, "failed", "collect"),
        Case("a", "left", 0.0, "skipped", "later"),
    )


@pytest.mark.parametrize("body", [None, b"", b"<testsuites><testcase", b"\xff\xfe\x00"], ids=["no file", "empty", "cut off", "garbage"])
def test_a_file_that_is_no_junit_has_no_tests(tmp_path: Path, body: bytes | None) -> None:
    path = tmp_path / "tests.xml"
    if body is not None:
        path.write_bytes(body)
    assert reports.cases_of(path) == ()


def test_both_files_are_written_with_the_end_of_each_log(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "tests.log").write_text("".join(f"line {number}\n" for number in range(1000)))
    published = PipelineVersion("shop", "1.4.0", "d" * 64)
    reports.write(Report("shop", "1.4.0", "c0ffee", False, STOPPED.stages, published), tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())
    assert (found["passed"], found["published"]["digest"]) == (False, "d" * 64)
    assert [(one["stage"], one["verdict"]) for one in found["stages"]] == [("lint", "passed"), ("tests", "failed"), ("contract", "skipped")]
    text = (tmp_path / "junit.xml").read_text()
    assert "line 960\n" in text
    assert "line 959\n" not in text


def test_a_line_for_people() -> None:
    assert [reports.line(one) for one in STOPPED.stages] == [
        "passed   lint        0.5 s  ruff finds nothing",
        "failed   tests       1.2 s  1 of 2 tests failed",
        "skipped  contract           tests failed",
    ]
