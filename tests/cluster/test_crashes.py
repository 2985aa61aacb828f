"""kill -9 of the controller in every phase of a Release, and a minute without MLflow or without the API server: one run, one champion."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.installation import controller_pod, kill_controller
from tests.cluster.tools import eventually, kubectl, needs_cluster
from tests.cluster.world import SYSTEM, TERMINAL, Player, World, apply, fresh, get
from trimtab.audit.chain import Anchor, verify
from trimtab.platforms.kubernetes.api import Api, connect
from trimtab.platforms.kubernetes.ledger import KubernetesLedger
from trimtab.platforms.kubernetes.objects import KubernetesObjects
from trimtab.release import Release

pytestmark = [needs_cluster, pytest.mark.timeout(900)]
OUTAGE = 60.0
GUARD = {"errors": {"margin": "+0.05"}, "slow": {"threshold": "1s", "margin": "+0.05"}}
ROLLOUT = {"steps": [50], "guard": GUARD, "bake": {"duration": "15s"}}
PROXY = "api-proxy"


@pytest.fixture(scope="module")
def world(installation: None) -> Iterator[World]:
    del installation
    # What the months that are played bring must not get in before a person who asks here.
    world = World(fresh("crash"), rollout=ROLLOUT, approval="manual", retraining={"on": ["newData"]}).prepare().connect()
    world.apply()
    with world.telling():
        eventually("the first version", lambda: world.phase("recipe") == "AwaitingApproval", 180)
        trimtab(world, "approve", world.releases()[0]["metadata"]["name"])
        eventually("its promotion", lambda: world.phase("recipe") == "Promoted", 120)
    yield world
    world.delete()


@pytest.fixture
def player(world: World, tmp_path: Path) -> Iterator[Player]:
    player = Player(world, tmp_path)
    player.play(40)
    yield player
    player.stop()


def trimtab(world: World, *words: str) -> str:
    """The command line, as a person uses it on a cluster."""
    command = [str(Path(sys.executable).parent / "trimtab"), *words, "-n", world.namespace]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"trimtab {' '.join(words)}: {done.stderr or done.stdout}"
    return done.stdout


def newest(world: World) -> dict[str, Any]:
    return world.releases()[-1]


def ask(world: World) -> str:
    """A person asks for a new version; returns the Release's name."""
    before = {one["metadata"]["name"] for one in world.releases()}
    trimtab(world, "retrain", world.name, "--reason", "a test wants it")
    name = str(newest(world)["metadata"]["name"])
    assert name not in before
    return name


def wait(world: World, release: str, phase: str, seconds: float = 180) -> None:
    """Until the Release is in the phase; fails where it ended another way."""

    def look() -> bool:
        found = get("ttr", world.namespace, release) or {}
        now = found.get("status", {}).get("phase", "Pending")
        assert now == phase or now not in TERMINAL, f"{release} ended as {now}"
        return bool(now == phase)

    with world.telling():
        eventually(f"{release} in {phase}", look, seconds, 0.1)


def whole(world: World, name: str) -> Release:
    """The Release, after its chain of decisions was found whole."""
    release = KubernetesObjects(Api(connect())).get(Release, world.namespace, name)
    assert release
    head = release.status.decisions[-1]
    anchor = Anchor(world.namespace, head.sequence, head.hash, "its status")
    assert verify(KubernetesLedger(Api(connect()), namespace=world.namespace).records(), None, [anchor]) is None
    return release


