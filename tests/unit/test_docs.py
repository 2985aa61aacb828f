"""What the docs show is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from trimtab.documents import parse_model

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_reference_is_what_the_code_says() -> None:
    made = subprocess.run([sys.executable, "docs/generate.py", "-"], capture_output=True, text=True, check=True, cwd=ROOT)
    assert (ROOT / "docs" / "reference.md").read_text() == made.stdout, "run `make generate`"


def test_the_document_in_the_readme_is_a_model() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert [parse_model(block).name for block in blocks] == ["bike-demand"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_shows_exists(page: Path) -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    known = set(re.findall(r"^\| `trimtab ((?:local )?[a-z]+)", reference, re.MULTILINE))
    shown = set(re.findall(r"`?trimtab ((?:local )?[a-z]+)(?= |`|\n)", page.read_text()))
    words = {command for command in shown if command.split()[0] in {known_command.split()[0] for known_command in known} | {"local"}}
    assert words <= known | {"local"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_make_target_that_the_readme_shows_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text())) <= targets
