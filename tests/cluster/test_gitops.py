"""Nothing of ours fights a GitOps tool: what Git has is what there is, whatever Trimtab does meanwhile.

`kubectl diff` asks the API server what applying a manifest would change, in a dry run, as Argo CD and Flux do; it ends with 0 where that
is nothing. Two namespaces live the same story, one applied server-side as Argo CD does, one client-side.
"""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.installation import CHART, VALUES, helm
from tests.cluster.test_crashes import ask, trimtab, wait
from tests.cluster.tools import ROOT, eventually, kubectl, needs_cluster
from tests.cluster.world import SYSTEM, World, fresh, get

pytestmark = [needs_cluster, pytest.mark.timeout(900)]
EXAMPLE = ROOT / "examples" / "gitops"
DIRECT = {"strategy": "direct", "steps": [], "bake": {"duration": "5s"}}
WAYS = {"server-side": ("--server-side", "--field-manager", "argocd-controller"), "client-side": ()}
HELD = ["trimtab.dev/withdraw"]
OF_THE_KEY = {"Secret/trimtab-signing", "Deployment/trimtab-controller", "ClusterStorageContainer/trimtab"}
"""The objects of the chart that have the signing key, its certificate, or a checksum over them."""


@pytest.fixture(scope="module")
def worlds(installation: None) -> Iterator[dict[str, World]]:
    """A Model each way; a person has to approve, so that a Release stands still while it is looked at."""
    del installation
    spec = {"rollout": DIRECT, "approval": "manual", "retraining": {"on": ["newData"]}}
    made = {way: World(fresh(way), **spec).prepare() for way in WAYS}
    for way, world in made.items():
        kubectl("apply", *WAYS[way], "-f", "-", stdin=yaml.safe_dump(world.document))
    yield made
    for world in made.values():
        world.delete()


def differences(manifests: str, *flags: str) -> str:
    """What applying the manifests would change, as `kubectl diff` shows it; empty where it ends with 0."""
    done = subprocess.run(["kubectl", "diff", *flags, "-f", "-"], input=manifests, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert bool(done.stdout) is bool(done.returncode)
    return done.stdout


def differs(world: World, way: str) -> str:
    return differences(yaml.safe_dump(world.document), *WAYS[way])


def finalizers(world: World) -> list[str]:
    return world.model()["metadata"].get("finalizers") or []


def at_once(worlds: dict[str, World], step: Any) -> None:
    """The step in every namespace at the same time."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(step, worlds.values()))


def test_while_a_release_is_under_way_and_the_model_is_held_nothing_differs(worlds: dict[str, World]) -> None:
    for way, world in worlds.items():
        with world.telling():
            eventually("a version that awaits approval", lambda world=world: world.phase("recipe") == "AwaitingApproval", 240)
        assert finalizers(world) == HELD
        assert differs(world, way) == ""


def test_after_its_first_promotion_nothing_differs(worlds: dict[str, World]) -> None:
    for world in worlds.values():
        trimtab(world, "approve", world.releases()[0]["metadata"]["name"])
    for way, world in worlds.items():
        with world.telling():
            eventually("the first promotion", lambda world=world: world.phase("recipe") == "Promoted", 180)
            eventually("the Model's release", lambda world=world: finalizers(world) == [], 30)
        kubectl("wait", f"ttm/{world.name}", "-n", world.namespace, "--for=condition=Ready", "--timeout=60s")
        assert world.champion() == "1"
        assert differs(world, way) == ""


@pytest.mark.long
def test_after_another_promotion_nothing_differs(worlds: dict[str, World]) -> None:
    names = {way: ask(world) for way, world in worlds.items()}

    def promote(world: World) -> None:
        name = next(names[way] for way, one in worlds.items() if one is world)
        wait(world, name, "AwaitingApproval")
        trimtab(world, "approve", name)
        wait(world, name, "Promoted")

    at_once(worlds, promote)
    for way, world in worlds.items():
        assert world.champion() == "2"
        assert differs(world, way) == ""


def test_a_change_of_the_document_is_what_differs_and_nothing_else(worlds: dict[str, World]) -> None:
    way, world = "server-side", worlds["server-side"]
    changed = json.loads(json.dumps(world.document))
    changed["spec"]["serving"] = {**changed["spec"].get("serving", {}), "replicas": 2}
    said = differences(yaml.safe_dump(changed), *WAYS[way])
    lines = [line for line in said.splitlines() if re.match(r"[+-](?![+-])", line)]
    assert [line.split() for line in lines if "generation" not in line] == [["+", "serving:"], ["+", "replicas:", "2"]], said


def rendered(*flags: str) -> str:
    """The chart as Argo CD renders it: without a look at the cluster, and without what runs when it is uninstalled."""
    words = [word for value in VALUES for word in ("--set", value)]
    return helm("template", "trimtab", str(CHART), "-n", SYSTEM, "--no-hooks", *words, *flags)


def objects(said: str) -> set[str]:
    """The objects that a diff is about, as KIND/NAME."""
    files = re.findall(r"^diff .*/(\S+)$", said, re.MULTILINE)
    return {re.sub(r"^.*?\.?([A-Z]\w+)\.[^.]*\.(.+)$", r"\1/\2", name) for name in files}


@pytest.mark.usefixtures("worlds")
def test_nothing_of_the_chart_differs_where_its_key_is_ones_own(tmp_path: Path) -> None:
    secret = get("secret", SYSTEM, "trimtab-signing")
    assert secret
    certificate = tmp_path / "tls.crt"
    certificate.write_bytes(base64.b64decode(secret["data"]["tls.crt"]))
    own = rendered("--set", "signing.existingSecret=trimtab-signing", "--set-file", f"signing.certificate={certificate}")
    assert differences(own) == ""
    assert differences(own, "--server-side", "--force-conflicts", "--field-manager", "argocd-controller") == ""


@pytest.mark.usefixtures("worlds")
def test_a_key_that_the_chart_makes_is_all_that_differs_where_the_cluster_is_not_looked_at() -> None:
    assert objects(differences(rendered())) == OF_THE_KEY


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_the_examples_models_are_what_the_api_server_takes(worlds: dict[str, World], environment: str) -> None:
    built = kubectl("kustomize", str(EXAMPLE / "models" / "crm" / "overlays" / environment))
    models = [body for body in yaml.safe_load_all(built) if body["kind"] == "Model"]
    assert len(models) == 2
    for body in models:
        body["metadata"]["namespace"] = worlds["server-side"].namespace
    kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(models))
