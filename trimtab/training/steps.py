"""The steps as a pipeline's tasks see them: texts and folders in, folders out. Everything else is in the files beside this one."""

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import InvalidInput
from trimtab.manifest import verify
from trimtab.rules import impossible
from trimtab.spec import Model
from trimtab.training import tracking
from trimtab.training.checks import Check, read_checks, sentences, write_checks
from trimtab.training.evaluate import Evaluation
from trimtab.training.fitted import Mode, read_fitted
from trimtab.training.found import GATES, Begun, Source, read_begun, snapshot_digest, write_begun
from trimtab.training.found import REPORT as REPORT
from trimtab.training.found import REPORT_PAGE as REPORT_PAGE
from trimtab.training.lean import one_thread
from trimtab.training.lineage import Facts
from trimtab.training.trials import TRIALS, read_trials, write_trials
from trimtab.version_uri import parse

VALID, INVALID = "valid", "invalid"

log = logging.getLogger(__name__)


def ingest(
    document: str,
    cut: str,
    champion: str,
    tracking_uri: str,
    out: Path,
    *,
    labelled: bool = True,
    uri: str = "",
    history: str = "",
    snapshot: str = "",
) -> str:
    """Write the snapshot, `checks.json` and `checks.html` (what was found in it) to `out`; returns "valid" or "invalid".

    Rows that are not `labelled` are to be scored by the champion; `uri` and `history` may say of other rows than the Model's own. With
    `snapshot` "champion" the rows are those that the champion was made from, up to its cut.
    """
    from trimtab.training.frame import columns_of, read_table
    from trimtab.training.gate import check_gates
    from trimtab.training.ingest import snapshot as take
    from trimtab.training.ingest import told_apart
    from trimtab.training.score import elsewhere, unfit, unlabelled
    from trimtab.training.trial_rows import champions_rows
    from trimtab.training.validate import champion_of, validate

    spec, rows, at = _model(document).spec, 0, datetime.fromisoformat(cut)
    begun, kind = datetime.now(UTC), _said(snapshot, Source, "snapshot", "'champion' and nothing")
    out.mkdir(parents=True, exist_ok=True)
    try:
        spec = msgspec.structs.replace(spec, data=elsewhere(spec.data, uri, history))
        with _version(champion, tracking_uri) as folder:
            before = champion_of(folder) if folder is not None else None
            if kind == "champion":
                taken, at = champions_rows(folder, champion, spec.data.uri, tracking_uri, out)
            else:
                taken = take(spec.data, at, out, told_apart(spec)) if labelled else take(unlabelled(spec.data), at, out)
        rows = taken.rows
        if labelled:
            check_gates(spec, columns_of(taken.path))
        if labelled or before is None:
            checks = validate(taken.path, spec, taken.unlabelled, before, at)
        else:
            checks = [Check("data", "", "", "", rows, said) for said in unfit(read_table(taken.path), spec.data, before.schema)]
    except InvalidInput as error:
        checks = [Check("data", "", "", "", rows, str(error))]
    write_begun(out, Begun(begun, at.isoformat(), kind))
    write_checks(out, checks, rows)
    for check in checks:
        what = "the data cannot be trained on" if labelled else "the data cannot be scored"
        log.warning("%s: %s", what if check.severity == "stop" else "of the data", check.sentence)
    return INVALID if sentences(checks) else VALID


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
    journal = journal_of(work, snapshot_digest(dataset), spec, seed, share, before)
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
    fit(read_table(dataset), _model(document).spec, out, seed, tried, _said(evaluation, Mode, "evaluation", "'holdout' and 'rolling'"))


