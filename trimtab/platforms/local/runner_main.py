"""The process of one training run: `python -m trimtab.platforms.local.runner_main RUNDIR --tracking-uri URI`.

Executes the compiled pipeline, the same file that goes to a cluster, with kfp.local: each task is a Python process of its own. A published
pipeline is verified once more before anything of it runs; its own modules must be importable here, as by PYTHONPATH.
"""

import argparse
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import msgspec
import psutil

from pipelines import IR
from trimtab.control.ports import RunRequest
from trimtab.package import COMPILED
from trimtab.platforms import pipeline
from trimtab.platforms.local.runner import CANCELLED, ENDED, LOG, REQUEST, Ended, claim, own_claim
from trimtab.platforms.local.state import State
from trimtab.platforms.packages import MlflowPackages

log = logging.getLogger(__name__)


def execute(folder: Path, tracking_uri: str) -> str:
    """Run the pipeline of the request in `folder`; returns the fault, empty where it left an outcome."""
    request = msgspec.json.decode((folder / REQUEST).read_bytes(), type=RunRequest)
    state = folder.parent.parent
    given = pipeline.arguments(request, tracking_uri, state / "versions", work=state, at_once=pipeline.AT_ONCE)
    compiled = IR
    if request.pipeline is not None:
        packages = MlflowPackages(tracking_uri, State(state).packages)
        compiled = packages.fetch(request.pipeline, request.model.spec.pipeline_policy.keys)[0] / COMPILED
    return pipeline.execute(given, folder / "pipeline", folder / pipeline.OUTCOME, compiled)


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
        fault = pipeline.fault_of(given.folder / LOG, error)
        log.exception("the run failed")
    draft = given.folder / f"{ENDED}.tmp"
    draft.write_bytes(msgspec.json.encode(Ended(fault)))
    draft.rename(given.folder / ENDED)
    sys.exit(1 if fault else 0)


if __name__ == "__main__":
    main()
