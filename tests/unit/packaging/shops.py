"""A pipeline's repository to try things on: the one in `shop/`, copied to a folder of the test's own and changed there."""

import shutil
import subprocess
from pathlib import Path

from trimtab.packaging import project
from trimtab.packaging.project import Project

SHOP = Path(__file__).parent / "shop"


def a_shop(folder: Path) -> Path:
    """A copy of the repository, without git."""
    shutil.copytree(SHOP, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def change(path: Path, old: str, new: str) -> None:
    """Replace a text that is in the file."""
    text = path.read_text()
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new))


def git(folder: Path, *words: str) -> str:
    """Run git in the folder, as somebody."""
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout.strip()


def committed(folder: Path) -> str:
    """Commit everything in the folder, in a repository that is made there; the commit."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A pipeline")
    return git(folder, "rev-parse", "HEAD")


def settings(folder: Path, *lines: str) -> Project:
    """The repository with more lines in its table."""
    with (folder / project.SETTINGS).open("a") as stream:
        stream.writelines(f"{line}\n" for line in lines)
    return project.read(folder)
