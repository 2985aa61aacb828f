"""The process that compiles a repository's pipeline and holds it against the contract: `python -m trimtab.ci.compiled FOLDER INTO`.

It is a process of its own because compiling runs the repository's code. What it found is one JSON value in INTO/found.json.
"""

import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.package import COMPILED
from trimtab.packaging import compiling, contract, ir, project

FOUND = "found.json"


class Found(Struct, frozen=True):
    """What is wrong with a pipeline, one sentence each, and of one that is as it should be how much there is of it."""

    faults: tuple[str, ...]
    parameters: int = 0
    tasks: int = 0


def look(folder: Path, into: Path) -> Found:
    """Compile the pipeline of the repository in `folder` to `into`/pipeline.yaml, and hold it against the contract."""
    try:
        compiled = compiling.compile_ir(project.read(folder), into)
        graph = ir.read(compiled)
        return Found(contract.broken(compiled), len(graph.parameters), len(graph.tasks))
    except InvalidInput as error:
        return Found((str(error),))


def read(into: Path) -> Found:
    """What `look` found."""
    return msgspec.json.decode((into / FOUND).read_bytes(), type=Found)


if __name__ == "__main__":
    folder, into = map(Path, sys.argv[1:])
    found = look(folder, into)
    (into / COMPILED).parent.mkdir(parents=True, exist_ok=True)
    (into / FOUND).write_bytes(msgspec.json.encode(found))
