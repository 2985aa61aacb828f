"""Findings as the monitor words them: each with a sentence that a person understands, and the numbers behind it. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.events import Finding, FindingKind, Severity
from trimtab.monitoring.deciding import ColumnCheck, Drift
from trimtab.monitoring.explanation import Rank, Ranking, movers
from trimtab.monitoring.performance import Judgement
from trimtab.monitoring.quality import HARMLESS, TRAFFIC, Break
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.tables import moment
from trimtab.spec import Model
from trimtab.units import Persistence


class Where(Struct, frozen=True):
    """What a finding is about: a window of a model's version, seen at the watermark `cut`."""

    model: Model
    record: WindowRecord
    cut: datetime
    seasons: float


def _finding(where: Where, kind: FindingKind, sentence: str, evidence: dict[str, Any], hurts: bool | None, severity: Severity) -> Finding:
    record = where.record
    return Finding(
        model=where.model.name,
        namespace=where.model.metadata.namespace,
        model_uid=where.model.metadata.uid,
        version=record.version,
        kind=kind,
        window=record.window,
        window_start=moment(record.start),
        window_end=moment(record.end),
        cut=where.cut,
        sentence=sentence,
        evidence={"rows": record.rows, **evidence},
        hurts=hurts,
        seasons=where.seasons,
        severity=severity,
    )


def moved(where: Where, drift: Drift, names: Sequence[str], rule: Persistence, hurts: bool | None, *, prediction: bool) -> Finding:
    """The distribution of the named columns (largest effect first) moved for good."""
    checks: dict[str, ColumnCheck] = {name: drift.columns[name] for name in names}
    first = checks[names[0]]
    what = "the predictions" if prediction else f"{len(names)} of the inputs, {names[0]!r} the most,"
    sentence = (
        f"{what} of version {where.record.version} moved from the reference in {rule.hits} of {rule.windows} windows: "
        f"effect {first.effect:.2f} with p = {first.deciding:.1g} in window {where.record.window}"
    )
    evidence = {
        "columns": msgspec.to_builtins(checks),
        "level": drift.level,
        "note": drift.note,
        "persistence": f"{rule.hits} of {rule.windows}",
    }
    expected = where.record.estimate
    if expected is not None and expected.rose and hurts:
        sentence += (
            f"; without labels, {expected.metric} is estimated at {expected.low:.4g} to {expected.high:.4g}, worse than its validation"
        )
        evidence["estimate"] = msgspec.to_builtins(expected)
    return _finding(where, "prediction" if prediction else "covariate", sentence, evidence, hurts, _severity(hurts))


def worse(where: Where, kind: FindingKind, whole: Judgement, rule: Persistence, inputs: Sequence[str], part: str = "") -> Finding:
    """The error on matured labels is too large, of all rows or of a `part` (`performance`), or rose while the inputs stayed (`concept`).

    It is `concept` as well where labels lie off the predictions.
    """
    judgement = whole.slices[part] if part else whole
    of = f", where {part}," if part else ""
    if kind == "concept" and judgement.off and judgement.offset is not None:
        against = f"the {judgement.offset.without:.4g} that it would be if labels did not lie {judgement.offset.mean:+.4g} off on average"
    elif kind == "concept":
        against = f"its validation of {judgement.validation:.4g}, though no input moved"
    elif judgement.past_margin:
        against = f"its bound of {judgement.bound:.4g} (validation {judgement.validation:.4g})"
    else:
        against = "its floor"
    lacking = f" ({judgement.missing} rows have none)" if judgement.missing else ""
    sentence = (
        f"{judgement.metric} of version {where.record.version}{of} on {judgement.rows} matured labels{lacking} is {judgement.value:.4g} "
        f"(95% interval {judgement.low:.4g} to {judgement.high:.4g}), worse than {against}, in {rule.hits} of {rule.windows} windows"
    )
    evidence = {**msgspec.to_builtins(judgement), "inputsMoved": list(inputs), "persistence": f"{rule.hits} of {rule.windows}"}
    evidence |= {"slice": part} if part else {}
    return _finding(where, kind, sentence, evidence, hurts=True, severity="critical")


def reordered(where: Where, ranking: Ranking, rule: Persistence, hurts: bool | None) -> Finding:
    """The version answers by other features than in training, for good; `hurts` is what matured labels say."""
    names = "; ".join(map(_rank, movers(ranking)))
    sentence = (
        f"version {where.record.version} answers by other features than in training, in {rule.hits} of {rule.windows} windows: "
        f"NDCG {ranking.ndcg:.2f} (95% interval {ranking.low:.2f} to {ranking.high:.2f}) in window {where.record.window}, below "
        f"{ranking.bound:g}: {names}"
    )
    evidence = {**msgspec.to_builtins(ranking), "persistence": f"{rule.hits} of {rule.windows}"}
    return _finding(where, "explanation", sentence, evidence, hurts, _severity(hurts))


def _rank(one: Rank) -> str:
    return f"{one.feature!r} went from rank {one.before} ({one.reference:.0%} of the attributions) to {one.now} ({one.live:.0%})"


def _severity(hurts: bool | None) -> Severity:
    return "critical" if hurts else "warning" if hurts is None else "info"


def broken(where: Where, breaks: Sequence[Break], hurts: bool | None) -> Finding:
    """The window's data is wrong rather than different, or more or less of it comes than ever."""
    what = "traffic of version {} is unusual" if breaks[0].column == TRAFFIC else "data of version {} is broken"
    sentence = f"the {what.format(where.record.version)} in window {where.record.window}: {breaks[0].sentence}"
    if len(breaks) > 1:
        sentence += f", and {len(breaks) - 1} more"
    severity: Severity = "warning" if all(item.check in HARMLESS for item in breaks) else "critical"
    return _finding(where, "quality", sentence, {"breaks": msgspec.to_builtins(breaks)}, hurts, severity)
