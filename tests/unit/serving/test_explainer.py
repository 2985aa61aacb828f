"""The explainer on real processes: a predictor, the explainer before it, and Alibi in its own environment."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.explainer.predictor import Budget, Predictor
from serving.explaining import TooLarge
from tests.unit.serving.test_predictor import start, tensors
from tests.unit.serving.test_scorer import skops_model
from tests.unit.serving.tiny import ROW, SCHEMA, answers, call, records, table, tiny_model, until
from trimtab.errors import Unavailable
from trimtab.platforms.local.processes import free_port

ALIBI = Path(__file__).parents[3] / ".venv-explainer" / "bin" / "python"
V1 = "/v1/models/bike:explain"
V2 = "/v2/models/bike/explain"
ODD = [{**ROW, "season": "monsoon"}, {**ROW, "temp": None}, {"hour": None, "temp": None, "season": None}]


def explainer(log_path, folder, digest, predictor, *more):
    """As KServe starts it."""
    port = free_port()
    command = [sys.executable, "-m", "serving.explainer", "--model_name", "bike", "--predictor_host", f"127.0.0.1:{predictor}"]
    command += ["--http_port", str(port), "--version", "3", "--folder", folder, "--digest", digest, "--python", ALIBI, *more]
    with log_path.open("wb") as log:
        return subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}), port


class Pair:
    """A predictor and its explainer."""

    def __init__(self, folder, digest, *more):
        self.version = folder / "v"
        self.digest = digest
        self.log = folder / "explainer.log"
        self.predictor, self.predictor_port = start(self.version, digest, folder / "predictor.log")
        self.process, self.port = explainer(self.log, self.version, digest, self.predictor_port, *more)
        until(lambda: answers(self.predictor_port, "/v2/models/bike/ready"), 60)
        until(lambda: self.process.poll() is not None or answers(self.port, "/v2/models/bike/ready"), 120)

    def explain(self, rows, path=V1):
        return call(self.port, "POST", path, {"instances": rows}, timeout=90)

    def metrics(self, port):
        lines = call(port, "GET", "/metrics")[2].splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("trimtab_")}

    def close(self):
        for process in (self.process, self.predictor):
            process.terminate()
            process.wait(40)


@pytest.fixture(scope="module", params=["anchor", "kernel_shap"])
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    made = Pair(folder, tiny_model(folder / "v"), "--method", request.param)
    made.method = request.param
    yield made
    made.close()


def test_both_protocols_explain_what_the_predictor_predicts(pair):
    rows = [{**ROW, "beside": [1]}, *ODD]
    status, headers, v1 = pair.explain(rows)
    assert (status, headers["x-trimtab-version"]) == (200, "3")
    assert v1["predictions"] == call(pair.predictor_port, "POST", "/v1/models/bike:predict", {"instances": rows})[2]["predictions"]
    for found, prediction in zip(v1["explanations"], v1["predictions"], strict=True):
        assert (found["method"], found["model_name"], found["model_version"]) == (pair.method, "bike", "3")
        assert found["prediction"] == prediction
        if pair.method == "anchor":
            assert found["precision"] >= 0.95 or "the best that was found" in found["note"]
            assert 0 < found["coverage"] <= 1
            assert found["holds"].startswith("the prediction stays within ")
        else:
            assert list(found["contributions"]) == SCHEMA.names
            assert found["base_value"] + sum(found["contributions"].values()) == pytest.approx(prediction, abs=1e-5)
    status, _, v2 = call(pair.port, "POST", V2, {"id": "a", "inputs": tensors([ROW])}, timeout=90)
    assert (status, v2["id"], [json.loads(text) for text in v2["outputs"][0]["data"]]) == (200, "a", v1["explanations"][:1])


def test_an_explanation_is_kept_and_its_work_is_counted_and_neither_captured_nor_unlimited(pair):
    row = {**ROW, "hour": 11}
    before, asked = pair.metrics(pair.port), pair.metrics(pair.predictor_port)
    first, second = pair.explain([row])[2], pair.explain([row])[2]
    assert first == second
    after, asked_after = pair.metrics(pair.port), pair.metrics(pair.predictor_port)
    cached, calls = 'trimtab_explanation_cached_total{version="3"}', 'trimtab_explanation_calls_total{version="3"}'
    assert after[cached] == before[cached] + 1
    answered = 'trimtab_requests_total{code="200",version="3"}'
    assert 2 < after[calls] - before[calls] == asked_after[answered] - asked.get(answered, 0)


BAD = [
    ("malformed JSON", b'{"instances": [', 400, "not JSON"),
    ("a missing feature", {"instances": [{"hour": 1}]}, 400, "the feature 'temp' is missing"),
    ("a text for a number", {"instances": [{**ROW, "temp": "warm"}]}, 400, "row 0, feature 'temp': found 'warm'"),
    ("what the predictor refuses", {"instances": [{**ROW, "season": ["summer"]}]}, 400, "row 0, feature 'season': found list"),
    ("too many rows", {"instances": [ROW] * 9}, 413, "at most 8 are explained at once"),
]


@pytest.mark.parametrize(("body", "status", "sentence"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_request_is_a_sentence(pair, body, status, sentence):
    found, _, answer = call(pair.port, "POST", V1, body)
    assert found == status
    assert sentence in answer["error"]


def test_a_predictor_of_another_version_is_not_explained(pair):
    asked = Predictor(f"127.0.0.1:{pair.predictor_port}", "bike", "4", lambda: None)
    with pytest.raises(Unavailable, match="serves version '3', this explainer knows version '4'"):
        asked.predict([ROW], Budget(1, 10))


BUDGETS = [("no call is left", 0, 60.0), ("no time is left", 5, 0.0)]


@pytest.mark.parametrize(("calls", "seconds"), [case[1:] for case in BUDGETS], ids=[case[0] for case in BUDGETS])
def test_a_budget_that_is_spent_asks_nothing(calls, seconds):
    nobody = Predictor("127.0.0.1:1", "bike", "3", lambda: pytest.fail("the predictor was asked"))
    with pytest.raises(TooLarge, match=f"a request's budget of {calls} calls of the predictor and {seconds:g} s"):
        nobody.predict([ROW], Budget(calls, seconds))


# --- any model, and what goes wrong


def alone(folder, task, *more):
    """A version of scikit-learn, which has no trees for the predictor's own explanations."""
    pipeline, digest = skops_model(folder / "v", task)
    return pipeline, Pair(folder, digest, *more)


