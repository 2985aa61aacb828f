"""A version's files are what was registered, or the file that is not is named."""

from pathlib import Path

import pytest

from trimtab.errors import InvalidInput
from trimtab.manifest import MANIFEST, verify, write_manifest


@pytest.fixture
def version(tmp_path: Path) -> tuple[Path, str]:
    (tmp_path / "model.json").write_text("trees")
    (tmp_path / "schema.json").write_text("columns")
    return tmp_path, write_manifest(tmp_path)


def test_what_was_written_verifies(version: tuple[Path, str]) -> None:
    verify(*version)


CHANGES = {
    "a changed byte": (lambda folder: (folder / "model.json").write_text("tree5"), "'model.json' .* the file was changed"),
    "a missing file": (lambda folder: (folder / "model.json").unlink(), "'model.json' is missing from"),
    "an extra file": (lambda folder: (folder / "more").write_text(""), "'more' does not belong to"),
    "a changed manifest": (lambda folder: (folder / MANIFEST).write_text('{"files": {}}'), "the version was changed"),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), "has no manifest.json"),
}


@pytest.mark.parametrize(("change", "sentence"), CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_found_and_named(version: tuple[Path, str], change, sentence: str) -> None:
    folder, digest = version
    change(folder)
    with pytest.raises(InvalidInput, match=sentence):
        verify(folder, digest)


def test_a_manifest_that_was_made_to_fit_the_changed_file_has_another_digest(version: tuple[Path, str]) -> None:
    folder, digest = version
    (folder / "model.json").write_text("tree5")
    write_manifest(folder)
    with pytest.raises(InvalidInput, match="the version was changed"):
        verify(folder, digest)
