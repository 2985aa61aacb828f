"""The controller's process: its arguments, its exit codes, and a whole life from start to SIGTERM before an API server without a watch."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.audit.drafts import NOW, draft
from tests.unit.listener import listening
from tests.unit.platforms.kubernetes.api_server import ApiServer, kubeconfig
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.cursors import BEGAN
from trimtab.platforms.kubernetes.ledger import KubernetesLedger
from trimtab.platforms.kubernetes.objects import FINALIZER
from trimtab.platforms.kubernetes.resources import CONFIG_MAPS, LEASES, MODELS
from trimtab.release import Phase, Release, ReleaseSpec, Request
from trimtab.spec import Metadata

MODULE = "trimtab.platforms.kubernetes.controller"


def environment(folder: Path, url: str | None) -> dict[str, str]:
    """Nothing of this machine's own cluster: a kubeconfig for `url`, or one that does not exist."""
    path = folder / "kubeconfig"
    if url:
        path.write_text(kubeconfig(url))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KUBERNETES_")}
    return {**kept, "KUBECONFIG": str(path), "HOME": str(folder)}


def run(folder: Path, url: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", MODULE, *arguments]
    return subprocess.run(command, env=environment(folder, url), capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("arguments", [(), ("run",), ("release-finalizers",)], ids=str)
def test_without_a_cluster_there_is_one_sentence_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = run(tmp_path, None, *arguments)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith("error: no cluster can be reached: ")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [("fly",), ("--port", "http"), ("--log-level", "LOUD")], ids=str)
def test_arguments_that_are_not_known_are_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = run(tmp_path, None, *arguments)
    assert ended.returncode == 2
    assert "usage: trimtab-controller" in ended.stderr


def test_a_way_of_making_runs_that_cannot_be_used_is_one_sentence_and_exit_code_2(tmp_path: Path, server: ApiServer) -> None:
    path = tmp_path / "runs.yaml"
    for text, sentence in (
        ("training: {deadline: soon}", f"{path}: training.deadline: found 'soon', allowed is a duration of at least a second"),
        ("kfp: {url: 'ftp://ml-pipeline'}", f"{path}: kfp.url: found 'ftp://ml-pipeline', allowed is an address http://"),
    ):
        path.write_text(text)
        ended = run(tmp_path, server.url, "--runs", str(path))
        assert (ended.returncode, ended.stdout) == (2, "")
        assert ended.stderr.startswith(f"error: {sentence}")
        assert ended.stderr.count("\n") == 1


def test_releasing_finalizers_tells_how_many(tmp_path: Path, server: ApiServer) -> None:
    for name in ("a", "b"):
        server.put(MODELS, "crm", name, metadata={"finalizers": [FINALIZER]})
    ended = run(tmp_path, server.url, "release-finalizers")
    assert (ended.returncode, ended.stdout) == (0, "2 Models were let go\n")


def test_an_api_server_that_does_not_answer_is_exit_code_1(tmp_path: Path, server: ApiServer) -> None:
    server.canned = (503, b"{}")
    ended = run(tmp_path, server.url, "release-finalizers")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: the API server does not answer")


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_whole_life_takes_the_lease_logs_json_and_gives_the_lease_away(tmp_path: Path, server: ApiServer) -> None:
    port = _free_port()
    command = [sys.executable, "-m", MODULE, "--port", str(port), "--lease-namespace", "trimtab-system", "--cache", str(tmp_path / "c")]
    server.put(LEASES, "trimtab-system", "trimtab-controller", spec={})
    process = subprocess.Popen(command, env=environment(tmp_path, server.url), stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    assert process.stderr
    reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()))
    reader.start()
    try:
        ends, pause = time.monotonic() + 60, threading.Event()
        while not (_ready(f"http://127.0.0.1:{port}") and any('"working"' in line for line in lines)):
            assert process.poll() is None, lines
            assert time.monotonic() < ends, lines
            pause.wait(0.05)
        lease = server.get(LEASES, "trimtab-system", "trimtab-controller")
        assert lease
        assert lease["spec"]["holderIdentity"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        reader.join()
    lease = server.get(LEASES, "trimtab-system", "trimtab-controller")
    assert lease
    assert lease["spec"]["holderIdentity"] == "", "the next controller need not wait"
    assert [line for line in lines if not isinstance(json.loads(line), dict)] == []
    assert json.loads(lines[-1])["message"] != ""


def test_a_controller_that_is_killed_while_it_tells_loses_nothing(tmp_path: Path, server: ApiServer) -> None:
    """Two namespaces with decisions that were not told yet, a receiver that answers once, kill -9, and a second controller."""
    server.put(LEASES, "trimtab-system", "trimtab-controller", spec={})
    server.put(CONFIG_MAPS, "trimtab-system", "notified", data={BEGAN: NOW.isoformat(), "crm": "0", "ads": "2"})
    ledger = KubernetesLedger(Api(server.client()))
    made = {}
    for namespace in ("crm", "ads"):
        for number in range(5):
            one = Release(
                Metadata(f"bike-{number}", namespace, uid=f"{namespace}-{number}"),
                ReleaseSpec("bike", "uid", "r", Request("person", "t", "1", NOW)),
            )
            made[(namespace, number + 1)] = ledger.append(draft(one, "RunFailed", Phase.FAILED), ledger.last(one)).hash
    skipped = {made[("ads", 1)], made[("ads", 2)]}
    once = threading.Semaphore(2)
    with listening(200) as receiver:
        receiver.choose = lambda _: 200 if once.acquire(blocking=False) else 503
        with _controller(tmp_path, server, receiver.url):
            _wait(lambda: len(receiver.heard) >= 3)
        receiver.choose = lambda _: 200
        with _controller(tmp_path, server, receiver.url) as port:
            _wait(lambda: {json.loads(body)["id"] for _, _, body in receiver.heard} == {*made.values()} - skipped)
            _wait(lambda: b'trimtab_notifications_total{result="delivered"}' in _metrics(port))
    events = [json.loads(body) for _, _, body in receiver.heard]
    for namespace, first in (("crm", 1), ("ads", 3)):
        came = [event["id"] for event in events if event["data"]["namespace"] == namespace]
        assert list(dict.fromkeys(came)) == [made[(namespace, number)] for number in range(first, 6)]


@contextmanager
def _controller(folder: Path, server: ApiServer, receiver: str) -> Iterator[int]:
    """A controller that tells a receiver, at the port of its end-points; killed in the end."""
    port, lease = _free_port(), server.get(LEASES, "trimtab-system", "trimtab-controller") or {}
    server.put(LEASES, "trimtab-system", "trimtab-controller", spec={**lease["spec"], "holderIdentity": ""})
    command = [sys.executable, "-m", MODULE, "--port", str(port), "--lease-namespace", "trimtab-system", "--cache", str(folder)]
    command += ["--notify-url", receiver, "--notify-config-map", "notified"]
    process = subprocess.Popen(command, env=environment(folder, server.url), stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _wait(condition: Callable[[], bool]) -> None:
    ends, pause = time.monotonic() + 60, threading.Event()
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        pause.wait(0.05)


def _metrics(port: int) -> bytes:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
