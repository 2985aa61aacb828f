"""The process of a training Job: `python -m trimtab.platforms.kubernetes.job_main`.

Runs the compiled pipeline with kfp.local on the request in its environment and leaves the sentence of a failure where the kubelet
takes it from. Exit code 0: the run left an outcome in MLflow (a verdict is one); 2: a person must mend something; 1: worth a retry.
"""

import argparse
import logging
import os
import signal
import sys
from contextlib import redirect_stdout
from io import TextIOBase
from pathlib import Path
from types import FrameType
from typing import TextIO

import msgspec

from pipelines import IR
from trimtab.control.ports import RunRequest
from trimtab.last_words import TERMINATION_LOG, leave
from trimtab.package import COMPILED
from trimtab.platforms import pipeline
from trimtab.platforms.kubernetes.job import INVALID_INPUT, REQUEST_VARIABLE, TRACKING_VARIABLE, WORK
from trimtab.platforms.packages import MlflowPackages

log = logging.getLogger(__name__)


class Tee(TextIOBase):
    """A stream that writes to two: what a task prints goes to the pod's log and to the file that its fault is read from."""

    def __init__(self, first: TextIO, second: TextIO) -> None:
        """Both stay open."""
        self._both = (first, second)

    def write(self, text: str) -> int:
        """Write to both."""
        for stream in self._both:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush both."""
        for stream in self._both:
            stream.flush()


def asked() -> tuple[RunRequest, str]:
    """The request and the MLflow server's address from the environment; raises ValueError where they are not there."""
    try:
        request = msgspec.json.decode(os.environ.get(REQUEST_VARIABLE, ""), type=RunRequest)
        return request, os.environ[TRACKING_VARIABLE]
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        msg = f"{REQUEST_VARIABLE} or {TRACKING_VARIABLE} does not hold what the controller puts there: {error}"
        raise ValueError(msg) from error


def compiled(request: RunRequest, tracking_uri: str, work: Path) -> Path:
    """The pipeline that is run: Trimtab's own, or the published one, brought from MLflow and held against the digest that was asked for.

    Raises InvalidInput where a file of it is another one.
    """
    if request.pipeline is None:
        return IR
    return MlflowPackages(tracking_uri, work / "packages").checked(request.pipeline)[0] / COMPILED


def run(work: Path) -> tuple[int, str]:
    """The exit code, and the fault as a sentence (empty where the run left an outcome)."""
    work.mkdir(parents=True, exist_ok=True)
    written = work / "log.txt"
    try:
        request, tracking_uri = asked()
    except ValueError as error:
        return INVALID_INPUT, f"InvalidInput: {error}"
    with written.open("w", buffering=1) as stream, redirect_stdout(Tee(sys.stdout, stream)):
        try:
            given = pipeline.arguments(request, tracking_uri, work=work, at_once=pipeline.AT_ONCE)
            said = pipeline.execute(given, work / "pipeline", work / pipeline.OUTCOME, compiled(request, tracking_uri, work))
        except Exception as error:
            log.exception("the run failed")
            said = pipeline.fault_of(written, error)
    return (INVALID_INPUT if said.startswith("InvalidInput") else 1 if said else 0), said


def end(number: int, frame: FrameType | None) -> None:
    """On a signal: end at once. This is the container's first process, so the kernel ends the running task with it."""
    del frame
    os._exit(128 + number)


def main() -> None:
    """Run, tell, exit."""
    parser = argparse.ArgumentParser(description="Execute the training run in the environment.")
    parser.add_argument("--work", type=Path, default=Path(WORK))
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, end)
    code, said = run(given.work)
    if said:
        log.error("%s", said)
        leave(said, given.termination_log)
    sys.exit(code)


if __name__ == "__main__":
    main()
