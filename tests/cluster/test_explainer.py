"""An explainer beside a Model: asked on a host of its own it explains the champion, before, during and after a canary.

The tests of this file are one story in their order. Beside the other images it needs trimtab/explainer on the cluster.
"""

import http.client
import itertools
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_crashes import ROLLOUT, ask
from tests.cluster.test_loop import condition
from tests.cluster.tools import eventually, kubectl, needs_cluster
from tests.cluster.world import ROW, Player, World, fresh, get, predict, wait_gone

pytestmark = [needs_cluster, pytest.mark.timeout(900)]
ASKED = 20
# Of data time, of which a second of play is two days: longer than an explainer takes to start, so that the old champion can be asked.
BAKING = {**ROLLOUT, "bake": {"duration": "365d"}}
_rows = itertools.count()


@pytest.fixture(scope="module")
def world(installation: None) -> Iterator[World]:
    del installation
    explainer = {"method": "kernel_shap", "budget": {"calls": 200, "time": "20s"}}
    world = World(fresh("explained"), rollout=BAKING, serving={"explainer": explainer}).prepare().connect()
    world.apply()
    with world.telling():
        eventually("its promotion", lambda: world.phase("recipe") == "Promoted", 240)
    yield world
    world.delete()


def explained(world: World) -> dict[str, Any]:
    """What the Model's status tells of its explainer."""
    found: dict[str, Any] = world.model().get("status", {}).get("explainer", {})
    return found


def explain(world: World, host: str) -> tuple[int, dict[str, Any]]:
    """One row that nobody asked for before, through the gateway."""
    row = {**ROW, "temp": 0.1 + next(_rows) / 1000}
    world.gateway.again()
    connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=60)
    headers = {"Host": host, "Content-Type": "application/json"}
    try:
        connection.request("POST", f"/v1/models/{world.name}:explain", json.dumps({"instances": [row]}), headers)
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body) if answer.status == 200 else {"said": body.decode(errors="replace")}
    finally:
        connection.close()


def host_of(world: World) -> str:
    return urllib.parse.urlsplit(explained(world)["url"]).hostname or ""


def test_the_champion_is_explained_on_a_host_of_its_own(world: World) -> None:
    with world.telling():
        eventually("the explainer", lambda: condition(world.model(), "Explaining") == ("True", "Explaining"), 240)
    told, host = explained(world), host_of(world)
    assert (told["version"], told["ready"]) == ("1", True), told
    assert host.startswith(f"{world.name}-explainer-{world.namespace}.")
    status, answer = eventually("an explanation", lambda: found if (found := explain(world, host))[0] == 200 else None, 60)
    [one] = answer["explanations"]
    print(f"\n{json.dumps(one)}")
    assert (status, one["method"], one["model_name"], one["model_version"]) == (200, "kernel_shap", world.name, "1")
    assert one["base_value"] + sum(one["contributions"].values()) == pytest.approx(one["prediction"], rel=1e-3)
    assert answer["predictions"] == [one["prediction"]]


def test_its_pod_has_no_token_and_no_right_and_writes_nowhere(world: World) -> None:
    selector = f"serving.kserve.io/inferenceservice={world.name}-explainer"
    [pod] = json.loads(kubectl("get", "pods", "-n", world.namespace, "-l", selector, "-o", "json"))["items"]
    spec = pod["spec"]
    assert spec["serviceAccountName"] == f"{world.name}-trimtab"
    assert not [volume["name"] for volume in spec["volumes"] if "projected" in volume], "no token"
    main = next(one for one in spec["containers"] if one["name"] == "kserve-container")
    assert main["securityContext"]["readOnlyRootFilesystem"] is True
    assert main["securityContext"]["runAsNonRoot"] is True


@pytest.mark.long
def test_during_a_canary_every_explanation_is_of_the_champion_and_after_its_promotion_of_the_new_one(world: World, tmp_path: Path) -> None:
    name, host = ask(world), host_of(world)
    with world.telling():
        eventually("half of the traffic", lambda: (get("ttr", world.namespace, name) or {}).get("status", {}).get("weight") == 50, 240)
    found = [explain(world, host) for _ in range(ASKED)]
    assert {status for status, _ in found} == {200}, [answer for status, answer in found if status != 200]
    assert {answer["explanations"][0]["model_version"] for _, answer in found} == {"1"}, "none was asked of the canary"
    assert explained(world)["version"] == "1"

    player, seen = Player(world, tmp_path), list[tuple[int, dict[str, Any]]]()

    def of_the_new_champion() -> bool:
        assert world.phase("person") in ("Rollout", "Baking", "Promoted")
        assert not player.broken, player.broken
        seen.append(explain(world, host))
        return bool(seen[-1][1].get("explanations", [{}])[0].get("model_version") == "2")

    player.play(40)
    try:
        with world.telling():
            eventually("an explanation of the new champion", of_the_new_champion, 420, 0.5)
        assert world.phase("person") == "Baking"
    finally:
        player.stop()
    failed = [(status, answer) for status, answer in seen if status != 200]
    print(f"\n{len(seen)} explanations until the new champion was explained, {len(failed)} failed")
    assert failed == [], "what explained the old champion answered until the new one was"
    eventually("its being told", lambda: (explained(world)["version"], explained(world).get("ready")) == ("2", True), 60)
    assert player.counts.failed == 0, f"requests failed: {player.counts.codes}"


def test_without_the_field_it_is_gone_and_the_model_serves_on(world: World) -> None:
    del world.document["spec"]["serving"]
    world.apply()
    wait_gone("inferenceservice", world.namespace, f"{world.name}-explainer")
    eventually("the end of what was told", lambda: not explained(world) and condition(world.model(), "Explaining") == ("", ""), 60)
    assert predict(world) == 200
