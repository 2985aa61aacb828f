"""What is said of one closed window: its data's quality, its drift, and later its performance. Reads the records, writes them back."""

from collections.abc import Callable, Mapping
from datetime import datetime

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from trimtab.events import Finding, finding_event
from trimtab.measures import slice_columns
from trimtab.monitoring.attributions import rank
from trimtab.monitoring.columns import labelled, predicted, table
from trimtab.monitoring.comparing import compare
from trimtab.monitoring.deciding import Drift, level
from trimtab.monitoring.detectors import Detector
from trimtab.monitoring.estimate import Estimate, Inputs, estimate
from trimtab.monitoring.explanation import Ranking
from trimtab.monitoring.findings import Where, broken
from trimtab.monitoring.holdout import inputs, values
from trimtab.monitoring.maturity import given_up, mature, progress
from trimtab.monitoring.metric import PRIMARY, as_error, error
from trimtab.monitoring.performance import Judgement, Sample, complete, judge, sample
from trimtab.monitoring.ports import WatchedVersion
from trimtab.monitoring.quality import CLEAN_WINDOWS, breaks
from trimtab.monitoring.records import Content, Records, WindowRecord
from trimtab.monitoring.reference import Reference
from trimtab.monitoring.shift import unseen, weights
from trimtab.monitoring.slicing import slices
from trimtab.monitoring.traffic import changed, gone, lookback
from trimtab.monitoring.verdicts import asked, found_drift, found_explanation, found_performance, hurts, news_since
from trimtab.monitoring.windows import enough
from trimtab.spec import Model
from trimtab.units import duration, margin

SOURCE = "/trimtab/monitor"
UNJUDGED, MATURING = 20, 200
BROKEN = "not tested: the window's data is broken"


class Subject(Struct, frozen=True):
    """What is checked: a model's champion and the watermark (data time).

    Its reference, without what is redacted from capture, and the label times by value (`maturity.py`) are read where they are needed.
    """

    id: str
    model: Model
    version: str
    read: Callable[[], Reference]
    told: Callable[[], Mapping[bytes, float]]
    watermark: datetime

    @property
    def label_delay(self) -> float:
        """How long a label takes, in seconds."""
        return duration(self.model.spec.data.label_delay).total_seconds()

    @property
    def reference(self) -> Reference:
        """The version's reference; raises InvalidInput where it cannot be read."""
        return self.read()

    @property
    def labels(self) -> float:
        """How far its labels have come, in seconds since 1970."""
        return progress(self.reference.schema, self.told())

    def where(self, record: WindowRecord) -> Where:
        """What a finding in this window is about."""
        seasons = self.reference.seasons(self.model.spec.monitoring.reference.season)
        return Where(self.model, record, self.watermark, seasons)


def check_quality(records: Records, subject: Subject, record: WindowRecord) -> list[Finding]:
    """Look for breaks in a window's data, the version's oldest window not looked at.

    Breaks that an open finding tells of already make no second one; two clean windows close what is open.
    """
    schema, reference, days = subject.reference.schema, subject.reference.table, subject.reference.span_days
    instances = records.content(subject.id, subject.version, record.window).instances
    found = breaks(schema, reference, instances, record.span_days / days if days > 0 else 0.0)
    traffic = changed(records.spans(subject.id, record.end - lookback(record.end - record.start), record.end))
    found += [traffic] if traffic else []
    before = records.before(subject.id, subject.version, record.window, CLEAN_WINDOWS)
    findings = []
    if found:
        if {(item.column, item.check) for item in found} - _told_breaks(records, subject):
            findings.append(broken(subject.where(record), found, hurts(before)))
    elif len(before) >= CLEAN_WINDOWS - 1 and not any(other.breaks for other in before[len(before) - CLEAN_WINDOWS + 1 :]):
        records.close_quality(subject.id)
    return _say(records, subject, record, "quality", found, findings)


def check_silence(records: Records, subject: Subject, silence: float) -> list[Finding]:
    """Look whether it is unusual that no row has come for so many seconds; the finding is of the window that does not come.

    Windows close by the watermark, which stands still without rows: this alone is asked by the clock on the wall.
    """
    last = records.recent(subject.id, subject.version, 1)
    watermark = subject.watermark.timestamp()
    found = gone(records.spans(subject.id, watermark - lookback(silence), watermark), watermark, silence)
    if found is None or not last or (found.column, found.check) in _told_breaks(records, subject):
        return []
    coming = WindowRecord(subject.version, last[-1].window + 1, last[-1].end, max(watermark, last[-1].end), 0)
    return _say(records, subject, coming, "quality", [found], [broken(subject.where(coming), [found], hurts(last))])


