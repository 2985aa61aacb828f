"""The shipper's queue: what is told, in which order, and that every event is delivered, dropped for a reason, or waits."""

import itertools
import os
import threading
import time

import msgspec
import pytest

from serving.predictor.counters import Board, Ledger
from serving.predictor.delivery import LINGER_SECONDS, Delivery
from serving.predictor.exchange import Encoder, Exchange, Identity, Told
from serving.predictor.sender import Sender
from serving.predictor.spool import Spool, claim
from serving.predictor.waiting import Waiting
from tests.unit.serving.tiny import ROW, SECRET, TinyMonitor, until
from trimtab.errors import InvalidInput
from trimtab.events import REQUEST, RESPONSE

WHO = Identity("bike", "default", "3")
EVERYTHING = Told()
START = 1_767_225_600_000_000_000


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET)
    return path


@pytest.fixture
def monitor():
    monitor = TinyMonitor()
    yield monitor
    monitor.close()


def exchange(rows, predictions, name="id"):
    content = None if predictions is None else msgspec.json.encode({"predictions": predictions})
    return Exchange(name, START, False, msgspec.json.encode({"instances": rows}), content)


class Shipped:
    """The queue of a shipper, and its counters as the predictor tells them."""

    def __init__(self, monitor_url, secret_file, bound=10_000, told=EVERYTHING, spool=None, lower=lambda: None):
        self._board = Board()
        self._taken = 0
        self._names = map("id-{}".format, itertools.count())
        self._delivery = Delivery(Sender(monitor_url, secret_file), Encoder(WHO, told), self._board, bound, spool, lower)
        self.close = self._delivery.close

    def take(self, rows, predictions):
        self.take_whole(exchange(rows, predictions, next(self._names)))

    def take_whole(self, whole):
        self._taken += whole.events
        self._delivery.take([whole])

    def held(self):
        return self._board.read().held

    def counts(self):
        return Ledger().counts(self._taken, 0, {}, self._board.read())


def consistent(counts):
    return counts.queued >= 0 and counts.captured == counts.delivered + counts.lost + counts.queued


def test_a_request_and_its_answer_are_two_events_of_one_id(monitor, secret_file):
    shipped = Shipped(monitor.url, secret_file)
    shipped.take([ROW], [1.5])
    until(lambda: len(monitor.events) == 2)
    request, response = monitor.events
    assert (request.type, response.type) == (REQUEST, RESPONSE)
    assert request.id == response.id
    assert request.data == {"instances": [ROW]}
    assert response.data == {"predictions": [1.5]}
    assert request.source == "http://bike.default"
    assert request.time is not None
    assert request.extensions == {
        "inferenceservicename": "bike",
        "namespace": "default",
        "component": "predictor",
        "endpoint": "",
        "trimtabversion": "3",
    }
    shipped.close(1)


def test_a_failed_request_is_one_event(monitor, secret_file):
    shipped = Shipped(monitor.url, secret_file)
    shipped.take([ROW], None)
    until(lambda: shipped.counts().delivered == 1)
    assert [event.type for event in monitor.events] == [REQUEST]
    shipped.close(1)


def test_nothing_below_the_bound_is_lost_while_the_monitor_is_down(monitor, secret_file):
    monitor.status = 503
    shipped = Shipped(monitor.url, secret_file, bound=2_000)
    for number in range(700):
        shipped.take([{**ROW, "hour": number}], [1.0])
        assert consistent(shipped.counts())
    assert shipped.counts().queued == 1_400
    monitor.status = 202
    until(lambda: shipped.counts().delivered == 1_400)
    assert [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST] == list(range(700))
    assert max(monitor.batches) <= 500
    assert len({(event.source, event.id, event.type) for event in monitor.events}) == 1_400
    shipped.close(1)
    assert shipped.counts().lost == 0


def test_a_monitor_that_nobody_serves_yet_gets_all_when_it_comes(monitor, secret_file):
    port = monitor.port
    monitor.close()
    shipped = Shipped(f"http://127.0.0.1:{port}/events", secret_file)
    for number in range(50):
        shipped.take([{**ROW, "hour": number}], [1.0])
    until(lambda: shipped.counts().queued == 100)
    late = TinyMonitor(port)
    until(lambda: shipped.counts().delivered == 100)
    assert len(late.events) == 100
    shipped.close(1)
    late.close()


def test_above_the_bound_the_oldest_are_dropped_and_counted(monitor, secret_file):
    monitor.status = 503
    shipped = Shipped(monitor.url, secret_file, bound=500)
    for number in range(1_000):
        shipped.take([{**ROW, "hour": number}], [1.0])
    counts = shipped.counts()
    assert consistent(counts)
    assert counts.queued <= 500 + 500, "the bound, and one batch on its way"
    assert counts.dropped["full"] == counts.lost >= 1_000
    monitor.status = 202
    until(lambda: shipped.counts().queued == 0)
    kept = [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST]
    assert kept[-1] == 999
    assert kept[-150:] == list(range(850, 1_000))
    assert len(monitor.events) == shipped.counts().delivered == 2_000 - shipped.counts().lost
    shipped.close(1)


