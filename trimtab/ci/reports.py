"""One CI run as files: JUnit XML, which GitHub's and GitLab's reports take, and JSON; and as a line a stage for people."""

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, indent, tostring

import msgspec

from trimtab.ci.stages import Case, Report, Result, Verdict

JUNIT, JSON, LOGS = "junit.xml", "report.json", "logs"
LAST_LINES = 40
"""So many lines of a failed stage's log are in its report."""
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (section 2.2) has no place for: most control characters."""


def write(report: Report, folder: Path) -> None:
    """Write both reports to `folder`, in whose `logs` is what each stage said."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JUNIT).write_bytes(junit(report, {result.stage: _tail(folder / LOGS / f"{result.stage}.log") for result in report.stages}))
    (folder / JSON).write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def junit(report: Report, said: Mapping[str, str]) -> bytes:
    """JUnit XML: a suite a stage; in it the stage itself as a case, and each of its tests. A failed stage shows what it `said`."""
    root = Element("testsuites", name=f"{report.name} {report.version}")
    whole = [_suite(root, result, said.get(result.stage, "")) for result in report.stages]
    _count(root, [case for cases in whole for case in cases], sum(result.seconds for result in report.stages))
    indent(root, " ")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, encoding="unicode")}\n'.encode()


def _suite(root: Element, result: Result, said: str) -> list[Case]:
    suite = SubElement(root, "testsuite", name=result.stage)
    fault = {"passed": "", "failed": f"{result.sentence}\n\n{said}".strip(), "skipped": result.sentence}[result.verdict]
    cases = [Case("trimtab pipeline ci", result.stage, result.seconds, result.verdict, fault), *result.cases]
    _count(suite, cases, result.seconds)
    suite.set("skipped", str(sum(case.verdict == "skipped" for case in cases)))
    for case in cases:
        made = SubElement(suite, "testcase", classname=_text(case.suite), name=_text(case.name), time=f"{case.seconds:.3f}")
        if case.verdict == "failed":
            SubElement(made, "failure", message=_text(case.fault.splitlines()[0] if case.fault else "")).text = _text(case.fault)
        elif case.verdict == "skipped":
            SubElement(made, "skipped", message=_text(case.fault))
    if result.verdict == "passed":
        SubElement(suite, "system-out").text = _text(result.sentence)
    return cases


def _count(element: Element, cases: list[Case], seconds: float) -> None:
    counts = {"tests": len(cases), "failures": sum(case.verdict == "failed" for case in cases), "errors": 0}
    element.attrib.update({name: str(count) for name, count in counts.items()}, time=f"{seconds:.3f}")


def cases_of(path: Path) -> tuple[Case, ...]:
    """The tests in a JUnit file as pytest writes it; none where there is no such file, or it is none."""
    try:
        root = fromstring(path.read_text())  # noqa: S314 - of the repository's own tests; expat bounds entities
    except (OSError, UnicodeDecodeError, ParseError):
        return ()
    return tuple(_case(one) for one in root.iter("testcase"))


def _case(one: Element) -> Case:
    verdict: Verdict = "passed"
    fault = ""
    for child in one:
        if child.tag in ("failure", "error"):
            verdict, fault = "failed", f"{child.get('message', '')}\n{child.text or ''}".strip()
        elif child.tag == "skipped" and verdict == "passed":
            verdict, fault = "skipped", child.get("message", "")
    return Case(one.get("classname", ""), one.get("name", ""), float(one.get("time", 0)), verdict, fault)


def line(result: Result) -> str:
    """A stage for people."""
    took = f"{result.seconds:6.1f} s" if result.verdict != "skipped" else " " * 8
    return f"{result.verdict:<8} {result.stage:<9}{took}  {result.sentence}"


def _tail(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])
    except OSError:
        return ""


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
