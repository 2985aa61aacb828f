"""`trimtab policy replay`: reads what a monitor stored, on this machine or over its API, and tells what another policy makes of it.

On a cluster it asks what a person may ask (`get models/monitoring`), by a token in TRIMTAB_TOKEN: nobody needs the database for it.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.backtest.replay import Replayed, Told, replay, under
from trimtab.cli.output import print_json, table
from trimtab.cli.releases import find_model
from trimtab.documents import read_model
from trimtab.errors import InvalidInput
from trimtab.events import Finding, data_of
from trimtab.monitoring.records import WindowRecord
from trimtab.release import Release
from trimtab.spec import Model

MANY = 10_000
_FOUND = ("performance", "concept", "drift")


class Stored(Struct, frozen=True):
    """What there is of a Model: its windows, the findings that were made, its Releases, and each version's seasons."""

    model: Model
    windows: list[WindowRecord]
    made: list[Finding]
    releases: list[Release]
    seasons: Callable[[str], float]


def replay_policy(document: Path, name: str | None, folder: Path, namespace: str | None, monitor: str, *, as_json: bool) -> None:
    """Replay and print; raises InvalidInput where there is nothing to replay, or the document is none."""
    policy = read_model(document)
    stored = _local(folder, name) if namespace is None else _cluster(folder, namespace, name, monitor)
    if not stored.windows:
        msg = f"the monitor has closed no window of {stored.model.name!r} yet: there is nothing to replay"
        raise InvalidInput(msg)
    found = replay(under(stored.model, policy), stored.windows, stored.made, stored.releases, stored.seasons)
    really = [release for release in stored.releases if release.spec.request.trigger in _FOUND and release.status.attempt]
    notes = _notes(stored, policy, found)
    if as_json:
        print_json(_numbers(stored, found, really, notes))
        return
    print(headline(found, len(stored.made), len(really)))
    _timeline(stored, found)
    for note in notes:
        print(f"  {note}")


def headline(found: Replayed, made: int, retrained: int) -> str:
    """What would have been instead of what was."""
    would = f"{_count(len(found.told), 'finding')} and {_count(found.retrains, 'retrain')}"
    return f"over {_count(found.windows, 'window')} it would have raised {would} instead of {made} and {retrained}"


def _local(folder: Path, name: str | None) -> Stored:
    from trimtab.monitoring.records import Records
    from trimtab.monitoring.reference import read_reference
    from trimtab.monitoring.store import Store
    from trimtab.platforms.local.objects import SqliteObjects
    from trimtab.platforms.local.state import State

    state = State(folder).existing()
    objects = SqliteObjects(state.database)
    model = find_model(objects, name)
    if not state.monitor_database.exists():
        return Stored(model, [], [], [], lambda _: 0.0)
    store = Store(state.monitor_database)
    try:
        records, key = Records(store), f"{model.metadata.namespace}/{model.name}"
        windows, made = records.recent(key, None, MANY), [data_of(event, Finding) for event in records.findings(key)]
    finally:
        store.close()
    spans: dict[str, float] = {}

    def seasons(version: str) -> float:
        if version not in spans:
            try:
                reference = read_reference(state.version_folder(model.name, version))
                spans[version] = reference.seasons(model.spec.monitoring.reference.season)
            except InvalidInput:
                spans[version] = _seasons(made, version)
        return spans[version]

    return Stored(model, windows, made, _of(model, objects.all_of(Release)), seasons)


def _cluster(folder: Path, namespace: str, name: str | None, monitor: str) -> Stored:
    from trimtab.cli.asking import monitor_at
    from trimtab.cli.place import place

    if not monitor:
        msg = "with -n the monitor is asked: name it with --monitor"
        raise InvalidInput(msg)
    objects = place(folder, namespace).objects
    model = find_model(objects, name)
    client = monitor_at(monitor)
    windows = [_window(one) for one in client.ask(model, "windows")]
    made = [
        msgspec.convert({key: value for key, value in one.items() if key not in ("id", "open")}, Finding)
        for one in client.ask(model, "findings")
    ]
    return Stored(model, windows, made, _of(model, objects.all_of(Release)), lambda version: _seasons(made, version))


def _window(told: dict[str, Any]) -> WindowRecord:
    """A window as the monitor's API tells it."""
    times = {name: datetime.fromisoformat(told[name]).timestamp() for name in ("start", "end")}
    return msgspec.convert({**told, **times}, WindowRecord)


def _seasons(made: list[Finding], version: str) -> float:
    """What a finding of the version told of its reference; 0 where there is none."""
    return next((finding.seasons for finding in made if finding.version == version), 0.0)


def _of(model: Model, releases: list[Release]) -> list[Release]:
    return [release for release in releases if release.spec.model_uid == model.metadata.uid]


def _notes(stored: Stored, policy: Model, found: Replayed) -> list[str]:
    """What a replay cannot know."""
    old, new = stored.model.spec.monitoring, policy.spec.monitoring
    notes = ["The windows are those of the versions that served: a retrain that began earlier, or not at all, has changed none of them."]
    if old.window != new.window:
        notes.append(
            "monitoring.window is another one: its windows were never closed, so those that were are judged; `trimtab backtest` plays it."
        )
    if old.drift.detector != new.drift.detector:
        notes.append("monitoring.drift.detector is another one: the p-values are those of the detector that was asked.")
    if found.unmeasured:
        notes.append(f"{_count(found.unmeasured, 'judged window')} tell no spread: their performance is taken as not worse.")
    return notes


def _key(finding: Finding) -> tuple[str, int, str]:
    return finding.version, finding.window, finding.kind


def _timeline(stored: Stored, found: Replayed) -> None:
    before, after = {_key(one) for one in stored.made}, {_key(one.finding) for one in found.told}
    rows = [
        (
            one.finding.cut,
            one.finding.kind,
            one.finding.version,
            one.finding.window,
            "" if _key(one.finding) in before else "new",
            _led(one),
            one.sentence,
        )
        for one in found.told
    ]
    rows += [(one.cut, one.kind, one.version, one.window, "gone", "", one.sentence) for one in stored.made if _key(one) not in after]
    told = [(f"{row[0]:%Y-%m-%d %H:%M}", *row[1:]) for row in sorted(rows, key=lambda row: (row[0], row[3]))]
    if told:
        table("Findings", ("TIME", "KIND", "VERSION", "WINDOW", "", "LEADS TO", "WHY"), told)


def _led(one: Told) -> str:
    if one.retrain == "began" and one.began is not None:
        return "retrain" if one.began == one.finding.cut else f"retrain at {one.began:%Y-%m-%d %H:%M}"
    return f"retrain {one.retrain}" if one.retrain else one.action


def _numbers(stored: Stored, found: Replayed, really: list[Release], notes: list[str]) -> dict[str, Any]:
    before = {_key(one) for one in stored.made}
    return {
        "model": stored.model.name,
        "windows": found.windows,
        "would": {"findings": len(found.told), "retrains": found.retrains},
        "was": {"findings": len(stored.made), "retrains": len(really)},
        "timeline": [{"new": _key(one.finding) not in before, **msgspec.to_builtins(one)} for one in found.told],
        "gone": [msgspec.to_builtins(one) for one in stored.made if _key(one) not in {_key(told.finding) for told in found.told}],
        "notes": notes,
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