def test_killed_in_every_phase_there_is_one_run_one_champion_and_a_whole_chain(world: World, player: Player) -> None:
    before = world.champion()
    generation = world.model()["status"]["champion"].get("generation", 1)
    name = ask(world)
    for phase in ("Training", "AwaitingApproval", "Rollout", "Baking"):
        wait(world, name, phase)
        kill_controller()
        if phase == "AwaitingApproval":
            trimtab(world, "approve", name, "--reason", "seen")
    wait(world, name, "Promoted")
    release = whole(world, name)
    jobs = kubectl("get", "jobs", "-n", world.namespace, "-l", f"trimtab.dev/release={name}", "-o", "name").split()
    assert len(jobs) == 1, f"one run, found {jobs}"
    assert release.status.candidate
    assert world.champion() == release.status.candidate.version != before
    assert world.model()["status"]["champion"].get("generation", 1) == generation + 1
    assert player.counts.failed == 0, f"requests failed: {player.counts.codes}"
    said = [record.reason for record in release.status.decisions]
    assert said.count("ChampionSwapped") == 1, said


@pytest.mark.long
def test_killed_while_it_waits_is_compared_anew_or_is_withdrawn_nothing_is_lost_and_nothing_is_left(world: World, player: Player) -> None:
    """The three phases beside the straight way: a Release behind another, a champion that a person moved by hand, and an abort."""
    del player
    first = ask(world)
    wait(world, first, "AwaitingApproval")
    second = ask(world)
    wait(world, second, "Pending")
    before = move_champion_by_hand(world)
    wait(world, first, "Comparing")
    kill_controller()
    wait(world, first, "AwaitingApproval")
    assert whole(world, first).status.compared_with.version == before
    wait(world, second, "Pending")
    trimtab(world, "approve", first)
    wait(world, first, "Rollout")
    eventually("its first share", lambda: (get("ttr", world.namespace, first) or {})["status"].get("weight") == 50, 60)
    trimtab(world, "abort", first, "--reason", "enough seen")
    wait(world, first, "Withdrawing")
    kill_controller()
    wait(world, first, "Cancelled")
    version = whole(world, first).status.candidate.version
    eventually("its end", lambda: not get("deployment", world.namespace, f"{world.name}-v{version}-predictor"), 60)
    assert world.champion() == before
    wait(world, second, "AwaitingApproval")
    trimtab(world, "reject", second)
    wait(world, second, "Rejected")


def move_champion_by_hand(world: World) -> str:
    """Bring back the first version as somebody would who edits the status; returns that version."""
    release = world.releases()[0]["status"]
    champion = world.model()["status"]["champion"]
    assert champion["version"] != release["candidate"]["version"]
    moved = {**release["candidate"], "generation": champion["generation"] + 1, "release": ""}
    patch = {"status": {"champion": moved}}
    kubectl("patch", "ttm", world.name, "-n", world.namespace, "--subresource=status", "--type=merge", "-p", yaml.safe_dump(patch))
    return str(moved["version"])


@pytest.mark.long
def test_a_minute_without_mlflow_is_waited_out_and_said(world: World) -> None:
    kubectl("scale", "deployment/trimtab-mlflow", "-n", SYSTEM, "--replicas=0")
    kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=mlflow", "-n", SYSTEM, "--timeout=60s")
    down = time.monotonic()
    name = ask(world)

    def said() -> str:
        conditions = [*world.model()["status"]["conditions"], *newest(world).get("status", {}).get("conditions", [])]
        return next((one["message"] for one in conditions if one["type"] == "Reconciled" and one["status"] == "False"), "")

    with world.telling():
        sentence = eventually("a condition that says so", said, OUTAGE)
        assert "MLflow" in sentence, sentence
        time.sleep(max(0.0, down + OUTAGE - time.monotonic()))
        kubectl("scale", "deployment/trimtab-mlflow", "-n", SYSTEM, "--replicas=1")
        wait(world, name, "AwaitingApproval", 240)
        eventually("nothing more to wait for", lambda: not said(), 60)
    print(f"\nsaid while MLflow was away: {sentence}")
    trimtab(world, "reject", name, "--reason", "enough seen")
    wait(world, name, "Rejected")


