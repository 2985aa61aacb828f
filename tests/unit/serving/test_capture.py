"""Capture: what is told, in which order, and that every event is delivered, dropped for a reason, or waits."""

from datetime import UTC, datetime

import pytest

from serving.predictor.capture import Capture
from serving.predictor.exchange import Exchange, Identity, Told, encoded
from serving.predictor.spool import Spool
from tests.unit.serving.tiny import ROW, SECRET, TinyMonitor, until
from trimtab.errors import InvalidInput
from trimtab.events import REQUEST, RESPONSE

WHO = Identity("bike", "default", "3")
START = datetime(2026, 1, 1, tzinfo=UTC)


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
    return counts.captured == counts.delivered + counts.lost + counts.queued


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
    until(lambda: capture.counts().delivered == 1)
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
    until(lambda: capture.counts().delivered == 1_400)
    assert [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST] == list(range(700))
    assert max(monitor.batches) <= 200
    assert len({(event.source, event.id, event.type) for event in monitor.events}) == 1_400
    capture.close(1)
    assert capture.counts().lost == 0


def test_a_monitor_that_nobody_serves_yet_gets_all_when_it_comes(monitor, secret_file):
    port = monitor.port
    monitor.close()
    capture = Capture(f"http://127.0.0.1:{port}/events", secret_file, WHO)
    for number in range(50):
        capture.take([{**ROW, "hour": number}], [1.0], 100)
    until(lambda: capture.counts().queued == 100)
    late = TinyMonitor(port)
    until(lambda: capture.counts().delivered == 100)
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
    assert counts.queued <= 500 + 200, "the bound, and one batch on its way"
    assert counts.dropped["full"] == counts.lost >= 1_300
    monitor.status = 202
    until(lambda: capture.counts().queued == 0)
    kept = [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST]
    assert kept[-1] == 999
    assert kept[-150:] == list(range(850, 1_000))
    assert len(monitor.events) == capture.counts().delivered == 2_000 - capture.counts().lost
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
    assert (capture.counts().delivered, capture.counts().lost) == (78, 2)
    capture.close(1)


def test_what_cannot_be_encoded_is_dropped_alone(monitor, secret_file):
    capture = Capture(monitor.url, secret_file, WHO)
    for value in (1, object(), 3):
        capture.take([{**ROW, "extra": value}], [1.0], 100)
    until(lambda: capture.counts().queued == 0)
    assert (capture.counts().delivered, capture.counts().lost) == (4, 2)
    capture.close(1)


def test_a_wrong_secret_is_tried_again_until_the_file_is_right(monitor, secret_file):
    secret_file.write_text("wrong")
    capture = Capture(monitor.url, secret_file, WHO)
    capture.take([ROW], [1.0], 100)
    until(lambda: capture.counts().queued == 2)
    secret_file.write_text(SECRET)
    until(lambda: capture.counts().delivered == 2)
    capture.close(1)


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_refusal_that_may_pass_is_counted_and_tried_again(monitor, secret_file, status):
    monitor.status = status
    capture = Capture(monitor.url, secret_file, WHO)
    capture.take([ROW], [1.0], 100)
    until(lambda: capture.counts().failures >= 2)
    assert (capture.counts().queued, capture.counts().lost) == (2, 0)
    monitor.status = 202
    until(lambda: capture.counts().delivered == 2)
    assert len(monitor.events) == 2
    capture.close(1)


def test_a_secret_that_is_not_there_yet_is_waited_for(monitor, secret_file):
    secret_file.unlink()
    capture = Capture(monitor.url, secret_file, WHO)
    capture.take([ROW], [1.0], 100)
    until(lambda: capture.counts().failures >= 1)
    secret_file.write_text(SECRET)
    until(lambda: capture.counts().delivered == 2)
    capture.close(1)


def test_closing_sends_what_is_queued(monitor, secret_file):
    capture = Capture(monitor.url, secret_file, WHO)
    for _ in range(300):
        capture.take([ROW], [1.0], 100)
    capture.close(2)
    assert capture.counts().delivered == 600


def test_closing_gives_up_in_time_where_the_monitor_is_down(monitor, secret_file):
    monitor.status = 503
    capture = Capture(monitor.url, secret_file, WHO)
    for _ in range(300):
        capture.take([ROW], [1.0], 100)
    capture.close(0.5)
    counts = capture.counts()
    assert (counts.dropped["closed"], counts.lost, counts.queued) == (600, 600, 0)


