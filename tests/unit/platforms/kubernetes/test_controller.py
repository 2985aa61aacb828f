"""The controller's process: its arguments, its exit codes, and a whole life from start to SIGTERM before an API server without a watch."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from tests.unit.platforms.kubernetes.api_server import ApiServer, kubeconfig
from trimtab.platforms.kubernetes.objects import FINALIZER
from trimtab.platforms.kubernetes.resources import LEASES, MODELS

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


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])
