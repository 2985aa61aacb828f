"""Several processes on one port, as real processes: what is counted, what a crash costs, and how all leave under load."""

import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path

import psutil

from serving.predictor.peers import Family, added
from tests.unit.serving.test_predictor import V1, Running, launch, start
from tests.unit.serving.tiny import ROW, answers, call, tiny_model, until

BODY = json.dumps({"instances": [ROW]})


def test_what_workers_counted_is_added_up_but_for_what_has_no_sum():
    def told(requests, start_time):
        return [
            Family("r", "", "counter", [("r_total", {"code": "200"}, requests), ("r_created", {"code": "200"}, start_time)]),
            Family("t", "", "gauge", [("process_start_time_seconds", {}, start_time)]),
        ]

    other = [*told(5.0, 2.0), Family("only", "", "counter", [("only_total", {}, 1.0)])]
    found = {family.name: family.samples for family in added(told(3.0, 1.0), [other])}
    assert found["r"] == [("r_total", {"code": "200"}, 8.0), ("r_created", {"code": "200"}, 1.0)]
    assert found["t"] == [("process_start_time_seconds", {}, 1.0)]
    assert found["only"] == [("only_total", {}, 1.0)]


def pids(process):
    return {child.pid for child in psutil.Process(process.pid).children()}


def test_each_scrape_tells_of_all_workers_and_a_worker_that_dies_is_replaced_and_takes_no_count_away(tmp_path):
    own = Running(tmp_path, "--workers", 2)
    name = 'trimtab_requests_total{code="200",version="3"}'
    folder = Path(workers_folder(own.process))
    until(lambda: len(list(folder.glob("*.sock"))) == 2, 60)
    for _ in range(100):
        assert call(own.port, "POST", V1, {"instances": [ROW]})[0] == 200
    for _ in range(10):
        found = own.metrics()
        assert found[name] == 100
        assert found['trimtab_request_seconds_count{version="3"}'] == 100
        assert found['trimtab_prediction_bucket{le="+Inf",version="3"}'] == 100
        assert found["trimtab_capture_captured_total"] == 200
        parts = ("trimtab_capture_delivered_total", "trimtab_capture_dropped_total{", "trimtab_capture_queued")
        assert found["trimtab_capture_captured_total"] == sum(value for part, value in found.items() if part.startswith(parts))
    before = pids(own.process)
    os.kill(min(before), signal.SIGKILL)
    until(lambda: len(pids(own.process)) == 2 and pids(own.process) != before, 60)
    until(lambda: {int(path.stem) for path in folder.glob("*.sock")} >= pids(own.process), 60)
    for _ in range(40):
        assert call(own.port, "POST", V1, {"instances": [ROW]})[0] == 200
    assert {own.metrics()[name] for _ in range(10)} == {140}
    own.process.terminate()
    assert own.process.wait(20) == 0
    assert "ended with exit code -9 and is started anew" in own.log_path.read_text()
    own.monitor.close()


def workers_folder(process):
    """The folder that the workers of `process` have in common; a worker's socket is in it once the worker can answer."""
    until(lambda: len(pids(process)) == 2)
    return until(lambda: psutil.Process(max(pids(process))).environ().get("TRIMTAB_WORKERS_FOLDER"))


def test_workers_end_with_the_process_that_started_them(tmp_path):
    process, port = start(tmp_path / "v", tiny_model(tmp_path / "v"), tmp_path / "log", "--workers", 2)
    until(lambda: answers(port, "/v2/models/bike/ready"), 60)
    workers = [psutil.Process(pid) for pid in pids(process)]
    process.kill()
    assert psutil.wait_procs(workers, 20)[1] == []


def test_a_corrupted_version_ends_all_workers_with_exit_code_2(tmp_path):
    tiny_model(tmp_path / "v")
    process, _ = start(tmp_path / "v", "0" * 64, tmp_path / "log", "--workers", 2)
    assert process.wait(60) == 2
    assert "the version was changed" in (tmp_path / "log").read_text().strip().splitlines()[-1]


class Balancer:
    """Callers with connections of their own behind a balancer: they go to any place that was ready at the last look."""

    def __init__(self, ports):
        self.ready = list(ports)
        self.codes = []
        self.faults = []
        self._ports = ports
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(index,)) for index in range(8)]
        self._threads += [threading.Thread(target=self._look)]
        for thread in self._threads:
            thread.start()

    def _look(self):
        while not self._over.wait(0.1):
            self.ready = [port for port in self._ports if answers(port, "/v2/models/bike/ready")]

    def _call(self, index):
        kept = {}
        while not self._over.is_set():
            ready = self.ready
            port = ready[index % len(ready)]
            try:
                if port not in kept:
                    kept[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                kept[port].request("POST", V1, BODY)
                answer = kept[port].getresponse()
                answer.read()
                self.codes.append((port, answer.status))
                if answer.getheader("connection") == "close":
                    kept.pop(port).close()
            except OSError as error:
                self.faults.append((port, repr(error)))
                kept.pop(port, None)

    def close(self):
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_workers_leave_under_load_without_a_failed_request(tmp_path):
    digest = tiny_model(tmp_path / "v")
    common = ("--name", "bike", "--version", "3", "--folder", tmp_path / "v", "--digest", digest)
    leaving, port = launch(tmp_path / "leaving", *common, "--workers", 2, "--drain", 2)
    staying, other = launch(tmp_path / "staying", *common)
    for each in (port, other):
        until(lambda each=each: answers(each, "/v2/models/bike/ready"), 60)
    load = Balancer([port, other])
    try:
        until(lambda: len(load.codes) > 1000, 60)
        sent = time.monotonic()
        leaving.terminate()
        assert leaving.wait(30) == 0
        assert time.monotonic() - sent >= 2
        done = len(load.codes)
        until(lambda: len(load.codes) > done + 200, 60)
    finally:
        load.close()
    staying.terminate()
    assert staying.wait(10) == 0
    assert load.faults == []
    assert {code for _, code in load.codes} == {200}
    assert {place for place, _ in load.codes} == {port, other}
    assert (tmp_path / "leaving").read_text() == ""
