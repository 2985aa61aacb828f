"""The whole loop on a cluster: from `kubectl apply` to a first prediction, drift, a retrained version by canary, a bad one rolled back.

The tests of this file are one story in their order; each goes on where the one before stopped.
"""

import base64
import json
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace
from scipy.stats import binomtest

from tests.cluster.tools import ROOT, eventually, kubectl, needs_cluster
from tests.cluster.world import DATA, EXAMPLE, SYSTEM, TERMINAL, Player, World, fresh, get, instant, predict
from trimtab.audit.chain import Anchor, verify
from trimtab.audit.seal import believed_keys

pytestmark = [needs_cluster, pytest.mark.timeout(900)]
FOUND = ("performance", "concept")
QUIET, CANARY, SLOW = 120.0, 60.0, 2.0


@pytest.fixture(scope="module")
def world(installation: None) -> Iterator[World]:
    del installation
    world = World(fresh("bikes")).prepare().connect()
    yield world
    world.delete()


@pytest.fixture(scope="module")
def player(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    player = Player(world, tmp_path_factory.mktemp("play"))
    yield player
    player.stop()


def test_a_model_that_is_applied_serves_its_first_prediction(world: World) -> None:
    began = time.monotonic()
    world.apply()
    with world.telling():
        eventually("a first prediction", lambda: predict(world) == 200, 180, 0.1)
        took = time.monotonic() - began
        eventually("the champion", lambda: world.champion() == "1", 30)
        eventually("the end of the first Release", lambda: world.phase("recipe") == "Promoted", 30)
        eventually("the Model's readiness", lambda: condition(world.model(), "Ready") == ("True", "Serving"), 30)
    _tell_parts(world, took)


def _tell_parts(world: World, took: float) -> None:
    """Where the time went: the training Job, KServe (from the InferenceService to its ready pod), and the rest, which is ours."""
    release = world.release("recipe")
    assert release
    job = get("job", world.namespace, f"{release['metadata']['name']}-1")
    isvc = world.isvc()
    assert job
    assert isvc
    pipeline = instant(job["status"]["completionTime"]).timestamp() - instant(job["metadata"]["creationTimestamp"]).timestamp()
    ready = next(one for one in isvc["status"]["conditions"] if one["type"] == "Ready")
    kserve = instant(ready["lastTransitionTime"]).timestamp() - instant(isvc["metadata"]["creationTimestamp"]).timestamp()
    ours = took - pipeline - kserve
    print(f"\nkubectl apply to first prediction: {took:.1f} s; pipeline {pipeline:.0f} s, KServe {kserve:.0f} s, ours {ours:.1f} s")


def test_drift_is_found_and_a_retrained_version_is_promoted_without_a_failed_request(world: World, player: Player) -> None:
    asked = 0.0
    split: list[tuple[int, int]] = []

    def done() -> bool:
        nonlocal asked
        assert not player.broken, player.broken
        release = world.release(*FOUND)
        phase = world.phase(*FOUND)
        if release and not asked:
            asked = time.monotonic()
        pace = QUIET if not release else CANARY if phase in ("Rollout", "Baking") else SLOW
        player.play(pace)
        if release and phase == "Rollout":
            _watch_split(world, player, split)
        assert phase not in TERMINAL or phase == "Promoted", f"the retrained Release ended as {phase}"
        return phase in ("Baking", "Promoted")

    with world.telling():
        eventually("a retrained champion", done, 600, 1.0)
    print(
        f"\nfinding to promotion: {time.monotonic() - asked:.1f} s; requests so far: {player.counts.answered}, codes {player.counts.codes}"
    )
    assert player.counts.failed == 0, f"requests failed: {player.counts.codes}"
    assert player.counts.retried == 0, "the gateway did not answer at once"
    candidate, total = split[-1][0] - split[0][0], split[-1][1] - split[0][1]
    chance = binomtest(candidate, total, 0.2).pvalue
    print(f"observed split at 20%: {candidate} of {total} ({candidate / total:.1%}), p = {chance:.2f}")
    assert total >= 100, f"only {total} requests were seen at 20%"
    assert chance > 1e-4, f"{candidate} of {total} requests went to the candidate at 20%"


def _watch_split(world: World, player: Player, split: list[tuple[int, int]]) -> None:
    """Count both versions while the route gives the candidate 20%, with a second's distance from the changes."""
    before = world.release(*FOUND)
    counts = player.counts
    after = world.release(*FOUND)
    assert before
    assert after
    weights = {one["status"].get("weight"): one["status"].get("reason") for one in (before, after)}
    changes = [one for one in after["status"]["decisions"] if one["reason"] in ("NextStep", "RouteConfirmed")]
    since = max((instant(one["at"]).timestamp() for one in changes), default=time.time())
    if set(weights) == {20} and set(weights.values()) <= {"NotEnoughEvidence", "NoTraffic"} and time.time() - since > 2.5:
        version = after["status"]["candidate"]["version"]
        split.append((counts.versions.get(version, 0), sum(counts.versions.values())))


def test_the_bake_ends_and_only_the_new_version_is_left(world: World, player: Player) -> None:
    world.document["spec"]["retraining"]["on"] = ["newData"]
    world.apply()

    def done() -> bool:
        """Until what was found before that edit has ended too, so that the next test has the Model for itself."""
        assert not player.broken, player.broken
        player.play(QUIET)
        return all(one.get("status", {}).get("phase") in TERMINAL for one in world.releases())

    with world.telling():
        eventually("the end of the bake", done, 240, 1.0)
        isvc = world.isvc()
        assert isvc
        assert isvc["spec"]["predictor"]["name"] == f"v{world.champion()}"
        assert not isvc["spec"].get("canary")
    assert player.counts.failed == 0, f"requests failed: {player.counts.codes}"


def test_a_bad_candidate_is_rolled_back_with_its_blast_radius(world: World, player: Player) -> None:
    player.play(SLOW)
    before = player.counts
    cut = datetime.fromisoformat(str(before.data_time))
    _announce_notebook(world, cut)
    champion = world.champion()

    def done() -> dict[str, Any] | None:
        assert not player.broken, player.broken
        under_way = {one.get("status", {}).get("phase") for one in world.releases()}
        player.play(QUIET if "Baking" in under_way else CANARY if "Rollout" in under_way else SLOW)
        release = world.release("person")
        return release if release and release["status"].get("phase") in TERMINAL else None

    with world.telling():
        release = eventually("the judge's word", done, 300, 1.0)
    status = release["status"]
    after = player.counts
    assert (status["phase"], status["outcome"]["reason"]) == ("RolledBack", "Harm"), world.story()
    assert world.champion() == champion
    failed, answered = after.failed - before.failed, after.answered - before.answered
    print(f"\nblast radius: {failed} of {answered} requests; told: {status['outcome']['sentence']}")
    assert failed > 0
    assert failed == after.codes.get("500", 0), f"something else failed: {after.codes}"
    version = status["candidate"]["version"]
    eventually("the candidate's end", lambda: not get("deployment", world.namespace, f"{world.name}-v{version}-predictor"), 60)


def _announce_notebook(world: World, cut: datetime) -> None:
    """The colleague's model of the demo, registered in the cluster's MLflow and announced to its monitor."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        import notebook_model
    finally:
        sys.path.remove(str(EXAMPLE))
    from trimtab.platforms.kubernetes.api import Api, connect
    from trimtab.platforms.kubernetes.objects import KubernetesObjects
    from trimtab.spec import Model

    model = KubernetesObjects(Api(connect())).get(Model, world.namespace, world.name)
    assert model
    data = replace(model.spec.data, uri=str(DATA))
    folder = ROOT / "build" / "cluster-notebook"
    shutil.rmtree(folder, ignore_errors=True)
    events = {"events": f"{world.monitor.again()}/events"}
    state: Any = SimpleNamespace(tracking_uri=world.mlflow.again(), artifacts=Path(folder), secret=world.token("labels"), endpoints=events)
    run = notebook_model.make(replace(model, spec=replace(model.spec, data=data)), state, cut)
    notebook_model.announce(model, state, run, cut)


def test_every_decision_is_in_a_whole_chain_and_told_as_an_event(world: World) -> None:
    from trimtab.platforms.kubernetes.api import Api, connect
    from trimtab.platforms.kubernetes.ledger import KubernetesLedger
    from trimtab.platforms.kubernetes.objects import KubernetesObjects
    from trimtab.release import Release

    objects = KubernetesObjects(Api(connect()))
    releases = [one for one in objects.all_of(Release) if one.metadata.namespace == world.namespace]
    assert len(releases) >= 3
    keys = believed_keys(
        base64.b64decode(kubectl("get", "secret", "trimtab-signing", "-n", SYSTEM, "-o", r"jsonpath={.data.tls\.crt}")).decode()
    )
    heads = [Anchor(world.namespace, one.sequence, one.hash, release.name) for release in releases for one in release.status.decisions]
    assert verify(KubernetesLedger(Api(connect()), namespace=world.namespace).records(), keys, heads) is None
    for release in releases:
        told = kubectl("describe", "ttr", release.name, "-n", world.namespace)
        assert release.status.decisions[-1].reason in told


def test_kubectl_tells_the_story_in_a_line(world: World) -> None:
    line = kubectl("get", "ttm", "-n", world.namespace).splitlines()
    print("\n" + "\n".join(line) + "\n" + kubectl("get", "ttr", "-n", world.namespace))
    assert line[0].split()[:4] == ["NAME", "READY", "CHAMPION", "DRIFT"]
    assert line[1].split()[:3] == [world.name, "True", world.champion()]


def test_a_rollout_is_paused_sent_on_and_promoted_by_hand(world: World, player: Player) -> None:
    from trimtab.cli.saying import act, ask_to_retrain

    nowhere, before = Path("no-state-folder"), {one["metadata"]["name"] for one in world.releases()}
    champion, failed = world.champion(), player.counts.failed
    ask_to_retrain(world.name, "to be led by hand", "", nowhere, world.namespace, as_json=True)

    def release() -> dict[str, Any]:
        (found,) = [one for one in world.releases() if one["metadata"]["name"] not in before]
        return found

    def status(name: str) -> Any:
        assert not player.broken, player.broken
        player.play(SLOW)
        return release().get("status", {}).get(name)

    name = release()["metadata"]["name"]
    with world.telling():
        eventually("the rollout", lambda: status("phase") == "Rollout", 240, 0.2)
        act("pause", name, "lunch", "", nowhere, world.namespace, as_json=True)
        act("resume", name, "", "", nowhere, world.namespace, as_json=True)
        act("pause", world.name, "the shop is on air", "", nowhere, world.namespace, as_json=True)
        eventually("the pause", lambda: condition(release(), "Paused") == ("True", "PausedByPerson"), 30)
        kubectl("wait", f"ttr/{name}", "-n", world.namespace, "--for=condition=Paused", "--timeout=5s")
        act("promote", world.name, "", "", nowhere, world.namespace, step=1, as_json=True)
        first = world.document["spec"]["rollout"]["steps"][0]
        eventually("the first step", lambda: status("weight") == first and status("reason") == "Paused", 180, 0.5)
        user = kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}").strip()
        refused = {"release": name, "action": "approve", "user": user, "reason": "too late"}
        apply_said(world, "approve-late", refused)
        eventually("the refusal", lambda: "ActionRefused" in [one["reason"] for one in world.decisions(release())], 30)
        eventually("its Event", lambda: "only a Release in AwaitingApproval can be approved" in told(world, name), 30)
        kubectl("delete", "tta", "--all", "-n", world.namespace)
        assert (status("weight"), status("reason")) == (first, "Paused")
        act("promote", world.name, "good enough", "", nowhere, world.namespace, full=True, as_json=True)
        eventually("another champion", lambda: world.champion() not in ("", champion), 120)
    said = [(one["reason"], one["by"]) for one in world.decisions(release()) if one.get("word")]
    words = ["Paused", "Resumed", "Paused", "PromoteAsked", "ActionRefused", "PromoteAsked"]
    assert said == [(word, user) for word in words], "each once, in its order, though their objects are gone"
    assert player.counts.failed == failed


def apply_said(world: World, name: str, spec: dict[str, Any]) -> None:
    """A ReleaseAction as a person without the command creates it."""
    body = {"apiVersion": "trimtab.dev/v1alpha1", "kind": "ReleaseAction", "metadata": {"name": name, "namespace": world.namespace}}
    kubectl("create", "-f", "-", stdin=json.dumps(body | {"spec": spec}))


def told(world: World, release: str) -> str:
    return kubectl("describe", "ttr", release, "-n", world.namespace)


def condition(found: dict[str, Any], kind: str) -> tuple[str, str]:
    one = next((one for one in found.get("status", {}).get("conditions", []) if one["type"] == kind), {})
    return one.get("status", ""), one.get("reason", "")
