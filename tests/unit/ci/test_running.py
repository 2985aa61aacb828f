"""Processes with real code of a repository: a time limit, no secrets, and nothing left behind."""

import sys
import time
from pathlib import Path

import psutil
import pytest

from trimtab.ci.running import Runner, Secrets, secret_names
from trimtab.ci.stages import Failed
from trimtab.errors import Unavailable

WORD = "correct-horse-battery"


def a_runner(tmp_path: Path, patience: float = 30.0, secrets: Secrets | None = None) -> Runner:
    (tmp_path / "repository").mkdir(exist_ok=True)
    (tmp_path / "scratch").mkdir(exist_ok=True)
    return Runner(tmp_path / "repository", tmp_path / "logs", tmp_path / "scratch", patience, secrets or Secrets({}, ""))


def ends(pid: int) -> bool:
    """Whether the process ends within some seconds."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("MLFLOW_TRACKING_TOKEN", True),
        ("MLFLOW_TRACKING_PASSWORD", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("GOOGLE_APPLICATION_CREDENTIALS", True),
        ("DOCKER_AUTH_CONFIG", True),
        ("TRIMTAB_KEY", True),
        ("GIT_AUTHOR_NAME", False),
        ("PATH", False),
        ("KEYBOARD", False),
        ("MLFLOW_TRACKING_URI", False),
    ],
)
def test_which_variables_are_secret(name: str, secret: bool) -> None:
    assert (name in secret_names({name: "x"})) == secret


def test_the_repositorys_code_sees_its_folder_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", WORD)
    runner = a_runner(tmp_path)
    (tmp_path / "repository" / "own.py").write_text("import os; print(os.getcwd(), '<' + os.environ['MLFLOW_TRACKING_TOKEN'] + '>')")
    ended = runner.python("tests", "-P", "-c", "import own")
    assert ended.stdout == f"{tmp_path / 'repository'} <>\n"


def test_a_builder_may_need_what_is_secret_and_no_log_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", WORD)
    runner = a_runner(tmp_path, secrets=Secrets({"REGISTRY_PASSWORD": WORD}, ""))
    ended = runner.command("image", ["sh", "-c", 'echo "got $REGISTRY_PASSWORD"; echo "$REGISTRY_PASSWORD!" >&2; exit 3'])
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "got ***\n", "***!\n")
    runner.command("image", ["echo", "and more"])
    assert runner.log("image").read_text() == "***!\ngot ***\nand more\n"


@pytest.mark.parametrize(
    "text",
    [f"token {WORD}", "https://ci:p%40ss-word@mlflow", "p@ss-word", "line-two-of-the-key"],
    ids=["a variable's value", "the tracking URI", "its password as it is meant", "a line of the key"],
)
def test_what_no_output_may_show(text: str) -> None:
    secrets = Secrets({"A_TOKEN": WORD}, "https://ci:p%40ss-word@mlflow", "line-one-of-the-key\nline-two-of-the-key\n")
    hidden = secrets.hide(text)
    assert "***" in hidden
    assert not any(word in hidden for word in (WORD, "ss-word", "line-two"))


def test_a_short_value_is_not_taken_for_a_secret() -> None:
    assert Secrets({"A_KEY": "1"}, "").hide("1 of 11 tests failed") == "1 of 11 tests failed"


def test_what_does_not_end_is_ended_with_its_children(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    runner = a_runner(tmp_path, patience=3)
    with pytest.raises(Failed, match=r"python\S* did not end within 3 s and was ended with all that it had started"):
        runner.command("tests", [sys.executable, "-c", code])
    assert ends(int(runner.log("tests").read_text().split()[0]))


def test_what_a_command_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '600'], start_new_session=True).pid)"
    ended = a_runner(tmp_path).python("tests", "-c", code)
    assert ends(int(ended.stdout))


def test_a_command_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="'no-such-builder' could not be started"):
        a_runner(tmp_path).command("image", ["no-such-builder"])
