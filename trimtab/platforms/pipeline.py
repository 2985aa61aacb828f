"""One run of the compiled pipeline in this process with kfp.local: what a laptop's process and a Job's pod have in common.

Each task is a Python process of its own. The file that is run is the very one that goes to Kubeflow Pipelines.
"""

import logging
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from pipelines import IR
from trimtab.control.ports import RunRequest
from trimtab.spec import ModelStatus, Version
from trimtab.version_uri import VersionUri

OUTCOME = "outcome.json"
SEARCHES = "searches"
"""The folder of the journals from which killed searches go on."""

AT_ONCE = 2
"""How many tasks kfp.local runs at once: more shares of a search than these would only wait for each other."""

Arguments = dict[str, str | int | list[int]]
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "2",
}
log = logging.getLogger(__name__)

_TASK = re.compile(r"^(?:Executing task|Task) (?:\x1b\[\d+m)?'(?P<name>[\w-]+)'")
_ERROR = re.compile(r"^\s*(?:[\w.]+\.)?(\w*(?:Error|Exception|Unavailable|InvalidInput|Conflict): .+)$", re.MULTILINE)


def arguments(
    request: RunRequest, tracking_uri: str, versions: Path | None = None, work: Path | None = None, at_once: int | None = None
) -> Arguments:
    """The pipeline's parameters; a version whose files lie in `versions` already is read there instead of asked from MLflow.

    `work` is a folder that outlives the run's processes, `at_once` how many tasks the run's platform can run side by side.
    """

    def uri(version: Version | None) -> str:
        if version is None:
            return ""
        folder = versions / request.model.name / version.version if versions else None
        if folder and folder.is_dir():
            return str(VersionUri(request.model.name, version.version, version.digest, str(folder)))
        return str(VersionUri(request.model.registered, version.version, version.digest))

    return {
        "document": msgspec.json.encode(msgspec.structs.replace(request.model, status=ModelStatus())).decode(),
        "name": request.model.registered,
        "release": request.release,
        "release_uid": request.release_uid,
        "attempt": request.attempt,
        "trigger": request.trigger,
        "cut": request.cut.isoformat(),
        "tracking_uri": tracking_uri,
        "champion": uri(request.champion),
        "compare_only": uri(request.compare_only),
        "shards": shards(request, at_once),
        "evaluation": evaluation(request),
        "work": str(work / SEARCHES) if work else "",
        "pipeline": msgspec.json.encode(request.pipeline).decode() if request.pipeline else "",
        "snapshot": "champion" if request.trial else "",
    }


def shards(request: RunRequest, at_once: int | None = None) -> list[int]:
    """The shares of the search, from 0: at most one a trial, and one where nothing is searched."""
    search = request.model.spec.training.search
    if request.compare_only is not None:
        return [0]
    return list(range(min(search.parallel, search.budget.trials, at_once or search.parallel)))


def evaluation(request: RunRequest) -> str:
    """How the holdout is predicted: as the Model says, else in thirds where what is learned from old rows is in doubt.

    In a trial by one twin, as old as the champion's, which is the only one of its twins that is kept.
    """
    if request.compare_only is not None or request.trial:
        return "holdout"
    return request.model.spec.training.evaluation or ("rolling" if request.trigger in ("performance", "concept") else "holdout")


class Clock(logging.Filter):
    """Where a run's time goes: kfp.local tells the root logger when a task begins and when it has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: dict[str, tuple[float, float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Take the time of what the record says of a task, and let it pass. Shares of a search are side by side: one span."""
        if found := _TASK.match(record.getMessage()):
            first = self.spans.get(found["name"], (record.created, record.created))[0]
            self.spans[found["name"]] = (first, record.created)
        return True

    def __str__(self) -> str:
        if not self.spans:
            return "no time"
        whole = max(last for _, last in self.spans.values()) - min(first for first, _ in self.spans.values())
        return f"{whole:.1f} s ({', '.join(f'{name} {last - first:.1f}' for name, (first, last) in self.spans.items())})"


def execute(given: Mapping[str, Any], root: Path, outcome: Path, compiled: Path = IR) -> str:
    """Run the `compiled` pipeline with its files below `root` and copy what came out to `outcome`; returns the fault, empty where
    something did.

    Its tasks run in this interpreter: what they import beside Trimtab must be importable in it, as by PYTHONPATH. Raises what kfp raises
    where a task fails; the reason is in the log, where `fault_of` finds it.
    """
    os.environ.update(QUIET)
    from kfp import components, local

    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(root), raise_on_error=True)
    clock = Clock()
    logging.getLogger().addFilter(clock)
    try:
        components.load_component_from_file(str(compiled))(**given)
    finally:
        logging.getLogger().removeFilter(clock)
        log.info("the run took %s", clock)
    found = sorted(root.glob("**/outcome"))
    if len(found) != 1:
        return f"the pipeline ended with {len(found)} outcomes, exactly one is expected"
    shutil.copyfile(found[0], outcome)
    return ""


def last_error(text: str) -> str:
    """The last error that a log tells of, as a sentence; empty where there is none."""
    found = _ERROR.findall(text)
    return str(found[-1]).strip() if found else ""


def fault_of(log_path: Path, error: Exception) -> str:
    """The last error that a task wrote to the log, as a sentence; what kfp itself says where there is none."""
    said = last_error(log_path.read_text(errors="replace")) if log_path.exists() else ""
    return said or f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
