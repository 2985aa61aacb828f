"""The monitor's answers to questions, as JSON values: state, windows, findings, performance over time, paired losses, metrics."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from trimtab.errors import InvalidInput
from trimtab.monitoring import agreeing
from trimtab.monitoring.estimate import State
from trimtab.monitoring.fleet import Fleet, Member
from trimtab.monitoring.fleet import fleet as over_all
from trimtab.monitoring.gauges import OTHER, gauges, named
from trimtab.monitoring.monitor import Monitor, UnknownModel
from trimtab.monitoring.overview import newest
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.prometheus import Labels, render
from trimtab.monitoring.records import WindowRecord, reliance
from trimtab.monitoring.reference import Reference
from trimtab.monitoring.reports.reading import ModelStory, WindowStory, read_model, read_window
from trimtab.monitoring.standing import standing as judged
from trimtab.monitoring.tables import moment
from trimtab.monitoring.writing import ANSWERED, LABELS, LATE_ROWS, ROWS, UNKNOWN, UNTIMED
from trimtab.release import Agreement, Outcomes, PairedLosses
from trimtab.units import persistence

MANY = 10_000
_TALLIES = {
    ROWS: "trimtab_monitor_rows",
    ANSWERED: "trimtab_monitor_rows_answered",
    UNTIMED: "trimtab_monitor_rows_without_time",
    LATE_ROWS: "trimtab_monitor_rows_late",
    LABELS: "trimtab_monitor_labels",
    UNKNOWN: "trimtab_monitor_labels_without_row",
}


def state(monitor: Monitor, model: str) -> dict[str, Any]:
    """Watermark, windows by version, open quality findings, counts of rows and labels, and how the champion stands (`standing`).

    `notWatched` are the columns that the Model redacts from capture.
    """
    watched = monitor.watched(model)
    watermark = monitor.store.watermark(model)
    counts: dict[str, int] = {}
    for record in monitor.records.recent(model, None, MANY):
        counts[record.version] = counts.get(record.version, 0) + 1
    said, sentence = standing(monitor, model)
    return {
        "model": model,
        "drift": said,
        "sentence": sentence,
        "champion": watched.champion.version if watched.champion else None,
        "watermark": _text(watermark),
        "windows": counts,
        "notWatched": list(watched.model.spec.serving.capture.redact),
        "openQuality": [event.data["sentence"] for event in monitor.records.open_quality(model)],
        "counts": monitor.store.counts(model),
    }


def standing(monitor: Monitor, model: str) -> tuple[str, str]:
    """How the champion stands, in a word and a sentence (`standing.py`)."""
    found = members(monitor, [monitor.watched(model)], datetime.now(UTC))[0].stands
    return found.state, found.sentence


def members(monitor: Monitor, watched: Sequence[Watched], now: datetime) -> list[Member]:
    """How each of the models stands, from a fixed number of questions to the store."""
    rules = {one.id: persistence(one.model.spec.monitoring.drift.persistence) for one in watched}
    versions = {one.id: one.champion.version if one.champion else "" for one in watched}
    known = newest(monitor.store, versions, max([1, *(rule.windows for rule in rules.values())]))
    found = []
    for name, version in versions.items():
        one = known[name]
        lag = None if one.watermark is None else now.timestamp() - one.watermark
        stands = judged(version or None, rules[name], one.tested, one.last, one.findings, one.broken)
        found.append(Member(name, version or None, stands, one.tested, lag, len(one.broken)))
    return found


def fleet(monitor: Monitor, namespace: str, now: datetime) -> Fleet:
    """All models of a namespace (empty: of all), what to look at first coming first."""
    every = [monitor.watched(name) for name in monitor.models() if not namespace or name.startswith(f"{namespace}/")]
    return over_all(members(monitor, every, now))


def story(monitor: Monitor, model: str) -> ModelStory:
    """A model's life, as its page tells it."""
    watched = monitor.watched(model)
    return read_model(monitor.store, monitor.records, watched.model, watched.champion.version if watched.champion else None)


def window_story(monitor: Monitor, model: str, number: int, version: str | None) -> WindowStory:
    """One window, as its page tells it."""
    watched = monitor.watched(model)
    served = {one.version: one for one in watched.versions}

    def reference(name: str) -> Reference:
        if name not in served:
            msg = f"version {name} does not serve any more"
            raise InvalidInput(msg)
        return monitor.reference(served[name])

    return read_window(monitor.records, watched.model, reference, number, version)


def window(monitor: Monitor, model: str, number: int, version: str | None) -> dict[str, Any]:
    """One window: what was said of it, its findings, and each column's distribution beside the reference's."""
    return told(window_story(monitor, model, number, version))


def told(found: WindowStory) -> dict[str, Any]:
    """A window's story as JSON values."""
    return {
        **_window(found.record),
        **_said(found.record),
        "labelled": found.labelled,
        "findings": [{"kind": one.kind, "sentence": one.sentence, "evidence": one.evidence} for one in found.findings],
        "distributions": msgspec.to_builtins(found.distributions),
        "withoutDistributions": found.lacking,
    }