def test_a_sample_is_the_same_for_a_request_that_is_sent_again_and_says_what_it_stands_for(monitor, secret_file):
    capture = Capture(monitor.url, secret_file, WHO, told=Told(sample=0.25))
    for _ in range(2):
        for number in range(400):
            capture.take([ROW], [1.0], 100, f"request-{number}")
    until(lambda: capture.counts().queued == 0)
    counts = capture.counts()
    assert counts.captured + counts.skipped == 1_600
    assert 0.15 < counts.captured / 1_600 < 0.35
    assert {event.extensions["trimtabweight"] for event in monitor.events} == {"4"}
    told = [event.id for event in monitor.events if event.type == REQUEST]
    assert sorted(told) == sorted(2 * list(set(told)))
    capture.close(1)


def test_redacted_columns_leave_the_process_nowhere(monitor, secret_file, tmp_path):
    monitor.status = 503
    spool = Spool(tmp_path / "spool", 1 << 20)
    capture = Capture(monitor.url, secret_file, WHO, 20, Told(redact=frozenset({"name", "iban"})), spool)
    until(lambda: capture.take([{**ROW, "name": "Ada", "iban": "DE99"}], [1.0], 100) or spool.events)
    assert not any(b"Ada" in file.read_bytes() for file in (tmp_path / "spool").rglob("*.events"))
    monitor.status = 202
    until(lambda: capture.counts().queued == 0)
    assert {tuple(event.data["instances"][0]) for event in monitor.events if event.type == REQUEST} == {tuple(ROW)}
    capture.close(1)


def test_with_a_spool_nothing_is_lost_while_the_monitor_is_away(monitor, secret_file, tmp_path):
    monitor.status = 503
    capture = Capture(monitor.url, secret_file, WHO, 500, spool=Spool(tmp_path / "spool", 64 << 20))
    for number in range(5_000):
        capture.take([{**ROW, "hour": number}], [1.0], 100)
        until(lambda: capture._waiting < 500)
        if number % 100 == 0:
            assert consistent(capture.counts())
    assert (capture.counts().queued, capture.counts().lost) == (10_000, 0)
    monitor.status = 202
    until(lambda: capture.counts().queued == 0)
    assert [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST] == list(range(5_000))
    assert not list((tmp_path / "spool").rglob("*.events"))
    capture.close(1)


def test_what_the_end_of_a_process_leaves_in_the_spool_is_sent_by_the_next(monitor, secret_file, tmp_path):
    monitor.status = 503
    first = Capture(monitor.url, secret_file, WHO, 500, spool=Spool(tmp_path, 64 << 20))
    for number in range(100):
        first.take([{**ROW, "hour": number}], [1.0], 100)
    first.close(0.1)
    assert (first.counts().queued, first.counts().lost) == (200, 0)
    monitor.status = 202
    second = Capture(monitor.url, secret_file, WHO, 500, spool=Spool(tmp_path, 64 << 20))
    until(lambda: second.counts().delivered == 200)
    assert consistent(second.counts())
    assert [event.data["instances"][0]["hour"] for event in monitor.events if event.type == REQUEST] == list(range(100))
    second.close(1)


def test_a_spool_without_room_leaves_the_oldest_to_be_dropped_and_counted(monitor, secret_file, tmp_path):
    monitor.status = 503
    capture = Capture(monitor.url, secret_file, WHO, 400, spool=Spool(tmp_path, 100_000))
    for number in range(2_000):
        capture.take([{**ROW, "hour": number}], [1.0], 100)
    until(lambda: capture.counts().dropped["full"])
    counts = capture.counts()
    assert consistent(counts)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*.events")) <= 100_000
    monitor.status = 202
    until(lambda: capture.counts().queued == 0)
    assert consistent(capture.counts())
    assert len(monitor.events) == capture.counts().delivered == 4_000 - capture.counts().lost
    capture.close(1)


def test_a_spoiled_line_is_counted_and_the_rest_of_its_segment_is_sent(monitor, secret_file, tmp_path):
    spool = Spool(tmp_path, 1 << 20)
    made = [encoded(Exchange(f"id-{number}", START, [ROW], [1.0], 100), WHO, Told()) for number in range(3)]
    assert spool.add(made)
    spool.close()
    (file,) = tmp_path.rglob("*.events")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1][:50] + b"\n" + lines[2])
    capture = Capture(monitor.url, secret_file, WHO, spool=Spool(tmp_path, 1 << 20))
    until(lambda: capture.counts().queued == 0)
    assert (capture.counts().delivered, capture.counts().dropped["spoiled"]) == (4, 2)
    capture.close(1)


def test_two_processes_may_be_given_one_spool(tmp_path):
    first, second = Spool(tmp_path, 1 << 20), Spool(tmp_path, 1 << 20)
    made = encoded(Exchange("id", START, [ROW], [1.0], 100), WHO, Told())
    assert first.add([made])
    assert (first.events, second.events) == (2, 0)
    first.close()
    third = Spool(tmp_path, 1 << 20)
    assert third.events == 2
    second.close()
    third.close()


def test_a_spool_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"--capture-spool: .* cannot be written to: "):
        Spool(tmp_path / "file", 1 << 20)
