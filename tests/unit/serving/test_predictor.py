import http.client
import json
import os
import subprocess
import sys

import pytest

from serving.predictor.front import is_copy
from tests.unit.serving.tiny import ROW, SECRET, TinyMonitor, answers, call, records, table, tiny_model, until
from trimtab.events import REQUEST, RESPONSE, data_of
from trimtab.monitoring import payload
from trimtab.monitoring.payload import Payload
from trimtab.platforms.local.processes import free_port

V1 = "/v1/models/bike:predict"
V2 = "/v2/models/bike/infer"


def start(folder, digest, log_path, *more):
    return launch(log_path, "--name", "bike", "--version", "3", "--folder", folder, "--digest", digest, *more)


def launch(log_path, *arguments, **environment):
    port = free_port()
    command = [sys.executable, "-m", "serving.predictor", "--port", str(port), *map(str, arguments)]
    with log_path.open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}), port


class Running:
    """A predictor that captures into a tiny monitor."""

    def __init__(self, folder, *more):
        (folder / "secret").write_text(SECRET)
        self.monitor = TinyMonitor()
        self.log_path = folder / "log"
        digest = tiny_model(folder / "v")
        self.process, self.port = start(
            folder / "v", digest, self.log_path, "--capture-url", self.monitor.url, "--secret-file", folder / "secret", *more
        )
        until(lambda: answers(self.port, "/v2/models/bike/ready"), 60)

    def metrics(self):
        lines = call(self.port, "GET", "/metrics")[2].splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("trimtab_")}

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.monitor.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("predictor"))
    yield running
    running.close()


def tensors(rows):
    kinds = {"hour": "INT64", "temp": "FP64", "season": "BYTES"}
    return [{"name": name, "shape": [len(rows)], "datatype": kinds[name], "data": [row[name] for row in rows]} for name in kinds]


def test_kserve_answers_health_readiness_and_metadata(running):
    for path in ("/", "/v1/models/bike", "/v2/health/live", "/v2/health/ready", "/v2/models/bike/ready"):
        assert call(running.port, "GET", path)[0] == 200, path
    metadata = call(running.port, "GET", "/v2/models/bike")[2]
    assert [(entry["name"], entry["datatype"]) for entry in metadata["inputs"]] == [("hour", "FP64"), ("temp", "FP64"), ("season", "BYTES")]


def test_both_protocols_give_the_same_predictions(running):
    rows = records(table())
    expected = [float(value) for value in table_predictions(running)]
    status, headers, v1 = call(running.port, "POST", V1, {"instances": [{**row, "timestamp": "2011-01-01", "x": [1]} for row in rows]})
    assert (status, headers["x-trimtab-version"]) == (200, "3")
    assert v1["predictions"] == pytest.approx(expected, rel=1e-5)
    status, headers, v2 = call(running.port, "POST", V2, {"id": "abc", "inputs": tensors(rows)})
    assert (status, headers["x-trimtab-version"], v2["id"], v2["model_version"]) == (200, "3", "abc", "3")
    assert v2["outputs"][0]["data"] == v1["predictions"]


def table_predictions(running):
    import pyarrow.parquet as pq

    return pq.read_table(running.log_path.parent / "v" / "reference.parquet")["__prediction"].to_pylist()


BAD = [
    ("malformed JSON", V1, b'{"instances": [', 400, "not JSON"),
    ("rows as lists", V1, {"instances": [[1, 2, 3]]}, 400, "one object a row, by column names"),
    ("a missing feature", V1, {"instances": [{"hour": 1}]}, 400, "the feature 'temp' is missing"),
    ("a text for a number", V1, {"instances": [{**ROW, "temp": "warm"}]}, 400, "row 0, feature 'temp': found 'warm'"),
    ("a body of more than 8 MiB", V1, b'{"instances": "' + b"x" * (8 << 20), 413, "larger than 8 MiB"),
    ("malformed V2", V2, {"inputs": [{"name": "hour"}]}, 400, "missing required field `shape`"),
    ("V2 without a feature", V2, {"inputs": tensors([ROW])[:2]}, 400, "the feature 'season' is missing"),
    ("V2 of more than 8 MiB", V2, b" " * ((8 << 20) + 1), 413, "larger than 8 MiB"),
]


