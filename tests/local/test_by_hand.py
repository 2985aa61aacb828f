"""A rollout led by hand with real processes: who may approve it, a pause that keeps the callers' split, and a promotion to 100%."""

import json
from typing import Any

from tests.local.laptop import DOCUMENT, Laptop, interrupt

DUTIES = DOCUMENT.format(approval="manual\n  approvalPolicy: {separationOfDuties: true, expiry: 1h}")
ENOUGH = 400


def played(laptop: Laptop) -> dict[str, Any]:
    files = [*(laptop.state / "play").glob("*.json")]
    found: dict[str, Any] = json.loads(files[0].read_text()) if files else {"answered": 0, "failed": 0, "versions": {}}
    return found


def test_a_rollout_is_approved_by_another_person_paused_and_promoted_by_hand(laptop: Laptop) -> None:
    (laptop.folder / "duties.yaml").write_text(DUTIES)
    laptop.up("duties.yaml")
    asked = laptop.ask("retrain", "--by", "ada")["name"]
    laptop.wait("the wait for approval", lambda: laptop.release("person", "AwaitingApproval"))
    assert "who asked for it may not approve it" in laptop.run("approve", "load", "--by", "ada", code=2).stderr
    assert "in phase AwaitingApproval; only a Release in Rollout can be paused" in laptop.run("rollout", "pause", "load", code=2).stderr
    laptop.run("approve", "load", "--by", "bob", "--reason", "looked at its card")
    laptop.wait("the rollout", lambda: laptop.release("person", "Rollout"))
    laptop.run("rollout", "pause", "load", "--by", "ada", "--reason", "the shop is on air")
    laptop.run("rollout", "promote", "load", "--by", "ada", "--step", "1")
    laptop.wait("the first step", lambda: laptop.ask("why", asked)["weight"] == 20)
    playing = laptop.play("--rate", "60", data="calm.csv")
    try:
        laptop.wait("enough requests", lambda: played(laptop)["answered"] > ENOUGH)
        laptop.wait("the judge's word", lambda: (laptop.ask("why", asked)["verdict"] or {}).get("says") == "notWorse")
        told, seen = laptop.ask("why", asked), played(laptop)
        assert (told["phase"], told["weight"], told["reason"], told["paused"]) == ("Rollout", 20, "Paused", True)
        assert 0.12 < seen["versions"]["2"] / seen["answered"] < 0.28, "the callers' split is the step's"
        laptop.run("rollout", "promote", "load", "--full", "--by", "ada", "--reason", "good enough")
        laptop.wait("the promotion", lambda: laptop.release("person", "Promoted"), 150)
    finally:
        interrupt(playing)
    assert played(laptop)["failed"] == 0
    by_hand = [(record["reason"], record["by"]) for record in laptop.ask("why", asked)["decisions"] if record.get("by")]
    assert by_hand == [
        ("Approved", "bob"),
        ("Paused", "ada"),
        ("PromoteAsked", "ada"),
        ("NextStep", "ada"),
        ("PromoteAsked", "ada"),
        ("PromotionStarted", "ada"),
    ]
    assert laptop.served()["approval"]["by"] == "bob"
    laptop.chain_is_whole()
