"""The process of one training run: `python -m trimtab.platforms.local.runner_main RUNDIR --tracking-uri URI`.

Executes the compiled pipeline, the same file that goes to a cluster, with kfp.local: each task is a Python process of its own.
"""

import argparse
import logging
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import msgspec
import psutil

from trimtab.control.ports import RunRequest
from trimtab.platforms.local.runner import CANCELLED, ENDED, LOG, REQUEST, Ended, claim, own_claim
from trimtab.spec import Version

log = logging.getLogger(__name__)

OUTCOME = "outcome.json"
_ERROR = re.compile(r"^\s*(?:[\w.]+\.)?(\w*(?:Error|Exception|Unavailable|InvalidInput|Conflict): .+)$", re.MULTILINE)
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "2",
}


def arguments(request: RunRequest, tracking_uri: str, versions: Path) -> dict[str, str | int]:
    """The pipeline's parameters; a version whose files lie in `versions` already is read there instead of asked from MLflow."""

    def uri(version: Version | None) -> str:
        if version is None:
            return ""
        folder = versions / request.model.name / version.version
        place = f"file://{quote(str(folder))}" if folder.is_dir() else f"mlflow://models/{request.model.name}/{version.version}"
        return f"{place}?sha256={version.digest}"

    return {
        "document": msgspec.json.encode(request.model).decode(),
        "name": request.model.name,
        "release": request.release,
        "release_uid": request.release_uid,
        "attempt": request.attempt,
        "cut": request.cut.isoformat(),
        "tracking_uri": tracking_uri,
        "champion": uri(request.champion),
        "compare_only": uri(request.compare_only),
    }


def execute(folder: Path, tracking_uri: str) -> str:
    """Run the pipeline of the request in `folder`; returns the fault, empty where it left an outcome."""
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=RunRequest)
    os.environ.update(_QUIET)
    from kfp import components, local

    from pipelines import IR

    root = folder / "pipeline"
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
    pipeline = components.load_component_from_file(str(IR))
    pipeline(**arguments(request, tracking_uri, folder.parent.parent / "versions"))
    found = sorted(root.glob("**/outcome"))
    if len(found) != 1:
        return f"the pipeline ended with {len(found)} outcomes, exactly one is expected"
    shutil.copyfile(found[0], folder / OUTCOME)
    return ""


def fault_of(log_path: Path, error: Exception) -> str:
    """The last error that a task wrote to the log, as a sentence; what kfp itself says where there is none."""
    found = _ERROR.findall(log_path.read_text(errors="replace")) if log_path.exists() else []
    return found[-1].strip() if found else f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


def end(number: int, frame: FrameType | None) -> None:
    """On a signal: end the running task, which would otherwise live on and might even register a version."""
    del frame
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(128 + number)


def main() -> None:
    """Claim the run, execute it, and say how it ended."""
    parser = argparse.ArgumentParser(description="Execute one training run.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tracking-uri", required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    signal.signal(signal.SIGTERM, end)
    mine = own_claim()
    if claim(given.folder, mine) != mine or (given.folder / CANCELLED).exists():
        log.info("the run is not ours: another process claimed it, or it was cancelled")
        return
    try:
        fault = execute(given.folder, given.tracking_uri)
    except Exception as error:
        fault = fault_of(given.folder / LOG, error)
        log.exception("the run failed")
    draft = given.folder / f"{ENDED}.tmp"
    draft.write_bytes(msgspec.json.encode(Ended(fault)))
    draft.rename(given.folder / ENDED)
    sys.exit(1 if fault else 0)


if __name__ == "__main__":
    main()