@pytest.mark.long
def test_a_minute_without_the_api_server_is_waited_out(world: World, player: Player) -> None:
    through_a_proxy()
    try:
        name = ask(world)
        wait(world, name, "AwaitingApproval")
        trimtab(world, "approve", name)
        wait(world, name, "Rollout")
        eventually("its first share", lambda: (get("ttr", world.namespace, name) or {})["status"].get("weight") == 50, 60)
        kubectl("scale", f"deployment/{PROXY}", "-n", SYSTEM, "--replicas=0")
        kubectl("wait", "--for=delete", "pods", "-l", f"app={PROXY}", "-n", SYSTEM, "--timeout=30s")
        cut = time.monotonic()
        eventually("a controller that is not ready", lambda: not _ready(), 40)
        time.sleep(max(0.0, cut + OUTAGE - time.monotonic()))
        assert _restarts() == 0, "it waits, and is not started anew"
        kubectl("scale", f"deployment/{PROXY}", "-n", SYSTEM, "--replicas=1")
        wait(world, name, "Promoted", 180)
        whole(world, name)
        assert player.counts.failed == 0, f"requests failed: {player.counts.codes}"
    finally:
        straight()


def _ready() -> bool:
    found = get("pod", SYSTEM, controller_pod()) or {}
    conditions = {one["type"]: one["status"] for one in found.get("status", {}).get("conditions", [])}
    return conditions.get("Ready") == "True"


def _restarts() -> int:
    found = get("pod", SYSTEM, controller_pod()) or {}
    return int(found["status"]["containerStatuses"][0]["restartCount"])


def through_a_proxy() -> None:
    """Let the controller reach the API server through a pod of ours, which can be taken away."""
    code = (
        "import asyncio\n"
        "async def pipe(r, w):\n"
        "    try:\n"
        "        while (b := await r.read(65536)): w.write(b); await w.drain()\n"
        "    except OSError: pass\n"
        "    finally: w.close()\n"
        "async def serve(r, w):\n"
        "    up, down = await asyncio.open_connection('kubernetes.default.svc', 443)\n"
        "    await asyncio.gather(pipe(r, down), pipe(up, w))\n"
        "async def main():\n"
        "    async with await asyncio.start_server(serve, '0.0.0.0', 8443) as s: await s.serve_forever()\n"
        "asyncio.run(main())\n"
    )
    metadata = {"name": PROXY, "namespace": SYSTEM}
    container = {
        "name": "proxy",
        "image": "trimtab/predictor:0.1.0",
        "command": ["python", "-c", code],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
    }
    labels = {"app": PROXY}
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container],
        "terminationGracePeriodSeconds": 0,
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": 8443}]},
        },
    )
    kubectl("rollout", "status", f"deployment/{PROXY}", "-n", SYSTEM, "--timeout=60s")
    address = (get("service", SYSTEM, PROXY) or {})["spec"]["clusterIP"]
    env = [{"name": "KUBERNETES_SERVICE_HOST", "value": "kubernetes.default.svc"}, {"name": "KUBERNETES_SERVICE_PORT", "value": "443"}]
    aliases = [{"ip": address, "hostnames": ["kubernetes.default.svc"]}]
    _patch({"hostAliases": aliases, "containers": [{"name": "controller", "env": env}]})


def straight() -> None:
    """Let the controller reach the API server as it did before."""
    names = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")
    env = [{"name": name, "$patch": "delete"} for name in names]
    _patch({"hostAliases": None, "containers": [{"name": "controller", "env": env}]})
    kubectl("delete", "deployment,service", PROXY, "-n", SYSTEM, "--ignore-not-found")


def _patch(pod: dict[str, Any]) -> None:
    patch = {"spec": {"template": {"spec": pod}}}
    kubectl("patch", "deployment/trimtab-controller", "-n", SYSTEM, "--type=strategic", "-p", yaml.safe_dump(patch))
    kubectl("rollout", "status", "deployment/trimtab-controller", "-n", SYSTEM, "--timeout=120s")
