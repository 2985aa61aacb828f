"""Malformed requests by the thousand: a sentence with a 4xx each, or the right number. `make fuzz-serving` runs many more of them."""

import asyncio
import http.client
import os

import pytest
import xgboost as xgb
from hypothesis import HealthCheck, given, settings

from serving.predictor.front import Front, Served
from serving.predictor.metrics import Answers
from serving.predictor.scorer import load
from tests.unit.serving.fuzz import cases, check
from tests.unit.serving.test_predictor import start
from tests.unit.serving.tiny import answers, call, tiny_model, until

CASES = int(os.environ.get("FUZZ_CASES", "300"))
SETTINGS = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
PATIENCE_SECONDS = 20


class World:
    def __init__(self, folder):
        self.folder = folder / "v"
        self.digest = tiny_model(self.folder)
        self.booster = xgb.Booster({"nthread": 1}, model_file=self.folder / "model.json")
        scorer = load(self.folder, self.digest)
        self.front = Front(Served("bike", "3", scorer, None, Answers("3", scorer.schema)), None)

    def ask(self, case):
        """The front's answer in this process."""
        sent = []
        path, _, query = case.path.partition("?")
        headers = [(name.encode(), value.encode()) for name, value in case.headers.items()]
        scope = {"type": "http", "method": case.method, "path": path, "query_string": query.encode(), "headers": headers}

        async def receive():
            return {"type": "http.request", "body": case.body, "more_body": False}

        async def send(message):
            sent.append(message)

        asyncio.run(asyncio.wait_for(self.front(scope, receive, send), PATIENCE_SECONDS))
        return sent[0]["status"], sent[1]["body"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.timeout(3000)
def test_a_request_gets_a_sentence_or_the_right_number(world):
    @settings(max_examples=CASES, **SETTINGS)
    @given(cases())
    def run(case):
        check(case, world.booster, *world.ask(case))

    run()


@pytest.mark.timeout(3000)
def test_so_it_does_from_a_real_process_which_goes_on_answering(world, tmp_path):
    process, port = start(world.folder, world.digest, tmp_path / "log")
    until(lambda: answers(port, "/v2/models/bike/ready"), 60)

    @settings(max_examples=max(CASES // 5, 50), **SETTINGS)
    @given(cases())
    def run(case):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        connection.request(case.method, case.path, case.body, case.headers)
        answer = connection.getresponse()
        check(case, world.booster, answer.status, answer.read())
        connection.close()

    run()
    assert call(port, "GET", "/v2/health/live")[0] == 200
    process.terminate()
    assert process.wait(10) == 0
    assert (tmp_path / "log").read_text() == ""
