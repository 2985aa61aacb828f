"""The monitor's answers to questions, as JSON values: state, windows, findings, performance over time, paired losses, metrics."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from trimtab.monitoring.monitor import Monitor, UnknownModel
from trimtab.monitoring.prometheus import Labels, render
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.tables import moment
from trimtab.release import PairedLosses

MANY = 10_000


def state(monitor: Monitor, model: str) -> dict[str, Any]:
    """Watermark, windows by version, open quality findings, and counts of rows and labels."""
    watched = monitor.watched(model)
    watermark = monitor.store.watermark(model)
    counts: dict[str, int] = {}
    for record in monitor.records.recent(model, None, MANY):
        counts[record.version] = counts.get(record.version, 0) + 1
    return {
        "model": model,
        "champion": watched.champion.version if watched.champion else None,
        "watermark": _text(watermark),
        "windows": counts,
        "openQuality": [event.data["sentence"] for event in monitor.records.open_quality(model)],
        "counts": monitor.store.counts(model),
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
    """A window each, oldest first: metric on matured labels (null before) with its 95% interval, validation, bound, effects by column."""
    monitor.watched(model)
    found = []
    for record in monitor.records.recent(model, None, MANY):
        drift = record.drift.columns if record.drift else {}
        judgement = msgspec.to_builtins(record.judgement) if record.judgement else None
        found.append(_window(record) | {"judgement": judgement, "effects": {name: check.effect for name, check in drift.items()}})
    return found


def paired(monitor: Monitor, model: str, champion: str, candidate: str, since: datetime) -> PairedLosses:
    """Losses of both versions on the same rows after `since`; raises UnknownModel where the champion is not among the served versions."""
    watched = monitor.watched(model)
    served = {version.version: version for version in watched.versions}
    if champion not in served:
        msg = f"version {champion!r} of {model!r} is not served; served are {', '.join(served) or 'none'}"
        raise UnknownModel(msg)
    matured = monitor.matured(watched)
    reference = monitor.reference(served[champion])
    if matured is None:
        return PairedLosses(clip=reference.metrics.loss_clip)
    return monitor.scores.paired(model, champion, candidate, since, matured, reference)


def metrics(monitor: Monitor, now: datetime) -> str:
    """Prometheus text: the counters, and gauges of rows, findings, scores and the watermark's lag."""
    known = {(model, version.version) for model in monitor.models() for version in monitor.watched(model).versions}
    rows: dict[Labels, float] = {}
    for (model, version), count in monitor.store.row_counts().items():
        key = (("model", model), ("version", version if (model, version) in known else "other"))
        rows[key] = rows.get(key, 0.0) + count
    lag: dict[Labels, float] = {}
    for model in monitor.models():
        watermark = monitor.store.watermark(model)
        if watermark is not None:
            lag[(("model", model),)] = (now - watermark).total_seconds()
    gauges: dict[str, dict[Labels, float]] = {
        "trimtab_monitor_rows": rows,
        "trimtab_monitor_watermark_lag_seconds": lag,
        "trimtab_monitor_findings": {(("kind", kind),): float(count) for kind, count in monitor.records.finding_counts().items()},
        "trimtab_monitor_scores": {(("result", result),): float(count) for result, count in monitor.scores.counts().items()},
    }
    return render(monitor.counters.values(), gauges)


def _window(record: WindowRecord) -> dict[str, Any]:
    return {
        "version": record.version,
        "window": record.window,
        "start": _text(moment(record.start)),
        "end": _text(moment(record.end)),
        "rows": record.rows,
    }


def _said(record: WindowRecord) -> dict[str, Any]:
    said = {"breaks": record.breaks, "drift": record.drift, "judged": record.judged, "judgement": record.judgement}
    return {name: msgspec.to_builtins(value) for name, value in said.items()}


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")
