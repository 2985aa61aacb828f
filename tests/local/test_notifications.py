"""A real platform tells a real receiver: promotion and rollback, through a receiver that goes away and a supervisor that is killed."""

import json
from typing import Any

import pytest

from tests.local.laptop import DOCUMENT, FREE_PORTS, Laptop, interrupt, kill
from tests.unit.listener import Listener, listening

PROMOTED, ROLLED_BACK = "dev.trimtab.release.promoted.v1", "dev.trimtab.release.rolledback.v1"


def events(receiver: Listener, kind: str = "") -> list[dict[str, Any]]:
    """What came, each once."""
    found = {event["id"]: event for event in (json.loads(body) for _, _, body in receiver.heard)}
    return [event for event in found.values() if kind in ("", event["type"])]


@pytest.mark.timeout(900)
def test_a_promotion_and_its_rollback_by_a_person_reach_the_receiver_whoever_dies(laptop: Laptop) -> None:
    (laptop.folder / "long-bake.yaml").write_text(DOCUMENT.format(approval="automatic").replace("duration: 10d", "duration: 390d"))
    with listening(503) as receiver:
        laptop.run("local", "up", "long-bake.yaml", "--notify", receiver.url, *FREE_PORTS)
        laptop.run("retrain", "load", "--reason", "a better one")
        release = laptop.wait("the canary", lambda: laptop.release("person", "Rollout", "Baking"), 180)
        playing = laptop.play("--rate", "60")
        try:
            laptop.wait("the bake", lambda: laptop.release("person", "Baking"), 240)
        finally:
            interrupt(playing)
        laptop.wait("a try", lambda: receiver.heard)
        laptop.wait("the trouble told", lambda: "answers 503" in laptop.status()["problems"].get("the webhook", ""))
        kill(laptop.pid("supervisor"))
        receiver.status = 202
        laptop.run("local", "up", "long-bake.yaml", "--notify", receiver.url, *FREE_PORTS)
        laptop.wait("the promotion told", lambda: events(receiver, PROMOTED))
        laptop.run("rollback", release["name"], "--reason", "not good enough")
        laptop.wait("the rollback told", lambda: events(receiver, ROLLED_BACK))
        laptop.wait("the end of the trouble", lambda: not laptop.status()["problems"])
    told = {event["type"]: event["data"] for event in events(receiver)}
    assert (told[PROMOTED]["version"]["version"], told[PROMOTED]["previousChampion"]["version"]) == ("2", "1")
    assert (told[PROMOTED]["release"], told[PROMOTED]["weights"]) == (release["name"], {"2": 100})
    assert (told[ROLLED_BACK]["reason"], told[ROLLED_BACK]["champion"]["version"]) == ("RolledBackByPerson", "1")
    assert "not good enough" in told[ROLLED_BACK]["sentence"]
    sequences = [int(event["sequence"]) for event in events(receiver) if event["source"] == "/namespaces/default/audit"]
    assert sequences == sorted(sequences)
    records = [json.loads(line) for line in laptop.run("audit", "export").stdout.splitlines()]
    swapped = [record["hash"] for record in records if record["reason"] == "ChampionSwapped"]
    assert [event["id"] for event in events(receiver, PROMOTED)] == swapped[1:], "the first version was promoted before"
