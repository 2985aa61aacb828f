"""Too much at once, too late, and gone: refused with a sentence, and never begun."""

import asyncio
import http.client
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from serving.predictor.front import MAX_WAITING_BYTES, Front, Served
from serving.predictor.limits import Limits
from serving.predictor.metrics import Answers
from serving.predictor.scorer import Scorer
from tests.unit.serving.test_predictor import V1, V2, start
from tests.unit.serving.tiny import ROW, SCHEMA, answers, call, tiny_model, until

BODY = json.dumps({"instances": [ROW]}).encode()
WAITS = [
    ("no header: the limit", {}, 30.0),
    ("Envoy waits for less", {b"x-envoy-expected-rq-timeout-ms": b"1500"}, 1.5),
    ("Envoy waits for more", {b"x-envoy-expected-rq-timeout-ms": b"60000"}, 30.0),
    ("Envoy waits for ever", {b"x-envoy-expected-rq-timeout-ms": b"0"}, 30.0),
    ("no number", {b"x-envoy-expected-rq-timeout-ms": b"soon"}, 30.0),
]


@pytest.mark.parametrize(("headers", "seconds"), [case[1:] for case in WAITS], ids=[case[0] for case in WAITS])
def test_a_request_has_the_limits_seconds_or_fewer_where_envoy_waits_for_fewer(headers, seconds):
    assert Limits().allowed(headers) == seconds


class Half:
    """A request whose body has not come in full."""

    def __init__(self, port, headers=""):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        head = f"POST {V1} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {len(BODY)}\r\n\r\n"
        self._socket.sendall(head.encode() + BODY[:5])

    def finish(self):
        self._socket.sendall(BODY[5:])
        return self.answer()

    def answer(self):
        found = self._socket.recv(65536).decode()
        while not found.endswith("}"):
            found += self._socket.recv(65536).decode()
        self._socket.close()
        return found


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("limits")
    process, port = start(folder / "v", tiny_model(folder / "v"), folder / "log", "--max-in-flight", 2, "--deadline", 5)
    until(lambda: answers(port, "/v2/models/bike/ready"), 60)
    yield port
    process.terminate()
    process.wait(10)


def held(port):
    lines = call(port, "GET", "/metrics")[2].splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith("trimtab_requests_in_flight"))


def test_more_requests_than_allowed_are_told_when_to_ask_again_and_health_is_answered(port):
    waiting = [Half(port), Half(port)]
    until(lambda: held(port) == 2)
    for path, body in ((V1, {"instances": [ROW]}), (V2, {"inputs": []})):
        status, headers, answer = call(port, "POST", path, body)
        assert (status, headers["retry-after"], answer["error"]) == (429, "1", "2 requests are being answered already: ask again in 1 s")
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/bike/ready", "/metrics"):
        assert call(port, "GET", path)[0] == 200
    assert [request.finish().split()[1] for request in waiting] == ["200", "200"]
    until(lambda: held(port) == 0)
    assert call(port, "POST", V1, {"instances": [ROW]})[0] == 200


def test_a_body_that_does_not_come_is_answered_when_the_time_is_up(port):
    before = time.monotonic()
    found = Half(port, "x-envoy-expected-rq-timeout-ms: 300\r\n").answer()
    assert time.monotonic() - before >= 0.3
    assert found.startswith("HTTP/1.1 504")
    assert "no answer within 0.3 s: send fewer rows a request" in found


class Slow:
    """A front whose model answers only when it is let; every call is noted."""

    def __init__(self, **limits):
        self.let = threading.Event()
        self.begun = []
        self.threads = len(os.sched_getaffinity(0))
        self.answers = Answers("3", SCHEMA)
        self.front = Front(Served("bike", "3", Scorer(SCHEMA, self._predict, 0), None, self.answers, Limits(**limits)), None)

    def _predict(self, rows):
        self.begun.append(rows[0]["hour"])
        self.let.wait(20)
        return np.zeros(len(rows))

    async def ask(self, hour, body=None, stays=True, **more):
        sent = []
        body = body or json.dumps({"instances": [{**ROW, "hour": hour}]}).encode()
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            while stays:
                await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await self.front({"type": "http", "method": "POST", "path": V1, "headers": [], **more}, receive, send)
        return sent[0]["status"] if sent else None

    def counted(self, name):
        return sum(sample.value for family in self.answers.collect() for sample in family.samples if sample.name == name)


