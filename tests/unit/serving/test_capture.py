import pytest

from serving.predictor.capture import Capture, Identity
from tests.unit.serving.tiny import ROW, SECRET, TinyMonitor, until
from trimtab.events import REQUEST, RESPONSE

WHO = Identity("bike", "default", "3")


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


def consistent(counts):
    return counts.captured == counts.sent + counts.dropped + counts.queued


def test_a_request_and_its_answer_are_two_events_of_one_id(monitor, secret_file):
    capture = Capture(monitor.url, secret_file, WHO)
    capture.take([ROW], [1.5], 100)
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
    capture.close(1)


def test_a_failed_request_is_one_event(monitor, secret_file):
    capture = Capture(monitor.url, secret_file, WHO)
    capture.take([ROW], None, 100)
    until(lambda: capture.counts().sent == 1)
    assert [event.type for event in monitor.events] == [REQUEST]
    capture.close(1)


def test_nothing_below_the_bound_is_lost_while_the_monitor_is_down(monitor, secret_file):
    monitor.status = 503
    capture = Capture(monitor.url, secret_file, WHO, bound=2_000)
    for number in range(700):
        capture.take([{**ROW, "hour": number}], [1.0], 100)
        assert consistent(capture.counts())
    assert capture.counts().queued == 1_400
    monitor.status = 202
    until(lambda: capture.counts().sent == 1_400)
    assert [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST] == list(range(700))
    assert max(monitor.batches) <= 200
    assert len({(event.source, event.id, event.type) for event in monitor.events}) == 1_400
    capture.close(1)
    assert capture.counts().dropped == 0


def test_a_monitor_that_nobody_serves_yet_gets_all_when_it_comes(monitor, secret_file):
    port = monitor.port
    monitor.close()
    capture = Capture(f"http://127.0.0.1:{port}/events", secret_file, WHO)
    for number in range(50):
        capture.take([{**ROW, "hour": number}], [1.0], 100)
    until(lambda: capture.counts().queued == 100)
    late = TinyMonitor(port)
    until(lambda: capture.counts().sent == 100)
    assert len(late.events) == 100
    capture.close(1)
    late.close()


def test_above_the_bound_the_oldest_are_dropped_and_counted(monitor, secret_file):
    monitor.status = 503
    capture = Capture(monitor.url, secret_file, WHO, bound=500)
    for number in range(1_000):
        capture.take([{**ROW, "hour": number}], [1.0], 100)
    counts = capture.counts()
    assert consistent(counts)
    assert counts.queued <= 500
    assert counts.dropped >= 1_500
    monitor.status = 202
    until(lambda: capture.counts().queued == 0)
    kept = [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST]
    assert kept[-1] == 999
    assert kept[-150:] == list(range(850, 1_000))
    assert len(monitor.events) == capture.counts().sent == 2_000 - capture.counts().dropped
    capture.close(1)


def test_large_requests_are_bounded_by_bytes(monitor, secret_file):
    monitor.status = 503
    capture = Capture(monitor.url, secret_file, WHO)
    for _ in range(100):
        capture.take([ROW], [1.0], 8 << 20)
    assert capture.counts().queued <= 2 * 10
    assert consistent(capture.counts())
    capture.close(0)


def test_what_the_monitor_refuses_for_good_is_dropped_alone(monitor, secret_file):
    monitor.refuse = lambda events: any(event.data.get("instances", [{}])[0].get("hour") == 13 for event in events if event.type == REQUEST)
    capture = Capture(monitor.url, secret_file, WHO)
    for number in range(40):
        capture.take([{**ROW, "hour": number}], [1.0], 100)
    until(lambda: capture.counts().queued == 0)
    assert (capture.counts().sent, capture.counts().dropped) == (78, 2)
    capture.close(1)


def test_what_cannot_be_encoded_is_dropped_alone(monitor, secret_file):
    capture = Capture(monitor.url, secret_file, WHO)
    for value in (1, object(), 3):
        capture.take([{**ROW, "extra": value}], [1.0], 100)
    until(lambda: capture.counts().queued == 0)
    assert (capture.counts().sent, capture.counts().dropped) == (4, 2)
    capture.close(1)


def test_a_wrong_secret_is_tried_again_until_the_file_is_right(monitor, secret_file):
    secret_file.write_text("wrong")
    capture = Capture(monitor.url, secret_file, WHO)
    capture.take([ROW], [1.0], 100)
    until(lambda: capture.counts().queued == 2)
    secret_file.write_text(SECRET)
    until(lambda: capture.counts().sent == 2)
    capture.close(1)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_refusal_that_may_pass_is_counted_and_tried_again(monitor, secret_file, status):
    monitor.status = status
    capture = Capture(monitor.url, secret_file, WHO)
    capture.take([ROW], [1.0], 100)
    until(lambda: capture.counts().failures >= 2)
    assert (capture.counts().queued, capture.counts().dropped) == (2, 0)
    monitor.status = 202
    until(lambda: capture.counts().sent == 2)
    assert len(monitor.events) == 2
    capture.close(1)


def test_a_secret_that_is_not_there_yet_is_waited_for(monitor, secret_file):
    secret_file.unlink()
    capture = Capture(monitor.url, secret_file, WHO)
    capture.take([ROW], [1.0], 100)
    until(lambda: capture.counts().failures >= 1)
    secret_file.write_text(SECRET)
    until(lambda: capture.counts().sent == 2)
    capture.close(1)


def test_closing_sends_what_is_queued(monitor, secret_file):
    capture = Capture(monitor.url, secret_file, WHO)
    for _ in range(300):
        capture.take([ROW], [1.0], 100)
    capture.close(2)
    assert capture.counts().sent == 600


def test_closing_gives_up_in_time_where_the_monitor_is_down(monitor, secret_file):
    monitor.status = 503
    capture = Capture(monitor.url, secret_file, WHO)
    for _ in range(300):
        capture.take([ROW], [1.0], 100)
    capture.close(0.5)
    counts = capture.counts()
    assert (counts.dropped, counts.queued) == (600, 0)
