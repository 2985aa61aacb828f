"""What single stages say of a repository that is not as it should be; the whole way is in tests/local/test_pipeline_ci.py."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.platforms.test_packages import a_key
from trimtab.ci import scaffold
from trimtab.ci.course import Course, told
from trimtab.ci.running import Runner, Secrets
from trimtab.ci.stages import Done, Failed, Name
from trimtab.packaging import project
from trimtab.release import CandidateOutcome, InvalidDataOutcome, Outcome, RejectedOutcome


def a_course(folder: Path) -> Course:
    """The course of a repository that was just begun."""
    scaffold.write(folder / "shop", "shop")
    (folder / "scratch").mkdir()
    read = project.read(folder / "shop")
    runner = Runner(read.folder, folder / "logs", folder / "scratch", 60, Secrets({}, ""))
    return Course(read, runner, folder / "scratch", a_key(folder, "ci")[0], f"sqlite:///{folder / 'mlflow.db'}")


def rewrite(path: Path, pattern: str, by: str) -> None:
    text, count = re.subn(pattern, by, path.read_text())
    assert count
    path.write_text(text)


def no_tests(shop: Path) -> None:
    (shop / "tests" / "test_cleaning.py").unlink()


def no_tests_folder(shop: Path) -> None:
    no_tests(shop)
    (shop / "tests").rmdir()


def unimportable(shop: Path) -> None:
    (shop / "tests" / "test_cleaning.py").write_text("import no_such_module\n")


def badly_formatted(shop: Path) -> None:
    rewrite(shop / "steps" / "cleaning.py", r"draft = out", "draft  =  out")


def no_python(shop: Path) -> None:
    (shop / "steps" / "cleaning.py").write_text("def (:\n")


def bad_settings(shop: Path) -> None:
    rewrite(shop / "pyproject.toml", "line-length = 140", 'line-length = "wide"')


def no_pipeline(shop: Path) -> None:
    (shop / "pipeline.py").write_text("import sys\n\nsys.exit('I am no pipeline')\n")


SAID: dict[str, tuple[Name, Callable[[Path], None], str]] = {
    "a folder without a test": ("tests", no_tests, r"^there is no test in 'tests': a step without a test is not published$"),
    "no folder of tests": ("tests", no_tests_folder, r"^pytest ended with 4: ERROR: file or directory not found: tests$"),
    "a test that cannot be imported": (
        "tests",
        unimportable,
        r"^1 of 1 test failed; the first is tests\.test_cleaning: collection failure$",
    ),
    "a file that would be formatted otherwise": (
        "lint",
        badly_formatted,
        r"^1 file would .* the first steps/cleaning\.py: run `ruff format`$",
    ),
    "a file that is no Python": ("lint", no_python, r"^ruff found \d+ faults?; the first: steps/cleaning\.py:1:5: "),
    "settings that ruff does not take": ("lint", bad_settings, r"^ruff cannot run: "),
    "a pipeline that is none": ("contract", no_pipeline, r"^pipeline\.py:pipeline does not compile: I am no pipeline$"),
    "nothing in git": ("publish", lambda _: None, r"is no git repository with a commit: a package names the commit"),
}


@pytest.mark.parametrize(("stage", "spoil", "sentence"), SAID.values(), ids=SAID.keys())
def test_what_a_stage_says(tmp_path: Path, stage: Name, spoil: Callable[[Path], None], sentence: str) -> None:
    course = a_course(tmp_path)
    spoil(tmp_path / "shop")
    with pytest.raises(Failed, match=sentence):
        course.work()[stage]()


@pytest.mark.parametrize(("stage", "tool"), [("lint", "ruff"), ("tests", "pytest")])
def test_a_tool_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Name, tool: str) -> None:
    course = a_course(tmp_path)
    monkeypatch.setitem(sys.modules, tool, None)
    with pytest.raises(Failed, match=f"^the stage {stage} needs {tool}, which is not installed in this environment: pip install {tool}$"):
        course.work()[stage]()


OUTCOMES: dict[str, tuple[Outcome | None, str]] = {
    "a gate": (RejectedOutcome("rmse better than a model without features", 588.6116402, 623.74), "gate rmse .*: 588.612 where 623.74 is"),
    "a gate without a value": (RejectedOutcome("roc_auc", None, 0.5), "gate roc_auc: nothing where 0.5 is allowed"),
    "rows that cannot be used": (InvalidDataOutcome(("label 'load' has one value only", "no")), "cannot be trained on: label .* only; no$"),
    "no outcome": (None, "the run on sample/model.yaml made no candidate: it left no outcome"),
}


@pytest.mark.parametrize(("found", "sentence"), OUTCOMES.values(), ids=OUTCOMES.keys())
def test_a_run_on_the_sample_that_makes_no_candidate(found: Outcome | None, sentence: str) -> None:
    with pytest.raises(Failed, match=sentence):
        told(found, "sample/model.yaml")


def test_a_run_on_the_sample_that_makes_one() -> None:
    assert told(CandidateOutcome("1", "d", {"rmse": 8.50213}), "sample/model.yaml") == Done("a candidate of sample/model.yaml, rmse 8.502")
