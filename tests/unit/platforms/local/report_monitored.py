"""What the monitor saw in the story that the report's tests tell: rows, labels, windows, findings, paired scores."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np

from trimtab.events import CloudEvent, Finding, FindingKind, finding_event
from trimtab.monitoring.deciding import Drift
from trimtab.monitoring.ingest import Answered, Arrival, Asked, Labelled, Row
from trimtab.monitoring.performance import Judgement
from trimtab.monitoring.records import Records
from trimtab.monitoring.store import Store
from trimtab.monitoring.tables import scores
from trimtab.monitoring.windows import Closed
from trimtab.platforms.local.state import State
from trimtab.spec import Model

START = datetime(2011, 7, 1, tzinfo=UTC)
WALL = datetime.now(UTC)
HOUR = timedelta(hours=1)
NASTY = "<script>alert('x')</script> & <b>bold</b>"
ID = "default/bikes"


def monitored(state: State, model: Model, hours: int, canary: int, swap: int, bad: int, gone: int) -> CloudEvent:
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
        every = records.recent(ID, version, 1000)
        for record in every:
            hours = np.array([seq - 1 for seq in seqs[record.window * 336 : record.window * 336 + 336]])
            value = float(np.sqrt(np.mean((demand[hours] - answers[version][hours]) ** 2)))
            past = value > 1.1 * validation * 1.1
            judgement = Judgement("rmse", value, value * 0.92, value * 1.09, validation, validation * 1.1, 336, past, past)
            kinds: list[FindingKind] = []
            if version == "1" and record is every[-1]:
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
