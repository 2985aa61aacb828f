"""How a run ends: what its steps left in their folders becomes one version folder with its card, and one MLflow run.

What a step may or may not have left (an explanation, a leaderboard, pages) is taken where it is there.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trimtab.drawing.page import markdown, to_html
from trimtab.explanation import EXPLANATION, read_explanation
from trimtab.release import CandidateOutcome, InvalidDataOutcome
from trimtab.schema import read_schema
from trimtab.spec import Model
from trimtab.training import card
from trimtab.training.card_facts import Card
from trimtab.training.checks import CHECKS, read_checks, sentences
from trimtab.training.checks import PAGE as CHECKS_PAGE
from trimtab.training.evaluate import EVALUATION, Evaluation
from trimtab.training.fitted import read_fitted
from trimtab.training.found import GATES, REPORT, REPORT_PAGE
from trimtab.training.gate import GateResult, rejection
from trimtab.training.lineage import LINEAGE, Facts, Lineage, encode, trace, used
from trimtab.training.register import Written, assemble, register
from trimtab.training.runlog import Findings
from trimtab.training.trials import LEADERBOARD
from trimtab.version_uri import parse

EVALUATED = (EVALUATION, GATES, EXPLANATION, REPORT, REPORT_PAGE)


def candidate(model: Model, facts: Facts, tracking_uri: str, dataset: Path, made: Path, evaluation: Path) -> Written:
    """Register the model in `made` if its gates passed, and log the run's outcome whatever it is."""
    found, results = _judged(evaluation)
    snapshot, fitted = _snapshot(dataset), read_fitted(made)
    lineage = trace(facts, model, used(snapshot, model.spec.data.time), fitted, found.compared_with, found.seconds)
    explained = read_explanation(evaluation)
    warnings = sentences(read_checks(dataset), "warn")
    told = Card(lineage, read_schema(made), found, results, fitted, model.metadata.annotations, explained, warnings)
    page = card.card_page(told)
    texts = {card.CARD_MARKDOWN: markdown(page), card.CARD_HTML: to_html(page), LINEAGE: encode(lineage).decode()}
    outcome = rejection(results)
    with _written(texts) as folder:
        version = None
        if outcome is None:
            version = folder / "version"
            assemble(made, evaluation, version, {name: text.encode() for name, text in texts.items()})
        findings = Findings(
            evaluation=found,
            parameters={**lineage.parameters, "estimator": lineage.estimator, "seed": lineage.seed} if lineage.estimator else {},
            pages=(*(folder / name for name in texts), dataset / CHECKS_PAGE, *(evaluation / name for name in EVALUATED)),
            leaderboard=made / LEADERBOARD if (made / LEADERBOARD).is_file() else None,
            lineage=lineage,
            snapshot=snapshot,
            keep=version is not None,
            note=card.head(told),
        )
        return register(tracking_uri, facts, findings, version, outcome)


def compared(model: Model, facts: Facts, compare_only: str, tracking_uri: str, dataset: Path, made: Path, evaluation: Path) -> Written:
    """Log what came of comparing the version that `compare_only` names anew: nothing is registered."""
    found, results = _judged(evaluation)
    known, snapshot = parse(compare_only, folders=True), _snapshot(dataset)
    findings = Findings(
        evaluation=found,
        pages=(dataset / CHECKS_PAGE, *(evaluation / name for name in EVALUATED)),
        lineage=trace(facts, model, used(snapshot, model.spec.data.time), read_fitted(made), found.compared_with, found.seconds),
        snapshot=snapshot,
        note=f"Version {known.version} of `{facts.model}`, compared anew with version {found.compared_with}.",
    )
    outcome = rejection(results) or CandidateOutcome(known.version, known.digest, found.candidate, found.compared_with)
    return register(tracking_uri, facts, findings, None, outcome)


def invalid(model: Model, facts: Facts, tracking_uri: str, dataset: Path) -> Written:
    """Log that the rows cannot be trained on, and what is wrong with them."""
    checks = sentences(read_checks(dataset))
    snapshot = next(dataset.glob("*.parquet"), None)
    lineage: Lineage | None = None
    if snapshot is not None:
        lineage = trace(facts, model, used(snapshot, model.spec.data.time), None, "")
    note = "\n".join(["The data cannot be trained on:", "", *(f"- {check}" for check in checks)])
    findings = Findings(pages=(dataset / CHECKS_PAGE, dataset / CHECKS), lineage=lineage, snapshot=snapshot, note=note)
    return register(tracking_uri, facts, findings, None, InvalidDataOutcome(checks))


def _judged(evaluation: Path) -> tuple[Evaluation, tuple[GateResult, ...]]:
    found = msgspec.json.decode((evaluation / EVALUATION).read_bytes(), type=Evaluation)
    return found, msgspec.json.decode((evaluation / GATES).read_bytes(), type=tuple[GateResult, ...])


def _snapshot(dataset: Path) -> Path:
    return next(dataset.glob("*.parquet"))


@contextmanager
def _written(texts: dict[str, str]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in texts.items():
            (Path(scratch) / name).write_text(text)
        yield Path(scratch)
