"""Events tell each decision once, in the words that the API server takes, and nothing depends on them."""

import os
import subprocess
import sys
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.audit.drafts import record as recorded
from tests.unit.platforms.kubernetes.api_server import ApiServer
from tests.unit.rollout.cases import model, see
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.events import Recorder
from trimtab.release import DecisionRecord, Phase, Release, Verdicted

ENDED = Verdicted(Phase.ROLLED_BACK, "Harm", "it did harm")


@pytest.fixture
def recorder(server: ApiServer) -> Recorder:
    return Recorder(Api(server.client()), "controller-1")


def record(phase: Phase, reason: str, sentence: str = "because") -> DecisionRecord:
    return recorded(release(phase), reason, phase, sentence=sentence, weight=5)


def release(phase: Phase, **status: Any) -> Release:
    return see(phase, status).release


def told(server: ApiServer) -> list[tuple[str, str]]:
    """Of each Event: the kind of what it regards, and its type."""
    return [(body["regarding"]["kind"], body["type"]) for (plural, _, _), body in server.objects.items() if plural == "events"]


NORMAL, WARNING = "Normal", "Warning"
CASES = [
    ("a step is told of the Release alone", release(Phase.ROLLOUT), "NextStep", [("Release", NORMAL)]),
    ("an end is told of the Model too", release(Phase.PROMOTED), "Baked", [("Release", NORMAL), ("Model", NORMAL)]),
    ("so is a new champion", release(Phase.BAKING), "ChampionSwapped", [("Release", NORMAL), ("Model", NORMAL)]),
    ("a bad end warns", release(Phase.FAILED), "RunFailed", [("Release", WARNING), ("Model", WARNING)]),
    ("the way to a bad end warns", release(Phase.WITHDRAWING, outcome=ENDED), "Harm", [("Release", WARNING)]),
    ("being cancelled is no fault", release(Phase.CANCELLED), "Aborted", [("Release", NORMAL), ("Model", NORMAL)]),
]


@pytest.mark.parametrize(("of", "reason", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_whom_a_decision_is_told_of(server: ApiServer, recorder: Recorder, of: Release, reason: str, expected: Any) -> None:
    recorder.decided(of, record(of.status.phase, reason))
    assert told(server) == expected
    assert {asked.body["reason"] for asked in server.asked} == {reason}


def test_a_decision_that_is_told_twice_makes_one_event(server: ApiServer, recorder: Recorder) -> None:
    for sentence in ("one", "one", "another"):
        recorder.decided(release(Phase.ROLLOUT), record(Phase.ROLLOUT, "NextStep", sentence))
    assert len(told(server)) == 2


def test_an_event_has_what_the_api_server_asks_for(server: ApiServer) -> None:
    Recorder(Api(server.client()), "c" * 200).decided(release(Phase.ROLLOUT), record(Phase.ROLLOUT, "NextStep"))
    body = server.asked[0].body
    assert (body["apiVersion"], body["kind"]) == ("events.k8s.io/v1", "Event")
    assert body["metadata"]["namespace"] == body["regarding"]["namespace"] == "default"
    assert (body["regarding"]["name"], body["regarding"]["uid"]) == ("m-x", "release-uid")
    assert (body["reportingController"], body["action"], body["note"]) == ("trimtab.dev/controller", "NextStep", "because")
    assert body["eventTime"].endswith("Z")
    assert len(body["reportingInstance"]) == 128


@pytest.mark.parametrize("letter", ["x", "ж", "語"])
def test_a_note_is_at_most_the_1024_bytes_that_the_api_server_takes(server: ApiServer, recorder: Recorder, letter: str) -> None:
    recorder.told(model(), "Refused", letter * 2000)
    note = server.asked[0].body["note"]
    assert 990 <= len(note.encode()) <= 1024
    assert set(note) == {letter}


def test_a_problem_of_a_model_is_told_once_and_another_one_anew(server: ApiServer, recorder: Recorder) -> None:
    for sentence in ("no such Gateway", "no such Gateway", "no such label"):
        recorder.told(model(), "Refused", sentence)
    assert told(server) == [("Model", WARNING)] * 2
    recorder.told(replace(model(), metadata=replace(model().metadata, uid="another")), "Refused", "no such Gateway")
    assert len(told(server)) == 3, "a Model made anew is another one"


NAME_IT = """
from tests.unit.rollout.cases import model
from trimtab.platforms.kubernetes.events import Recorder
class Api:
    def create(self, resource, body):
        print(body["metadata"]["name"])
Recorder(Api(), "c").told(model(), "Refused", "no such Gateway")
"""


def test_a_problem_has_the_same_event_in_the_next_process() -> None:
    def name(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        return subprocess.run([sys.executable, "-c", NAME_IT], env=environment, capture_output=True, text=True, check=True).stdout

    assert name("1") == name("2")


@pytest.mark.parametrize("status", [403, 422, 503])
def test_an_event_that_cannot_be_told_stops_nothing(
    server: ApiServer, recorder: Recorder, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    server.canned = (status, b'{"message": "not today"}')
    with caplog.at_level("INFO"):
        recorder.decided(release(Phase.PROMOTED), record(Phase.PROMOTED, "Baked"))
    assert len(server.asked) == 2
    assert caplog.text.count("not today") == 2
