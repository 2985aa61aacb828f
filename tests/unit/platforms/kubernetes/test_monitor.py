"""The controller's client of the monitor, and the monitor's own program."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.monitoring.asking import ask
from tests.unit.monitoring.folders import model
from trimtab.errors import Unavailable
from trimtab.platforms.kubernetes.api import Namespaces
from trimtab.platforms.kubernetes.monitor import ClusterMonitor
from trimtab.platforms.kubernetes.resources import MODELS, Resource
from trimtab.spec import MonitoringSummary

Answer = Callable[[str, str, dict[str, Any]], tuple[int, Any]]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """An HTTP server whose answers are `answer(path, authorization, body)`; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, found = answer(self.path, self.headers.get("Authorization", ""), json.loads(body or b"{}"))
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


STATE = {"watermark": "2026-01-01T00:00:00Z", "drift": "watch", "sentence": "1 of 4 columns moved", "openQuality": ["broken"]}


def test_the_token_is_read_anew_at_each_question(tmp_path: Path) -> None:
    given: list[tuple[str, str]] = []

    def answer(path: str, authorization: str, _: Any) -> tuple[int, Any]:
        given.append((path, authorization))
        return 200, STATE

    token = tmp_path / "token"
    with answering(answer) as url:
        monitor = ClusterMonitor(url + "/", token)
        for text in ("first\n", "second\n"):
            token.write_text(text)
            moment = datetime(2026, 1, 1, tzinfo=UTC)
            assert monitor.summary(model()) == MonitoringSummary("watch", "1 of 4 columns moved", moment)
        assert (monitor.watermark(model()), monitor.open_quality(model())) == (moment, ["broken"])
    assert given[:2] == [("/models/default/demand/state?", "Bearer first"), ("/models/default/demand/state?", "Bearer second")]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        pytest.param(401, {"error": "the token is not valid here"}, "did not answer 'state': 401: the token is not valid here", id="401"),
        pytest.param(403, {"error": "x may not get"}, "403: x may not get", id="403"),
        pytest.param(404, {"error": "the model is not known here"}, "404: the model is not known", id="a model that is not watched yet"),
        pytest.param(502, "<html>", "502: Bad Gateway", id="somebody in between"),
        pytest.param(200, "x", "did not answer 'state'", id="no object"),
    ],
)
def test_what_is_no_answer_is_a_sentence(tmp_path: Path, status: int, body: Any, words: str) -> None:
    (tmp_path / "token").write_text("t")
    with answering(lambda *_: (status, body)) as url, pytest.raises(Unavailable, match=words):
        ClusterMonitor(url, tmp_path / "token").summary(model())


def test_without_a_token_or_a_monitor_it_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the token for the monitor cannot be read"):
        ClusterMonitor("http://127.0.0.1:9", tmp_path / "token").summary(model())
    (tmp_path / "token").write_text("t")
    with pytest.raises(Unavailable, match="did not answer 'state'"):
        ClusterMonitor("http://127.0.0.1:9", tmp_path / "token").summary(model())


class Everything:
    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        return {"kind": resource.kind, "metadata": {"namespace": namespace, "name": name}}

    def list(self, resource: Resource, namespace: str = "", labels: str = "") -> list[dict[str, Any]]:
        return [{"kind": resource.kind, "namespace": namespace, "labels": labels}]


def test_a_monitor_of_some_namespaces_asks_for_nothing_else() -> None:
    reader = Namespaces(Everything(), ["a", "b"])
    assert [item["namespace"] for item in reader.list(MODELS)] == ["a", "b"]
    assert [item["namespace"] for item in reader.list(MODELS, "b")] == ["b"]
    assert reader.list(MODELS, "c") == []
    assert reader.get(MODELS, "c", "x") is None
    assert reader.get(MODELS, "a", "x") is not None


