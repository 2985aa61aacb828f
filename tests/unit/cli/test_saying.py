"""The commands of people on a namespace of a cluster: which object is created, and what is refused beforehand, in which words."""

import json
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from tests.unit.cli.test_place import NOWHERE, created, put_model, put_release, server
from tests.unit.platforms.kubernetes.api_server import ApiServer
from tests.unit.rollout.cases import DATA_NOW, SPEC
from trimtab.cli import saying
from trimtab.cli.app import app
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.resources import MODELS, RELEASES
from trimtab.release import Phase

__all__ = ["server"]
CANARY: dict[str, Any] = {
    "rollout": {"steps": [5, 25, 50]},
    "comparedWith": {"version": "1", "digest": "a" * 64},
    "candidate": {"version": "2", "digest": "b" * 64},
    "step": 0,
}
PAUSED = {"paused": {"since": "2026-03-01T00:00:00Z", "user": "bob", "sentence": "bob asked to pause: lunch"}}
STARTED = {"promotion": {"startedAt": "2026-03-01T00:00:00Z"}}
LED = [
    ("the next step", ["promote"], {}, {"action": "promote", "step": 2}),
    ("the last one over: to 100%", ["promote"], {"step": 2}, {"action": "promote", "full": True}),
    ("from the dark", ["promote"], {"step": -1}, {"action": "promote", "step": 1}),
    (
        "one further than what was asked before",
        ["promote"],
        {"promoteTo": {"step": 1, "user": "a", "sentence": "s"}},
        {"action": "promote", "step": 3},
    ),
    ("a step", ["promote", "--step", "3"], {}, {"action": "promote", "step": 3}),
    ("100%", ["promote", "--full"], {}, {"action": "promote", "full": True}),
    ("a pause", ["pause"], {}, {"action": "pause"}),
    ("a resume", ["resume"], PAUSED, {"action": "resume"}),
    ("an abort", ["abort"], {}, {"action": "abort"}),
]


@pytest.mark.parametrize(("words", "status", "spec"), [case[1:] for case in LED], ids=[case[0] for case in LED])
@pytest.mark.parametrize("target", ["bike", "bike-1"])
def test_a_rollout_is_led_by_the_name_of_its_model_or_its_own(
    server: ApiServer, target: str, words: list[str], status: dict[str, Any], spec: dict[str, Any]
) -> None:
    put_model(server)
    put_release(server, "bike-0", Phase.PROMOTED)
    put_release(server, "bike-1", Phase.ROLLOUT, **CANARY | status)
    command = ["rollout", words[0], target, *words[1:], "--reason", "seen", "-n", "crm", "--json"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    (said,) = created(server, "releaseactions")
    assert said["spec"] == {"release": "bike-1", "user": "ada@example.com", "reason": "seen", **spec}
    assert json.loads(done.output)["action"] == spec["action"]


def test_abort_is_one_word_by_either_name(server: ApiServer) -> None:
    put_release(server, "bike-1", Phase.TRAINING)
    put_release(server, "bike-2", Phase.TRAINING)
    for command in (["abort", "bike-1"], ["rollout", "abort", "bike-2"]):
        assert CliRunner().invoke(app, [*command, "-n", "crm"], catch_exceptions=False).exit_code == 0
    assert [(said["spec"]["action"], said["spec"]["release"]) for said in created(server, "releaseactions")] == [
        ("abort", "bike-1"),
        ("abort", "bike-2"),
    ]


REFUSED: list[tuple[str, dict[str, Any], Phase, dict[str, Any], str]] = [
    ("nothing is paused", {"action": "resume"}, Phase.ROLLOUT, {}, "bike-1 is not paused"),
    ("it is paused", {"action": "pause"}, Phase.ROLLOUT, PAUSED, "is paused already: bob asked to pause: lunch"),
    ("it trains", {"action": "pause"}, Phase.TRAINING, {}, "in phase Training; only a Release in Rollout can be paused"),
    ("it bakes", {"action": "promote", "full": True}, Phase.BAKING, STARTED, "at 100% already"),
    ("it is there", {"action": "promote", "step": 1}, Phase.ROLLOUT, {}, "at step 1 already"),
    ("no such step", {"action": "promote", "step": 4}, Phase.ROLLOUT, {}, "no step 4; allowed are 1 to 3, or 100%"),
    ("two ends", {"action": "promote", "step": 2, "full": True}, Phase.ROLLOUT, {}, "spec.step: found 2, 100% is beyond every step"),
    ("it is being taken back", {"action": "resume"}, Phase.WITHDRAWING, PAUSED, "is being withdrawn"),
    ("it has ended", {"action": "promote"}, Phase.SUPERSEDED, {}, "has ended as Superseded"),
]


@pytest.mark.parametrize(("word", "phase", "status", "why"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_can_change_nothing_is_refused_and_not_said(
    server: ApiServer, word: dict[str, Any], phase: Phase, status: dict[str, Any], why: str
) -> None:
    put_model(server)
    put_release(server, "bike-1", phase, **CANARY | status)
    action, to = word["action"], {name: value for name, value in word.items() if name != "action"}
    with pytest.raises(InvalidInput, match=why.replace("(", r"\(")):
        saying.act(action, "bike-1", "", "", NOWHERE, "crm", as_json=True, **to)
    assert created(server, "releaseactions") == []


def test_what_others_said_and_nobody_heard_yet_may_change_it(server: ApiServer) -> None:
    """A pause that the controller has not heard is followed by a resume that it will: in the status nothing is paused."""
    put_release(server, "bike-1", Phase.ROLLOUT, **CANARY)
    saying.act("pause", "bike-1", "", "", NOWHERE, "crm", as_json=True)
    saying.act("resume", "bike-1", "", "", NOWHERE, "crm", as_json=True)
    assert [one["spec"]["action"] for one in created(server, "releaseactions")] == ["pause", "resume"]


def test_a_model_without_a_release_under_way_has_nothing_to_be_paused(server: ApiServer) -> None:
    put_model(server)
    put_release(server, "bike-1", Phase.PROMOTED)
    with pytest.raises(InvalidInput, match="no Release of the Model 'bike' is under way"):
        saying.act("pause", "bike", "", "", NOWHERE, "crm", as_json=True)


def test_who_asked_for_it_may_not_approve_it_where_duties_are_separated(server: ApiServer) -> None:
    duties = {"approval": "manual", "approvalPolicy": {"separationOfDuties": True}}
    server.put(MODELS, "crm", "bike", metadata={"uid": "bike-uid"}, spec=msgspec.to_builtins(SPEC) | duties)
    for name, by in (("bike-1", "ada@example.com"), ("bike-2", "bob@example.com")):
        request = {"trigger": "person", "source": "tests", "id": name, "cut": DATA_NOW.isoformat(), "by": by}
        spec = {"model": "bike", "modelUid": "bike-uid", "recipe": "r", "request": request}
        server.put(RELEASES, "crm", name, spec=spec, status={"phase": "AwaitingApproval", "weight": 0})
    with pytest.raises(InvalidInput, match=r"ada@example\.com asked for bike-1, and who asked for it may not approve it"):
        saying.act("approve", "bike-1", "", "", NOWHERE, "crm", as_json=True)
    saying.act("approve", "bike-2", "", "", NOWHERE, "crm", as_json=True)
    assert [said["spec"]["release"] for said in created(server, "releaseactions")] == ["bike-2"]
