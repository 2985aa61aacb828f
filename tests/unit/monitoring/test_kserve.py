"""KServe's own logger, as it was watched: binary mode, raw bodies, no version, pairs by id, health calls among them."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import test_utils

from trimtab.events import BATCH, LABEL, STRUCTURED
from trimtab.monitoring import views
from trimtab.monitoring.ingest import Asked
from trimtab.monitoring.kserve import make_kserve_app, read
from trimtab.monitoring.monitor import Monitor

from .folders import HOUR, NOW, START, MemoryFleet, ScipyDetector, answered, asked, instances, row_counts, served, told, truth

ID = "default/demand"
ROW = {"id": 1, "at": START.isoformat(), "load": 1.0, "heat": 2.0, "site": "east"}
V2 = {
    "inputs": [
        {"name": "load", "shape": [2], "datatype": "FP64", "data": [1.0, 3.0]},
        {"name": "heat", "shape": [2, 1], "datatype": "FP64", "data": [[2.0], [4.0]]},
        {"name": "site", "shape": [2], "datatype": "BYTES", "data": ["east", "west"]},
    ]
}
ROWS = [{"load": 1.0, "heat": 2.0, "site": "east"}, {"load": 3.0, "heat": 4.0, "site": "west"}]


@pytest.fixture
def live(tmp_path: Path, fleet: MemoryFleet) -> Iterator[Monitor]:
    """A monitor that does not replay: a row without a time has its event's."""
    made = Monitor(tmp_path / "live.db", fleet, ScipyDetector(), lambda _: None)
    yield made
    made.stop()


def headers(kind: str, number: str = "1", **more: str) -> dict[str, str]:
    return {
        "Ce-Specversion": "1.0",
        "Ce-Id": number,
        "Ce-Type": f"org.kubeflow.serving.inference.{kind}",
        "Ce-Source": "http://localhost:9081/",
        "Ce-Time": "2026-01-01T00:00:00.123Z",
        "Ce-Inferenceservicename": "demand",
        "Ce-Namespace": "default",
        "Ce-Component": "predictor",
        "Ce-Endpoint": "",
        "Content-Type": "application/json",
        **more,
    }


def send(monitor: Monitor, *messages: tuple[dict[str, str], Any]) -> list[tuple[int, dict[str, Any]]]:
    async def all_of_it() -> list[tuple[int, dict[str, Any]]]:
        found = []
        async with test_utils.TestClient(test_utils.TestServer(make_kserve_app(monitor))) as client:
            for head, body in messages:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                answer = await client.post("/", headers=head, data=data)
                found.append((answer.status, await answer.json()))
        return found

    return asyncio.run(all_of_it())


