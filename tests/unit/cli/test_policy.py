"""`trimtab policy replay` on a cluster: the real command asks an API server and a real monitor's process over HTTP."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.unit.monitoring.asking import ask
from tests.unit.monitoring.folders import HOUR, START, instances, labels_of, model, served, write_folder
from tests.unit.monitoring.process import SECRET, Live
from tests.unit.platforms.kubernetes.api_server import ApiServer, kubeconfig, running
from trimtab.events import structured
from trimtab.platforms.kubernetes.resources import MODELS, RELEASES

TRIMTAB = str(Path(sys.executable).parent / "trimtab")
WINDOWS, ROWS = 8, 100
MODEL = model()


class Cluster:
    """A namespace with the Model `demand`, and a monitor that has seen its inputs move and then its error rise."""

    def __init__(self, folder: Path, server: ApiServer, live: Live) -> None:
        self.folder, self.live, self.url = folder, live, f"http://127.0.0.1:{live.port}"
        (folder / "kubeconfig").write_text(kubeconfig(server.url))
        server.put(MODELS, "default", "demand", metadata={"uid": "uid-1"}, spec=msgspec.to_builtins(MODEL.spec), status=CHAMPION)
        self._live()
        self.windows, self.findings = self._judged(), self.told("findings")
        first = next(one for one in self.findings if one["kind"] == "performance")
        request = {"trigger": "performance", "source": "/trimtab/monitor", "id": first["id"], "cut": first["cut"]}
        spec = {"model": "demand", "modelUid": "uid-1", "recipe": "r", "request": request}
        status = {"phase": "Rejected", "weight": 0, "attempt": 1, "admittedData": first["cut"], "finished": first["cut"]}
        server.put(RELEASES, "default", "demand-1", spec=spec, status=status)

    def _live(self) -> None:
        draw = np.random.default_rng(5)
        calm, moved = instances(draw, 2 * ROWS), instances(draw, 2 * ROWS, shift=1.5, start=START + 2 * ROWS * HOUR, first=2 * ROWS)
        worse = instances(draw, 4 * ROWS + 60, start=START + 4 * ROWS * HOUR, first=4 * ROWS)
        labels = [*labels_of([*calm, *moved], draw, 1.0), *labels_of(worse, draw, 4.0)]
        events = [structured(event) for event in [*served([*calm, *moved, *worse]), *labels]]
        for first in range(0, len(events), 200):
            status, said = ask(f"{self.url}/events", SECRET, msgspec.to_builtins(events[first : first + 200]))
            assert status == 202, said

    def told(self, what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(ask(f"{self.url}/models/default/demand/{what}", SECRET)[1])
        return found

    def _judged(self) -> list[dict[str, Any]]:
        for _ in range(600):
            found = self.told("windows")
            if len(found) == WINDOWS and all(one["drift"] and one["judgement"] for one in found):
                return found
            time.sleep(0.1)
        msg = f"not all windows were judged: {found}"
        raise AssertionError(msg)

    def replay(self, *words: str, token: str = SECRET, url: str = "", **spec: Any) -> "subprocess.CompletedProcess[str]":
        """The command with a document whose `monitoring` and `retraining` are the Model's but for what is said."""
        whole = msgspec.to_builtins(MODEL)
        for part, changes in spec.items():
            whole["spec"][part] = {**whole["spec"].get(part, {}), **changes}
        document = self.folder / "new.yaml"
        document.write_text(json.dumps(whole))
        env = {**os.environ, "KUBECONFIG": str(self.folder / "kubeconfig"), "TRIMTAB_TOKEN": token, "COLUMNS": "200"}
        env.pop("KUBERNETES_SERVICE_HOST", None)
        command = [TRIMTAB, "policy", "replay", str(document), "-n", "default", "--model", "demand", "--monitor", url or self.url, *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


CHAMPION = {"champion": {"version": "1", "digest": "d"}}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    version = write_folder(folder / "1")
    with running() as server, Live(folder / "monitor.db", version.folder, "--replaying") as live:
        yield Cluster(folder, server, live)


def test_the_policy_in_force_tells_what_was_found_and_retrained(cluster: Cluster) -> None:
    done = cluster.replay("--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {one["kind"] for one in cluster.findings} >= {"covariate", "performance"}
    assert found["windows"] == WINDOWS
    assert found["was"] == {"findings": len(cluster.findings), "retrains": 1}
    assert found["would"]["findings"] == len(cluster.findings)
    assert not found["gone"]
    assert not any(one["new"] for one in found["timeline"])
    told = {(one["finding"]["kind"], one["finding"]["window"]) for one in found["timeline"]}
    assert told == {(one["kind"], one["window"]) for one in cluster.findings}


def test_another_policy_tells_what_would_have_been_with_its_timeline(cluster: Cluster) -> None:
    done = cluster.replay(monitoring={"drift": {"effect": 5.0, "persistence": "2 of 3"}}, retraining={"on": ["performance"]})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    left = [one for one in cluster.findings if one["kind"] in ("performance", "concept", "quality")]
    gone = [one for one in cluster.findings if one not in left]
    assert lines[0].startswith(f"over {WINDOWS} windows it would have raised {len(left)} finding")
    assert lines[0].endswith(f" instead of {len(cluster.findings)} and 1")
    rows = [line for line in lines if any(f" {kind} " in line for kind in ("covariate", "prediction", "performance", "concept"))]
    assert len(rows) == len(cluster.findings), done.stdout
    assert sum(" gone " in row for row in rows) == len(gone) > 0
    times = [row.strip()[:16] for row in rows]
    assert times == sorted(times)


def test_a_retrain_that_the_policy_does_not_ask_for_does_not_begin(cluster: Cluster) -> None:
    found = json.loads(cluster.replay("--json", retraining={"on": []}).stdout)
    assert (found["would"]["retrains"], found["was"]["retrains"]) == (0, 1)


def test_whoever_may_not_ask_or_asks_nobody_gets_one_sentence(cluster: Cluster) -> None:
    wrong = cluster.replay(token="wrong")
    assert (wrong.returncode, wrong.stderr.count("\n"), "401" in wrong.stderr) == (1, 1, True), wrong.stderr
    none = cluster.replay(token="")
    assert (none.returncode, "TRIMTAB_TOKEN" in none.stderr) == (2, True), none.stderr
    nobody = cluster.replay(url="http://127.0.0.1:9")
    assert (nobody.returncode, nobody.stderr.count("\n")) == (1, 1), nobody.stderr
