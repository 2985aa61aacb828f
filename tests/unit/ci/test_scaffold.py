"""A new repository is whole for any name, keeps the contract, and is what its page says."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import typer.main
import yaml

from trimtab.ci import reports, scaffold
from trimtab.ci.sample import cut_of
from trimtab.ci.stages import STAGES
from trimtab.cli.app import app
from trimtab.documents import parse_model, read_model
from trimtab.errors import InvalidInput
from trimtab.packaging import building, compiling, contract, project
from trimtab.spec import Model

PAGE = (Path(__file__).parents[3] / "docs" / "pipelines-ci.md").read_text()
CI_FILES = (".github/workflows/pipeline.yaml", ".gitlab-ci.yml")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("new") / "shop"
    scaffold.write(folder, "shop")
    return folder


@pytest.mark.parametrize(
    ("folder", "name"),
    [("shop", "shop"), ("Shop Rows_2", "shop-rows-2"), ("--x--", "x"), ("a" * 60, "a" * 40), ("Ünder", "nder"), ("..", None)],
)
def test_the_name_that_a_folder_suggests(tmp_path: Path, folder: str, name: str | None) -> None:
    assert scaffold.name_of(tmp_path / folder) == (name or scaffold.name_of(tmp_path.parent))


@pytest.mark.parametrize("name", ["a", "n" * 40])
def test_whatever_it_is_called_ruff_finds_nothing(tmp_path: Path, name: str) -> None:
    scaffold.write(tmp_path / "made", name)
    for words in (["check"], ["format", "--check"]):
        ended = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "."], cwd=tmp_path / "made", capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout
    assert project.read(tmp_path / "made").name == name


def test_it_compiles_and_keeps_the_contract(shop: Path, tmp_path: Path) -> None:
    assert contract.broken(compiling.compile_ir(project.read(shop), tmp_path)) == ()


def test_its_image_does_not_depend_on_when_it_was_written(shop: Path, tmp_path: Path) -> None:
    scaffold.write(tmp_path / "again", "shop")
    assert building.image_of(project.read(shop)) == building.image_of(project.read(tmp_path / "again"))


@pytest.mark.parametrize("name", ["", "Shop", "-shop", "a b", "x" * 41, "tabular"])
def test_a_name_that_is_none_writes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--name: "):
        scaffold.write(tmp_path / "made", name)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("held", ["a file", "a folder with a file"])
def test_what_is_there_is_not_written_over(tmp_path: Path, held: str) -> None:
    folder = tmp_path / "made"
    if held == "a file":
        folder.write_text("mine")
    else:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="is not empty"):
        scaffold.write(folder, "shop")


def test_an_empty_git_repository_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert "pipeline.py" in scaffold.write(tmp_path, "shop")


def test_the_samples_cut_is_after_its_rows(shop: Path) -> None:
    model = read_model(shop / "sample" / "model.yaml")
    newest = (shop / "sample" / "rows.csv").read_text().splitlines()[-1].split(",")[0]
    assert newest < cut_of(model).isoformat()


@pytest.mark.parametrize("given", ["soon", "2026-13-01"])
def test_a_cut_that_is_no_time_is_a_sentence(given: str) -> None:
    text = f"""{{apiVersion: trimtab.dev/v1alpha1, kind: Model, metadata: {{name: a, annotations: {{trimtab.dev/first-cut: "{given}"}}}},
        spec: {{task: regression, data: {{uri: a.csv, label: y}}}}}}"""
    model: Model = parse_model(text)
    with pytest.raises(InvalidInput, match=f"'{given}'; an ISO 8601 time is allowed"):
        cut_of(model)


def commands(text: str) -> list[str]:
    """The `trimtab …` lines of a page or a CI file."""
    return re.findall(r"^ *(?:- )?(?:run: )?trimtab (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("file", [*CI_FILES, "README.md", "the page"])
def test_every_command_that_is_shown_is_one(shop: Path, file: str) -> None:
    shown = commands(PAGE if file == "the page" else (shop / file).read_text())
    assert any(line.startswith("pipeline ci") for line in shown)
    for line in shown:
        words = shlex.split(line, comments=True)
        command = typer.main.get_command(app)
        for word in words[:2]:
            command = command.get_command(click.Context(command), word)  # type: ignore[attr-defined]
        assert command.make_context(line, words[2:])


@pytest.mark.parametrize("file", CI_FILES)
def test_a_ci_file_calls_one_command_and_publishes_on_one_branch_alone(shop: Path, file: str) -> None:
    text = (shop / file).read_text()
    jobs = yaml.safe_load(text)
    jobs = jobs.get("jobs", jobs)
    calls = {name: commands(yaml.safe_dump(jobs[name], width=1000)) for name in ("check", "publish")}
    assert calls["check"] == ["pipeline ci --until sample"]
    assert len(calls["publish"]) == 1
    assert "--until" not in calls["publish"][0]
    assert "TRIMTAB_KEY" not in yaml.safe_dump(jobs["check"])


def test_the_page_tells_the_stages_and_the_files_that_there_are(shop: Path) -> None:
    assert tuple(re.findall(r"^\| `([a-z]+)` \| .* \|$", PAGE.split("## The stages")[1].split("## Reports")[0], re.MULTILINE)) == STAGES
    cells = re.findall(r"^\| (`[^|]+`) \|", PAGE.split("## The stages")[0], re.MULTILINE)
    told = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    made = {str(path.relative_to(shop)) for path in shop.rglob("*") if path.is_file()}
    assert all(any(file == name or (name.endswith("/") and file.startswith(name)) for file in made) for name in told)
    assert [file for file in made if not any(file == name or file.startswith(name) for name in told)] == []


def test_the_output_that_the_page_shows_is_in_the_form_that_is_printed() -> None:
    (block,) = re.findall(r"```\n(passed.*?)```", PAGE, re.DOTALL)
    shown = re.findall(r"^passed +([a-z]+) +([\d.]+) s  (.*)$", block, re.MULTILINE)
    assert tuple(stage for stage, _, _ in shown) == STAGES
    made = [reports.Result(stage, "passed", sentence, float(seconds)) for stage, seconds, sentence in shown]
    assert block == "".join(f"{reports.line(one)}\n" for one in made)
