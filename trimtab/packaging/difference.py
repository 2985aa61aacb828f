"""What changed between two versions of a pipeline: steps, images, parameters, what is installed, source."""

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct

from trimtab.package import COMPILED, SBOM, Package
from trimtab.packaging import sbom
from trimtab.packaging.ir import Graph, Task, read

Kind = Literal["added", "removed", "changed"]


class Change(Struct, frozen=True, omit_defaults=True):
    """One thing that is in one version only, or is other in each; `before` and `after` are words for it."""

    kind: Kind
    name: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        match self.kind:
            case "added":
                return f"+ {self.name} {self.after}".rstrip()
            case "removed":
                return f"- {self.name} {self.before}".rstrip()
        return f"~ {self.name}: {self.before} -> {self.after}" if self.before else f"~ {self.name}: {self.after}"


class Difference(Struct, frozen=True):
    """All changes from one version to another, each kind in the order of names; empty where there is none."""

    before: str
    after: str
    source: tuple[Change, ...]
    steps: tuple[Change, ...]
    parameters: tuple[Change, ...]
    dependencies: tuple[Change, ...]


def difference(before: tuple[Path, Package], after: tuple[Path, Package]) -> Difference:
    """What changed between two packages, each a folder and its manifest; raises InvalidInput where a file of one cannot be read."""
    (old, was), (new, now) = before, after
    source = _changes(
        {"commit": was.commit, "image": was.image, "trimtab": was.trimtab},
        {"commit": now.commit, "image": now.image, "trimtab": now.trimtab},
    )
    one, other = read(old / COMPILED), read(new / COMPILED)
    return Difference(
        f"{was.name} {was.version}",
        f"{now.name} {now.version}",
        source,
        _steps(one, other),
        _changes(_parameters(one), _parameters(other)),
        _changes(_installed(old, was), _installed(new, now)),
    )


def _installed(folder: Path, package: Package) -> dict[str, str]:
    return sbom.components((folder / SBOM).read_bytes(), f"{package.name} {package.version}")


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Change, ...]:
    found = []
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            found.append(Change("added", name, after=after[name]))
        elif name not in after:
            found.append(Change("removed", name, before=before[name]))
        elif before[name] != after[name]:
            found.append(Change("changed", name, before[name], after[name]))
    return tuple(found)


def _parameters(graph: Graph) -> dict[str, str]:
    """A parameter's type, and what it is where a run leaves it out."""
    return {
        name: one.type + (f" = {json.dumps(graph.defaults.get(name))}" if one.optional else "") for name, one in graph.parameters.items()
    }


def _steps(before: Graph, after: Graph) -> tuple[Change, ...]:
    found = []
    for name in sorted(before.tasks.keys() | after.tasks.keys()):
        if name not in before.tasks:
            found.append(Change("added", name))
        elif name not in after.tasks:
            found.append(Change("removed", name))
        elif what := _what(before, before.tasks[name], after, after.tasks[name]):
            found.append(Change("changed", name, after=", ".join(what)))
    return tuple(found)


def _what(before: Graph, old: Task, after: Graph, new: Task) -> list[str]:
    """What of a step is other than it was, in words."""
    said = []
    was, now = before.runs(old), after.runs(new)
    if (was.command, was.function) != (now.command, now.function):
        lines = [one[0] for one in difflib.ndiff("".join(was.command[-1:]).splitlines(), "".join(now.command[-1:]).splitlines())]
        said.append(f"code (+{lines.count('+')} -{lines.count('-')} lines)")
    inputs = {key for key in old.inputs.keys() | new.inputs.keys() if old.inputs.get(key) != new.inputs.get(key)}
    if inputs:
        said.append(f"inputs ({', '.join(sorted(inputs))})")
    if old.under != new.under:
        said.append("conditions")
    if old.cached != new.cached:
        said.append("caching")
    if was.settings != now.settings:
        said.append("resources or environment")
    return said
