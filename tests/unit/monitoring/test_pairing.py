"""Pairing against predictors that are real HTTP servers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import numpy as np
import pytest

from trimtab.monitoring import views
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.pairing import score
from trimtab.monitoring.ports import Watched, WatchedVersion

from .folders import HOUR, NOW, START, MemoryFleet, instances, labels_of, model, served, told, truth

ID = "default/demand"
Answer = Callable[[list[dict[str, Any]]], tuple[int, Any]]


class Predictor:
    """A predictor that answers as it is told and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, int]] = []
        self.url = ""


@contextmanager
def serving(answer: Answer) -> Iterator[Predictor]:
    predictor = Predictor(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            rows = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))["instances"]
            predictor.asked.append((self.path, self.headers["x-trimtab-capture"], len(rows)))
            status, body = predictor.answer(rows)
            content = msgspec.json.encode(body)
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    predictor.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield predictor
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def good(rows: list[dict[str, Any]]) -> tuple[int, Any]:
    return 200, {"predictions": truth(rows).tolist()}


def biased(rows: list[dict[str, Any]]) -> tuple[int, Any]:
    return 200, {"predictions": (truth(rows) + 2.0).tolist()}


def raising_on_north(rows: list[dict[str, Any]]) -> tuple[int, Any]:
    return (500, {"error": "boom"}) if any(row["site"] == "north" for row in rows) else good(rows)


def watch(monitor: Monitor, fleet: MemoryFleet, version: WatchedVersion, champion: str, candidate: str = "") -> None:
    urls = [msgspec.structs.replace(version, version=number, url=url) for number, url in (("1", champion), ("2", candidate))]
    fleet.models = [Watched(model(), urls[0], (urls[1],) if candidate else ())]
    monitor.tick(NOW)
    monitor.settle()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(lambda rows: (200, {"predictions": [1.5] * len(rows)}), [b"1.5"] * 4, id="all rows"),
        pytest.param(raising_on_north, [b"3.0", None, b"3.0", None], id="rows that make it raise are found and left out"),
        pytest.param(lambda _: (400, {"error": "no"}), [None] * 4, id="a version that refuses every row"),
        pytest.param(lambda _: (503, {}), None, id="a version that is not ready has said nothing"),
        pytest.param(lambda _: (404, {}), None, id="nor has one that is not there"),
        pytest.param(lambda _: (200, {"other": []}), None, id="an answer without predictions says nothing"),
        pytest.param(lambda _: (200, {"predictions": [1.0]}), [b"1.0"] * 4, id="too few predictions: the rows are asked one by one"),
    ],
)
def test_score(answer: Answer, expected: list[bytes | None] | None) -> None:
    rows = [{"load": 1.0, "heat": 0.0, "site": site} for site in ("east", "north", "west", "north")]
    with serving(answer) as predictor:
        found = score(predictor.url, "demand", [msgspec.json.encode(row) for row in rows])
    assert found.predictions == expected
    assert predictor.asked[0] == ("/v1/models/demand:predict", "off", 4)


def test_a_version_that_is_gone_has_said_nothing() -> None:
    with serving(good) as predictor:
        pass
    assert score(predictor.url, "demand", [b"{}"]).predictions is None


def test_losses_on_the_same_rows_in_event_time_order(
    monitor: Monitor, fleet: MemoryFleet, version: WatchedVersion, generator: np.random.Generator
) -> None:
    rows = instances(generator, 200)
    with serving(good) as champion, serving(biased) as candidate:
        watch(monitor, fleet, version, champion.url)
        monitor.accept(served(rows[:50]), NOW)
        watch(monitor, fleet, version, champion.url, candidate.url)
        later = rows[50:]
        monitor.accept([*served(later[::-1], version="2", first=50), *labels_of(later, generator, 1.0)], NOW)
        watch(monitor, fleet, version, champion.url, candidate.url)
        assert {asked[1] for asked in champion.asked + candidate.asked} == {"off"}
        assert sum(asked[2] for asked in champion.asked) == 150
        found = views.paired(monitor, ID, "1", "2", START)
        mature = rows[50:176]
        labels = {event.data["key"]: event.data["value"] for event in labels_of(rows, np.random.default_rng(0), 0.0)}
        assert (len(found.champion), len(found.candidate)) == (len(mature), len(mature))
        assert np.mean(found.champion) < np.mean(found.candidate)
        np.testing.assert_allclose(np.mean(np.sqrt(found.champion)), 0.8, atol=0.15)
        assert len(labels) == 200
        since = datetime.fromisoformat(rows[99]["at"])
        assert views.paired(monitor, ID, "1", "2", since).champion == found.champion[50:]
        assert found.clip == monitor.reference(version).metrics.loss_clip


def test_rows_that_the_candidate_cannot_score_are_left_out_and_counted(
    monitor: Monitor, fleet: MemoryFleet, version: WatchedVersion, generator: np.random.Generator
) -> None:
    rows = [{**row, "at": (START + (n + 1) * HOUR).isoformat()} for n, row in enumerate(instances(generator, 100))]
    north = sum(row["site"] == "north" for row in rows)
    with serving(good) as champion, serving(raising_on_north) as candidate:
        monitor.accept(served([{**rows[0], "id": -1, "at": START.isoformat()}], first=1000), NOW)
        watch(monitor, fleet, version, champion.url, candidate.url)
        monitor.accept([*served(rows), told(999, 1.0, NOW), *labels_of(rows, generator, 1.0)], NOW)
        watch(monitor, fleet, version, champion.url, candidate.url)
        assert monitor.scores.counts() == {"scored": 200 - north, "failed": north}
        asked = len(candidate.asked)
        watch(monitor, fleet, version, champion.url, candidate.url)
        assert len(candidate.asked) == asked


def test_a_candidate_that_is_away_is_asked_again_and_nothing_is_lost(
    monitor: Monitor, fleet: MemoryFleet, version: WatchedVersion, generator: np.random.Generator
) -> None:
    rows = instances(generator, 60)
    with serving(good) as champion, serving(good) as candidate:
        monitor.accept(served(rows[:1]), NOW)
        candidate.answer = lambda _: (503, {})
        watch(monitor, fleet, version, champion.url, candidate.url)
        monitor.accept(served(rows[1:], first=1), NOW)
        watch(monitor, fleet, version, champion.url, candidate.url)
        assert monitor.scores.counts() == {"scored": 59, "failed": 0}
        candidate.answer = good
        watch(monitor, fleet, version, champion.url, candidate.url)
        assert monitor.scores.counts() == {"scored": 118, "failed": 0}
