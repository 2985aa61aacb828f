"""A candidate in shadow, with real processes: whatever it does, every caller gets the champion's answer, byte for byte, and none fails.

What the champion says is asked of its own predictor, off the route, for every row that was sent.
"""

import contextlib
import http.client
import json
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from tests.local.laptop import DOCUMENT, START, TRAINED, Laptop
from tests.local.test_candidates import PLANTED, TERMINAL
from trimtab.platforms.local.rows import Row, read_rows
from trimtab.spec import Data

SHADOW = DOCUMENT.replace("2500ms", "250ms").replace("steps: [20, 50]", "strategy: shadow\n    maxDuration: 5m\n    steps: {steps}")
PATH = "/v1/models/load:predict"
PAUSE = 0.02


class Case(NamedTuple):
    """A candidate: its fault, which begins when the copies do, its steps after the shadow, and how its Release has to end."""

    fault: str
    steps: list[int]
    phase: str
    reasons: tuple[str, ...]


CASES = {
    "good, then to 100%": Case("", [], "Promoted", ("Promoted",)),
    "good, then by steps": Case("", [50], "Promoted", ("Promoted",)),
    "erroring": Case("errors", [], "RolledBack", ("Harm",)),
    "slow by seconds": Case("stalls", [], "RolledBack", ("Harm", "Unstable")),
    "crash-looping": Case("crash", [], "RolledBack", ("Harm", "Unstable")),
    "answering other numbers": Case("wrong", [], "RolledBack", ("Disagrees",)),
}


class Answer(NamedTuple):
    """One answer: which row, what came back, from which version, and when."""

    row: int
    status: int
    body: bytes
    champions: bytes
    version: str
    at: datetime
    seconds: float


class Callers:
    """Callers that post one row after the other through the gateway, and keep every answer beside that of the champion's own predictor."""

    def __init__(self, laptop: Laptop) -> None:
        data = Data(uri="calm.csv", time="at", key="id", label="load")
        self.rows = read_rows(laptop.folder / "calm.csv", data, [], (START + timedelta(hours=TRAINED)).replace(tzinfo=UTC), None).rows
        self.answers: list[Answer] = []
        self._gateway = laptop.status()["endpoints"]["inference"].removeprefix("http://")
        self._champion = json.loads((laptop.state / "addresses.json").read_text())["load/1"].removeprefix("http://")
        self._next = iter(range(len(self.rows)))
        self._lock, self._end = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(6)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(20)

    def _run(self) -> None:
        gateway, champion = (http.client.HTTPConnection(place, timeout=20) for place in (self._gateway, self._champion))
        with contextlib.closing(gateway), contextlib.closing(champion):
            while not self._end.wait(PAUSE):
                with self._lock:
                    row = next(self._next, None)
                if row is None:
                    return
                began = time.monotonic()
                status, body, version = ask(gateway, self.rows[row])
                seconds, at = time.monotonic() - began, datetime.now(UTC)
                try:
                    own = ask(champion, self.rows[row], **{"x-trimtab-capture": "off"})[1]
                except (OSError, http.client.HTTPException):
                    own = b"the champion of the beginning is gone"
                    champion.close()
                answer = Answer(row, status, body, own, version, at, seconds)
                with self._lock:
                    self.answers.append(answer)


def ask(connection: http.client.HTTPConnection, row: Row, **headers: str) -> tuple[int, bytes, str]:
    """Status, body and version of the answer for one row."""
    connection.request("POST", PATH, json.dumps({"instances": [row.instance]}), {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.getheader("x-trimtab-version", "")


@contextlib.contextmanager
def calling(laptop: Laptop) -> Iterator[Callers]:
    callers = Callers(laptop)
    try:
        yield callers
    finally:
        callers.close()


@pytest.mark.parametrize("name", CASES)
def test_whatever_a_candidate_does_in_shadow_callers_get_the_champions_answers(
    name: str, laptop: Laptop, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    case = CASES[name]
    trigger = laptop.state / "trigger"
    monkeypatch.setenv("PYTHONPATH", str(PLANTED))
    monkeypatch.setenv("PLANTED", json.dumps({"2": case.fault} if case.fault else {}))
    monkeypatch.setenv("TRIGGER", str(trigger))
    document = laptop.folder / f"shadow {name.replace('%', '')}.yaml"
    document.write_text(SHADOW.format(approval="automatic", steps=case.steps))
    laptop.up(document.name)
    laptop.run("retrain")
    laptop.wait(
        "the shadow", lambda: (found := laptop.release("person", "Rollout", *TERMINAL)) and story(laptop, found, "ShadowStarted"), 240
    )
    with calling(laptop) as callers:
        trigger.touch()
        ended = laptop.wait("the verdict", lambda: laptop.release("person", *TERMINAL), 240)
    told = laptop.ask("why", ended["name"])
    reasons = [decision["reason"] for decision in told["decisions"]]
    assert (ended["phase"], [reason for reason in case.reasons if reason in reasons] != []) == (case.phase, True), (
        f"{reasons}\n{told['shadow']}\n{laptop.log()}"
    )
    assert [answer for answer in callers.answers if answer.status != 200] == [], "no caller's request failed"
    first = next((at for reason in ("NextStep", "PromotionStarted") if (at := story(laptop, ended, reason))), None)
    in_shadow = [answer for answer in callers.answers if first is None or answer.at < first]
    assert {answer.version for answer in in_shadow} == {"1"}
    assert [answer.row for answer in in_shadow if answer.body != answer.champions] == []
    assert told["shadow"]["copies"] > 0
    assert laptop.ask("status")[0]["champion"] == ("2" if case.phase == "Promoted" else "1")
    laptop.chain_is_whole()
    if case.phase == "RolledBack":
        assert set(captured(laptop)) == {"1"}, "a copy is not captured"
    mirrored = [answer.seconds for answer in in_shadow]
    record_property(
        "table",
        f"{name:26}{ended['phase']:12}{len(mirrored):5} answers in shadow, 0 of the candidate, 0 failed, slowest {max(mirrored):.3f} s; "
        f"{told['shadow']['copies']} copies counted; {told['sentence']}",
    )


def captured(laptop: Laptop) -> dict[str, float]:
    """The rows that the monitor was told of, by the version that answered them."""
    with urllib.request.urlopen(laptop.status()["endpoints"]["metrics"]) as answer:
        lines = answer.read().decode().splitlines()
    found = (re.fullmatch(r'trimtab_monitor_rows\{.*version="([^"]*)".*\} (\S+)', line) for line in lines)
    return {match[1]: float(match[2]) for match in found if match and float(match[2])}


def story(laptop: Laptop, release: dict[str, Any], reason: str) -> datetime | None:
    """When the Release was first decided on for this reason; None where it never was."""
    found = (decision["at"] for decision in laptop.ask("why", release["name"])["decisions"] if decision["reason"] == reason)
    return next((datetime.fromisoformat(at) for at in found), None)