def evaluate(
    document: str, champion: str, compare_only: str, tracking_uri: str, seed: int, dataset: Path, model: Path, out: Path
) -> Evaluation:
    """Judge the model beside the champion and hold it against the gates; writes the evaluation, `gates.json` and the report to `out`.

    Raises InvalidInput where the model is another one than `compare_only` names.
    """
    one_thread()
    if compare_only:
        _handed_on(model, compare_only)
    from trimtab.drawing.page import markdown, to_html
    from trimtab.training import evaluate as step
    from trimtab.training.frame import read_table
    from trimtab.training.gate import judge
    from trimtab.training.report import report
    from trimtab.training.trial_gates import judge_trial

    spec, begun = _model(document).spec, read_begun(dataset)
    version = parse(champion, folders=True).version if champion else ""
    table = read_table(dataset)
    with _version(champion, tracking_uri) as folder:
        found = step.evaluate(table, spec, model, folder, out, seed, against_version=version, anew=bool(compare_only), begun=begun)
    results = judge(spec.gates, found)
    if begun and begun.snapshot:
        results = (*judge_trial(spec.pipeline_policy.trial, found), *results)
    (out / GATES).write_bytes(msgspec.json.encode(results))
    page = report(found, results)
    (out / REPORT).write_text(markdown(page))
    (out / REPORT_PAGE).write_text(to_html(page))
    for result in results:
        log.info("gate %s: %s: %s", "passed" if result.passed else "FAILED", result.gate, result.sentence)
    return found


def register(
    document: str, facts: Facts, compare_only: str, tracking_uri: str, dataset: Path, model: Path, evaluation: Path, out: Path
) -> str:
    """Register the version if its gates passed, log the run's outcome to MLflow, and write it to `out`; returns the MLflow run's id."""
    from trimtab.training import ending

    given, facts = _model(document), _as_read(facts, dataset)
    if compare_only:
        written = ending.compared(given, facts, compare_only, tracking_uri, dataset, model, evaluation)
    else:
        written = ending.candidate(given, facts, tracking_uri, dataset, model, evaluation)
    out.write_bytes(msgspec.json.encode(written.outcome))
    return written.run


def report(document: str, facts: Facts, tracking_uri: str, dataset: Path, out: Path) -> str:
    """End a run whose data cannot be trained on: log `ingest`'s sentences to MLflow, write them to `out`; returns the MLflow run's id."""
    from trimtab.training import ending

    written = ending.invalid(_model(document), _as_read(facts, dataset), tracking_uri, dataset)
    out.write_bytes(msgspec.json.encode(written.outcome))
    return written.run


def score(document: str, champion: str, tracking_uri: str, to: str, dataset: Path, out: Path) -> int:
    """Write what the version `champion` says of each row of the snapshot to `out`, and to `to` where it is not empty; returns the rows.

    Raises InvalidInput where the snapshot's checks found something.
    """
    from trimtab.training import score as step
    from trimtab.training.frame import read_table

    if to:
        step.check_place(to)
    found = sentences(read_checks(dataset))
    if found:
        msg = f"the rows cannot be scored: {'; '.join(found)}"
        raise InvalidInput(msg)
    table, data = read_table(dataset), _model(document).spec.data
    with _version(champion, tracking_uri) as folder:
        if folder is None:
            msg = "champion: no version is named that could score the rows"
            raise InvalidInput(msg)
        scored = step.score(table, data, folder, parse(champion, folders=True).version)
    for place in (str(out), to):
        if place:
            step.write(scored, place)
    return int(table.num_rows)


def _model(document: str) -> Model:
    try:
        model = msgspec.json.decode(document, type=Model)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"the Model document that the run was given is none: {error}"
        raise InvalidInput(msg) from error
    for sentence in impossible(model):
        msg = f"the Model document that the run was given cannot work: {sentence}"
        raise InvalidInput(msg)
    return model


def _said(text: str, kind: Any, name: str, allowed: str) -> Any:
    try:
        return msgspec.convert(text, kind)
    except msgspec.ValidationError as error:
        msg = f"the run's {name}: found {text!r}; allowed are {allowed}"
        raise InvalidInput(msg) from error


def _handed_on(model: Path, compare_only: str) -> None:
    """A pipeline's own trainer may have fitted another model than the one that is to be compared."""
    named = parse(compare_only, folders=True)
    try:
        verify(model, named.digest)
    except InvalidInput as error:
        msg = f"compare_only names {named.told}, but the train step handed on another model: it must hand on that version then ({error})"
        raise InvalidInput(msg) from error


def _as_read(facts: Facts, dataset: Path) -> Facts:
    """The facts with the cut up to which the rows really are, which in a trial is the champion's."""
    begun = read_begun(dataset)
    return msgspec.structs.replace(facts, cut=begun.cut) if begun and begun.snapshot else facts


@contextmanager
def _version(uri: str, tracking_uri: str) -> Iterator[Path | None]:
    with tempfile.TemporaryDirectory() as folder:
        yield tracking.fetch(uri, tracking_uri, Path(folder)) if uri else None
