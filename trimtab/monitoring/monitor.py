"""The monitor: owns the store, takes what arrives, and at each tick closes windows, has them checked and sends findings out.

A tick does only what is quick. Drift tests (a child process), pairing and explanations (the predictors) run beside it, one round of each
at a time, and every step is written before the next: after a crash the next tick goes on where the records end.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.events import CloudEvent, Finding
from trimtab.monitoring.callers import Experiments
from trimtab.monitoring.checks import (
    UNJUDGED,
    Subject,
    check_drift,
    check_explanation,
    check_quality,
    check_silence,
    estimate_window,
    give_up,
    judge_window,
    leave_unexplained,
    maturing,
)
from trimtab.monitoring.detectors import Detector
from trimtab.monitoring.due import Due, Patience
from trimtab.monitoring.ingest import Arrival, arrival, model_of, overheard
from trimtab.monitoring.maturity import come, progress
from trimtab.monitoring.outbox import Outbox
from trimtab.monitoring.pairing import Scores, pair
from trimtab.monitoring.ports import Emit, Fleet, Page, Watched, WatchedVersion
from trimtab.monitoring.prometheus import Counters
from trimtab.monitoring.records import Records, Said, WindowRecord
from trimtab.monitoring.reference import Reference
from trimtab.monitoring.references import References
from trimtab.monitoring.retention import Retention
from trimtab.monitoring.silence import Silence
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import moment
from trimtab.monitoring.windows import close, pane, ripe
from trimtab.schema import Schema
from trimtab.units import duration

log = logging.getLogger(__name__)
ATTEMPTS = 2
"""How often a window's drift is asked of the detectors, who are beside the monitor: without a pause."""
NAMED = 10
RETENTION_SECONDS = 300.0
RETENTION_PAUSE = 0.02


class UnknownModel(InvalidInput):
    """An event or a question names a model, or a version of it, that is not watched."""


