"""Reads what a report tells out of the monitor's database, and, where the version's files are at hand, the reference beside it."""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.events import Finding, data_of
from trimtab.monitoring.columns import table
from trimtab.monitoring.records import Records, WindowRecord
from trimtab.monitoring.reference import Reference
from trimtab.monitoring.reports.distributions import Distribution, distributions
from trimtab.monitoring.standing import Standing, standing
from trimtab.monitoring.store import Store
from trimtab.spec import Model
from trimtab.units import persistence

TIMELINE = 200
READ = 10_000

References = Callable[[str], Reference]
"""A version's reference; raises InvalidInput with a sentence where it is not at hand."""


class UnknownWindow(InvalidInput):
    """There is no such window, or not any more."""


class ModelStory(Struct, frozen=True):
    """A model's windows, the newest `TIMELINE` of `all_windows`, and its findings, both oldest first; `unclosed`: places of open ones."""

    model: Model
    version: str | None
    watermark: datetime | None
    stands: Standing
    windows: list[WindowRecord]
    all_windows: int
    findings: list[Finding]
    unclosed: list[bool]

    @property
    def id(self) -> str:
        """The model as `namespace/name`."""
        return f"{self.model.metadata.namespace}/{self.model.name}"


class WindowStory(Struct, frozen=True):
    """One window: what was said of it, its findings, and its columns' distributions; `lacking` says why there are none."""

    model: Model
    record: WindowRecord
    findings: list[Finding]
    labelled: int
    distributions: dict[str, Distribution]
    lacking: str = ""


def read_model(store: Store, records: Records, model: Model, version: str | None) -> ModelStory:
    """The model's life so far; `version` is the champion's."""
    name = f"{model.metadata.namespace}/{model.name}"
    every = records.recent(name, None, READ)
    events = records.findings(name)
    broken = {event.id for event in records.open_quality(name)}
    found = [data_of(event, Finding) for event in events]
    unclosed = [event.id in broken for event in events]
    rule = persistence(model.spec.monitoring.drift.persistence)
    own = [record for record in every if record.version == version]
    tested = next((record for record in reversed(own) if record.drift is not None), None)
    open_ones = [one for one, is_open in zip(found, unclosed, strict=True) if is_open]
    stands = standing(version, rule, tested, own[-1].window if own else -1, found, open_ones)
    return ModelStory(model, version, store.watermark(name), stands, every[-TIMELINE:], len(every), found, unclosed)


def read_window(records: Records, model: Model, references: References, number: int, version: str | None) -> WindowStory:
    """The window of that number, the newest one where several versions have it; raises UnknownWindow with those there are."""
    name = f"{model.metadata.namespace}/{model.name}"
    every = records.recent(name, version, READ)
    record = next((one for one in reversed(every) if one.window == number), None)
    if record is None:
        whose = f"version {version!r} of {name!r}" if version else repr(name)
        known = f"those it has are {every[0].window} to {every[-1].window}" if every else "it has none yet"
        msg = f"{whose} has no window {number}; {known}"
        raise UnknownWindow(msg)
    events = [data_of(event, Finding) for event in records.findings(name)]
    findings = [one for one in events if (one.version, one.window) == (record.version, record.window)]
    content = records.content(name, record.version, record.window)
    if not content.instances:
        return WindowStory(model, record, findings, 0, {}, "its rows are not kept any more, only what was said of them")
    try:
        reference = references(record.version)
    except InvalidInput as error:
        return WindowStory(model, record, findings, content.labelled, {}, f"the reference of its version is not at hand: {error}")
    window = table(reference.schema, content.instances, content.predictions)
    redacted = model.spec.serving.capture.redact
    return WindowStory(model, record, findings, content.labelled, distributions(reference.schema, reference.table, window, redacted))
