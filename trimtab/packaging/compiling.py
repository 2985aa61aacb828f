"""From a pipeline's source to its IR, in a Python process of its own: whatever the user's code does, it does it there.

`python -m trimtab.packaging.compiling FILE FUNCTION NAME OUT` is that process.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from trimtab.errors import InvalidInput
from trimtab.last_words import last_said
from trimtab.package import COMPILED
from trimtab.packaging.project import Project

PATIENCE = 120.0
"""Seconds that compiling may take."""


def compile_ir(project: Project, into: Path) -> Path:
    """Compile the pipeline to `pipeline.yaml` in the folder `into`, under the package's name; returns the file.

    Raises InvalidInput with the last line of the traceback where the user's code does not compile.
    """
    into.mkdir(parents=True, exist_ok=True)
    out = into.resolve() / COMPILED
    out.unlink(missing_ok=True)
    path = os.pathsep.join(one for one in (str(project.folder), os.environ.get("PYTHONPATH", "")) if one)
    command = [sys.executable, "-P", "-m", __name__, str(project.module), project.function, project.name, str(out)]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
    try:
        ended = subprocess.run(
            command, cwd=project.folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{project.pipeline} did not compile within {PATIENCE:.0f} s"
        raise InvalidInput(msg) from error
    if ended.returncode or not out.is_file():
        msg = f"{project.pipeline} does not compile: {last_said(ended.stderr) or f'Python ended with {ended.returncode}'}"
        raise InvalidInput(msg)
    return out


def _compile(file: str, function: str, name: str, out: str) -> None:
    from kfp import compiler
    from kfp.dsl.graph_component import GraphComponent

    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    if spec is None or spec.loader is None:
        sys.exit(f"{file!r} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found = getattr(module, function, None)
    if not isinstance(found, GraphComponent):
        what = f"is {type(found).__name__}" if hasattr(module, function) else "is missing"
        sys.exit(f"{function} {what}; allowed is a function that @dsl.pipeline decorates")
    compiler.Compiler().compile(found, package_path=out, pipeline_name=name)


if __name__ == "__main__":
    _compile(*sys.argv[1:])
