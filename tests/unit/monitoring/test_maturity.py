"""Labels may come in any order, and class by class: what is judged is all of them."""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.events import CloudEvent
from trimtab.manifest import write_manifest
from trimtab.monitoring import views
from trimtab.monitoring.maturity import given_up, mature, patience, progress
from trimtab.monitoring.metric import error, roc_auc
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.schema import HOLDOUT, METRICS, PREDICTION, REFERENCE, SCHEMA, Metrics, Schema
from trimtab.spec import Model

from .folders import FEATURES, HOUR, NOW, START, MemoryFleet, ScipyDetector, answered, asked, instances, model, told

DAY = 86_400.0
ID = "default/demand"
BINARY = Schema("binary", "y", FEATURES, key="id", time="at", classes=("0", "1"))


@pytest.mark.parametrize(
    ("labels", "after_end", "come", "expected"),
    [
        pytest.param(100, 1.0, -9.0, True, id="all labels, a day after the end"),
        pytest.param(100, 0.9, 9.0, False, id="all labels, but the last rows had less than their delay"),
        pytest.param(99, 1.9, 9.0, False, id="one label late: it waits a delay more"),
        pytest.param(99, 2.0, 2.0, True, id="and is then judged without it"),
        pytest.param(99, 2.0, 1.9, False, id="but not before the labels have come as far"),
        pytest.param(99, 4.9, 0.0, False, id="labels that lag are waited for"),
        pytest.param(99, 5.0, 0.0, True, id="not without end"),
        pytest.param(49, 9.0, 9.0, False, id="half of the labels are needed"),
        pytest.param(29, 9.0, 9.0, False, id="and thirty"),
    ],
)
def test_mature(labels: int, after_end: float, come: float, expected: bool) -> None:
    end = 4 * DAY
    assert mature(labels, 100, end + after_end * DAY, end + come * DAY, 0.0, end, DAY) == expected


@pytest.mark.parametrize(
    ("task", "times", "expected"),
    [
        pytest.param("regression", {b"": 5.0}, 5.0, id="a regression's labels are one stream"),
        pytest.param("binary", {b"0": 9.0, b"1": 4.0}, 4.0, id="the class that lags"),
        pytest.param("binary", {b"0": 9.0, b"true": 3.0, b"1": 4.0}, 4.0, id="however a class is spelled"),
        pytest.param("binary", {b"0": 9.0, b'"garbage"': 1.0, b"1": 4.0}, 4.0, id="what is no class has no say"),
        pytest.param("binary", {b"0": 9.0}, -math.inf, id="a class that never came"),
        pytest.param("regression", {}, -math.inf, id="no label at all"),
    ],
)
def test_progress(task: str, times: dict[bytes, float], expected: float) -> None:
    schema = BINARY if task == "binary" else Schema("regression", "y", FEATURES)
    assert progress(schema, times) == expected


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 1.0), st.floats(0.0, 6.0))
def test_in_whatever_order_labels_come_a_matured_window_has_all_that_ever_come(number: int, never: float, lag: float) -> None:
    """Each class is shuffled within a patience; one class lags by days, and the watermark runs as far ahead as it likes."""
    draw = np.random.default_rng(number)
    at = np.sort(draw.uniform(0, 12 * DAY, 300))
    end, start, delay = 6 * DAY, 0.0, DAY
    longer = patience(start, end, delay)
    truth, answers = draw.integers(0, 2, 300), draw.random(300)
    comes = np.flatnonzero(draw.random(300) >= never / 3)
    known = at + draw.uniform(0, delay, 300)
    shuffled = known + draw.uniform(0, longer, 300) + lag * DAY * (truth == draw.integers(0, 2))
    inside = at <= end
    final = inside & np.isin(np.arange(300), comes)
    there = np.zeros(300, dtype=bool)
    times: dict[bytes, float] = {}
    watermark = 0.0
    for one in comes[np.argsort(shuffled[comes])]:
        there[one] = True
        value = str(truth[one]).encode()
        times[value] = max(times.get(value, 0.0), known[one])
        watermark = max(watermark, known[one] + draw.exponential(DAY))
        labels = int((there & inside).sum())
        if mature(labels, int(inside.sum()), watermark, progress(BINARY, times), start, end, delay):
            if given_up(watermark, start, end, delay):
                break
            now, ever = (error("roc_auc", "binary", truth[rows].astype(float), answers[rows]) for rows in (there & inside, final))
            assert labels == final.sum()
            assert now == pytest.approx(ever, nan_ok=True)


def scored(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    return np.array([1 / (1 + np.exp(1.5 - row["load"])) for row in rows])


def binary(folder: Path) -> tuple[Model, WatchedVersion]:
    """A version whose scores are the probabilities."""
    draw = np.random.default_rng(5)
    sample = instances(draw, 2000, start=START - 2000 * HOUR)
    columns: dict[str, Any] = {name: [row[name] for row in sample] for name in sample[0]}
    said = scored(sample)
    truth = (draw.random(2000) < said).astype(int)
    folder.mkdir(parents=True)
    pq.write_table(pa.table({**columns, "y": truth, PREDICTION: said, HOLDOUT: [True] * 2000}), folder / REFERENCE)
    (folder / METRICS).write_bytes(msgspec.json.encode(Metrics({"roc_auc": roc_auc(truth, said)}, "roc_auc", 5.0, 2000, 2000)))
    (folder / SCHEMA).write_bytes(msgspec.json.encode(BINARY))
    made = model()
    return msgspec.structs.replace(made, spec=msgspec.structs.replace(made.spec, task="binary")), WatchedVersion(
        folder.name, write_manifest(folder), folder
    )


def test_a_feed_that_brings_the_negatives_first_is_waited_for(tmp_path: Path) -> None:
    asking, version = binary(tmp_path / "1")
    sent: list[CloudEvent] = []
    monitor = Monitor(tmp_path / "monitor.db", MemoryFleet(Watched(asking, version)), ScipyDetector(), sent.append, replaying=True)
    draw = np.random.default_rng(6)
    rows = instances(draw, 210)
    truth = (draw.random(210) < scored(rows)).astype(int)
    answers = scored(rows)
    events = [event for number, row in enumerate(rows) for event in (asked(number, [row]), answered(number, [float(answers[number])]))]
    labels = [told(row["id"], int(one), datetime.fromisoformat(row["at"]) + 20 * HOUR) for row, one in zip(rows, truth, strict=True)]
    lost = {7, 55}
    monitor.accept([*events, *(labels[n] for n in np.flatnonzero(truth == 0) if n not in lost)], NOW)

    def judged() -> list[dict[str, Any] | None]:
        for _ in range(2):
            monitor.tick(NOW)
            monitor.settle()
        monitor.tick(NOW)
        return [window["judgement"] for window in views.performance(monitor, ID)]

    assert judged() == [None, None]
    assert (truth[:100] == 0).sum() > 50
    monitor.accept([labels[n] for n in np.flatnonzero(truth == 1) if n not in lost], NOW)
    first = judged()[0]
    assert first is not None
    kept = np.array([n not in lost for n in range(100)])
    assert first["value"] == pytest.approx(roc_auc(truth[:100][kept], answers[:100][kept]))
    assert (first["rows"], first["missing"]) == (98, 2)
    monitor.stop()
