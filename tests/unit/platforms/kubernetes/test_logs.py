"""One JSON object a line, whatever is in an entry."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from trimtab.platforms.kubernetes import logs

Entries = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Entries]:
    """What each line on standard error says; all that `configure` changes is put back."""

    def entries() -> list[dict[str, Any]]:
        text = capsys.readouterr().err
        assert text.endswith("\n")
        found = [json.loads(line) for line in text.split("\n")[:-1]]
        assert all(isinstance(one, dict) for one in found)
        return found

    root, ours = logging.getLogger(), [logging.getLogger(name) for name in ("trimtab", "trimtab.audit", "__main__")]
    before = (root.handlers[:], root.level, [one.level for one in ours])
    root.handlers[:] = []
    yield entries
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    for one, level in zip(ours, before[2], strict=True):
        one.setLevel(level)


def test_an_entry_says_when_how_bad_who_and_what(said: Entries) -> None:
    logs.configure()
    began = datetime.now(UTC)
    logging.getLogger("trimtab.x").warning("%s of %d", "one", 2)
    (entry,) = said()
    assert abs((datetime.fromisoformat(entry.pop("time")) - began).total_seconds()) < 5
    assert entry == {"level": "warning", "logger": "trimtab.x", "message": "one of 2"}


@pytest.mark.parametrize("message", ["two\nlines", "a\r\nb", 'a "quoted" {brace} \\', "\x00\x1b[31m", "ж語", "50% done"])
def test_any_message_is_one_line(said: Entries, message: str) -> None:
    logs.configure()
    logging.getLogger("trimtab.x").info(message)
    (entry,) = said()
    assert entry["message"] == message


def test_an_audit_record_is_in_its_entry_however_little_is_logged(said: Entries) -> None:
    logs.configure("WARNING")
    logging.getLogger("trimtab.x").info("not told")
    logging.getLogger("trimtab.audit").info("told", extra={"record": {"sequence": 7}})
    (entry,) = said()
    assert (entry["message"], entry["record"]) == ("told", {"sequence": 7})


def test_a_traceback_is_in_its_entry(said: Entries) -> None:
    logs.configure()
    try:
        {}["nothing"]
    except KeyError:
        logging.getLogger("trimtab.x").exception("a fault of ours")
    (entry,) = said()
    assert (entry["message"], entry["level"]) == ("a fault of ours", "error")
    assert entry["traceback"].startswith("Traceback (most recent call last):\n")
    assert entry["traceback"].endswith("KeyError: 'nothing'")


LEVELS = [
    ("INFO", {"trimtab.a": 20, "__main__": 20}, {"trimtab.a": 10, "kopf": 20, "urllib3": 20}),
    ("DEBUG", {"trimtab.a": 10, "__main__": 10, "kopf": 30}, {"kubernetes.client.rest": 10}),
    ("WARNING", {"trimtab.a": 30}, {"trimtab.a": 20}),
]


@pytest.mark.parametrize(("level", "told", "untold"), LEVELS)
def test_the_level_is_ours_and_libraries_speak_from_warnings_on(
    said: Entries, level: str, told: dict[str, int], untold: dict[str, int]
) -> None:
    logs.configure(level)
    for name, number in (*told.items(), *untold.items()):
        logging.getLogger(name).log(number, "x")
    assert [entry["logger"] for entry in said()] == list(told)


def test_configuring_twice_tells_each_entry_once(said: Entries) -> None:
    logs.configure()
    logs.configure()
    logging.getLogger("trimtab.x").info("once")
    assert len(said()) == 1
