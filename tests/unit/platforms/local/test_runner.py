"""Training runs as real processes: started once, seen by whoever looks, ended with all that they started."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from pipelines import IR
from tests.unit.platforms.test_packages import a_key, a_package
from tests.unit.training.data import last, model, rows, spec, write
from tests.unit.training.toys import with_search, with_training
from trimtab.control.ports import RunRequest
from trimtab.package import COMPILED
from trimtab.platforms.local import runner
from trimtab.platforms.local.runner import LocalRunner
from trimtab.platforms.packages import MlflowPackages
from trimtab.platforms.pipeline import arguments, fault_of
from trimtab.release import CandidateOutcome, InvalidDataOutcome, Outcome
from trimtab.spec import Champion, ModelSpec, PipelinePolicy, PipelineVersion, Version
from trimtab.training.trials import read_trials

ABSENT, ACTIVE, ENDED = "absent", "active", "ended"


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for the condition; fail when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come in time"
        time.sleep(0.05)


def request(given: ModelSpec, uid: str = "uid", attempt: int = 1) -> RunRequest:
    return RunRequest("toy-1", uid, attempt, model(given), last())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


@pytest.fixture
def local(state: Path) -> Iterator[LocalRunner]:
    found = LocalRunner(state, f"sqlite:///{state / 'mlflow.db'}")
    yield found
    found.close()


def outcome(state: Path) -> Outcome:
    found: Outcome = msgspec.json.decode((state / "runs" / "uid-1" / "outcome.json").read_bytes(), type=Outcome)
    return found


def test_a_run_trains_registers_and_leaves_its_outcome(local: LocalRunner, state: Path, tmp_path: Path) -> None:
    asked = request(spec(write(tmp_path / "a.csv", rows())))
    assert local.state("uid", 1) == (ABSENT, "")
    local.submit(asked)
    local.submit(asked)
    assert local.state("uid", 1) == (ACTIVE, "")
    until(lambda: local.state("uid", 1)[0] == ENDED)
    assert local.state("uid", 1) == (ENDED, "")
    assert isinstance(outcome(state), CandidateOutcome)
    assert (state / "mlartifacts" / "toy").is_dir()
    said = (state / "runs" / "uid-1" / "log.txt").read_text()
    assert re.search(r"the run took \d+\.\d s \(ingest \S+, search \S+, train \S+, evaluate \S+, register \d+\.\d\)", said)
    local.submit(asked)
    assert local.state("uid", 1) == (ENDED, "")
    assert LocalRunner(state, "").state("uid", 1) == (ENDED, "")


def test_data_that_cannot_be_trained_on_is_a_run_that_ends_well(local: LocalRunner, state: Path, tmp_path: Path) -> None:
    found = [{**row, "it's": 1} for row in rows()]
    local.submit(request(spec(write(tmp_path / "it's.csv", found), label="it's")))
    until(lambda: local.state("uid", 1)[0] == ENDED)
    assert local.state("uid", 1) == (ENDED, "")
    found_outcome = outcome(state)
    assert isinstance(found_outcome, InvalidDataOutcome)
    assert 'there is no column "it\'s"' in found_outcome.checks[0]


def test_a_run_that_cannot_reach_mlflow_ends_with_the_sentence(state: Path, tmp_path: Path) -> None:
    local = LocalRunner(state, f"sqlite:///{tmp_path / 'nowhere' / 'deeper' / 'mlflow.db'}")
    local.submit(request(spec(write(tmp_path / "a.csv", rows()[:10]))))
    until(lambda: local.state("uid", 1)[0] == ENDED)
    fault = local.state("uid", 1)[1]
    assert fault.startswith("Unavailable: "), fault
    assert "MLflow" in fault


def test_cancel_ends_the_run_and_the_task_that_it_is_in(local: LocalRunner, state: Path, tmp_path: Path) -> None:
    local.submit(request(spec(write(tmp_path / "a.csv", rows()))))
    until(lambda: len(family(state)) >= 2)
    started = family(state)
    local.cancel("uid", 1)
    assert local.state("uid", 1) == (ENDED, "the run was cancelled")
    assert not any(running(process) for process in started)
    local.cancel("uid", 1)
    local.cancel("nobody", 1)
    assert local.state("nobody", 1) == (ABSENT, "")


def running(process: psutil.Process) -> bool:
    """Whether it does anything yet: one that only waits to be waited for does not."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def family(state: Path) -> list[psutil.Process]:
    """The run's process and all its descendants."""
    claim = runner.read_claim(state / "runs" / "uid-1")
    if claim is None or not psutil.pid_exists(claim.pid):
        return []
    leader = psutil.Process(claim.pid)
    return [leader, *leader.children(recursive=True)]


