"""Capture as real processes: a predictor's side and its shipper. Every event is delivered, dropped for a reason, or waits, whoever dies."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from serving.predictor.capture import Capture
from serving.predictor.exchange import Identity, Told
from serving.predictor.shipper import Settings
from serving.predictor.spool import claim
from tests.unit.serving.test_predictor import V1, V2, Running, tensors
from tests.unit.serving.tiny import ROW, SECRET, TinyMonitor, answers, call, tiny_model, until
from trimtab.events import REQUEST
from trimtab.platforms.local.processes import free_port

BODY = b'{"instances": [{"hour": 7}]}'
ANSWER = b'{"predictions":[1.5]}'


def shipper_of(pid):
    """The shipper of a predictor's process, once it reads the pipe."""

    def found():
        for child in psutil.Process(pid).children():
            # One that was killed may not have been waited for yet.
            with contextlib.suppress(psutil.NoSuchProcess):
                if "serving.predictor.shipper" in child.cmdline():
                    return child
        return None

    return until(found)


class Own:
    """A capture in this process, with an event loop of its own, and its monitor."""

    def __init__(self, folder, monitor, **settings):
        (folder / "secret").write_text(SECRET)
        spool = settings.pop("spool", None)
        who = Identity("bike", "default", "3")
        self.capture = Capture(Settings(monitor.url, str(folder / "secret"), who, **settings), None if spool is None else claim(spool))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def take(self, count, body=BODY, content=ANSWER, ids=None):
        async def taken():
            for number in range(count):
                self.capture.take(False, body, content, time.monotonic(), b"" if ids is None else ids[number])

        asyncio.run_coroutine_threadsafe(taken(), self._loop).result(20)

    def counts(self):
        counts = self.capture.counts()
        assert counts.queued >= 0
        assert counts.captured == counts.delivered + counts.lost + counts.queued
        return counts

    @property
    def shipper(self):
        return shipper_of(os.getpid())

    def state(self):
        """What the shipper has told of itself, once it has."""
        return until(lambda: self.capture._shipping and self.capture._shipping.board.read())

    def close(self):
        if not self._loop.is_running():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.capture.close()


@pytest.fixture
def started():
    found = []

    def start(*arguments, **settings):
        found.append(Own(*arguments, **settings))
        return found[-1]

    yield start
    for own in found:
        own.close()


@pytest.fixture
def monitor():
    monitor = TinyMonitor()
    yield monitor
    monitor.close()


def test_all_that_was_taken_is_delivered_and_has_an_id_of_its_own(started, monitor, tmp_path):
    own = started(tmp_path, monitor)
    own.take(1_000)
    own.take(1, content=None)
    until(lambda: own.counts().delivered == 2_001)
    own.close()
    assert len({(event.id, event.type) for event in monitor.events}) == 2_001
    assert own.counts().lost == 0


def test_what_the_ring_had_no_room_for_leaves_though_nothing_else_comes(started, monitor, tmp_path):
    own = started(tmp_path, monitor)
    large = b'{"instances": [{"text": "%b"}]}' % (b"x" * 200_000)
    own.take(40, body=large)
    assert own.counts().queued > 0, "eight megabytes are more than the ring holds"
    until(lambda: own.counts().delivered == 80)
    assert own.counts().lost == 0


def test_a_sample_is_the_same_for_a_request_that_is_sent_again_and_says_what_it_stands_for(started, monitor, tmp_path):
    own = started(tmp_path, monitor, told=Told(sample=0.25))
    for _ in range(2):
        own.take(400, ids=[b"request-%d" % number for number in range(400)])
    until(lambda: own.counts().queued == 0)
    counts = own.counts()
    own.close()
    assert counts.captured + counts.skipped == 1_600
    assert 0.15 < counts.captured / 1_600 < 0.35
    assert {event.extensions["trimtabweight"] for event in monitor.events} == {"4"}
    told = [event.id for event in monitor.events if event.type == REQUEST]
    assert sorted(told) == sorted(2 * list(set(told)))


def test_a_shipper_that_is_killed_is_replaced_and_what_it_held_is_counted(started, monitor, tmp_path, caplog):
    monitor.status = 503
    own = started(tmp_path, monitor)
    own.take(100)
    until(lambda: own.counts().failures)
    own.shipper.kill()
    until(lambda: own.counts().dropped["crashed"])
    assert own.counts().dropped["crashed"] == own.counts().lost == 200
    own.take(50)
    assert own.counts().queued == 100
    monitor.status = 202
    until(lambda: own.counts().delivered == 100)
    assert own.counts().captured == 300
    own.close()
    assert "ended with exit code -9 and is started anew" in caplog.text


def test_the_next_shipper_takes_over_the_spool_of_the_one_that_was_killed(started, monitor, tmp_path):
    monitor.status = 503
    own = started(tmp_path, monitor, bound=2_000, spool=tmp_path / "spool")
    for number in range(40):
        own.take(100)
        until(lambda number=number: own.state().received == 200 * (number + 1) and own.state().held <= 1_500)
    spooled = own.state().spooled
    assert spooled >= 6_500
    own.shipper.kill()
    until(lambda: own.counts().dropped["crashed"])
    assert own.counts().lost == 8_000 - spooled
    monitor.status = 202
    until(lambda: own.counts().queued == 0)
    assert own.counts().delivered == len(monitor.events) == spooled
    assert own.counts().captured == 8_000
    own.close()


