"""The steps as a pipeline's tasks see them: texts and folders in, folders out. Everything else is in the files beside this one."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from trimtab.errors import InvalidInput
from trimtab.release import CandidateOutcome, InvalidDataOutcome, Outcome
from trimtab.schema import read_schema
from trimtab.spec import Model
from trimtab.training import tracking
from trimtab.training.evaluate import Evaluation
from trimtab.training.fitted import Mode, read_fitted
from trimtab.training.gate import GateResult
from trimtab.training.register import Facts
from trimtab.training.trials import TRIALS, read_trials, write_trials

VALID, INVALID = "valid", "invalid"
CHECKS = "checks.json"
GATES = "gates.json"
REPORT = "report.md"

log = logging.getLogger(__name__)


def ingest(document: str, cut: str, champion: str, tracking_uri: str, out: Path) -> str:
    """Write the snapshot and `checks.json` (what is wrong with it, a list of sentences) to `out`; returns "valid" or "invalid"."""
    from trimtab.training.frame import read_table
    from trimtab.training.gate import check_gates
    from trimtab.training.ingest import snapshot
    from trimtab.training.validate import validate

    model = _model(document)
    out.mkdir(parents=True, exist_ok=True)
    try:
        check_gates(model.spec.gates, model.spec.task)
        taken = snapshot(model.spec.data, datetime.fromisoformat(cut), out)
        with _version(champion, tracking_uri) as folder:
            before = read_schema(folder) if folder is not None else None
        checks = validate(read_table(taken.path), model.spec, taken.unlabelled, before)
    except InvalidInput as error:
        checks = [str(error)]
    (out / CHECKS).write_bytes(msgspec.json.encode(checks))
    for check in checks:
        log.warning("the data cannot be trained on: %s", check)
    return INVALID if checks else VALID


def search(
    document: str,
    champion: str,
    compare_only: str,
    tracking_uri: str,
    seed: int,
    shard: int,
    shards: int,
    work: str,
    dataset: Path,
    out: Path,
) -> None:
    """Write what share `shard` of `shards` of the search tried to `trials.json` in `out`: nothing where there is nothing to search."""
    spec = _model(document).spec
    if compare_only or spec.training.search.budget.trials == 1:
        write_trials(out / TRIALS, ())
        return
    from trimtab.training.frame import read_table
    from trimtab.training.search import Share, journal_of
    from trimtab.training.search import search as step

    with _version(champion, tracking_uri) as folder:
        before = read_fitted(folder) if folder is not None else None
    share = Share(shard, shards)
    journal = journal_of(work, _digest(dataset), spec, seed, share, before)
    write_trials(out / TRIALS, step(read_table(dataset), spec, seed, share, before, journal))


def train(
    document: str,
    compare_only: str,
    tracking_uri: str,
    seed: int,
    dataset: Path,
    out: Path,
    trials: Sequence[Path] = (),
    evaluation: str = "holdout",
) -> None:
    """Fit the best of what was tried (folders with `trials.json`) into `out`; with `compare_only` take the version it names instead."""
    from trimtab.training.fit import fit
    from trimtab.training.frame import read_table

    if compare_only:
        with _version(compare_only, tracking_uri) as folder:
            shutil.copytree(Path(str(folder)), out, dirs_exist_ok=True)
        return
    tried = tuple(trial for folder in trials for trial in read_trials(folder / TRIALS))
    fit(read_table(dataset), _model(document).spec, out, seed, tried, _mode(evaluation))


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
    made_by = read_fitted(model)
    parameters = {"estimator": made_by.estimator, **made_by.parameters} if made_by else {}
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

    checks = msgspec.json.decode((dataset / CHECKS).read_bytes(), type=tuple[str, ...])
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


def _mode(text: str) -> Mode:
    try:
        mode: Mode = msgspec.convert(text, Mode)
        return mode
    except msgspec.ValidationError as error:
        msg = f"the run's evaluation: found {text!r}; allowed are 'holdout' and 'rolling'"
        raise InvalidInput(msg) from error


def _digest(dataset: Path) -> str:
    return next((path.stem for path in sorted(dataset.glob("*.parquet"))), "")


@contextmanager
def _version(uri: str, tracking_uri: str) -> Iterator[Path | None]:
    with tempfile.TemporaryDirectory() as folder:
        yield tracking.fetch(uri, tracking_uri, Path(folder)) if uri else None
