"""The steps as a pipeline's tasks see them: texts and folders in, folders out. Everything else is in the files beside this one."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from trimtab.errors import InvalidInput
from trimtab.release import CandidateOutcome, InvalidDataOutcome, Outcome
from trimtab.spec import Model
from trimtab.training import tracking
from trimtab.training.checks import Check, read_checks, sentences, write_checks
from trimtab.training.evaluate import Evaluation
from trimtab.training.gate import GateResult
from trimtab.training.register import Facts

VALID, INVALID = "valid", "invalid"
GATES = "gates.json"
PARAMETERS = "parameters.json"
REPORT = "report.md"

log = logging.getLogger(__name__)


def ingest(document: str, cut: str, champion: str, tracking_uri: str, out: Path) -> str:
    """Write the snapshot, `checks.json` and `checks.html` (what was found in it) to `out`; returns "valid" or "invalid"."""
    from trimtab.training.gate import check_gates
    from trimtab.training.ingest import snapshot
    from trimtab.training.validate import champion_of, validate

    model, rows = _model(document), 0
    out.mkdir(parents=True, exist_ok=True)
    try:
        check_gates(model.spec.gates, model.spec.task)
        at = datetime.fromisoformat(cut)
        taken = snapshot(model.spec.data, at, out)
        rows = taken.rows
        with _version(champion, tracking_uri) as folder:
            before = champion_of(folder) if folder is not None else None
        checks = validate(taken.path, model.spec, taken.unlabelled, before, at)
    except InvalidInput as error:
        checks = [Check("data", "", "", "", rows, str(error))]
    write_checks(out, checks, rows)
    for check in checks:
        log.warning("%s: %s", "the data cannot be trained on" if check.severity == "stop" else "of the data", check.sentence)
    return INVALID if sentences(checks) else VALID


def train(document: str, compare_only: str, tracking_uri: str, seed: int, dataset: Path, out: Path) -> None:
    """Fit a model into `out`; with `compare_only` take the registered version that it names instead."""
    from trimtab.training.fit import fit
    from trimtab.training.frame import read_table

    if compare_only:
        with _version(compare_only, tracking_uri) as folder:
            shutil.copytree(Path(str(folder)), out, dirs_exist_ok=True)
        return
    used = fit(read_table(dataset), _model(document).spec, out, seed)
    (out / PARAMETERS).write_bytes(msgspec.json.encode(used, order="sorted"))


def evaluate(
    document: str, champion: str, compare_only: str, tracking_uri: str, seed: int, dataset: Path, model: Path, out: Path
) -> Evaluation:
    """Score the model beside the champion and hold it against the gates; writes the evaluation, `gates.json` and `report.md` to `out`."""
    from trimtab.training import evaluate as step
    from trimtab.training.frame import read_table
    from trimtab.training.gate import judge, report

    spec = _model(document).spec
    with _version(champion, tracking_uri) as folder:
        version = tracking.version_at(champion).version if champion else ""
        found = step.evaluate(read_table(dataset), spec.data, model, folder, out, seed, against_version=version, anew=bool(compare_only))
    results = judge(spec.gates, found)
    (out / GATES).write_bytes(msgspec.json.encode(results))
    (out / REPORT).write_text(report(found, results))
    for result in results:
        log.info("gate %s: %s (%.6g against %.6g)", "passed" if result.passed else "FAILED", result.gate, result.value, result.bound)
    return found


def register(facts: Facts, compare_only: str, tracking_uri: str, dataset: Path, model: Path, evaluation: Path, out: Path) -> str:
    """Register the version if its gates passed, log the run's outcome to MLflow, and write it to `out`; returns the MLflow run's id."""
    from trimtab.training import register as step
    from trimtab.training.evaluate import EVALUATION
    from trimtab.training.gate import rejection

    found = msgspec.json.decode((evaluation / EVALUATION).read_bytes(), type=Evaluation)
    results = msgspec.json.decode((evaluation / GATES).read_bytes(), type=tuple[GateResult, ...])
    used = model / PARAMETERS
    parameters = msgspec.json.decode(used.read_bytes()) if used.is_file() else {}
    facts = msgspec.structs.replace(facts, dataset=_digest(dataset), parameters=parameters)
    outcome: Outcome | None = rejection(results)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model" if outcome is None and not compare_only else None
        if made is not None:
            step.assemble(model, evaluation, made)
        elif outcome is None:
            known = tracking.version_at(compare_only)
            outcome = CandidateOutcome(known.version, known.digest, found.candidate, found.compared_with)
        written = step.register(tracking_uri, facts, found, made, outcome, evaluation / REPORT)
    out.write_bytes(msgspec.json.encode(written.outcome))
    return written.run


def report(facts: Facts, tracking_uri: str, dataset: Path, out: Path) -> str:
    """End a run whose data cannot be trained on: log `ingest`'s sentences to MLflow, write them to `out`; returns the MLflow run's id."""
    from trimtab.training import register as step

    checks = sentences(read_checks(dataset))
    facts = msgspec.structs.replace(facts, dataset=_digest(dataset))
    written = step.register(tracking_uri, facts, None, None, InvalidDataOutcome(checks))
    out.write_bytes(msgspec.json.encode(written.outcome))
    return written.run


def _model(document: str) -> Model:
    try:
        return msgspec.json.decode(document, type=Model)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"the Model document that the run was given is none: {error}"
        raise InvalidInput(msg) from error


def _digest(dataset: Path) -> str:
    return next((path.stem for path in sorted(dataset.glob("*.parquet"))), "")


@contextmanager
def _version(uri: str, tracking_uri: str) -> Iterator[Path | None]:
    with tempfile.TemporaryDirectory() as folder:
        yield tracking.fetch(uri, tracking_uri, Path(folder)) if uri else None
