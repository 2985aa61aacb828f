"""A pipeline's repository from its first files to a published version, and what stops a change on that way. Real processes and MLflow.

Docker is a stand-in with the same words: it does what the Dockerfile's RUN lines say, in the context, and remembers what was pushed.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest
import yaml

from tests.local.laptop import TRIMTAB
from tests.unit.platforms.test_packages import a_key
from trimtab.ci.course import Course
from trimtab.ci.running import Runner, Secrets
from trimtab.ci.stages import STAGES, Failed
from trimtab.package import COMPILED
from trimtab.packaging import project
from trimtab.platforms.packages import MlflowPackages

SECRET = "correct-horse-battery"
DOCKER = """#!{python}
import hashlib, os, pathlib, re, subprocess, sys

registry = pathlib.Path(__file__).with_name("pushed")
words = sys.argv[1:]
tag = words[words.index("--tag") + 1] if "--tag" in words else words[-1]
if words[0] == "build":
    print("registry says", os.environ["REGISTRY_PASSWORD"])
    file, context = words[words.index("--file") + 1], words[-1]
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    for command in re.findall(r"^RUN (.+)$", pathlib.Path(file).read_text(), re.MULTILINE):
        subprocess.run(command, shell=True, cwd=context, check=True, env={{**os.environ, "PATH": path, "PYTHONPATH": context}})
elif words[0] == "push":
    registry.open("a").write(tag + "\\n")
elif words[:2] == ["manifest", "inspect"] or words[0] == "pull":
    sys.exit(0 if registry.exists() and tag in registry.read_text().split() else "no such manifest")
elif words[:3] == ["inspect", "--format", "{{{{index .RepoDigests 0}}}}"]:
    print(tag.partition(":")[0] + "@sha256:" + hashlib.sha256(tag.encode()).hexdigest())
else:
    sys.exit(f"docker has no {{words}}")
