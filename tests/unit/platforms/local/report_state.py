"""A state folder with a whole story in it, written through the real stores: trained, drifted, promoted, and a bad candidate rolled back."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import replace

from trimtab.documents import parse_model
from trimtab.events import CloudEvent, Finding, FindingKind, finding_event
from trimtab.monitoring.deciding import Drift
from trimtab.monitoring.ingest import Answered, Arrival, Asked, Labelled, Row
from trimtab.monitoring.performance import Judgement
from trimtab.monitoring.records import Records
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import scores
from trimtab.monitoring.windows import Closed
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State
from trimtab.release import (
    DecisionRecord,
    GuardVerdict,
    Phase,
    Promotion,
    Release,
    ReleaseSpec,
    ReleaseStatus,
    Request,
    Verdict,
    Verdicted,
)
from trimtab.schema import HOLDOUT, METRICS, PREDICTION, REFERENCE, SCHEMA, Feature, Metrics, Schema
from trimtab.spec import Champion, Metadata, Model, ModelStatus, Version, recipe

START = datetime(2011, 7, 1, tzinfo=UTC)
WALL = datetime.now(UTC)
HOUR = timedelta(hours=1)
NASTY = "<script>alert('x')</script> & <b>bold</b>"
ID = "default/bikes"
DOCUMENT = """
apiVersion: trimtab.dev/v1alpha1
kind: Model
metadata: {name: bikes}
spec:
  task: regression
  data: {uri: bike.csv, label: demand, time: at, key: id, labelDelay: 24h}
  monitoring: {window: {rows: 336}}