@pytest.mark.parametrize(("path", "body", "status", "sentence"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_request_is_a_sentence_and_is_not_captured(running, path, body, status, sentence):
    before = running.metrics()["trimtab_capture_captured_total"]
    found, headers, answer = call(running.port, "POST", path, body)
    assert found == status
    assert sentence in answer["error"]
    assert headers["x-trimtab-version"] == "3"
    assert running.metrics()["trimtab_capture_captured_total"] == before


def test_binary_tensors_are_refused(running):
    status, _, answer = call(running.port, "POST", V2, b"\0\0", {"Inference-Header-Content-Length": "1"})
    assert (status, answer["error"]) == (415, "binary tensors are not taken: send the tensors' data as JSON")


def test_another_model_is_not_found(running):
    assert call(running.port, "POST", "/v1/models/boat:predict", {"instances": [ROW]}, {"Content-Type": "application/json"})[0] == 404


def test_requests_are_captured_with_all_their_columns_whatever_the_protocol(running):
    rows = [{**ROW, "temp": None}, {**ROW, "season": None}]
    until(lambda: running.metrics()["trimtab_capture_queued"] == 0)
    running.monitor.events.clear()
    key = {"name": "key", "shape": [2], "datatype": "INT64", "data": [8, 9]}
    answer = call(running.port, "POST", V2, {"inputs": [*tensors(rows), key]})[2]
    until(lambda: len(running.monitor.events) == 2)
    request, response = running.monitor.events
    assert (request.type, response.type) == (REQUEST, RESPONSE)
    told, said = (data_of(event, Payload) for event in (request, response))
    assert payload.rows(told) == [{**rows[0], "key": 8}, {**rows[1], "key": 9}]
    assert payload.answers(said) == answer["outputs"][0]["data"]


def test_off_path_scoring_is_not_captured(running):
    before = running.metrics()["trimtab_capture_captured_total"]
    assert call(running.port, "POST", V1, {"instances": [ROW]}, {"x-trimtab-capture": "off"})[0] == 200
    assert running.metrics()["trimtab_capture_captured_total"] == before
    assert call(running.port, "POST", V1, {"instances": [ROW]})[0] == 200
    assert running.metrics()["trimtab_capture_captured_total"] == before + 2


@pytest.mark.parametrize(
    ("host", "copy"),
    [
        (b"bike-crm.example.com", False),
        (b"bike-crm.example.com-shadow", True),
        (b"127.0.0.1-shadow:8080", True),
        (b"127.0.0.1:8080", False),
        (b"bike-v3-predictor.ml-shadow", False),
        (b"bike-v3-predictor.ml-shadow:80", False),
        (b"bike-v3-predictor.ml-shadow-shadow", True),
        (b"bike-shadow.ml-shadow.svc", False),
        (b"", False),
    ],
)
def test_copies_are_known_by_their_host(host, copy):
    assert is_copy(host, "ml-shadow") == copy


def test_a_copy_is_answered_and_not_captured(running):
    before = running.metrics()["trimtab_capture_captured_total"]
    assert call(running.port, "POST", V1, {"instances": [ROW]}, {"host": "bike.example.com-shadow"})[0] == 200
    assert running.metrics()["trimtab_capture_captured_total"] == before


def test_metrics_count_answers_by_code_and_captured_events_add_up(running):
    def ask():
        call(running.port, "POST", V1, {"instances": [ROW]})
        call(running.port, "POST", V1, {"instances": []})
        return running.metrics()

    before, after = ask(), ask()  # asked once before, for a code that was never answered is not told
    for code in ("200", "400"):
        name = f'trimtab_requests_total{{code="{code}",version="3"}}'
        assert after[name] == before[name] + 1
    assert "trimtab_capture_failures_total" in after
    dropped = [value for name, value in after.items() if name.startswith("trimtab_capture_dropped_total{")]
    assert after["trimtab_capture_captured_total"] == after["trimtab_capture_delivered_total"] + after["trimtab_capture_queued"] + sum(
        dropped
    )


def test_a_large_batch_is_scored_beside_the_event_loop(running):
    status, _, answer = call(running.port, "POST", V1, {"instances": [ROW] * 20_000})
    assert (status, len(answer["predictions"])) == (200, 20_000)


def test_sigterm_sends_what_is_queued_and_the_log_stays_quiet(tmp_path):
    own = Running(tmp_path)
    for _ in range(40):
        call(own.port, "POST", V1, {"instances": [ROW]})
    own.process.terminate()
    assert own.process.wait(5) == 0
    assert len(own.monitor.events) == 80
    assert own.log_path.read_text() == ""
    own.monitor.close()


def test_a_corrupted_version_is_one_sentence_and_exit_code_2(tmp_path):
    digest = tiny_model(tmp_path / "v")
    with (tmp_path / "v" / "model.json").open("r+b") as stream:
        stream.seek(100)
        stream.write(b"\0")
    process, _ = start(tmp_path / "v", digest, tmp_path / "log")
    assert process.wait(30) == 2
    log = (tmp_path / "log").read_text()
    assert "'model.json' of the model in 'v' has SHA-256" in log
    assert log.count("\n") == 1


def test_capture_without_a_secret_is_one_sentence_and_exit_code_2(tmp_path):
    process, _ = start(tmp_path / "v", tiny_model(tmp_path / "v"), tmp_path / "log", "--capture-url", "http://127.0.0.1:1/events")
    assert process.wait(30) == 2
    assert (tmp_path / "log").read_text().startswith("--capture-url needs --secret-file")


def test_capture_to_no_http_url_is_one_sentence_and_exit_code_2(tmp_path):
    digest = tiny_model(tmp_path / "v")
    process, _ = start(tmp_path / "v", digest, tmp_path / "log", "--capture-url", "monitor:8090/events", "--secret-file", tmp_path / "s")
    assert process.wait(30) == 2
    assert (tmp_path / "log").read_text().startswith("--capture-url: found 'monitor:8090/events'")


def test_on_a_cluster_the_environment_says_what_is_served_and_a_pod_leaves_without_losing_a_request(tmp_path):
    digest = tiny_model(tmp_path / "v")
    (tmp_path / "secret").write_text(SECRET)
    monitor = TinyMonitor()
    known = {"NAME": "bike", "VERSION": "3", "NAMESPACE": "rides", "FOLDER": tmp_path / "v", "DIGEST": digest, "HOST": "0.0.0.0"}
    known |= {
        "CAPTURE_URL": monitor.url,
        "SECRET_FILE": tmp_path / "secret",
        "DRAIN": "3",
        "CAPTURE_QUEUE": "",
        "PORT": "tcp://10.0.0.1:80",
    }
    process, port = launch(tmp_path / "log", **{f"TRIMTAB_{name}": str(value) for name, value in known.items()})
    until(lambda: answers(port, "/v2/models/bike/ready"), 60)
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def ask():
        kept.request("POST", V1, json.dumps({"instances": [ROW]}))
        answer = kept.getresponse()
        answer.read()
        return answer.status, answer.getheader("connection")

    assert ask() == (200, None)
    process.terminate()
    until(lambda: not answers(port, "/v2/models/bike/ready"), 2)
    for path in ("/v2/health/ready", "/v1/models/bike"):
        assert call(port, "GET", path)[0] == 503
    assert call(port, "GET", "/v2/models/bike/ready")[2] == {"error": "version '3' of 'bike' is stopping"}
    assert call(port, "GET", "/v2/health/live")[0] == 200
    assert [ask() for _ in range(50)] == [(200, "close")] * 50
    assert process.poll() is None
    assert process.wait(10) == 0
    assert len(monitor.events) == 2 * 51
    assert {event.extensions["namespace"] for event in monitor.events} == {"rides"}
    assert (tmp_path / "log").read_text() == ""
    monitor.close()


def test_a_second_sigterm_ends_the_draining(tmp_path):
    process, port = start(tmp_path / "v", tiny_model(tmp_path / "v"), tmp_path / "log", "--drain", 60)
    until(lambda: answers(port, "/v2/models/bike/ready"), 60)
    process.terminate()
    until(lambda: not answers(port, "/v2/models/bike/ready"), 2)
    process.terminate()
    assert process.wait(10) == 0