@pytest.mark.parametrize(
    ("request_body", "response_body", "rows", "answers"),
    [
        pytest.param({"instances": ROWS}, {"predictions": [1, 2]}, ROWS, [1, 2], id="V1 with named columns"),
        pytest.param({"instances": [list(row.values()) for row in ROWS]}, {"predictions": [1, 2]}, ROWS, [1, 2], id="V1 with lists"),
        pytest.param(V2, {"outputs": [{"name": "y", "shape": [2], "data": [1, 2]}]}, ROWS, [1, 2], id="V2 with a tensor a column"),
        pytest.param(
            {"inputs": [{"name": "x", "shape": [2, 3], "data": [1.0, 2.0, "east", 3.0, 4.0, "west"]}]},
            {"outputs": [{"name": "y", "shape": [2, 2], "data": [1, 2, 3, 4]}]}, ROWS, [[1, 2], [3, 4]], id="V2 with one flat tensor",
        ),
        pytest.param(
            {"inputs": [{"name": "x", "shape": [2, 3], "data": [[1.0, 2.0, "east"], [3.0, 4.0, "west"]]}]},
            {"outputs": [{"name": "y", "shape": [2, 1], "data": [[1], [2]]}]}, ROWS, [1, 2], id="V2 with one nested tensor",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turned", [pytest.param(False, id="in order"), pytest.param(True, id="response first")])
def test_a_pair_becomes_the_champions_rows(
    live: Monitor, request_body: Any, response_body: Any, rows: Any, answers: Any, turned: bool
) -> None:
    pair = [(headers("request"), request_body), (headers("response"), response_body)]
    assert [status for status, _ in send(live, *(pair[::-1] if turned else pair), *pair)] == [202] * 4
    assert live.store.counts(ID) | {"rows": 2, "rowsWithoutAnswer": 0} == live.store.counts(ID)
    assert row_counts(live.store) == {(ID, "1"): 2}
    assert 'trimtab_monitor_kserve_events_total{result="duplicate"} 2' in views.metrics(live, NOW)
    found = live.scores.unscored(ID, "1", START - HOUR)
    assert [json.loads(row.features) for row in found] == rows
    seqs, times = live.records.open_rows(ID, "1")
    assert len(seqs) == 2
    assert times == [START.timestamp() + 0.123] * 2
    with live.store.transaction(reading=True) as connection:
        kept = connection.exec_driver_sql("SELECT prediction FROM rows ORDER BY position").scalars().all()
    assert [json.loads(answer) for answer in kept] == answers


@pytest.mark.parametrize(
    ("head", "body", "status", "words"),
    [
        pytest.param(headers("request"), b"", 202, "", id="a health call"),
        pytest.param(headers("request"), {"name": "demand", "ready": True}, 202, "", id="something else in JSON"),
        pytest.param(headers("request"), b"\x00\x01", 400, "not JSON", id="a binary body"),
        pytest.param(headers("request"), b"[" * 200_000, 400, "nested too deeply", id="nested beyond reason"),
        pytest.param(headers("request"), {"instances": [[1.0]]}, 400, "a list of 3 values, one a feature", id="rows of another width"),
        pytest.param(headers("request"), {"instances": "x"}, 400, "neither V1 nor V2", id="instances that are none"),
        pytest.param(headers("request"), {"inputs": [{"name": "x", "shape": [3], "data": [1.0]}]}, 400, "shape", id="a wrong shape"),
        pytest.param(
            headers("request"), {"inputs": [{"name": "load", "shape": [1], "data": [1.0]}, *V2["inputs"][1:]]}, 400, "unequal", id="unequal"
        ),
        pytest.param(headers("request", **{"Ce-Inferenceservicename": "other"}), {"instances": ROWS}, 404, "not known", id="another model"),
        pytest.param(headers("request", **{"Ce-Namespace": "a/b"}), {"instances": ROWS}, 400, "is no name", id="a namespace that is none"),
        pytest.param(headers("request", **{"Ce-Type": LABEL}), told(1, 2.0, NOW).data, 400, "not taken on this port", id="a label"),
        pytest.param(headers("request", **{"Ce-Type": "dev.trimtab.finding.v1"}), {}, 400, "not taken on this port", id="a finding"),
        pytest.param({"Content-Type": STRUCTURED}, {"specversion": "1.0"}, 400, "only binary-mode", id="structured mode"),
        pytest.param({"Content-Type": BATCH}, [], 400, "only binary-mode", id="a batch"),
        pytest.param({"Content-Type": "application/json"}, {"instances": ROWS}, 400, "not a CloudEvent", id="no CloudEvent"),
        pytest.param(headers("request"), b" " * ((1 << 20) + 1), 413, "at most 1,048,576 bytes", id="too large"),
    ],
)  # fmt: skip
def test_what_is_not_kept(monitor: Monitor, head: dict[str, str], body: Any, status: int, words: str) -> None:
    [(found, content)] = send(monitor, (head, body))
    assert (found, words in content.get("error", "")) == (status, True), content
    assert row_counts(monitor.store) == {}
    assert monitor.store.watermark(ID) is None


def test_a_version_by_the_pods_annotation(monitor: Monitor) -> None:
    noted = headers("request", **{"Ce-Annotations": json.dumps({"trimtab.dev/version": "2"})})
    odd = headers("request", "2", **{"Ce-Annotations": "{"})
    assert [status for status, _ in send(monitor, (noted, {"instances": [ROW]}), (odd, {"instances": [ROW]}))] == [202, 202]
    assert row_counts(monitor.store) == {(ID, "2"): 1, (ID, "1"): 1}


def test_no_label_ever_joins_what_nobody_vouches_for(monitor: Monitor) -> None:
    send(monitor, (headers("request"), {"instances": [ROW]}), (headers("response"), {"predictions": [5.0]}))
    monitor.accept([told(1, 5.0, NOW), told("1:0", 5.0, NOW), told("http", 5.0, NOW)], NOW)
    assert monitor.store.counts(ID) | {"labels": 3, "labelsUnknownKey": 3} == monitor.store.counts(ID)


def test_it_cannot_answer_or_use_up_what_an_authenticated_sender_sends(monitor: Monitor) -> None:
    """Whoever guesses id and source of a request could otherwise write its prediction."""
    spoofed = headers("response", "r1", **{"Ce-Source": "/predictor"})
    send(monitor, (spoofed, {"predictions": [-1.0]}), (headers("request", "r1", **{"Ce-Source": "/predictor"}), {"instances": [ROW]}))
    assert monitor.accept([asked(1, [ROW]), answered(1, [7.0])], NOW) == [True, True]
    seqs, times = monitor.records.open_rows(ID, "1")
    with monitor.store.transaction(reading=True) as connection:
        found = connection.exec_driver_sql("SELECT key, prediction FROM rows ORDER BY key").all()
    assert [tuple(row) for row in found] == [("1", b"7.0"), ("kserve/r1:0", b"-1.0")]
    assert len(seqs) == len(times) == 2


def test_the_watermark_is_at_most_the_receipt(live: Monitor) -> None:
    body = json.dumps({"instances": [{**ROW, "at": "2026-06-01T20:00:00Z"}, {"load": 1.0}]}).encode()
    found = read(live, headers("request", **{"Ce-Time": "2027-01-01T00:00:00Z"}), body, NOW)
    assert isinstance(found, Asked)
    assert [row.time for row in found.rows] == [NOW.timestamp()] * 2


def test_drift_is_found_in_what_kserve_logged(monitor: Monitor, generator: np.random.Generator) -> None:
    rows = instances(generator, 300, shift=2.0)
    messages: list[tuple[dict[str, str], Any]] = []
    for first in range(0, 300, 50):
        part = rows[first : first + 50]
        messages.append((headers("request", f"n{first}"), {"instances": part}))
        messages.append((headers("response", f"n{first}"), {"predictions": [float(value) for value in truth(part)]}))
    assert {status for status, _ in send(monitor, *messages)} == {202}
    monitor.accept(served(instances(generator, 1, start=START + 400 * HOUR, first=999), first=999), NOW)
    for _ in range(2):
        monitor.tick(NOW)
        monitor.settle()
    assert views.standing(monitor, ID)[0] in ("covariate", "prediction")