def test_a_model_that_is_no_booster_is_explained_on_the_scale_of_its_prediction(tmp_path):
    _, pair = alone(tmp_path, "multiclass", "--method", "kernel_shap")
    try:
        refused = call(pair.predictor_port, "POST", V1, {"instances": [ROW]})
        assert (refused[0], "ask an explainer of method kernel_shap or anchor" in refused[2]["error"]) == (400, True)
        (found,) = pair.explain([ROW])[2]["explanations"]
        assert (found["classes"], found["scale"]) == (["a", "b", "c"], "probability of each class")
        sums = np.array(found["base_value"]) + np.sum(list(found["contributions"].values()), axis=0)
        np.testing.assert_allclose(sums, found["prediction"], atol=1e-6)
    finally:
        pair.close()


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_an_anchor_of_a_class_and_a_worker_that_is_killed_and_a_predictor_that_is_gone(tmp_path):
    _, pair = alone(tmp_path, "binary", "--method", "anchor")
    try:
        rows = records(table(40, seed=4))
        high = next(row for row in rows if row["season"] == "summer" and row["hour"] > 18 and row["temp"])
        (found,) = pair.explain([high])[2]["explanations"]
        assert found["holds"] == "the probability of 'True' stays at least 0.5"
        assert found["precision"] >= 0.95
        assert any(rule.startswith("hour > ") for rule in found["anchor"])
        (worker,) = children(pair.process.pid)
        assert "Seccomp:\t2\n" in Path(f"/proc/{worker}/status").read_text()
        os.kill(worker, 9)
        until(lambda: pair.explain([{**high, "hour": 23}])[0] == 200, 60)
        pair.predictor.kill()
        pair.predictor.wait(10)
        status, headers, answer = pair.explain([high])
        assert (status, headers["retry-after"]) == (503, "1")
        assert "does not answer" in answer["error"]
    finally:
        pair.close()


def test_a_request_that_costs_more_than_its_budget_is_a_sentence_and_the_next_one_is_explained(tmp_path):
    pair = Pair(tmp_path, tiny_model(tmp_path / "v"), "--method", "kernel_shap", "--calls", "6")
    try:
        (worker,) = children(pair.process.pid)
        status, _, answer = pair.explain([ROW, {**ROW, "hour": 8}])
        assert status == 413
        assert "more than a request's budget of 6 calls of the predictor and 30 s" in answer["error"]
        assert pair.explain([ROW])[0] == 200
        assert children(pair.process.pid) == [worker]
    finally:
        pair.close()


def test_a_corrupted_version_is_one_sentence_and_exit_code_2(tmp_path):
    digest = tiny_model(tmp_path / "v")
    with (tmp_path / "v" / "reference.parquet").open("ab") as stream:
        stream.write(b" ")
    process, _ = explainer(tmp_path / "log", tmp_path / "v", digest, 1)
    assert process.wait(60) == 2
    log = (tmp_path / "log").read_text()
    assert "'reference.parquet' of the model in 'v' has SHA-256" in log
    assert log.count("\n") == 1


def test_an_environment_without_alibi_is_a_sentence(tmp_path):
    digest = tiny_model(tmp_path / "v")
    process, _ = explainer(tmp_path / "log", tmp_path / "v", digest, 1, "--python", tmp_path / "python")
    assert process.wait(60) == 2
    assert "the explainer's worker ('python') cannot be started" in (tmp_path / "log").read_text()