def test_a_run_that_was_killed_has_ended_with_a_fault(local: LocalRunner, state: Path, tmp_path: Path) -> None:
    local.submit(request(spec(write(tmp_path / "a.csv", rows()))))
    until(lambda: len(family(state)) >= 2)
    leader, *tasks = family(state)
    leader.kill()
    until(lambda: local.state("uid", 1)[0] == ENDED)
    assert local.state("uid", 1)[1].startswith("the run's process was killed; its last words: ")
    for task in tasks:
        runner.end_group(task.pid)


def test_sigterm_ends_the_task_too(local: LocalRunner, state: Path, tmp_path: Path) -> None:
    local.submit(request(spec(write(tmp_path / "a.csv", rows()))))
    until(lambda: len(family(state)) >= 2)
    leader, *tasks = family(state)
    leader.terminate()
    until(lambda: local.state("uid", 1)[0] == ENDED, 10)
    assert not any(running(task) for task in tasks), "a task outlived its run"


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that stands for a run which another supervisor started."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
    yield process
    process.kill()
    process.wait()


def claimed(state: Path, claim: runner.Claim) -> LocalRunner:
    """A new supervisor's runner, which finds a run folder with that claim."""
    folder = state / "runs" / "uid-1"
    folder.mkdir(parents=True)
    assert runner.claim(folder, claim) == claim
    return LocalRunner(state, "")


