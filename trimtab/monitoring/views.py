"""The monitor's answers to questions, as JSON values: state, windows, findings, performance over time, paired losses, metrics."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from trimtab.monitoring.deciding import Drift
from trimtab.monitoring.estimate import State, states
from trimtab.monitoring.monitor import Monitor, UnknownModel
from trimtab.monitoring.prometheus import Labels, render
from trimtab.monitoring.records import WindowRecord
from trimtab.monitoring.tables import moment
from trimtab.monitoring.writing import ANSWERED, LABELS, LATE_ROWS, ROWS, UNKNOWN, UNTIMED
from trimtab.release import PairedLosses
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
_WORST = ("performance", "concept", "covariate", "prediction")


def state(monitor: Monitor, model: str) -> dict[str, Any]:
    """Watermark, windows by version, open quality findings, counts of rows and labels, and how the champion stands (`standing`)."""
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
        "openQuality": [event.data["sentence"] for event in monitor.records.open_quality(model)],
        "counts": monitor.store.counts(model),
    }


def standing(monitor: Monitor, model: str) -> tuple[str, str]:
    """How the champion stands, in a word and a sentence.

    `quality`: its data is broken; a finding's kind (the worst's): it was made within the windows that persistence looks at; `watch`:
    columns moved in the newest tested window; `none`: none did; `unknown`: no window was tested yet.
    """
    watched = monitor.watched(model)
    broken = monitor.records.open_quality(model)
    if broken:
        return "quality", str(broken[-1].data["sentence"])
    if watched.champion is None:
        return "unknown", "no version serves yet"
    version, rule = watched.champion.version, persistence(watched.model.spec.monitoring.drift.persistence)
    recent = monitor.records.recent(model, version, rule.windows + 1)
    tested = [record for record in recent if record.drift is not None]
    if not tested:
        return "unknown", f"no window of version {version} was tested yet"
    first = recent[-1].window - rule.windows + 1
    found = [event for event in monitor.records.findings(model) if event.data["version"] == version and event.data["window"] >= first]
    worth = [event for event in found if event.data["kind"] != "quality"]
    if worth:
        worst = min(reversed(worth), key=lambda event: _WORST.index(event.data["kind"])).data
        return str(worst["kind"]), str(worst["sentence"])
    return _moved(tested[-1], version)


def _moved(record: WindowRecord, version: str) -> tuple[str, str]:
    drift = record.drift or Drift()
    if drift.failed:
        return "unknown", f"window {record.window} of version {version}: {drift.failed}"
    moved = {name: check.effect for name, check in drift.columns.items() if check.moved}
    if not moved:
        return "none", f"none of {len(drift.columns)} columns of version {version} moved in window {record.window}"
    name = max(moved, key=lambda column: moved[column])
    words = f"{len(moved)} of {len(drift.columns)} columns of version {version} moved in window {record.window}"
    return "watch", f"{words}, {name!r} the most (effect {moved[name]:.2f}), not yet for good"


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
    relied: dict[tuple[str, int], State] = {}
    for version in dict.fromkeys(record.version for record in records):
        of_version = [record for record in records if record.version == version]
        found = states([(record.estimate, record.judgement) for record in of_version])
        relied |= {(version, record.window): state for record, state in zip(of_version, found, strict=True)}
    return [_window(record) | _measured(record, relied[record.version, record.window]) for record in records]


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
    """Prometheus text: counters and histograms of what came in, and gauges of rows, labels, findings, scores and the watermark's lag."""
    watermarks, fleet = monitor.store.watermarks(), monitor.models()
    gauges: dict[str, dict[Labels, float]] = {
        **_accepted(monitor),
        "trimtab_monitor_watermark_lag_seconds": {
            (("model", model),): (now - watermarks[model]).total_seconds() for model in fleet if model in watermarks
        },
        "trimtab_monitor_findings": {(("kind", kind),): float(count) for kind, count in monitor.records.finding_counts().items()},
        "trimtab_monitor_scores": {(("result", result),): float(count) for result, count in monitor.scores.counts().items()},
    }
    return render(monitor.counters, gauges)


def _accepted(monitor: Monitor) -> dict[str, dict[Labels, float]]:
    """What was ever accepted, by model and version of the fleet; all others are "other" together."""
    fleet = set(monitor.models())
    served = {(model, version.version) for model in fleet for version in monitor.watched(model).versions}
    found: dict[str, dict[Labels, float]] = {name: {} for name in _TALLIES.values()}
    for (model, version, what), count in monitor.store.tallies().items():
        name = _TALLIES[what]
        key: Labels = (("model", model if model in fleet else "other"),)
        if version or what not in (LABELS, UNKNOWN):
            key += (("version", version if (model, version) in served else "other"),)
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
    said = {"breaks": record.breaks, "drift": record.drift, "judged": record.judged, "judgement": record.judgement}
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