class Monitor:
    """Watches a fleet: `emit` sends a finding out, raises if it did not leave; `replaying` accepts any event time.

    `path` is the database: a file, or a URL such as `postgresql://…`. `page` gets the findings that ask for nothing but a person's eyes.
    """

    def __init__(
        self, path: Path | str, fleet: Fleet, detector: Detector, emit: Emit, *, page: Page | None = None, replaying: bool = False
    ) -> None:
        self.store = Store(path)
        self.records = Records(self.store)
        self.scores = Scores(self.store)
        self.experiments = Experiments(self.store)
        self.counters = Counters()
        self._fleet = fleet
        self._detector = detector
        self._outbox = Outbox(self.records, self.counters, emit, page)
        self._replaying = replaying
        self._watched: dict[str, Watched] = {}
        self._seen = False
        self._troubles: dict[str, str] = {}
        self._references = References()
        self._due = Due()
        self._unchecked: dict[str, Watched] = {}
        self._unexplained: dict[str, Watched] = {}
        self._detectors, self._predictors = Patience(ATTEMPTS, 0.0), Patience()
        self._retired = 0.0
        self._pool = ThreadPoolExecutor(5, "monitor")
        self._rounds: dict[str, Future[None]] = {}
        self._silence = Silence()
        self._stopping = threading.Event()
        self._retention = Retention(self.store, lambda: not self._stopping.wait(RETENTION_PAUSE))

    # --- what comes in

    def watched(self, model: str) -> Watched:
        """The watched model `namespace/name`; raises UnknownModel where there is none."""
        if model not in self._watched:
            self._look()
        if model not in self._watched:
            known = sorted(self._watched)
            more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
            msg = f"the model {model!r} is not known here; known are {', '.join(known[:NAMED]) or 'none'}{more}"
            raise UnknownModel(msg)
        return self._watched[model]

    def knows(self, models: Sequence[str]) -> bool:
        """Whether all are watched as far as is known without looking at the fleet."""
        return all(model in self._watched for model in models)

    def models(self) -> list[str]:
        """The watched models as `namespace/name`."""
        return sorted(self._watched)

    def check_ready(self) -> None:
        """Raises Unavailable where the database cannot be used, or before the fleet was seen once."""
        self.store.ping()
        if not self._seen:
            msg = "the watched models were not seen yet"
            raise Unavailable(msg)

    def accept(self, events: Sequence[CloudEvent], now: datetime) -> list[bool]:
        """Keep requests, responses and labels, all or none; returns which were new. They are on disk when it returns."""
        return self.keep(self.read(events, now), now)

    def read(self, events: Sequence[CloudEvent], now: datetime) -> list[Arrival]:
        """What the events bring: requests, responses and labels.

        Raises InvalidInput with a sentence for an event that is not as its type asks, UnknownModel for a model that is not watched.
        """
        arrivals = []
        for event in events:
            watched = self.watched(model_of(event))
            alone = watched.champion.version if watched.champion and not watched.others else ""
            arrivals.append(arrival(event, watched.model, now, replaying=self._replaying, version=alone))
        return arrivals

    def overhear(self, event: CloudEvent, instances: list[dict[str, Any]], version: str, now: datetime) -> Arrival:
        """What a request brings that nobody vouches for."""
        return overheard(event, self.watched(model_of(event)).model, instances, version, now, replaying=self._replaying)

    def keep(self, arrivals: Sequence[Arrival], now: datetime) -> list[bool]:
        """Keep the arrivals, all or none; returns which were new. They are on disk when it returns."""
        started = time.monotonic()
        written = self.store.write(arrivals, now, replaying=self._replaying)
        self.counters.observe("trimtab_monitor_commit_seconds", [time.monotonic() - started])
        self.counters.observe("trimtab_monitor_commit_events", [len(arrivals)])
        self.counters.add("trimtab_monitor_labels_unknown_key_total", written.unknown_keys)
        return list(written.fresh)

    # --- the periodic work

    def tick(self, now: datetime) -> None:
        """One look at every model; what fails is logged and counted, and tried again at the next."""
        started = time.monotonic()
        self._guarded("fleet", self._look)
        for watched in self._due.of(self._watched.values(), self.store.progress(), self._troubles, started):
            self._guarded(watched.id, self._advance, watched, now)
        self._begin("drift", self._each, self._unchecked, self._check)
        self._begin("explanation", self._each, self._unexplained, self._explain, "explanations of ")
        self._begin("pairing", self._pair_all)
        if started >= self._retired + RETENTION_SECONDS:
            self._retired = started
            self._begin("retention", self._retire)
        self._guarded("findings", self._outbox.send, now)
        if self._outbox.pages:
            self._begin("pages", self._outbox.tell, now, lambda: not self._stopping.is_set())
        self.counters.add("trimtab_monitor_tick_seconds_total", time.monotonic() - started)
        self.counters.add("trimtab_monitor_ticks_total")

    def settle(self) -> None:
        """Wait for the rounds of drift tests and of pairing that are under way."""
        for running in list(self._rounds.values()):
            with contextlib.suppress(CancelledError):
                running.result()

    def stop(self) -> None:
        """End the detector's process, the rounds under way, and let go of the file."""
        self._stopping.set()
        self._detector.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._detector.close()
        self.store.close()

    def _look(self) -> None:
        self._watched = {watched.id: watched for watched in self._fleet.watched()}
        self._seen = True
        self.experiments.only([watched.id for watched in self._watched.values() if watched.others])
        self._references.only([version for watched in self._watched.values() for version in watched.versions])

    def _begin(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        running = self._rounds.get(name)
        if (running is None or running.done()) and not self._stopping.is_set():
            self._rounds[name] = self._pool.submit(self._guarded, name, work, *arguments)

    def _guarded(self, name: str, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
            self._troubles.pop(name, None)
        except TrimtabError as error:
            self.counters.add("trimtab_monitor_failures_total")
            known = self._troubles.get(name) == str(error)
            self._troubles[name] = str(error)
            log.log(logging.DEBUG if known else logging.WARNING, "%s: %s", name, error)
        except Exception:
            self.counters.add("trimtab_monitor_failures_total")
            log.exception("%s: the work broke off; it is tried again", name)

    def subject(self, watched: Watched, version: WatchedVersion) -> Subject | None:
        """What is needed to check windows of the version; None before the model's first row."""
        watermark = self.store.watermark(watched.id)
        if watermark is None:
            return None
        redacted = watched.model.spec.serving.capture.redact
        told = partial(self.store.label_times, watched.id)
        return Subject(watched.id, watched.model, version.version, lambda: self.reference(version).told(redacted), told, watermark)

    def reference(self, version: WatchedVersion) -> Reference:
        """The version's reference; raises InvalidInput where it cannot be read."""
        return self._references.of(version)

    def _advance(self, watched: Watched, now: datetime) -> None:
        subject = self.subject(watched, watched.champion) if watched.champion else None
        if subject is None:
            return
        self._close_windows(subject)
        lacking = self.records.unfinished(subject.id, subject.version)
        if "drift" in lacking:
            self._unchecked[subject.id] = watched
        if "explanation" in lacking:
            self._unexplained[subject.id] = watched
        for record in self._unsaid(subject, "quality", lacking):
            self._report(check_quality(self.records, subject, record))
        for record in self._unsaid(subject, "estimate", lacking):
            estimate_window(self.records, subject, record)
        for record in maturing(self.records, subject) if "performance" in lacking else ():
            if record.drift is not None:
                self._report(judge_window(self.records, subject, record)[1])
        if not self._replaying:
            self._listen(subject, now)

    def _unsaid(self, subject: Subject, what: Said, lacking: set[Said]) -> list[WindowRecord]:
        return self.records.unsaid(subject.id, subject.version, what, UNJUDGED) if what in lacking else []

    def _listen(self, subject: Subject, now: datetime) -> None:
        seconds = self._silence.seconds(subject.id, subject.watermark, now)
        if seconds is not None:
            self._report(check_silence(self.records, subject, seconds))

    def _close_windows(self, subject: Subject) -> None:
        rows, every = pane(subject.model.spec.monitoring.window)
        watermark = subject.watermark.timestamp()
        if not ripe(self.records.open_times(subject.id, subject.version, (0, rows - 1)), watermark, every):
            return
        seqs, times = self.records.open_rows(subject.id, subject.version)
        closed = close(times, watermark, rows, every)
        self.records.close(subject.id, subject.version, closed, seqs, watermark)

    def _each(self, waiting: dict[str, Watched], work: Callable[[Watched], None], what: str = "") -> None:
        for name, watched in list(waiting.items()):
            if waiting.get(name) is watched:
                del waiting[name]
            self._guarded(what + watched.id, work, watched)

    def _check(self, watched: Watched) -> None:
        subject = self.subject(watched, watched.champion) if watched.champion else None
        if subject is None:
            return
        for record in self.records.unsaid(subject.id, subject.version, "drift", UNJUDGED):
            if record.breaks is None or record.estimate is None or self._stopping.is_set():
                return
            self.counters.add("trimtab_monitor_detector_runs_total")
            try:
                self._report(check_drift(self.records, subject, record, self._detector))
            except Unavailable as error:
                self.counters.add("trimtab_monitor_detector_failures_total")
                if self._stopping.is_set() or self._detectors.failed(subject.id, (subject.version, record.window), time.monotonic()):
                    raise
                log.warning("%s: window %d is left untested: %s", subject.id, record.window, error)
                give_up(self.records, subject, record, str(error))
            self._due.said(subject.id)

    def _explain(self, watched: Watched) -> None:
        subject = self.subject(watched, watched.champion) if watched.champion else None
        if subject is None or watched.champion is None or self._predictors.waits(subject.id, time.monotonic()):
            return
        for record in self.records.unsaid(subject.id, subject.version, "explanation", UNJUDGED):
            if record.breaks is None or self._stopping.is_set():
                return
            try:
                self._report(check_explanation(self.records, subject, record, watched.champion))
            except Unavailable as error:
                self.counters.add("trimtab_monitor_explanation_failures_total")
                if self._stopping.is_set() or self._predictors.failed(subject.id, (subject.version, record.window), time.monotonic()):
                    raise
                leave_unexplained(self.records, subject, record, str(error))
                return

    def _report(self, findings: list[Finding]) -> None:
        for finding in findings:
            log.info("finding %s of %s/%s: %s", finding.kind, finding.namespace, finding.model, finding.sentence)

    def _retire(self) -> None:
        for what, count in self._retention.round(list(self._watched.values()), datetime.now(UTC)).items():
            self.counters.add("trimtab_monitor_deleted_total", count, what=what)

    # --- pairing

    def _pair_all(self) -> None:
        pending = self.scores.pending()
        for watched in list(self._watched.values()):
            if watched.others or watched.id in pending:
                self._guarded(watched.id, self._pair, watched)

    def _pair(self, watched: Watched) -> None:
        watermark = self.store.watermark(watched.id)
        if watermark is not None and watched.champion is not None:
            failed = pair(self.scores, watched, watermark, self._stopping)
            self.counters.add("trimtab_monitor_pairing_failures_total", failed)

    def matured(self, watched: Watched, schema: Schema) -> datetime | None:
        """The last event time whose labels had time to arrive; None before the first row."""
        watermark = self.store.watermark(watched.id)
        if watermark is None:
            return None
        delay = duration(watched.model.spec.data.label_delay).total_seconds()
        labels = progress(schema, self.store.label_times(watched.id))
        return moment(come(watermark.timestamp(), labels, delay) - delay)