"""


class Writer:
    """Writes Releases with their decisions, each a wall second and some hours of data time after the one before."""

    def __init__(self, objects: SqliteObjects, model: Model) -> None:
        self._objects, self._model, self._wall = objects, model, WALL

    def release(self, request: Request, status: ReleaseStatus, decisions: Sequence[tuple[int, Phase, str, str, int]]) -> Release:
        """`decisions` are (hours since START, phase, reason, sentence, weight)."""
        name = f"bikes-{request.id[:10]}"
        records = []
        for number, (hours, phase, reason, sentence, weight) in enumerate(decisions):
            self._wall += timedelta(seconds=3)
            at = START + hours * HOUR
            records.append(DecisionRecord(number, self._wall, at, phase, reason, sentence, weight, "e", "p", f"{name}-{number}"))
            self._objects.append("bikes", name, records[-1])
        finished = self._wall if records and records[-1].phase in (Phase.PROMOTED, Phase.ROLLED_BACK) else None
        last = records[-1]
        status = replace(
            status,
            phase=last.phase,
            reason=last.reason,
            sentence=last.sentence,
            decisions=tuple(records),
            finished=finished,
            weight=last.weight,
        )
        spec = ReleaseSpec("bikes", self._model.metadata.uid, recipe(self._model.spec), request)
        return self._objects.create(Release(Metadata(name=name), spec, status))


def write_story(folder: Path, hours: int = 2400) -> State:
    """First version at START, a retrained one promoted at 45% of the hours, a bad one rolled back at 80%."""
    state = State(folder)
    state.prepare()
    objects = SqliteObjects(state.database)
    model = objects.create(replace(parse_model(DOCUMENT), status=ModelStatus(first_cut=START)))
    canary, swap, bad, gone = (round(share * hours) for share in (0.42, 0.45, 0.8, 0.83))
    found = _monitored(state, model, hours, canary, swap, bad, gone)
    writer = Writer(objects, model)
    first, second, third = (Version(str(number), "d" * 64) for number in (1, 2, 3))
    _first(writer, first)
    _retrained(writer, found, first, second, (canary, swap))
    _bad(writer, second, third, (bad, gone))
    objects.write_status(replace(model, status=ModelStatus(Champion("2", "d" * 64, 2), Champion("1", "d" * 64), START)))
    objects.close()
    for version in (first, second):
        _folder(state.version_folder("bikes", version.version))
    return state


def _first(writer: Writer, version: Version) -> None:
    request = Request("recipe", "/models/default/bikes", "aaaaaaaaaa", START, sentence="the first version")
    status = ReleaseStatus(candidate=version, promotion=Promotion(WALL, START, WALL))
    decisions = [
        (0, Phase.TRAINING, "Admitted", "nothing stands against it", 0),
        (0, Phase.ROLLOUT, "CandidateReady", "version 1 passed its gates", 0),
        (0, Phase.ROLLOUT, "PromotionStarted", "there is no champion yet: 100% at once", 100),
        (0, Phase.ROLLOUT, "ChampionSwapped", "version 1 becomes champion", 100),
        (0, Phase.PROMOTED, "Promoted", "version 1 is the champion", 100),
    ]
    writer.release(request, status, decisions)


def _retrained(writer: Writer, event: CloudEvent, old: Version, new: Version, when: tuple[int, int]) -> None:
    canary, swap = when
    finding = event.data
    request = Request("performance", event.source, event.id, START + (canary - 60) * HOUR, sentence=finding["sentence"], event=finding)
    errors = GuardVerdict("errors", "notWorse", "errors: 0 of 180 against 1 of 720", -0.001, -0.02, 0.021, 0.05, False, 720, 180)
    slow = GuardVerdict("slow", "hold", "slow: 2 of 180 against 4 of 720", 0.0056, -0.018, 0.052, 0.05, False, 720, 180)
    quality = GuardVerdict("quality", "notWorse", "the loss on 480 rows is 60% lower", 0.4, 0.3, 0.5, 1.05, True, 480, 480)
    status = ReleaseStatus(
        candidate=new,
        compared_with=Champion(old.version, old.digest),
        promotion=Promotion(WALL, START + swap * HOUR, WALL, old_dropped=True),
        verdict=Verdict("notWorse", "no guard is worse", (errors, slow)),
        bake_verdict=Verdict("notWorse", quality.sentence, (quality,)),
    )
    decisions = [
        (canary - 60, Phase.TRAINING, "Admitted", "nothing stands against it", 0),
        (canary - 20, Phase.ROLLOUT, "Deployed", "version 2 is deployed at 0%", 0),
        (canary, Phase.ROLLOUT, "NextStep", "step 1 of 2: 20% of the traffic", 20),
        (canary + 40, Phase.ROLLOUT, "NextStep", "step 2 of 2: 50% of the traffic; no guard is worse", 50),
        (swap - 2, Phase.ROLLOUT, "PromotionStarted", "not worse at every step: 100%", 100),
        (swap, Phase.ROLLOUT, "ChampionSwapped", "version 2 becomes champion", 100),
        (swap, Phase.BAKING, "Baking", "version 2 bakes for 21d of data time", 100),
        (swap + 504, Phase.PROMOTED, "Promoted", "version 2 is the champion", 100),
    ]
    writer.release(request, status, decisions)


def _bad(writer: Writer, old: Version, new: Version, when: tuple[int, int]) -> None:
    bad, gone = when
    request = Request("person", "notebook", "cccccccccc", START + (bad - 100) * HOUR, by=NASTY, sentence=NASTY)
    sentence = f"errors: 21 of 60 against 0 of 240 {NASTY}"
    errors = GuardVerdict("errors", "harm", sentence, 0.35, 0.19, 0.52, 0.05, False, 240, 60)
    slow = GuardVerdict("slow", "notWorse", "slow: 0 of 60 against 2 of 240", -0.008, -0.03, 0.03, 0.05, False, 240, 60)
    status = ReleaseStatus(
        candidate=new,
        compared_with=Champion(old.version, old.digest, 2),
        verdict=Verdict("harm", errors.sentence, (errors, slow)),
        outcome=Verdicted(Phase.ROLLED_BACK, "Harm", errors.sentence),
    )
    decisions = [
        (bad - 40, Phase.ROLLOUT, "CandidateReady", "version 3 passed its gates", 0),
        (bad, Phase.ROLLOUT, "NextStep", "step 1 of 2: 20% of the traffic", 20),
        (gone, Phase.WITHDRAWING, "Harm", sentence, 20),
        (gone, Phase.WITHDRAWING, "Harm", sentence, 0),
        (gone + 2, Phase.ROLLED_BACK, "Harm", sentence, 0),
    ]
    writer.release(request, status, decisions)


def _monitored(state: State, model: Model, hours: int, canary: int, swap: int, bad: int, gone: int) -> CloudEvent:
    """Rows, labels, windows, findings and paired scores; returns the finding that asked for the retraining."""
    generator = np.random.default_rng(3)
    store = Store(state.monitor_database)
    number = np.arange(hours)
    demand = 150 + 100 * np.sin(number / 24 * 2 * np.pi) + 130 * number / hours + generator.normal(0, 25, hours)
    answers = {"1": 150 + 100 * np.sin(number / 24 * 2 * np.pi), "2": demand + generator.normal(0, 45, hours), "3": demand}
    share = generator.random(hours)
    versions = np.where(number < swap, "1", "2")
    versions[(number >= canary) & (number < swap) & (share < 0.35)] = "2"
    versions[(number >= bad) & (number < gone) & (share < 0.2)] = "3"
    arrivals: list[Arrival] = []
    for hour, version in enumerate(versions.tolist()):
        key, at = f"h{hour}", START + hour * HOUR
        arrivals.append(Asked("play", key, ID, version, (Row(0, key, at.timestamp(), json.dumps({"id": key}).encode()),)))
        if not (version == "3" and generator.random() < 0.4):
            arrivals.append(Answered("play", key, ID, (json.dumps(round(float(answers[version][hour]), 2)).encode(),)))
        if hour < hours - 24:
            value = json.dumps(round(float(demand[hour]), 2)).encode()
            arrivals.append(Labelled("play", f"l{hour}", ID, key, value, (at + 24 * HOUR).timestamp()))
    for first in range(0, len(arrivals), 5000):
        store.write(arrivals[first : first + 5000], WALL, replaying=True)
    _pair(store, answers, swap, min(swap + 504, hours))
    asked = _judged(Records(store), model, demand, answers)
    store.close()
    return asked


def _pair(store: Store, answers: dict[str, np.ndarray], first: int, stop: int) -> None:
    found = [
        {
            "model": ID,
            "version": version,
            "key": f"h{hour}",
            "row": hour + 1,
            "prediction": json.dumps(float(answers[version][hour])).encode(),
        }
        for version in ("1", "2")
        for hour in range(first, stop)
    ]
    with store.transaction() as connection:
        connection.execute(scores.insert(), found)


def _judged(records: Records, model: Model, demand: np.ndarray, answers: dict[str, np.ndarray]) -> CloudEvent:
    asked: CloudEvent | None = None
    for version, validation in (("1", 34.0), ("2", 46.0)):
        seqs, times = records.open_rows(ID, version)
        places = range(0, len(seqs) - 336, 336)
        records.close(ID, version, [Closed(times[at], times[at + 335], at, at + 336) for at in places], seqs, times[-1])
        late = 0
        for record in records.recent(ID, version, 1000):
            hours = np.array([seq - 1 for seq in seqs[record.window * 336 : record.window * 336 + 336]])
            value = float(np.sqrt(np.mean((demand[hours] - answers[version][hours]) ** 2)))
            past = value > 1.1 * validation * 1.1
            late += past
            judgement = Judgement("rmse", value, value * 0.92, value * 1.09, validation, validation * 1.1, 336, past, past)
            kinds: list[FindingKind] = []
            if past and late == 2:
                kinds.append("performance")
            if record.window % 4 == 1:
                kinds.append("covariate")
            events = [_finding(model, version, record.window, kind, record.start, record.end, value) for kind in kinds]
            records.say(ID, record, {"quality": (), "drift": Drift(), "performance": judgement}, events)
            asked = next((event for event in events if event.data["kind"] == "performance" and asked is None), asked)
    assert asked is not None
    return asked


def _finding(model: Model, version: str, window: int, kind: FindingKind, start: float, end: float, value: float) -> CloudEvent:
    since, until = (datetime.fromtimestamp(seconds, UTC) for seconds in (start, end))
    sentence = f"rmse of version {version} on 336 matured labels is {value:.4g}, worse than its bound of 77, in 2 of 3 windows"
    if kind == "covariate":
        sentence = f"1 of the inputs, '{NASTY}' the most, of version {version} moved from the reference in 2 of 3 windows"
    uid = model.metadata.uid
    return finding_event(
        Finding("bikes", "default", uid, version, kind, window, since, until, until + 24 * HOUR, sentence), "/trimtab/monitor"
    )


def _folder(folder: Path) -> None:
    """A version's files, as many as a report needs."""
    folder.mkdir(parents=True)
    schema = Schema("regression", "demand", (Feature("temp", "number"),), key="id", time="at")
    (folder / SCHEMA).write_bytes(msgspec.json.encode(schema))
    (folder / METRICS).write_bytes(msgspec.json.encode(Metrics({"rmse": 70.0}, "rmse", 40_000.0, 100, 30)))
    hours = [START - hour * HOUR for hour in range(60)]
    columns = {"temp": [float(hour) for hour in range(60)], "demand": [1.0] * 60, PREDICTION: [1.0] * 60, HOLDOUT: [True] * 60}
    pq.write_table(pa.table({**columns, "at": [hour.isoformat() for hour in hours]}), folder / REFERENCE)
