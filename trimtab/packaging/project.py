"""A pipeline's repository: what its pyproject.toml says in `[tool.trimtab.pipeline]`."""

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from trimtab.documents import parse
from trimtab.errors import InvalidInput
from trimtab.package import BUILT_IN, semver
from trimtab.units import Name

SETTINGS = "pyproject.toml"
TABLE = "[tool.trimtab.pipeline]"
DOCKERFILE = "Dockerfile"
BUILD = "docker build --quiet --tag {tag} --file {file} {context}"
EXISTS = "docker image inspect {tag}"
OURS = ("trimtab", "components", "pipelines", "serving")
"""Python packages of Trimtab: in a pipeline's repository they would hide the ones that its tasks import."""

_PLACEHOLDER = re.compile(r"(?<!\{)\{(\w+)\}(?!\})")
Inside = Annotated[str, Meta(min_length=1, description="a path below the repository's folder")]


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The table. `build`, `exists`, `digest` and `sbom` are commands, split into words as a shell would, but run without one."""

    name: Name
    version: str
    pipeline: Annotated[str, Meta(pattern=r"^[\w./-]+\.py:[A-Za-z_]\w*$", description="FILE.py:FUNCTION, such as pipeline.py:train")]
    """The file, and in it the function that @dsl.pipeline decorates."""
    image: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9]([a-z0-9._:/-]*/)?[a-z0-9._-]*$",
            description="a repository's name without tag, such as registry.example/shop",
        ),
    ]
    """Where the image is put: what all tasks run in."""
    build: str = BUILD
    """Builds (and pushes, where nodes pull it from a registry) the image; {tag}, {file} (the Dockerfile) and {context} are filled in."""
    exists: str = EXISTS
    """Ends with 0 where {tag} is there already and need not be built."""
    digest: str = ""
    """Prints the pinned reference NAME@sha256:… of {tag} as its last line; without it the tag names the image by what it was built from."""
    sbom: str = ""
    """Prints what is in {tag} as CycloneDX JSON; without it what is installed where the package is built is taken for that."""
    tests: Inside = "tests"
    """The component tests."""
    sample: Inside = "sample/model.yaml"
    """A Model document whose data is beside it: what CI runs the pipeline on."""


class Project(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A pipeline's repository; `folder` is where it is, resolved."""

    folder: Path

    @property
    def module(self) -> Path:
        """The file with the pipeline."""
        return self.folder / self.pipeline.rpartition(":")[0]

    @property
    def function(self) -> str:
        """The pipeline's function in that file."""
        return self.pipeline.rpartition(":")[2]


def read(folder: Path) -> Project:
    """The pipeline's repository in `folder`; raises InvalidInput with one sentence where it cannot be used."""
    folder = folder.resolve()
    where = f"{TABLE} of {str(folder / SETTINGS)!r}"
    settings = parse(json.dumps(_table(folder), default=str), Settings, where, "a table is allowed")
    fault = _fault(settings, folder)
    if fault:
        msg = f"{where}: {fault}"
        raise InvalidInput(msg)
    return Project(**{name: getattr(settings, name) for name in settings.__struct_fields__}, folder=folder)


def _table(folder: Path) -> Any:
    path = folder / SETTINGS
    try:
        found: Any = tomllib.loads(path.read_text())
    except OSError as error:
        msg = f"{str(folder)!r} is no pipeline's repository: its {SETTINGS} cannot be read: {error.strerror}"
        raise InvalidInput(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{str(path)!r} is not TOML: {error}"
        raise InvalidInput(msg) from error
    for name in ("tool", "trimtab", "pipeline"):
        found = found.get(name) if isinstance(found, dict) else None
    if found is None:
        msg = f"{str(path)!r} has no {TABLE}: it needs at least name, version, pipeline and image"
        raise InvalidInput(msg)
    return found


def _fault(settings: Settings, folder: Path) -> str:
    if settings.name == BUILT_IN.name:
        return f"name: {BUILT_IN.name!r} is the pipeline that comes with Trimtab; give yours another name"
    try:
        semver(settings.version)
    except InvalidInput as error:
        return f"version: {error}"
    for field in ("build", "exists", "digest", "sbom"):
        try:
            shlex.split(getattr(settings, field))
        except ValueError as error:
            return f"{field}: {getattr(settings, field)!r} cannot be split into words: {error}"
    for field, allowed in (("build", {"tag", "file", "context"}), ("exists", {"tag"}), ("digest", {"tag"}), ("sbom", {"tag"})):
        if odd := set(_PLACEHOLDER.findall(getattr(settings, field))) - allowed:
            found, may = ", ".join(f"{{{one}}}" for one in sorted(odd)), ", ".join(f"{{{one}}}" for one in sorted(allowed))
            return f"{field}: found {found}, allowed is {may}"
    for field, path in (("pipeline", settings.pipeline.rpartition(":")[0]), ("tests", settings.tests), ("sample", settings.sample)):
        if not (folder / path).resolve().is_relative_to(folder):
            return f"{field}: {path!r} is outside the repository, allowed is a path below it"
    if not (folder / settings.pipeline.rpartition(":")[0]).is_file():
        return f"pipeline: there is no file {settings.pipeline.rpartition(':')[0]!r}"
    for name in OURS:
        if (folder / name).is_dir() or (folder / f"{name}.py").is_file():
            return f"the repository has its own {name!r}, which is a Python package of Trimtab that its tasks import: give it another name"
    return ""