def test_another_supervisor_sees_a_running_run_and_can_cancel_it(state: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    found = claimed(state, runner.Claim(sleeper.pid, psutil.Process(sleeper.pid).create_time()))
    assert found.state("uid", 1) == (ACTIVE, "")
    found.cancel("uid", 1)
    assert not psutil.pid_exists(sleeper.pid)
    assert found.state("uid", 1) == (ENDED, "the run was cancelled")


def test_another_process_with_the_same_pid_is_not_the_run(state: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    found = claimed(state, runner.Claim(sleeper.pid, psutil.Process(sleeper.pid).create_time() - 1))
    assert found.state("uid", 1)[0] == ENDED
    found.cancel("uid", 1)
    assert sleeper.poll() is None


def test_a_process_that_ended_and_was_not_waited_for_is_not_the_run(state: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    claim = runner.Claim(process.pid, psutil.Process(process.pid).create_time())
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
    assert claimed(state, claim).state("uid", 1)[0] == ENDED
    process.wait()


def test_a_run_whose_supervisor_died_before_it_started_is_never_started_later(state: Path, tmp_path: Path) -> None:
    folder = state / "runs" / "uid-1"
    folder.mkdir(parents=True)
    (folder / runner.REQUEST).write_bytes(msgspec.json.encode(request(spec(write(tmp_path / "a.csv", rows())))))
    found = LocalRunner(state, "")
    assert found.state("uid", 1) == (ENDED, "the run was never started: its supervisor ended before")
    command = [sys.executable, "-m", "trimtab.platforms.local.runner_main", str(folder), "--tracking-uri", "sqlite://"]
    assert subprocess.run(command, check=False, capture_output=True, env=dict(os.environ)).returncode == 0
    assert not (folder / "pipeline").exists()
    assert found.state("uid", 1)[0] == ENDED


def test_a_version_that_lies_in_the_state_folder_is_read_there(tmp_path: Path) -> None:
    (tmp_path / "toy" / "3").mkdir(parents=True)
    asked = msgspec.structs.replace(
        request(spec(tmp_path / "a.csv")), champion=Champion("3", "d" * 64), compare_only=Version("4", "e" * 64)
    )
    found = arguments(asked, "sqlite://", tmp_path)
    assert found["champion"] == f"file://{tmp_path}/toy/3?sha256={'d' * 64}"
    assert found["compare_only"] == f"mlflow://models/toy/4?sha256={'e' * 64}"
    assert arguments(request(spec(tmp_path / "a.csv")), "sqlite://", tmp_path)["champion"] == ""


SHARES = [
    ("a budget of one trial is one share", 1, 8, None, [0]),
    ("on a cluster as many as asked for", 40, 4, None, [0, 1, 2, 3]),
    ("no share without a trial", 3, 8, None, [0, 1, 2]),
    ("where two tasks run at once, two", 40, 4, 2, [0, 1]),
]


@pytest.mark.parametrize(("trials", "parallel", "at_once", "expected"), [case[1:] for case in SHARES], ids=[case[0] for case in SHARES])
def test_shares_of_a_search(tmp_path: Path, trials: int, parallel: int, at_once: int | None, expected: list[int]) -> None:
    asked = request(with_search(spec(tmp_path / "a.csv"), trials=trials, parallel=parallel))
    assert arguments(asked, "sqlite://", at_once=at_once)["shards"] == expected
    anew = msgspec.structs.replace(asked, compare_only=Version("4", "e" * 64))
    assert arguments(anew, "sqlite://", at_once=at_once)["shards"] == [0]


EVALUATIONS = [
    ("what is learned from old rows is in doubt", "concept", None, "rolling"),
    ("a performance finding says the same", "performance", None, "rolling"),
    ("else one twin suffices", "schedule", None, "holdout"),
    ("what the document says stands", "concept", "holdout", "holdout"),
    ("for everyone", "person", "rolling", "rolling"),
]


@pytest.mark.parametrize(("trigger", "given", "expected"), [case[1:] for case in EVALUATIONS], ids=[case[0] for case in EVALUATIONS])
def test_how_the_holdout_is_predicted(tmp_path: Path, trigger: Any, given: Any, expected: str) -> None:
    asked = msgspec.structs.replace(request(with_training(spec(tmp_path / "a.csv"), evaluation=given)), trigger=trigger)
    assert arguments(asked, "sqlite://")["evaluation"] == expected
    assert arguments(msgspec.structs.replace(asked, compare_only=Version("4", "e" * 64)), "sqlite://")["evaluation"] == "holdout"


def test_what_a_pipeline_is_told_of_itself_and_of_its_rows(tmp_path: Path) -> None:
    asked = msgspec.structs.replace(request(with_training(spec(tmp_path / "a.csv"), evaluation="rolling")), trigger="pipeline")
    own = arguments(asked, "sqlite://")
    assert (own["pipeline"], own["snapshot"], own["evaluation"]) == ("", "", "rolling")
    tried = arguments(msgspec.structs.replace(asked, pipeline=PipelineVersion("shop", "1.4.0", "d" * 64), trial=True), "sqlite://")
    assert msgspec.json.decode(str(tried["pipeline"])) == {"name": "shop", "version": "1.4.0", "digest": "d" * 64}
    assert tried["snapshot"] == "champion"
    assert tried["evaluation"] == "holdout", "as the champion's twin, the only one that is kept with it"


def test_a_package_that_was_changed_after_the_supervisor_looked_does_not_run(local: LocalRunner, state: Path, tmp_path: Path) -> None:
    key, public = a_key(tmp_path, "ci")
    packages = MlflowPackages(f"sqlite:///{state / 'mlflow.db'}", tmp_path / "kept")
    version = packages.publish(a_package(tmp_path / "made", compiled=IR.read_text()), key)
    stored = next((state / "mlartifacts").rglob(COMPILED))
    stored.write_text(stored.read_text().replace("seed", "need"))
    given = msgspec.structs.replace(spec(write(tmp_path / "a.csv", rows())), pipeline_policy=PipelinePolicy((public,)))
    local.submit(msgspec.structs.replace(request(given), pipeline=version))
    until(lambda: local.state("uid", 1)[0] == ENDED)
    assert local.state("uid", 1)[1].startswith("InvalidInput: PackageRefused: 'pipeline.yaml' of the package churn 1.4.0")
    assert not (state / "runs" / "uid-1" / "pipeline").exists()


def journals(state: Path) -> dict[Path, bytes]:
    """The whole lines of each share's journal."""
    found = {path: path.read_bytes() for path in (state / "searches").glob("*.jsonl")}
    return {path: content[: content.rfind(b"\n") + 1] for path, content in found.items()}


@pytest.mark.parametrize("whole", [False, True], ids=["its tasks alone, which are retried", "the whole run, and the next attempt"])
def test_a_search_that_is_killed_goes_on(local: LocalRunner, state: Path, tmp_path: Path, whole: bool) -> None:
    given = with_search(spec(write(tmp_path / "a.csv", rows())), trials=16, parallel=2, estimators=("xgboost",))
    local.submit(request(given))
    until(lambda: any(content.count(b"\n") >= 2 for content in journals(state).values()))
    before = journals(state)
    searching = [process for process in family(state) if whole or {"search", "--function_to_execute"} <= set(process.cmdline())]
    for process in searching:
        process.kill()
    until(lambda: local.state("uid", 1)[0] == ENDED)
    if whole:
        assert local.state("uid", 1)[1].startswith("the run's process was killed")
        local.submit(request(given, attempt=2))
        until(lambda: local.state("uid", 2)[0] == ENDED)
    assert local.state("uid", 2 if whole else 1) == (ENDED, "")
    assert searching
    assert all(journals(state)[path].startswith(content) for path, content in before.items())
    (board,) = (state / "runs").glob("*/pipeline/**/leaderboard.json")
    trials = read_trials(board)
    assert sorted((trial.shard, trial.number) for trial in trials) == [(shard, number) for shard in (0, 1) for number in range(8)]
    assert trials[0].state == "complete"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        pytest.param(
            "    Traceback\n    trimtab.errors.Unavailable: MLflow is away\n\nskipping", "Unavailable: MLflow is away", id="our own"
        ),
        pytest.param("  KeyError: 'a'\n    ValueError: b\nend", "ValueError: b", id="the last of several"),
        pytest.param("nothing to see", "RuntimeError: the pipeline failed", id="what kfp says, without its further lines"),
    ],
)
def test_fault(tmp_path: Path, log: str, expected: str) -> None:
    (tmp_path / "log.txt").write_text(log)
    assert fault_of(tmp_path / "log.txt", RuntimeError("the pipeline failed\nmore")) == expected