def windows(monitor: Monitor, model: str) -> list[dict[str, Any]]:
    """Every closed window, oldest first, with what was said of it."""
    monitor.watched(model)
    return [_window(record) | _said(record) for record in monitor.records.recent(model, None, MANY)]


def findings(monitor: Monitor, model: str) -> list[dict[str, Any]]:
    """Every finding, oldest first: the event's data with its `id` and whether it is `open` (quality)."""
    monitor.watched(model)
    unclosed = {event.id for event in monitor.records.open_quality(model)}
    return [{"id": event.id, "open": event.id in unclosed, **event.data} for event in monitor.records.findings(model)]


def performance(monitor: Monitor, model: str) -> list[dict[str, Any]]:
    """A window each, oldest first: the metric on matured labels (`judgement`, null before) with its 95% interval, validation and bound.

    Beside it what was expected before there were labels (`estimate`, with its `state`), and the effects by column.
    """
    monitor.watched(model)
    records = monitor.records.recent(model, None, MANY)
    relied = reliance(records)
    return [_window(record) | _measured(record, relied[record.version, record.window]) for record in records]


def paired(monitor: Monitor, model: str, champion: str, candidate: str, since: datetime) -> PairedLosses:
    """Losses of both versions on the same rows after `since`; raises UnknownModel where the champion is not among the served versions."""
    reference = monitor.reference(_served(monitor, model, champion))
    matured = monitor.matured(monitor.watched(model), reference.schema)
    if matured is None:
        return PairedLosses(clip=reference.metrics.loss_clip)
    return monitor.scores.paired(model, champion, candidate, since, matured, reference)


def outcomes(monitor: Monitor, model: str, champion: str, candidate: str, since: datetime) -> Outcomes:
    """What the matured labels say of both versions' callers after `since`; raises UnknownModel as `paired` does."""
    reference = monitor.reference(_served(monitor, model, champion))
    matured = monitor.matured(monitor.watched(model), reference.schema)
    return monitor.experiments.outcomes(model, champion, candidate, since, matured, reference)


def agreement(monitor: Monitor, model: str, champion: str, candidate: str, since: datetime, difference: float) -> Agreement:
    """How both versions predicted the same rows after `since`; raises UnknownModel where the champion is not among the served versions."""
    reference = monitor.reference(_served(monitor, model, champion))
    return agreeing.agreement(*monitor.scores.predictions(model, champion, candidate, since), reference, difference)


def metrics(monitor: Monitor, now: datetime) -> str:
    """Prometheus text: counters and histograms of what came in, gauges of findings and scores, and how each model stands (`gauges.py`)."""
    watched = [monitor.watched(name) for name in monitor.models()]
    found: dict[str, dict[Labels, float]] = {
        **_accepted(monitor, named(one.id for one in watched)),
        **gauges(members(monitor, watched, now)),
        "trimtab_monitor_findings": {(("kind", kind),): float(count) for kind, count in monitor.records.finding_counts().items()},
        "trimtab_monitor_scores": {(("result", result),): float(count) for result, count in monitor.scores.counts().items()},
    }
    return render(monitor.counters, found)


def _served(monitor: Monitor, model: str, version: str) -> WatchedVersion:
    served = {one.version: one for one in monitor.watched(model).versions}
    if version not in served:
        msg = f"version {version!r} of {model!r} is not served; served are {', '.join(served) or 'none'}"
        raise UnknownModel(msg)
    return served[version]


def _accepted(monitor: Monitor, fleet: set[str]) -> dict[str, dict[Labels, float]]:
    """What was ever accepted, by model and version of the fleet; all others are told together."""
    served = {(model, version.version) for model in fleet for version in monitor.watched(model).versions}
    found: dict[str, dict[Labels, float]] = {name: {} for name in _TALLIES.values()}
    for (model, version, what), count in monitor.store.tallies().items():
        name = _TALLIES[what]
        key: Labels = (("model", model if model in fleet else OTHER),)
        if version or what not in (LABELS, UNKNOWN):
            key += (("version", version if (model, version) in served else OTHER),)
        found[name][key] = found[name].get(key, 0.0) + count
    return found


def _window(record: WindowRecord) -> dict[str, Any]:
    return {
        "version": record.version,
        "window": record.window,
        "start": _text(moment(record.start)),
        "end": _text(moment(record.end)),
        "rows": record.rows,
    }


def _said(record: WindowRecord) -> dict[str, Any]:
    said = {
        "breaks": record.breaks,
        "drift": record.drift,
        "judged": record.judged,
        "judgement": record.judgement,
        "explanation": {**msgspec.structs.asdict(record.explanation), "moved": record.explanation.moved} if record.explanation else None,
    }
    return {name: msgspec.to_builtins(value) for name, value in said.items()}


def _measured(record: WindowRecord, state: State) -> dict[str, Any]:
    drift = record.drift.columns if record.drift else {}
    return {
        "judgement": msgspec.to_builtins(record.judgement) if record.judgement else None,
        "estimate": {**msgspec.to_builtins(record.estimate), "state": state} if record.estimate else None,
        "effects": {name: check.effect for name, check in drift.items()},
    }


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")
