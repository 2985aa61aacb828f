"""Models, namespaces and the installation itself go without anything that hangs, whatever is under way and whoever is down."""

import json
from pathlib import Path

import pytest

from tests.cluster.installation import KEPT, bases, install, uninstall
from tests.cluster.test_crashes import GUARD
from tests.cluster.tools import eventually, kubectl, needs_cluster
from tests.cluster.world import SYSTEM, World, fresh, get, predict, wait_gone

pytestmark = [needs_cluster, pytest.mark.timeout(600)]
SLOW_BAKE = {"steps": [50], "guard": GUARD, "bake": {"duration": "1d"}}


def serving(prefix: str, **spec: object) -> World:
    world = World(fresh(prefix), **spec).prepare().connect()
    world.apply()
    with world.telling():
        eventually("a first prediction", lambda: predict(world) == 200, 180)
        eventually("its promotion", lambda: world.phase("recipe") == "Promoted", 60)
    return world


@pytest.mark.long
def test_a_deleted_model_takes_its_candidate_back_and_leaves_the_champion_serving(installation: None) -> None:
    del installation
    world = serving("orphan", rollout=SLOW_BAKE)
    try:
        _into_rollout(world)
        kubectl("delete", "ttm", world.name, "-n", world.namespace, "--timeout=90s")
        isvc = world.isvc()
        assert isvc, "deletionPolicy Orphan: the InferenceService outlives the Model"
        assert isvc["spec"]["predictor"]["name"] == "v1"
        assert not isvc["spec"].get("canary"), "the candidate was withdrawn"
        assert predict(world) == 200
        assert world.releases() == [], "Releases go with their Model"
    finally:
        world.close()
        kubectl("delete", "namespace", world.namespace, "--wait=false")


def test_with_deletion_policy_delete_the_inference_service_goes_too(installation: None) -> None:
    del installation
    world = serving("delete", deletionPolicy="Delete")
    try:
        kubectl("delete", "ttm", world.name, "-n", world.namespace, "--timeout=60s")
        wait_gone("inferenceservice", world.namespace, world.name)
    finally:
        world.close()
        kubectl("delete", "namespace", world.namespace, "--wait=false")


@pytest.mark.long
def test_a_namespace_goes_with_the_controller_up(installation: None) -> None:
    del installation
    world = serving("space", rollout=SLOW_BAKE)
    _into_rollout(world)
    world.close()
    kubectl("delete", "namespace", world.namespace, "--timeout=120s")


def test_model_and_namespace_go_with_the_controller_down_once_trimtab_is_uninstalled() -> None:
    install()
    world = serving("down", rollout=SLOW_BAKE)
    _into_rollout(world)
    kubectl("scale", "deployment/trimtab-controller", "-n", SYSTEM, "--replicas=0")
    kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=controller", "-n", SYSTEM, "--timeout=60s")
    kubectl("delete", "ttm", world.name, "-n", world.namespace, "--wait=false")
    kubectl("delete", "namespace", world.namespace, "--wait=false")
    world.close()
    uninstall()
    wait_gone("namespace", "", world.namespace, 120)
    _nothing_left()


def test_uninstalled_nothing_is_left_but_what_the_chart_keeps() -> None:
    install("crds.keep=false")
    uninstall()
    assert not [name for name in KEPT if kubectl("get", "crd", name, "--ignore-not-found", "-o", "name").strip()]
    _nothing_left(kept=())
    kubectl("delete", "namespace", SYSTEM, "--timeout=60s")


@pytest.mark.long
def test_kustomize_in_place_of_helm_serves_a_model_and_goes_as_the_docs_say(tmp_path: Path) -> None:
    manifests = bases(tmp_path)
    apply = ("apply", "--server-side", "--force-conflicts", "-k")
    said = kubectl(*apply, str(manifests / "default"), check=False)
    if "no matches for kind" in said:
        kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", *KEPT)
        kubectl(*apply, str(manifests / "default"))
    for part in ("controller", "monitor", "mlflow"):
        kubectl("rollout", "status", f"deployment/trimtab-{part}", "-n", SYSTEM, "--timeout=120s")
    world = serving("kustomize")
    world.close()
    kubectl("delete", "namespace", world.namespace, "--timeout=90s")
    kubectl("scale", "deployment/trimtab-controller", "-n", SYSTEM, "--replicas=0")
    kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=controller", "-n", SYSTEM, "--timeout=60s")
    kubectl(*apply, str(manifests / "uninstall"))
    kubectl("wait", "--for=condition=Complete", "job/trimtab-uninstall", "-n", SYSTEM, "--timeout=120s")
    kubectl("delete", "-k", str(manifests / "uninstall"), "--timeout=60s")
    kubectl("delete", "-k", str(manifests / "default"), "--timeout=90s")
    _nothing_left(kept=())


def _into_rollout(world: World) -> None:
    """A second version stands beside the champion; without traffic its canary holds."""
    from tests.cluster.test_crashes import trimtab

    trimtab(world, "retrain", world.name, "--reason", "a test wants it")
    with world.telling():
        eventually("a canary with its share", lambda: (world.release("person") or {}).get("status", {}).get("weight") == 50, 180)
    assert (world.model()["metadata"].get("finalizers") or []) == ["trimtab.dev/withdraw"]


def _nothing_left(kept: tuple[str, ...] = KEPT) -> None:
    """No object of the installation is left, of any kind that it makes, in its namespace or beyond."""
    kinds = "clusterroles,clusterrolebindings,clusterservingruntimes,clusterstoragecontainers,crds"
    policies = "validatingadmissionpolicies,validatingadmissionpolicybindings"
    found = kubectl("get", f"{kinds},{policies}", "-l", "app.kubernetes.io/part-of=trimtab", "-o", "name").split()
    assert {one.rpartition("/")[2] for one in found} <= set(kept), found
    inside = json.loads(kubectl("get", "all,pvc,secrets,configmaps,serviceaccounts,roles,rolebindings", "-n", SYSTEM, "-o", "json"))[
        "items"
    ]
    names = {f"{one['kind']}/{one['metadata']['name']}" for one in inside}
    assert names <= {"ServiceAccount/default", "ConfigMap/kube-root-ca.crt"}, names
    assert get("lease", SYSTEM, "trimtab-controller") is None, "the Lease goes too"