def test_large_requests_are_bounded_by_bytes(monitor, secret_file):
    monitor.status = 503
    shipped = Shipped(monitor.url, secret_file)
    large = msgspec.structs.replace(exchange([ROW], [1.0]), body=b'{"instances": [%b]}' % (b" " * (8 << 20)))
    for _ in range(100):
        shipped.take_whole(large)
    assert shipped.counts().queued <= 2 * 10
    assert consistent(shipped.counts())
    shipped.close(0)


def test_what_the_monitor_refuses_for_good_is_dropped_alone(monitor, secret_file):
    monitor.refuse = lambda events: any(event.data.get("instances", [{}])[0].get("hour") == 13 for event in events if event.type == REQUEST)
    shipped = Shipped(monitor.url, secret_file)
    for number in range(40):
        shipped.take([{**ROW, "hour": number}], [1.0])
    until(lambda: shipped.counts().queued == 0)
    assert (shipped.counts().delivered, shipped.counts().lost) == (78, 2)
    shipped.close(1)


def test_what_cannot_be_encoded_is_dropped_alone(monitor, secret_file):
    shipped = Shipped(monitor.url, secret_file)
    for body in (b"{}", b'{"broken":\n}', b"{}"):
        shipped.take_whole(msgspec.structs.replace(exchange([ROW], [1.0]), body=body))
    until(lambda: shipped.counts().queued == 0)
    assert (shipped.counts().delivered, shipped.counts().lost) == (4, 2)
    shipped.close(1)


def test_a_wrong_secret_is_tried_again_until_the_file_is_right(monitor, secret_file):
    secret_file.write_text("wrong")
    shipped = Shipped(monitor.url, secret_file)
    shipped.take([ROW], [1.0])
    until(lambda: shipped.counts().queued == 2)
    secret_file.write_text(SECRET)
    until(lambda: shipped.counts().delivered == 2)
    shipped.close(1)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_refusal_that_may_pass_is_counted_and_tried_again(monitor, secret_file, status):
    monitor.status = status
    shipped = Shipped(monitor.url, secret_file)
    shipped.take([ROW], [1.0])
    until(lambda: shipped.counts().failures >= 2)
    assert (shipped.counts().queued, shipped.counts().lost) == (2, 0)
    monitor.status = 202
    until(lambda: shipped.counts().delivered == 2)
    assert len(monitor.events) == 2
    shipped.close(1)


def test_a_secret_that_is_not_there_yet_is_waited_for(monitor, secret_file):
    secret_file.unlink()
    shipped = Shipped(monitor.url, secret_file)
    shipped.take([ROW], [1.0])
    until(lambda: shipped.counts().failures >= 1)
    secret_file.write_text(SECRET)
    until(lambda: shipped.counts().delivered == 2)
    shipped.close(1)


def test_closing_sends_what_is_queued(monitor, secret_file):
    shipped = Shipped(monitor.url, secret_file)
    for _ in range(300):
        shipped.take([ROW], [1.0])
    shipped.close(2)
    assert shipped.counts().delivered == 600


def test_closing_gives_up_in_time_where_the_monitor_is_down(monitor, secret_file):
    monitor.status = 503
    shipped = Shipped(monitor.url, secret_file)
    for _ in range(300):
        shipped.take([ROW], [1.0])
    shipped.close(0.5)
    counts = shipped.counts()
    assert (counts.dropped["closed"], counts.lost, counts.queued) == (600, 600, 0)


def test_redacted_columns_leave_the_process_nowhere(monitor, secret_file, tmp_path):
    monitor.status = 503
    spool = Spool(tmp_path, 1 << 20)
    shipped = Shipped(monitor.url, secret_file, 20, Told(redact=frozenset({"name", "iban"})), spool)
    until(lambda: shipped.take([{**ROW, "name": "Ada", "iban": "DE99"}], [1.0]) or spool.events)
    assert not any(b"Ada" in file.read_bytes() for file in tmp_path.glob("*.events"))
    monitor.status = 202
    until(lambda: shipped.counts().queued == 0)
    assert {tuple(event.data["instances"][0]) for event in monitor.events if event.type == REQUEST} == {tuple(ROW)}
    shipped.close(1)


def test_with_a_spool_nothing_is_lost_while_the_monitor_is_away(monitor, secret_file, tmp_path):
    monitor.status = 503
    shipped = Shipped(monitor.url, secret_file, 2_000, spool=Spool(tmp_path, 64 << 20))
    for number in range(5_000):
        shipped.take([{**ROW, "hour": number}], [1.0])
        until(lambda: shipped.held() <= 1_500)
        if number % 100 == 0:
            assert consistent(shipped.counts())
            until(lambda number=number: shipped.counts().failures or number < 400)
    assert (shipped.counts().queued, shipped.counts().lost) == (10_000, 0)
    monitor.status = 202
    until(lambda: shipped.counts().queued == 0)
    assert [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST] == list(range(5_000))
    assert not list(tmp_path.glob("*.events"))
    shipped.close(1)


