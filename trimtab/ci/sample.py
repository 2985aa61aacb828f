"""The process that runs the compiled pipeline on the repository's sample: `python -m trimtab.ci.sample IR MODEL WORK LOG`.

It is what a platform would do with the pipeline, on few rows and with an MLflow of its own in WORK, which nobody sees afterwards. LOG is
where its output goes, in which the reason is found if it fails.
"""

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from trimtab.control.ports import RunRequest
from trimtab.documents import read_model
from trimtab.errors import InvalidInput
from trimtab.events import aware
from trimtab.platforms import pipeline
from trimtab.platforms.kubernetes.objects import FIRST_CUT
from trimtab.release import Outcome
from trimtab.spec import Model


def cut_of(model: Model) -> datetime:
    """Up to when the sample's rows are read: its annotation, else now."""
    given = model.metadata.annotations.get(FIRST_CUT)
    try:
        return aware(datetime.fromisoformat(given)) if given else datetime.now(UTC)
    except (ValueError, OverflowError) as error:
        msg = f"the annotation {FIRST_CUT} of the sample's Model is {given!r}; an ISO 8601 time is allowed"
        raise InvalidInput(msg) from error


def run(ir: Path, document: Path, work: Path) -> str:
    """Run the pipeline `ir` for the Model in `document`, with its outcome in `work`; returns the fault, empty where it left one."""
    model = read_model(document)
    request = RunRequest("", "", 1, model, cut_of(model))
    given = pipeline.arguments(request, f"sqlite:///{work / 'mlflow.db'}", work=work, at_once=1)
    return pipeline.execute(given, work / "pipeline", work / pipeline.OUTCOME, ir)


def outcome(work: Path) -> Outcome | None:
    """The outcome that a run left in `work`; None where it left none."""
    path = work / pipeline.OUTCOME
    found: Outcome | None = msgspec.json.decode(path.read_bytes(), type=Outcome) if path.is_file() else None
    return found


def main() -> int:
    """Run; the last line that is printed is the fault."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    ir, document, work, log = map(Path, sys.argv[1:])
    work.mkdir(parents=True, exist_ok=True)
    try:
        fault = run(ir, document, work.resolve())
    except Exception as error:
        fault = pipeline.fault_of(log, error)
    if fault:
        print(fault)
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