def _told_breaks(records: Records, subject: Subject) -> set[tuple[str, str]]:
    """Columns and checks that the model's open findings tell of."""
    return {(item["column"], item["check"]) for event in records.open_quality(subject.id) for item in event.data["evidence"]["breaks"]}


def check_drift(records: Records, subject: Subject, record: WindowRecord, detector: Detector) -> list[Finding]:
    """Test a window's columns, the version's oldest untested window; raises Unavailable where the detector cannot answer.

    A window whose data spoils it is not tested: nothing may be retrained on it; one with too few rows cannot be.
    """
    drift = replace(_tested(records, subject, record, detector), at=subject.watermark.timestamp())
    before = records.before(subject.id, subject.version, record.window, asked(subject.model).windows)
    return _say(records, subject, record, "drift", drift, found_drift(subject.where(record), before, drift))


def _tested(records: Records, subject: Subject, record: WindowRecord, detector: Detector) -> Drift:
    policy = subject.model.spec.monitoring
    panes = policy.window.panes
    before = records.before(subject.id, subject.version, record.window, panes - 1)
    if any(pane.spoiled for pane in (*before, record)):
        return Drift(failed=BROKEN)
    content = records.content(subject.id, subject.version, record.window, panes)
    wanted = enough(policy.window)
    if len(content.instances) < wanted:
        return Drift(failed=f"not judged: {len(content.instances)} of {wanted} rows")
    window = table(subject.reference.schema, content.instances, content.predictions)
    return compare(subject.reference, window, np.array(content.times), detector, policy, record.span_days)


def give_up(records: Records, subject: Subject, record: WindowRecord, sentence: str) -> None:
    """Note why a window's drift could not be tested, so that those after it can be."""
    _say(records, subject, record, "drift", Drift(failed=sentence, at=subject.watermark.timestamp()), [])


def estimate_window(records: Records, subject: Subject, record: WindowRecord) -> None:
    """Estimate a window's metric before anybody has its labels; of broken data nothing is estimated."""
    reference, metric = subject.reference, _metric(subject.reference)
    if record.spoiled:
        records.say(subject.id, record, {"estimate": Estimate(metric, record.rows, insufficient="the window's data is broken")}, [])
        return
    schema, content = reference.schema, records.content(subject.id, subject.version, record.window)
    told = estimate(
        metric,
        schema.task,
        predicted(schema, content.predictions),
        sample(reference.truth, reference.answers),
        reference.metrics.holdout_rows,
        reference.metrics.metrics.get(metric),
        _identity(subject, record),
        _inputs(reference, content),
    )
    records.say(subject.id, record, {"estimate": told}, [])


def _inputs(reference: Reference, content: Content) -> Inputs | None:
    """What the inputs of the window tell beside its answers; None without any, or where the version did not keep those of its holdout."""
    schema, known = reference.schema, inputs(reference.folder, reference.schema)
    if known is None or not schema.features:
        return None
    rows = complete(reference.truth, reference.answers)
    held = {name: column[rows] for name, column in known.items()}
    asked = table(schema, content.instances, content.predictions)
    return Inputs(weights(schema.features, held, asked), unseen(schema.features, asked))


def check_explanation(records: Records, subject: Subject, record: WindowRecord, version: WatchedVersion) -> list[Finding]:
    """Ask the version what its answers rested on, the oldest window not asked of; raises Unavailable where it does not answer."""
    ranking = replace(_ranking(records, subject, record, version), at=subject.watermark.timestamp())
    before = records.before(subject.id, subject.version, record.window, asked(subject.model).windows)
    return _say(records, subject, record, "explanation", ranking, found_explanation(subject.where(record), before, ranking))


def leave_unexplained(records: Records, subject: Subject, record: WindowRecord, sentence: str) -> None:
    """Note why nobody knows what a window's answers rested on, so that those after it can be asked of."""
    _say(records, subject, record, "explanation", Ranking(failed=sentence, at=subject.watermark.timestamp()), [])