def test_where_the_shipper_stands_still_the_oldest_are_dropped_and_memory_is_bounded(started, monitor, tmp_path):
    own = started(tmp_path, monitor, bound=1_000)
    shipper = own.shipper
    assert own.state().received == 0
    shipper.suspend()
    large = b'{"instances": [{"hour": 7, "text": "%b"}]}' % (b"x" * 100_000)
    before = psutil.Process().memory_info().rss
    own.take(1_000, large)
    assert own.counts().dropped["full"] == own.counts().lost > 1_000
    assert psutil.Process().memory_info().rss - before < 60 << 20, "16 MiB may wait, and 1 MiB in the pipe"
    own.take(600)
    assert own.counts().queued < 1_400
    shipper.resume()
    until(lambda: own.counts().queued == 0)
    counts = own.counts()
    own.close()
    assert counts.dropped["full"] == counts.lost
    assert len(monitor.events) == counts.delivered == 3_200 - counts.lost
    numbers = [int(event.id.rpartition("-")[2]) for event in monitor.events if event.type == REQUEST]
    assert numbers == sorted(numbers)
    assert numbers[-400:] == list(range(1_201, 1_601)), "the newest are kept"


def test_closing_beside_a_shipper_that_stands_still_kills_it_in_time_and_counts(started, monitor, tmp_path):
    own = started(tmp_path, monitor, seconds=0.2)
    shipper = own.shipper
    assert own.state().received == 0
    shipper.suspend()
    own.take(100)
    own.close()
    assert own.counts().dropped["crashed"] == own.counts().lost == 200
    assert not shipper.is_running()


def test_closing_where_the_monitor_is_down_drops_in_time_and_counts(started, monitor, tmp_path):
    monitor.status = 503
    own = started(tmp_path, monitor, seconds=0.5)
    own.take(300)
    until(lambda: own.state().held == 600)
    own.close()
    assert (own.counts().dropped["closed"], own.counts().lost, own.counts().queued) == (600, 600, 0)


def test_the_shipper_of_a_killed_predictor_sends_what_it_holds_and_ends(tmp_path):
    own = Running(tmp_path)
    own.monitor.status = 503
    for _ in range(40):
        assert call(own.port, "POST", V1, {"instances": [ROW]})[0] == 200
    until(lambda: own.metrics()["trimtab_capture_failures_total"])
    shipper = shipper_of(own.process.pid)
    own.process.kill()
    own.process.wait()
    own.monitor.status = 202
    assert psutil.wait_procs([shipper], 10)[1] == []
    assert len(own.monitor.events) == 80
    own.monitor.close()


def test_counters_add_up_at_every_scrape_while_shippers_are_killed(tmp_path):
    own = Running(tmp_path)
    parts = ("trimtab_capture_delivered_total", "trimtab_capture_dropped_total{", "trimtab_capture_queued")
    seen, last = set(), 0.0
    for number in range(600):
        body = {"inputs": tensors([ROW])}
        assert call(own.port, "POST", V2, body)[0] == 200
        if number in (150, 400):
            shipper = shipper_of(own.process.pid)
            shipper.kill()
            seen.add(shipper.pid)
        if number % 10 == 0:
            found = own.metrics()
            assert found["trimtab_capture_captured_total"] == sum(value for name, value in found.items() if name.startswith(parts))
            assert found["trimtab_capture_captured_total"] == 2 * number + 2
            assert found["trimtab_capture_queued"] >= 0
            assert found["trimtab_capture_delivered_total"] >= last
            last = found["trimtab_capture_delivered_total"]
    until(lambda: own.metrics()["trimtab_capture_queued"] == 0)
    found = own.metrics()
    assert found["trimtab_capture_delivered_total"] + found['trimtab_capture_dropped_total{reason="crashed"}'] == 1_200
    assert found["trimtab_capture_delivered_total"] <= len(own.monitor.events)
    assert len(seen) == 2
    own.close()


def test_a_signal_to_the_whole_group_loses_nothing_and_leaves_nothing(tmp_path):
    digest = tiny_model(tmp_path / "v")
    (tmp_path / "secret").write_text(SECRET)
    monitor, port = TinyMonitor(), free_port()
    options = {"name": "bike", "version": "3", "folder": tmp_path / "v", "digest": digest, "port": port, "capture-url": monitor.url}
    options["secret-file"] = tmp_path / "secret"
    command = [sys.executable, "-m", "serving.predictor", *(f"--{name}={value}" for name, value in options.items())]
    process = subprocess.Popen(command, start_new_session=True)
    until(lambda: answers(port, "/v2/models/bike/ready"), 60)
    shipper = shipper_of(process.pid)
    for _ in range(40):
        assert call(port, "POST", V1, {"instances": [ROW]})[0] == 200
    os.killpg(process.pid, signal.SIGINT)
    process.wait(10)
    assert len(monitor.events) == 80
    assert not shipper.is_running()
    monitor.close()


def test_the_shipper_holds_no_socket_that_listens_and_no_end_of_its_own_pipe(tmp_path):
    own = Running(tmp_path)
    shipper = shipper_of(own.process.pid)
    assert [found for found in shipper.connections() if found.status == psutil.CONN_LISTEN] == []
    links = [str(path.readlink()) for path in Path(f"/proc/{shipper.pid}/fd").iterdir()]
    assert len([link for link in links if link.startswith("pipe:")]) == 1
    own.close()


def test_the_shipper_imports_nothing_that_the_model_needs():
    code = "import sys, serving.predictor.shipper; print(sorted({'numpy', 'kserve', 'uvicorn', 'fastapi', 'xgboost'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
