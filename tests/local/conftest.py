"""One first version is trained for all tests; each then goes on from a copy of that state."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.local.laptop import DOCUMENT, Laptop, write_rows


@pytest.fixture(scope="session")
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose state has a first version, with nothing running."""
    folder = tmp_path_factory.mktemp("template")
    write_rows(folder / "rows.csv", 6000, changes_at=1200)
    write_rows(folder / "calm.csv", 6000)
    (folder / "model.yaml").write_text(DOCUMENT.format(approval="automatic"))
    laptop = Laptop(folder)
    try:
        laptop.up()
        laptop.down()
    finally:
        laptop.end()
    return folder


@pytest.fixture
def laptop(served_once: Path, tmp_path: Path) -> Iterator[Laptop]:
    """The platform, down, with a first version in its state."""
    shutil.copytree(served_once / "state", tmp_path / "state")
    made = Laptop(served_once, tmp_path / "state")
    yield made
    made.end()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[str], Laptop]]:
    """An empty folder with data and the given document; nothing was ever up."""
    made = Laptop(tmp_path)

    def make(document: str = DOCUMENT.format(approval="automatic")) -> Laptop:
        write_rows(tmp_path / "rows.csv", 1400)
        (tmp_path / "model.yaml").write_text(document)
        return made

    yield make
    made.end()