def _ranking(records: Records, subject: Subject, record: WindowRecord, version: WatchedVersion) -> Ranking:
    spec, schema = subject.model.spec, subject.reference.schema
    bound = spec.monitoring.explanation.ndcg
    if not bound:
        return Ranking(failed="not asked: spec.monitoring.explanation.ndcg is 0")
    hidden = [name for name in schema.names if name in spec.serving.capture.redact]
    if hidden:
        return Ranking(bound=bound, failed=f"not asked: spec.serving.capture.redact hides {hidden[0]!r}")
    if record.spoiled:
        return Ranking(bound=bound, failed=BROKEN)
    content = records.content(subject.id, subject.version, record.window)
    return rank(version, subject.model.name, schema, content, bound, _identity(subject, record))


def maturing(records: Records, subject: Subject) -> list[WindowRecord]:
    """The version's windows whose labels may have come by now, oldest first: those that are waited for, and of all others the newest."""
    watermark, delay = subject.watermark.timestamp(), subject.label_delay
    due = records.unsaid(subject.id, subject.version, "performance", MATURING, watermark - delay)
    late = len(due) - UNJUDGED
    return [one for place, one in enumerate(due) if place >= late or not given_up(watermark, one.start, one.end, delay)]


def judge_window(records: Records, subject: Subject, record: WindowRecord) -> tuple[bool, list[Finding]]:
    """Judge a checked window's performance if its labels are mature; says whether it was judged, and what was found."""
    labels, watermark = records.labelled(subject.id, subject.version, record.window), subject.watermark.timestamp()
    if not mature(labels, record.rows, watermark, subject.labels, record.start, record.end, subject.label_delay):
        return False, []
    judgement = _judgement(subject, record, records.content(subject.id, subject.version, record.window))
    before = records.before(subject.id, subject.version, record.window, asked(subject.model).windows)
    findings = found_performance(subject.where(record), before, judgement)
    return True, _say(records, subject, record, "performance", judgement, findings)


def _judgement(subject: Subject, record: WindowRecord, content: Content) -> Judgement | None:
    schema, metrics, metric = subject.reference.schema, subject.reference.metrics, _metric(subject.reference)
    spec = subject.model.spec.monitoring.performance
    truth, answers = labelled(schema, content.labels), predicted(schema, content.predictions)
    window, holdout = sample(truth, answers), Sample(subject.reference.truth, subject.reference.answers)
    kept = values(subject.reference.folder, slice_columns(subject.model.spec))
    parts = slices(subject.model.spec, metric, content.instances, (truth, answers), kept, holdout)
    held, allowed, name = sample(holdout.truth, holdout.answers), margin(spec.margin), _identity(subject, record)
    budget = level(record.span_days) / (2 if parts else 1)
    validation = metrics.metrics.get(metric)
    whole = judge(metric, schema.task, window, held, validation, metrics.holdout_rows, allowed, spec.floor, budget, name)
    if whole is None:
        return None
    found: dict[str, Judgement] = {}
    for part in parts:
        before = as_error(metric, error(metric, schema.task, part.holdout.truth, part.holdout.answers))
        every = round(metrics.holdout_rows * len(part.holdout.truth) / max(len(held.truth), 1))
        named = f"{name}|{part.name}"
        one = judge(metric, schema.task, part.window, part.holdout, before, every, allowed, part.floor, budget / len(parts), named)
        found |= {part.name: one} if one is not None else {}
    return replace(whole, slices=found, missing=record.rows - content.labelled, at=subject.watermark.timestamp())


def _metric(reference: Reference) -> str:
    """What the version is judged by."""
    primary = reference.metrics.primary
    return primary if primary in PRIMARY.values() else PRIMARY[reference.schema.task]


def _identity(subject: Subject, record: WindowRecord) -> str:
    """What the random numbers of a window's checks are drawn by: the same window is judged the same."""
    return f"{subject.model.metadata.uid}|{subject.version}|{record.window}"


def _say(records: Records, subject: Subject, record: WindowRecord, what: str, said: object, findings: list[Finding]) -> list[Finding]:
    """Write what was said of the window, and those of the findings that are news; returns these."""
    fresh = [finding for finding in findings if finding.kind == "quality" or not _told(records, subject, finding)]
    records.say(subject.id, record, {what: said}, [finding_event(finding, SOURCE) for finding in fresh])
    return fresh


def _told(records: Records, subject: Subject, finding: Finding) -> bool:
    """Whether the same is told already."""
    return records.told(subject.id, subject.version, finding.kind, news_since(subject.model, finding.window))
