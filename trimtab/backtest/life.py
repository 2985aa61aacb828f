"""One policy's life over a history: rows come in their order, and monitor, governor and loop do as they do in service.

After each piece of rows (`LOOKS` a window) the monitor looks, then the loop, until nothing moves any more. A row is answered by the
champion of its time. Training at a cut reads the file through the pipeline's own ingest, which leaves out what is not known at the cut.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from trimtab.backtest.history import History, moment
from trimtab.backtest.ports import MemoryFleet, MemoryMonitor, MemoryObjects, MemoryPackages, MemoryPlaces, MemoryRunner, MemoryServing
from trimtab.backtest.workshop import Made, Workshop
from trimtab.control.gather import Ports
from trimtab.control.intake import accept, release_for
from trimtab.control.loop import Loop
from trimtab.errors import InvalidInput, Unavailable
from trimtab.events import LABEL, REQUEST, RESPONSE, CloudEvent, Finding, data_of
from trimtab.monitoring.columns import Column, Floats, Table, labelled
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors import DEFAULT, Detector
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.pairing import compared
from trimtab.release import PairedLosses, Phase, Release, Request
from trimtab.schema import read_metrics, read_schema
from trimtab.spec import Drift, Model
from trimtab.training.model import predict
from trimtab.training.score import numbers
from trimtab.units import duration

LOOKS = 50
"""How often the monitor looks within a window: it finds out at most 2% of a window too late."""
SETTLED = 40
SOURCE = "/trimtab/backtest"


class Retrain(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One training run after the first: its cut, what asked for it, and how it ended; `since` is when its version began to serve."""

    cut: datetime
    trigger: str
    phase: Phase
    sentence: str
    since: datetime | None = None


class Said(Struct, frozen=True, rename="camel"):
    """One finding."""

    kind: str
    cut: datetime
    window: int
    sentence: str


class Lived(Struct, frozen=True, rename="camel"):
    """What came of a policy: the prediction of each row from `first` on, its retrains and findings.

    `fits` are all that was fitted, as (cut, folder), whatever the gates said of it.
    """

    first: int
    said: Floats
    retrains: list[Retrain]
    findings: list[Said]
    fits: list[tuple[datetime, Path]]


class Lent:
    """A detector that outlives the monitor it is lent to."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def test(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift = DEFAULT) -> dict[str, ColumnTest]:
        """What the detector says."""
        return self._detector.test(columns, reference, window, drift)

    def close(self) -> None:
        """Nothing ends."""


class Answers:
    """What a version says of all rows of a history, kept: a prediction depends on nothing but the row and the version."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._known: dict[Path, Floats] = {}

    def of(self, folder: Path) -> Floats:
        """Shape (rows,), for a multiclass model (rows, classes)."""
        if folder not in self._known:
            schema = read_schema(folder)
            self._known[folder] = predict(folder, numbers(self._history.table, schema))
        return self._known[folder]