def test_what_the_end_of_a_process_leaves_in_the_spool_is_sent_by_the_next(monitor, secret_file, tmp_path):
    monitor.status = 503
    first = Shipped(monitor.url, secret_file, 500, spool=Spool(tmp_path, 64 << 20))
    for number in range(100):
        first.take([{**ROW, "hour": number}], [1.0])
    first.close(0.1)
    assert (first.counts().queued, first.counts().lost) == (200, 0)
    monitor.status = 202
    second = Shipped(monitor.url, secret_file, 500, spool=Spool(tmp_path, 64 << 20))
    until(lambda: second.counts().delivered == 200)
    assert consistent(second.counts())
    assert [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST] == list(range(100))
    second.close(1)


def test_a_spool_without_room_leaves_the_oldest_to_be_dropped_and_counted(monitor, secret_file, tmp_path):
    monitor.status = 503
    shipped = Shipped(monitor.url, secret_file, 400, spool=Spool(tmp_path, 100_000))
    for number in range(2_000):
        shipped.take([{**ROW, "hour": number}], [1.0])
    until(lambda: shipped.counts().dropped["full"])
    counts = shipped.counts()
    assert consistent(counts)
    assert sum(file.stat().st_size for file in tmp_path.glob("*.events")) <= 100_000
    monitor.status = 202
    until(lambda: shipped.counts().queued == 0)
    assert consistent(shipped.counts())
    assert len(monitor.events) == shipped.counts().delivered == 4_000 - shipped.counts().lost
    shipped.close(1)


class SlowDisk(Spool):
    """A spool that takes its time to find that it has no room: until then the events that it was to take are in no queue."""

    def add(self, *_):
        time.sleep(2 * LINGER_SECONDS)
        return False


def test_what_a_full_disk_gives_back_is_sent_without_waiting_for_another_request(monitor, secret_file, tmp_path):
    shipped = Shipped(monitor.url, secret_file, 400, spool=SlowDisk(tmp_path, 0))
    for number in range(150):
        shipped.take([{**ROW, "hour": number}], [1.0])
    until(lambda: shipped.counts().queued == 0)
    assert (shipped.counts().delivered, shipped.counts().lost) == (300, 0)
    shipped.close(1)


def test_a_spoiled_line_is_counted_and_the_rest_of_its_segment_is_sent(monitor, secret_file, tmp_path):
    spool = Spool(tmp_path, 1 << 20)
    assert spool.add([Encoder(WHO, Told()).encoded(exchange([ROW], [1.0], f"id-{number}")) for number in range(3)])
    (file,) = tmp_path.glob("*.events")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1][:50] + b"\n" + lines[2])
    shipped = Shipped(monitor.url, secret_file, spool=Spool(tmp_path, 1 << 20))
    until(lambda: shipped.counts().queued == 0)
    assert (shipped.counts().delivered, shipped.counts().dropped["spoiled"]) == (4, 2)
    shipped.close(1)


def test_two_predictors_may_be_given_one_spool(tmp_path):
    first, second = claim(tmp_path), claim(tmp_path)
    assert first.folder != second.folder
    assert Spool(first.folder, 1 << 20).add([Encoder(WHO, Told()).encoded(exchange([ROW], [1.0]))])
    os.close(first.lock)
    third = claim(tmp_path)
    assert Spool(third.folder, 1 << 20).events == 2
    os.close(second.lock)
    os.close(third.lock)


def test_a_spool_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"--capture-spool: .* cannot be written to: "):
        claim(tmp_path / "file")


WHOLE = [
    ("nothing", 0, 10, False),
    ("a few small ones", 9, 10, False),
    ("many small ones", 250, 10, True),
    ("a few large ones", 8, 1 << 17, True),
]


@pytest.mark.parametrize(("count", "size", "whole"), [case[1:] for case in WHOLE], ids=[case[0] for case in WHOLE])
def test_a_sending_is_full_by_events_or_by_bytes_and_is_then_not_waited_for(count, size, whole):
    waiting = Waiting(10_000)
    waiting.add([Exchange(f"id-{number}", START, False, b"x" * size, b"y") for number in range(count)])
    assert waiting.whole == whole


def test_the_sending_thread_that_gave_up_its_priority_is_replaced_while_too_much_waits(monitor, secret_file):
    monitor.status = 503
    lowered = []
    shipped = Shipped(monitor.url, secret_file, 400, lower=lambda: lowered.append(threading.current_thread()))
    until(lambda: len(lowered) == 1)
    for number in range(150):
        shipped.take([{**ROW, "hour": number}], [1.0])
    monitor.status = 202
    until(lambda: shipped.counts().delivered == 300)
    until(lambda: len(lowered) == 2)
    assert not lowered[0].is_alive()
    assert lowered[1].is_alive()
    assert [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST] == list(range(150))
    shipped.close(1)