def test_work_that_nobody_waits_for_is_not_begun():
    slow = Slow(seconds=0.5)

    async def run():
        busy = [asyncio.create_task(slow.ask(hour)) for hour in range(slow.threads)]
        while len(slow.begun) < slow.threads:
            await asyncio.sleep(0.01)
        assert await slow.ask(100, stays=False) is None
        assert await slow.ask(101) == 504
        assert await slow.ask(102, **{"trimtab.arrived": time.monotonic() - 1}) == 504
        slow.let.set()
        assert [await task for task in busy] == [504] * slow.threads

    asyncio.run(run())
    slow.front.close()
    assert sorted(slow.begun) == list(range(slow.threads))
    assert slow.counted("trimtab_requests_gone_total") == 1


def test_what_waits_for_a_thread_has_a_bound_in_bytes():
    slow = Slow()
    body = json.dumps({"instances": [ROW]}).encode() + b" " * ((8 << 20) - 200)

    async def run():
        waiting = [asyncio.create_task(slow.ask(0, body)) for _ in range(MAX_WAITING_BYTES // len(body))]
        await asyncio.sleep(0)
        assert await slow.ask(0, body) == 429
        slow.let.set()
        assert {await task for task in waiting} == {200}
        assert await slow.ask(0, body) == 200

    asyncio.run(run())


HEAD = f"POST {V1} HTTP/1.1\r\nhost: x\r\n".encode()
REQUEST = HEAD + f"content-length: {len(BODY)}\r\n\r\n".encode() + BODY
DRIPS = {
    "nothing at all": (b"", b"", b""),
    "headers, one byte after the other": (HEAD + b"x-long: ", b"x", b"HTTP/1.1 408 Request Timeout"),
    "a first request, and then the headers of another": (REQUEST + HEAD + b"x-long: ", b"x", b"HTTP/1.1 408 Request Timeout"),
    "a first request, and then empty lines": (REQUEST, b"\r\n", b"HTTP/1.1 200 OK"),
    "a body, beyond the answer that the time is up": (HEAD + b"content-length: 9999\r\n\r\n", b" ", b"HTTP/1.1 504"),
    "a body that is to be explained": (HEAD.replace(b":predict", b":explain") + b"content-length: 9999\r\n\r\n", b" ", b""),
}


def drip(port, first, then):
    """What is answered to bytes that come one by one, and after how many seconds the connection is closed."""
    began, answer = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", port), timeout=0.05) as connection:
        connection.sendall(first)
        while time.monotonic() - began < 20:
            try:
                connection.sendall(then)
                found = connection.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                found = b""
            if not found:
                return answer, time.monotonic() - began
            answer += found
    return answer, float("inf")


def test_a_connection_that_brings_its_request_too_slowly_is_closed_and_others_are_not(tmp_path):
    process, port = start(tmp_path / "v", tiny_model(tmp_path / "v"), tmp_path / "log", "--deadline", 1)
    try:
        until(lambda: answers(port, "/v2/models/bike/ready"), 60)
        good = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with ThreadPoolExecutor(len(DRIPS)) as pool:
            dripping = {name: pool.submit(drip, port, first, then) for name, (first, then, _) in DRIPS.items()}
            asked = []
            while not all(one.done() for one in dripping.values()):
                good.request("POST", V1, BODY)
                asked.append(good.getresponse().read())
                own = good.sock
                time.sleep(0.1)
        assert good.sock is own, "a connection that asks in time stays"
        assert len(asked) > 5
        for name, one in dripping.items():
            answer, seconds = one.result()
            assert 1 < seconds < 20, name
            assert DRIPS[name][2] in answer, name
            assert bool(answer) == bool(DRIPS[name][2]), name
    finally:
        process.terminate()
        process.wait(10)
    assert "Error" not in (tmp_path / "log").read_text()


BAD = [("--max-in-flight", "0"), ("--deadline", "-1"), ("--workers", "0"), ("--deadline", "nan")]


@pytest.mark.parametrize(("option", "value"), BAD)
def test_a_limit_that_cannot_be_meant_is_one_sentence_and_exit_code_2(tmp_path, option, value):
    process, _ = start(tmp_path, "0" * 64, tmp_path / "log", option, value)
    assert process.wait(30) == 2
    assert "a number above 0 is allowed" in (tmp_path / "log").read_text()
