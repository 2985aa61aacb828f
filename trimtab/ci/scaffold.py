"""The first files of a pipeline's repository: a template beside this file, with the pipeline's name in it, and rows for its sample."""

import csv
import io
import math
import random
import re
from datetime import UTC, datetime, timedelta
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from trimtab import __version__
from trimtab.errors import InvalidInput
from trimtab.package import BUILT_IN
from trimtab.units import Name

ROWS, ABSURD = 600, (100, 250)
SAMPLE = "sample/rows.csv"
_START = datetime(2026, 1, 1, tzinfo=UTC)


def name_of(folder: Path) -> str:
    """The name that the folder's own suggests."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:40].rstrip("-")


def write(folder: Path, name: str) -> tuple[str, ...]:
    """Write the repository of the pipeline `name` to `folder`; returns the files, sorted.

    Raises InvalidInput where the name is none, or the folder holds anything but a git repository without files.
    """
    try:
        msgspec.convert(name, Name)
    except msgspec.ValidationError as error:
        msg = f"--name: found {name!r}; allowed is a name of at most 40 small letters, digits and hyphens that begins with a letter"
        raise InvalidInput(msg) from error
    if name == BUILT_IN.name:
        msg = f"--name: {name!r} is the pipeline that comes with Trimtab; give yours another name"
        raise InvalidInput(msg)
    if folder.exists() and (not folder.is_dir() or any(one.name != ".git" for one in folder.iterdir())):
        msg = f"{str(folder)!r} is not empty: name a folder that is, or one that does not exist"
        raise InvalidInput(msg)
    files = {**template(name), SAMPLE: rows()}
    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
    except OSError as error:
        msg = f"{str(folder)!r} cannot be written: {error.strerror}"
        raise InvalidInput(msg) from error
    return tuple(sorted(files))


def template(name: str) -> dict[str, str]:
    """The files by their path, with @name@ and @trimtab@ filled in."""
    found = dict(_files(resources.files("trimtab.ci") / "template", ""))
    return {path: text.replace("@name@", name).replace("@trimtab@", __version__) for path, text in found.items()}


def _files(folder: Traversable, where: str) -> "list[tuple[str, str]]":
    found = []
    for one in sorted(folder.iterdir(), key=lambda one: one.name):
        if one.is_dir() and one.name != "__pycache__":
            found += _files(one, f"{where}{one.name}/")
        elif one.is_file():
            found.append((f"{where}{one.name}", one.read_text()))
    return found


def rows() -> str:
    """An hourly load by hour of day, warmth and kind of customer, with a few readings that no meter can have taken; always the same."""
    rand = random.Random(7)  # noqa: S311 - a sample
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["at", "id", "hour", "warmth", "kind", "load"])
    for index in range(ROWS):
        at = _START + timedelta(hours=index)
        warmth, kind = rand.gauss(15, 5), rand.choice(["home", "shop", "mill"])
        load = 40 + 25 * math.sin(at.hour / 24 * 2 * math.pi) + 1.5 * warmth + {"home": 0, "shop": 15, "mill": 40}[kind] + rand.gauss(0, 4)
        writer.writerow([at.isoformat(), f"r{index}", at.hour, round(warmth, 2), kind, 99999.0 if index in ABSURD else round(load, 2)])
    return text.getvalue()