class Life:
    """The life of `model` from the first cut `start` on. `asks` are moments at which a schedule asks for a new version."""

    def __init__(
        self,
        history: History,
        model: Model,
        workshop: Workshop,
        detector: Detector,
        folder: Path,
        start: datetime,
        asks: Sequence[datetime],
    ) -> None:
        """`folder` is for the monitor's database."""
        self._history, self._start, self._asks, self.now = history, start, list(asks), start
        self._objects = MemoryObjects(lambda: self.now)
        uid = model.metadata.uid or model.name
        metadata = replace(model.metadata, uid=uid)
        self._model = self._objects.create(replace(model, metadata=metadata, status=replace(model.status, first_cut=start)))
        self._answers = Answers(history)
        lag = duration(model.spec.rollout.max_duration)
        self._runner, serving = MemoryRunner(workshop, lambda: self.now, lag), MemoryServing()
        fleet = MemoryFleet(self._objects, self._runner)
        self._monitor = Monitor(folder / "monitor.db", fleet, Lent(detector), self._emit, replaying=True)
        self._id = f"{model.metadata.namespace}/{model.name}"
        port = MemoryMonitor(lambda: self._monitor.store.watermark(self._id), self._quality, self._paired)
        self._loop = Loop(
            Ports(self._objects, self._objects, self._runner, serving, serving, self._runner, port, MemoryPackages(), MemoryPlaces()),
            lambda: self.now,
        )

    def live(self) -> Lived:
        """Live to the last row. Raises InvalidInput where there is no first version."""
        try:
            return self._live()
        finally:
            self._monitor.stop()

    def _live(self) -> Lived:
        self._settle()
        champion = self._champion()
        history, first = self._history, self._history.after(self._start.timestamp())
        if champion is None:
            status = self.releases[0].status
            at = f"{self._start:%Y-%m-%d %H:%M}, the first cut"
            msg = f"there is no first version at {at}: {status.sentence}. At a later --from more is known"
            raise InvalidInput(msg)
        said: list[Floats] = []
        told, place = first, first
        while place < len(history):
            stop = self._piece(place)
            said.append(self._answers.of(champion.folder)[place:stop])
            self.now = moment(history.times[stop - 1])
            known = min(history.known(history.times[stop - 1]), stop)
            self._monitor.accept(self._asked(place, stop, said[-1]) + self._labels(told, known), self.now)
            told, place = max(told, known), stop
            self._look()
            self._ask(history.times[stop] if stop < len(history) else np.inf)
            self._settle()
            champion = self._champion() or champion
        return Lived(first, np.concatenate(said) if said else np.empty(0), self._retrains(), self._findings(), self._fits())

    def _piece(self, place: int) -> int:
        """Where the rows end that are played before the next look."""
        window, times = self._model.spec.monitoring.window, self._history.times
        stop = min(len(times), place + max(1, window.rows // LOOKS))
        bounds = [times[place] + duration(window.every).total_seconds() / LOOKS] if window.every else []
        bounds += [self._asks[0].timestamp()] if self._asks else []
        return max(place + 1, min([stop, *(self._history.after(bound) for bound in bounds)]))

    def _champion(self) -> Made | None:
        champion = self._objects.all_of(Model)[0].status.champion
        return self._runner.versions[champion.version] if champion else None

    # --- what comes in

    def _asked(self, place: int, stop: int, said: Floats) -> list[CloudEvent]:
        champion = self._objects.all_of(Model)[0].status.champion
        extensions = {"inferenceservicename": self._model.name, "namespace": self._model.metadata.namespace}
        extensions["trimtabversion"] = champion.version if champion else ""
        instances = [msgspec.json.decode(raw) for raw in self._history.instances[place:stop]]
        bodies = ((REQUEST, {"instances": instances}), (RESPONSE, {"predictions": said.tolist()}))
        return [CloudEvent(f"rows-{place}", SOURCE, kind, time=self.now, data=body, extensions=extensions) for kind, body in bodies]

    def _labels(self, place: int, stop: int) -> list[CloudEvent]:
        history, meta = self._history, self._model.metadata
        found = []
        for row in range(place, stop):
            if history.labels[row] is not None:
                data = {"model": meta.name, "namespace": meta.namespace, "key": history.keys[row], "value": history.labels[row]}
                data["time"] = moment(history.times[row] + history.delay).isoformat()
                found.append(CloudEvent(f"label-{row}", SOURCE, LABEL, time=self.now, data=data))
        return found

    # --- who looks

    def _look(self) -> None:
        """Twice: what a test says is judged, and what is judged is told, at the look after it."""
        for _ in range(2):
            self._monitor.tick(self.now)
            self._monitor.settle()
        failures = self._monitor.counters.values().get("trimtab_monitor_failures_total", {})
        if sum(failures.values()):
            msg = f"the monitor failed at {self.now:%Y-%m-%d %H:%M}; its log says why"
            raise Unavailable(msg)

    def _emit(self, event: CloudEvent) -> None:
        accept(event, self._objects)

    def _ask(self, until: float) -> None:
        """What the schedule asks for before the next row."""
        while self._asks and self._asks[0].timestamp() < until:
            cut = self._asks.pop(0)
            request = Request("schedule", SOURCE, cut.isoformat(), cut, sentence="its time has come")
            self._objects.create(release_for(self._model, request))

    def _settle(self) -> None:
        """Let the loop look until nothing moves any more at this moment."""
        for _ in range(SETTLED):
            before = self._standing()
            self._loop.step()
            if self._runner.broken is not None:
                raise self._runner.broken
            told = {**self._loop.waits, **self._loop.problems}
            if told:
                raise Unavailable("; ".join(told.values()))
            if self._standing() == before:
                return

    def _standing(self) -> tuple[Any, ...]:
        releases = [(one.name, one.status.phase, one.status.reason) for one in self.releases]
        return (*releases, self._objects.all_of(Model)[0].status.champion)

    # --- what the loop asks

    def _quality(self) -> list[str]:
        return [str(event.data["sentence"]) for event in self._monitor.records.open_quality(self._id)]

    def _paired(self, champion: str, candidate: str, since: datetime) -> PairedLosses:
        history, first = self._history, self._runner.versions[champion].folder
        start, stop = history.after(since.timestamp()), history.known(self.now.timestamp())
        schema, clip = read_schema(first), read_metrics(first).loss_clip
        if start >= stop:
            return PairedLosses(clip=clip)
        truth = labelled(schema, history.labels[start:stop])
        sides = [self._answers.of(self._runner.versions[version].folder)[start:stop] for version in (champion, candidate)]
        return compared(schema.task, truth, sides, clip)

    # --- what came of it

    @property
    def releases(self) -> list[Release]:
        """All Releases so far, the first version's first."""
        return self._objects.all_of(Release)

    def _retrains(self) -> list[Retrain]:
        found = []
        for release in self.releases[1:]:
            status, request = release.status, release.spec.request
            if status.attempt:
                since = status.promotion.since if status.promotion else None
                found.append(Retrain(request.cut, request.trigger, status.phase, status.sentence, since))
        return found

    def _findings(self) -> list[Said]:
        found = (data_of(event, Finding) for event in self._monitor.records.findings(self._id))
        return [Said(one.kind, one.cut, one.window, one.sentence) for one in found]

    def _fits(self) -> list[tuple[datetime, Path]]:
        return [(run.request.cut, run.ended.fitted) for run in self._runner.runs.values() if run.ended and run.ended.fitted]