"""


class Repository:
    """A repository that `trimtab pipeline init` began, with its own MLflow and key beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "Shop Rows"
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.key, self.public = a_key(folder, "ci")
        (folder / "bin").mkdir()
        (folder / "bin" / "docker").write_text(DOCKER.format(python=sys.executable))
        (folder / "bin" / "docker").chmod(0o755)
        self.run("pipeline", "init", str(self.folder), cwd=folder)
        self.git("init", "-q", "-b", "main")
        self.commit("the beginning")
        self.first: tuple[str, Any] = ("", None)
        """What the first publication said and reported."""

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=ci", "-c", "user.email=ci@example.org")
        return subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def change(self, path: str, pattern: str, by: str) -> None:
        """Replace what the pattern finds in a file; there must be some."""
        text, count = re.subn(pattern, lambda _: by, (self.folder / path).read_text(), flags=re.MULTILINE)
        assert count, f"{pattern!r} is not in {path}"
        (self.folder / path).write_text(text)

    def run(self, *words: str, code: int = 0, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        path = f"{self.folder.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "MLFLOW_TRACKING_PASSWORD": SECRET, "REGISTRY_PASSWORD": SECRET}
        done = subprocess.run([TRIMTAB, *words], cwd=cwd or self.folder, env=env, capture_output=True, text=True, check=False, timeout=280)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done

    def ci(self, *words: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        return self.run("pipeline", "ci", "--key", str(self.key), "--tracking-uri", self.uri, *words, code=code)

    @property
    def report(self) -> Any:
        return json.loads((self.folder / "report" / "report.json").read_text())

    def published(self) -> list[str]:
        kept = self.folder.parent / "kept"
        return (
            [one.version for one in MlflowPackages(self.uri, kept).published("shop-rows")] if (kept.parent / "mlflow.db").exists() else []
        )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A repository whose version 1.0.0 is published."""
    made = Repository(tmp_path_factory.mktemp("shop"))
    made.first = (made.ci().stdout, made.report)
    return made


@pytest.fixture
def clean(shop: Repository) -> Repository:
    """The same, with its work tree as it was published."""
    shop.git("reset", "-q", "--hard", shop.first[1]["commit"])
    shop.git("clean", "-q", "-f", "-d")
    return shop


def test_a_repository_that_was_just_begun_is_published(shop: Repository) -> None:
    said, report = shop.first
    assert [line.split()[:2] for line in said.splitlines()[: len(STAGES)]] == [["passed", stage] for stage in STAGES]
    assert report["passed"]
    assert report["commit"] == shop.git("rev-parse", "main").strip()
    assert shop.git("status", "--porcelain") == "", "CI leaves the work tree as it was"
    assert shop.published() == ["1.0.0"]

    store = MlflowPackages(shop.uri, shop.folder.parent / "kept")
    [version] = store.published("shop-rows")
    assert version.digest == report["published"]["digest"]
    folder, package = store.fetch(version, (shop.public,))
    assert package.commit == report["commit"]
    executors = yaml.safe_load((folder / COMPILED).read_text().split("\n---\n")[0])["deploymentSpec"]["executors"]
    assert {one["container"]["image"] for one in executors.values()} == {package.image}
    assert re.fullmatch(r"registry\.example/shop-rows@sha256:[0-9a-f]{64}", package.image)


def test_the_sample_has_what_the_own_step_takes_away(shop: Repository) -> None:
    assert "99999.0" in (shop.folder / "sample" / "rows.csv").read_text()
    sentence = next(one["sentence"] for one in shop.first[1]["stages"] if one["stage"] == "sample")
    found = re.fullmatch(r"a candidate of sample/model\.yaml, rmse ([\d.]+)", sentence)
    assert found
    assert float(found[1]) < 15, "with the absurd readings it learns nothing: the error is in the hundreds"


def test_no_secret_is_in_any_output(shop: Repository) -> None:
    said = shop.first[0]
    written = {path.name: path.read_text(errors="replace") for path in (shop.folder / "report").rglob("*") if path.is_file()}
    assert {"junit.xml", "report.json", "image.log", "sample.log"} <= written.keys()
    assert "registry says ***" in written["image.log"]
    for name, text in {**written, "output": said}.items():
        assert SECRET not in text, name


def lint_fault(one: Repository) -> None:
    one.change("steps/cleaning.py", "^import hashlib$", "import hashlib\nimport json")


def failing_test(one: Repository) -> None:
    one.change("steps/cleaning.py", r"low - \(high - low\)", "low")


def parameter_gone(one: Repository) -> None:
    one.change("pipeline.py", r'^    trigger: str = "",\n', "")
    one.change("pipeline.py", r'^        "trigger": trigger,$', '        "trigger": "",')


def polished_holdout(one: Repository) -> None:
    one.change("pipeline.py", r"evaluate\(\*\*common, dataset=data,", "evaluate(**common, dataset=rows,")


def raising_step(one: Repository) -> None:
    one.change("steps/prepare.py", r"^    spec = ", '    raise ValueError("no rows like these")\n\n    spec = ')


def broken_image(one: Repository) -> None:
    one.change("Dockerfile", r"^RUN .*$", 'RUN echo "no such package" && exit 7')


SPOILED = {
    "a lint fault": (lint_fault, "lint", r"ruff found 1 fault; the first: steps/cleaning\.py:4:8: F401"),
    "a failing component test": (
        failing_test,
        "tests",
        r"1 of 9 tests failed; the first is test_only_what.*\[absurdly low\]: assert 0\.0 ==",
    ),
    "a parameter that is gone": (parameter_gone, "contract", r"parameter 'trigger' is missing: Trimtab gives it to every pipeline"),
    "an evaluation on other rows": (polished_holdout, "contract", r"task '[^']*evaluate': its input 'dataset' .*'[^']*prepare'"),
    "a step that raises on the sample": (raising_step, "sample", r"the run on sample/model\.yaml failed: ValueError: no rows like these$"),
    "an image that does not build": (broken_image, "image", r"building registry\.example/shop-rows:[0-9a-f]{16} failed: .*exit status 7"),
}


@pytest.mark.parametrize(("spoil", "stage", "sentence"), SPOILED.values(), ids=SPOILED.keys())
def test_a_spoiled_change_is_stopped_where_it_should_be(
    clean: Repository, spoil: Callable[[Repository], None], stage: str, sentence: str
) -> None:
    spoil(clean)
    clean.change("pyproject.toml", r"^version = .*$", 'version = "1.1.0"')
    clean.commit("a change")
    said = clean.ci(code=1).stdout
    place = STAGES.index(stage)
    verdicts = ["passed"] * place + ["failed"] + ["skipped"] * (len(STAGES) - place - 1)
    assert [one["verdict"] for one in clean.report["stages"]] == verdicts
    assert re.search(sentence, clean.report["stages"][place]["sentence"])
    assert clean.report["stages"][place]["sentence"] in said
    assert clean.published() == ["1.0.0"]
    suite = ElementTree.parse(clean.folder / "report" / "junit.xml").find(f"testsuite[@name='{stage}']")  # noqa: S314 - our own
    assert suite is not None
    assert int(suite.get("failures", "")) >= 1
    if stage == "lint":
        assert "shop-rows 1.1.0: stopped at lint" in said


def test_a_published_version_is_not_published_again_with_other_content(clean: Repository) -> None:
    clean.change("steps/cleaning.py", r"^CENTRE = .*$", "CENTRE = (0.004, 0.996)")
    clean.commit("other caps")
    said = clean.ci(code=1).stdout
    assert re.search(r"failed   publish .*shop-rows 1\.0\.0 was published with other content \(digest .*\): raise the version", said)
    assert clean.published() == ["1.0.0"]


def test_what_is_in_no_commit_is_not_published(clean: Repository) -> None:
    (clean.folder / "steps" / "new.py").write_text('"""New."""\n')
    assert re.search(r"the work tree is not what its commit [0-9a-f]{12} says: commit what belongs", clean.ci(code=2).stderr)
    read = project.read(clean.folder)
    runner = Runner(read.folder, clean.folder / "report" / "logs", clean.folder.parent, 30, Secrets({}, ""))
    with pytest.raises(Failed, match="the work tree is not what its commit"):
        Course(read, runner, clean.folder.parent, clean.key, clean.uri).publish()
    assert clean.published() == ["1.0.0"]


INPUTS = {
    "no such stage": (["--until", "deploy"], "--until: found 'deploy', allowed is one of lint, tests"),
    "no key": (["--tracking-uri", "sqlite:///a.db"], "--key must be given to publish"),
    "a key that is not there": (["--key", "none.pem", "--tracking-uri", "sqlite:///a.db"], "--key 'none.pem' cannot be read: No such file"),
    "no repository": (["sample", "--until", "lint"], "is no pipeline's repository: its pyproject.toml cannot be read"),
}


@pytest.mark.parametrize(("words", "sentence"), INPUTS.values(), ids=INPUTS.keys())
def test_bad_input_is_a_sentence_and_nothing_is_run(clean: Repository, words: list[str], sentence: str) -> None:
    assert sentence in clean.run("pipeline", "ci", *words, code=2).stderr


def test_a_folder_that_holds_something_is_left_alone(clean: Repository) -> None:
    assert "is not empty" in clean.run("pipeline", "init", ".", code=2).stderr
    assert clean.git("status", "--porcelain") == ""


def test_a_test_that_hangs_is_ended_and_so_is_all_when_ci_is(clean: Repository) -> None:
    (clean.folder / "tests" / "test_slow.py").write_text(
        "import subprocess\nimport time\n\n\n"
        "def test_slow() -> None:\n"
        '    child = subprocess.Popen(["sleep", "600"])\n'
        '    print("waits for", child.pid, flush=True)\n'
        "    time.sleep(600)\n"
    )
    clean.change("pyproject.toml", "^addopts = .*$", 'addopts = "-s"')
    said = clean.run("pipeline", "ci", "--until", "tests", "--timeout", "8", code=1).stdout
    assert "pytest did not end within 8 s and was ended with all that it had started" in said
    assert not psutil.pid_exists(_waited_for(clean))

    (clean.folder / "report" / "logs" / "tests.log").unlink()
    command = [TRIMTAB, "pipeline", "ci", "--until", "tests"]
    with subprocess.Popen(command, cwd=clean.folder, stdout=subprocess.DEVNULL) as running:
        while not (pid := _waited_for(clean)):
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 128 + signal.SIGTERM
    assert not psutil.pid_exists(pid)


def _waited_for(one: Repository) -> int:
    """The process that the slow test waits for; 0 where it has not begun."""
    log = one.folder / "report" / "logs" / "tests.log"
    found = re.search(r"waits for (\d+)\n", log.read_text()) if log.exists() else None
    return int(found[1]) if found else 0
