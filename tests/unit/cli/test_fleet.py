"""`trimtab pipeline status|halt|resume|revert`, on a namespace and on a laptop: what is told, which object is created, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.cli.test_place import created, put_release, server
from tests.unit.platforms.kubernetes.api_server import ApiServer
from tests.unit.retraining.fleets import NEW, NOW, OLD, follower
from trimtab.cli.app import app
from trimtab.cli.fleet import say_to_rollout
from trimtab.control.pipelines import tend_rollouts
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.resources import PIPELINE_ROLLOUTS, RELEASES
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.release import Phase, Release
from trimtab.spec import PipelineVersion

__all__ = ["server"]
NAME = "churn-stable-1-4-0"
VERSION = {"name": "churn", "version": "1.4.0", "digest": "ab" * 32}


def put_rollout(server: ApiServer, phase: str = "Progressing", **status: Any) -> None:
    spec = {"pipeline": VERSION, "channel": "stable"}
    told = {"phase": phase, "stage": 2, "counts": {"models": 20, "done": 1, "bad": 0, "inFlight": 1, "waiting": 18}, **status}
    server.put(PIPELINE_ROLLOUTS, "crm", NAME, metadata={"uid": "uid-r"}, spec=spec, status=told)


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["pipeline", *words, "-n", "crm", "--json"], catch_exceptions=False)


@pytest.mark.parametrize(("word", "phase"), [("halt", "Progressing"), ("resume", "Halted"), ("revert", "Complete")])
def test_a_word_is_one_object_that_names_the_roll_out(server: ApiServer, word: str, phase: str) -> None:
    put_rollout(server, phase)
    done = run(word, NAME, "--reason", "seen")
    assert json.loads(done.output) == {"pipelineRollout": NAME, "action": word}
    (said,) = created(server, "releaseactions")
    assert said["spec"] == {"pipelineRollout": NAME, "action": word, "user": "ada@example.com", "reason": "seen"}


def test_a_word_that_can_change_nothing_is_refused_before_it_is_said(server: ApiServer) -> None:
    put_rollout(server, "Halted")
    with pytest.raises(InvalidInput, match=f"{NAME} is Halted; only what is Progressing can be halted"):
        say_to_rollout("halt", NAME, "", "", "nowhere", "crm", as_json=False)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=f"there is no PipelineRollout 'x'; the newest are {NAME}"):
        say_to_rollout("halt", "x", "", "", "nowhere", "crm", as_json=False)  # type: ignore[arg-type]
    assert created(server, "releaseactions") == []


def test_all_roll_outs_are_listed(server: ApiServer) -> None:
    put_rollout(server, sentence="stage 2 of 3")
    (told,) = json.loads(run("status").output)
    assert (told["name"], told["version"], told["phase"], told["stage"], told["stages"]) == (NAME, "1.4.0", "Progressing", 2, 3)
    assert told["counts"] == {"models": 20, "done": 1, "bad": 0, "inFlight": 1, "waiting": 18}
    listed = CliRunner().invoke(app, ["pipeline", "status", "-n", "crm"], catch_exceptions=False).output
    assert NAME in listed
    assert "2 of 3" in listed


def test_one_roll_out_is_told_model_by_model(server: ApiServer) -> None:
    hand = {"user": "ada", "sentence": "ada asked to halt: not on a Friday", "at": "2026-03-01T12:00:00Z"}
    put_rollout(server, "Halted", sentence="ada asked to halt", hand=hand)
    put_release(server, "other-1", Phase.PROMOTED)
    request = {
        "trigger": "pipeline",
        "source": f"/pipelinerollouts/crm/{NAME}",
        "id": "uid-r/bike-uid",
        "cut": "2026-03-01T00:00:00Z",
        "pipeline": VERSION,
    }
    spec = {"model": "bike", "modelUid": "bike-uid", "recipe": "r", "request": request}
    server.put(RELEASES, "crm", "bike-9", spec=spec, status={"phase": "Rollout", "weight": 5, "sentence": "5% of the traffic"})
    told = json.loads(run("status", NAME).output)
    assert told["releases"] == [{"release": "bike-9", "model": "bike", "phase": "Rollout", "sentence": "5% of the traffic"}]
    assert told["by"] == "ada"
    page = CliRunner().invoke(app, ["pipeline", "status", NAME, "-n", "crm"], catch_exceptions=False).output
    assert f"{NAME}: churn 1.4.0 on the channel stable: Halted" in page
    assert "2026-03-01 12:00:00  ada asked to halt: not on a Friday" in page
    assert "of 20 Models 1 have it, 1 try it, 18 wait; 0 ended badly, 0 more were forgiven, 0 ended without effect" in page


class Published:
    """The port `Packages` with two versions of a pipeline."""

    def published(self, name: str) -> list[PipelineVersion]:
        return [OLD, NEW] if name == "churn" else []

    def fetch(self, version: PipelineVersion, keys: tuple[str, ...]) -> Any:
        return Path(), version, keys


def test_on_a_laptop_a_roll_out_begins_is_halted_by_a_word_and_told(tmp_path: Path) -> None:
    objects = SqliteObjects(State(tmp_path).database)
    objects.create(follower("bike"))
    for _ in range(2):
        tend_rollouts(objects, Published(), "default", lambda _: NOW, NOW)
    (trial,) = objects.all_of(Release)
    assert (trial.spec.model, trial.spec.request.trigger, trial.spec.request.pipeline) == ("bike", "pipeline", NEW)
    assert trial.spec.request.sentence == "the pipeline churn 1.4.0 is new on the channel stable: stage 1 of its roll-out"
    command = ["pipeline", "halt", NAME, "--reason", "not on a Friday", "--by", "ada", "--state", str(tmp_path)]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    tend_rollouts(objects, Published(), "default", lambda _: NOW, NOW)
    told = json.loads(CliRunner().invoke(app, ["pipeline", "status", NAME, "--state", str(tmp_path), "--json"]).output)
    assert (told["phase"], told["hand"]["sentence"]) == ("Halted", "ada asked to halt: not on a Friday")
    assert [(one["release"], one["phase"]) for one in told["releases"]] == [(trial.name, "Pending")]
    objects.close()