# --- the program


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def cluster(path: str, _: str, body: dict[str, Any]) -> tuple[int, Any]:
    """An API server with the Model shop/demand and the token `good`, which may send for it."""
    if path.endswith("/tokenreviews"):
        good = body["spec"]["token"] == "good"
        return 201, {"status": {"authenticated": good, "audiences": ["trimtab"], "user": {"username": "ann"}}}
    if path.endswith("/subjectaccessreviews"):
        return 201, {"status": {"allowed": body["spec"]["resourceAttributes"]["namespace"] == "shop"}}
    if path.startswith("/apis/trimtab.dev/v1alpha1/models"):
        metadata = {"name": "demand", "namespace": "shop", "uid": "u1", "resourceVersion": "1"}
        spec = {"task": "regression", "data": {"uri": "x.csv", "label": "y"}}
        return 200, {"items": [{"metadata": metadata, "spec": spec, "status": {}}]}
    if path.startswith("/apis/trimtab.dev/v1alpha1/releases"):
        return 200, {"items": []}
    return 404, {"message": "not found"}


def kubeconfig(folder: Path, url: str) -> Path:
    place = folder / "kubeconfig"
    place.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": url}}],
                "users": [{"name": "x", "user": {"token": "t"}}],
            }
        )
    )
    return place


def label(namespace: str) -> dict[str, Any]:
    data = {"model": "demand", "namespace": namespace, "key": 1, "value": 2.0, "time": "2026-01-01T00:00:00Z"}
    return {"specversion": "1.0", "id": namespace, "source": "/x", "type": "dev.trimtab.label.v1", "data": data}


@contextmanager
def program(folder: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "trimtab.platforms.kubernetes.monitor_main", "--data", str(folder / "data"), "--host", "127.0.0.1"]
    places = ["--worker", str(folder / "worker.sock"), *options]
    with subprocess.Popen([*command, *places], stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        try:
            yield process
        finally:
            process.kill()


def wait(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while ask(url)[0] != 200:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_program_works_until_sigterm_and_logs_json(tmp_path: Path) -> None:
    port, kserve = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    with answering(cluster) as server:
        environment = {"KUBECONFIG": str(kubeconfig(tmp_path, server))}
        with program(tmp_path, "--port", str(port), "--kserve-port", str(kserve), **environment) as process:
            wait(f"{url}/readyz", process)
            assert [ask(f"{url}/events", "good", label("shop"))[0] for _ in range(2)] == [202, 202]
            assert ask(f"{url}/events", "bad", label("shop"))[0] == 401
            assert ask(f"{url}/events", "good", label("bank"))[0] == 403
            assert json.loads(ask(f"{url}/models/shop/demand/state", "good")[1])["counts"]["labels"] == 1
            assert ask(f"http://127.0.0.1:{kserve}/", body={})[0] == 400
            process.send_signal(signal.SIGTERM)
            _, logged = process.communicate(timeout=30)
    assert process.returncode == 0, logged
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [line["message"].split(" ")[0] for line in lines] == ["listening", "listening", "ending"]


@pytest.mark.parametrize(
    ("environment", "code", "words"),
    [
        pytest.param({"TRIMTAB_DATABASE_URL": "mysql://u:hush@h/d"}, 2, "begins with 'mysql'", id="another database"),
        pytest.param({"TRIMTAB_DATABASE_URL": "postgresql://u:hush@127.0.0.1:9/d"}, 1, "cannot be used", id="a database that is away"),
        pytest.param({"KUBECONFIG": "/none"}, 2, "no cluster can be reached", id="no cluster"),
    ],
)
def test_what_keeps_the_program_from_beginning_is_a_sentence(tmp_path: Path, environment: dict[str, str], code: int, words: str) -> None:
    given = {"KUBECONFIG": str(kubeconfig(tmp_path, "http://127.0.0.1:9")), **environment}
    with program(tmp_path, "--port", "0", **given) as process:
        _, said = process.communicate(timeout=60)
    assert (process.returncode, words in said, "hush" in said, "Traceback" in said) == (code, True, False, False), said
