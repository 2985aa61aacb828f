"""What is said of one closed window: its data's quality, its drift, and later its performance. Reads the records, writes them back."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from msgspec import Struct

from trimtab.events import Finding, finding_event
from trimtab.monitoring.columns import labelled, predicted, table
from trimtab.monitoring.comparing import compare
from trimtab.monitoring.deciding import Drift, lasting, level
from trimtab.monitoring.detectors import Detector
from trimtab.monitoring.findings import Where, broken, moved, worse
from trimtab.monitoring.metric import PRIMARY
from trimtab.monitoring.performance import Judgement, judge, kind, mature, sample
from trimtab.monitoring.quality import CLEAN_WINDOWS, breaks
from trimtab.monitoring.records import Content, Records, WindowRecord
from trimtab.monitoring.reference import Reference
from trimtab.monitoring.windows import enough
from trimtab.spec import Model
from trimtab.units import duration, margin, persistence

SOURCE = "/trimtab/monitor"
BROKEN = "not tested: the window's data is broken"
_DAY = 86_400.0


class Subject(Struct, frozen=True):
    """What is checked: a model's champion, its reference, and the watermark (data time)."""

    id: str
    model: Model
    version: str
    reference: Reference
    watermark: datetime

    def where(self, record: WindowRecord) -> Where:
        """What a finding in this window is about."""
        season = duration(self.model.spec.monitoring.reference.season).total_seconds() / _DAY
        return Where(self.model, record, self.watermark, self.reference.span_days / season)


def check_quality(records: Records, subject: Subject, record: WindowRecord) -> list[Finding]:
    """Look for breaks in a window's data, the version's oldest window not looked at.

    Breaks that an open finding tells of already make no second one; two clean windows close what is open.
    """
    schema, reference = subject.reference.schema, subject.reference.table
    found = breaks(schema, reference, records.content(subject.id, subject.version, record.window).instances)
    before = records.before(subject.id, subject.version, record.window, CLEAN_WINDOWS)
    findings = []
    if found:
        told = {(item["column"], item["check"]) for event in records.open_quality(subject.id) for item in event.data["evidence"]["breaks"]}
        if {(item.column, item.check) for item in found} - told:
            findings.append(broken(subject.where(record), found, _hurts(before)))
    elif len(before) >= CLEAN_WINDOWS - 1 and not any(other.breaks for other in before[len(before) - CLEAN_WINDOWS + 1 :]):
        records.close_quality(subject.id)
    return _say(records, subject, record, "quality", found, findings)


def check_drift(records: Records, subject: Subject, record: WindowRecord, detector: Detector) -> list[Finding]:
    """Test a window's columns, the version's oldest untested window; raises Unavailable where the detector cannot answer.

    A window whose data spoils it is not tested: nothing may be retrained on it; one with too few rows cannot be.
    """
    monitoring = subject.model.spec.monitoring
    drift = _tested(records, subject, record, detector)
    rule = persistence(monitoring.drift.persistence)
    before = records.before(subject.id, subject.version, record.window, rule.windows)
    history = [*(other.drift or Drift() for other in before), drift]
    findings = []
    for prediction in (False, True):
        names = lasting(history, rule, prediction=prediction)
        if names:
            findings.append(moved(subject.where(record), drift, names, rule, _hurts(before), prediction=prediction))
    return _say(records, subject, record, "drift", drift, findings)


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
    _say(records, subject, record, "drift", Drift(failed=sentence), [])


def judge_window(records: Records, subject: Subject, record: WindowRecord) -> tuple[bool, list[Finding]]:
    """Judge a checked window's performance if its labels are mature; says whether it was judged, and what was found."""
    spec = subject.model.spec
    delay = duration(spec.data.label_delay).total_seconds()
    watermark = subject.watermark.timestamp()
    labels = records.labelled(subject.id, subject.version, record.window)
    if not mature(labels, record.rows, watermark, record.end, record.start, delay):
        return False, []
    judgement = _judgement(subject, record, records.content(subject.id, subject.version, record.window))
    rule = persistence(spec.monitoring.drift.persistence)
    before = records.before(subject.id, subject.version, record.window, rule.windows)
    history = [other.judgement for other in before if other.judgement is not None and not other.spoiled]
    findings = []
    if judgement is not None and not record.spoiled:
        drifts = [other.drift or Drift() for other in before] + [record.drift or Drift()]
        inputs = lasting(drifts, rule, prediction=False)
        untested = record.drift is None or bool(record.drift.failed)
        named = kind([*history, judgement], rule, inputs_moved=bool(inputs) or untested)
        if named:
            findings.append(worse(subject.where(record), named, judgement, rule, inputs))
    return True, _say(records, subject, record, "performance", judgement, findings)


def _judgement(subject: Subject, record: WindowRecord, content: Content) -> Judgement | None:
    schema, metrics = subject.reference.schema, subject.reference.metrics
    spec = subject.model.spec.monitoring.performance
    metric = metrics.primary if metrics.primary in PRIMARY.values() else PRIMARY[schema.task]
    return judge(
        metric,
        schema.task,
        sample(labelled(schema, content.labels), predicted(schema, content.predictions)),
        sample(subject.reference.truth, subject.reference.answers),
        metrics.metrics.get(metric),
        metrics.holdout_rows,
        margin(spec.margin),
        spec.floor,
        level(record.span_days),
        f"{subject.model.metadata.uid}|{subject.version}|{record.window}",
    )


def _say(records: Records, subject: Subject, record: WindowRecord, what: str, said: object, findings: list[Finding]) -> list[Finding]:
    """Write what was said of the window, and those of the findings that are news; returns these."""
    fresh = [finding for finding in findings if finding.kind == "quality" or not _told(records, subject, finding)]
    records.say(subject.id, record, {what: said}, [finding_event(finding, SOURCE) for finding in fresh])
    return fresh


def _told(records: Records, subject: Subject, finding: Finding) -> bool:
    """Whether the same is told already: what lasts is told again only after as many windows as persistence looks at."""
    rule = persistence(subject.model.spec.monitoring.drift.persistence)
    return records.told(subject.id, subject.version, finding.kind, finding.window - rule.windows + 1)


def _hurts(history: Sequence[WindowRecord]) -> bool | None:
    """Whether the newest judgement shows a worse error; None without one."""
    judged = [record.judgement for record in history if record.judgement is not None]
    return judged[-1].rose if judged else None
