"""The whole loop with real parts: a concept that changes is found, retrained on, canaried and promoted; people are heard."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.local.laptop import DOCUMENT, FREE_PORTS, START, TRAINED, Laptop, interrupt


def post(laptop: Laptop, body: bytes, secret: str | None = None, media: str = "application/cloudevents+json") -> tuple[int, str]:
    """What the events end-point answers."""
    token = (laptop.state / "secret").read_text() if secret is None else secret
    headers = {"content-type": media, "authorization": f"Bearer {token}"}
    request = urllib.request.Request(laptop.status()["endpoints"]["events"], data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def event(kind: str, data: Any, number: str = "1", source: str = "test") -> bytes:
    return json.dumps({"specversion": "1.0", "id": number, "source": source, "type": kind, "data": data}).encode()


def label(key: str, value: Any = 3.0) -> dict[str, Any]:
    return {"model": "load", "key": key, "value": value, "time": "2026-02-20T00:00:00Z"}


def test_a_changed_world_is_found_and_answered_and_a_repeated_finding_is_not(laptop: Laptop) -> None:
    laptop.up()
    playing = laptop.play("--rate", "60")
    try:
        ended = laptop.wait("the promotion", lambda: retrained(laptop, "Promoted", "Rejected", "RolledBack", "Failed"), 240)
        assert ended["phase"] == "Promoted", f"{ended['sentence']}\n{laptop.log()}"
    finally:
        interrupt(playing)
    played = json.loads(next((laptop.state / "play").glob("rows-*.json")).read_text())
    assert played["failed"] == 0, played
    told = laptop.ask("why", ended["name"])
    assert told["request"]["event"]["kind"] in ("performance", "concept")
    guards = {guard["guard"]: guard for guard in told["verdict"]["guards"]}
    assert guards["errors"]["says"] == "notWorse"
    bake = told["bakeVerdict"]["guards"][0]
    assert bake["difference"] < 1.0, "the retrained version errs less than the stale one on the same rows"
    before = len(laptop.releases())
    body = event("dev.trimtab.finding.v1", told["request"]["event"], told["request"]["id"], told["request"]["source"])
    assert post(laptop, body)[0] == 202
    assert len(laptop.releases()) == before
    laptop.chain_is_whole()
    share = laptop.served()
    lineage = laptop.ask("lineage", "2")
    assert (share["version"], share["weight"], share["release"]) == ({"version": "2", "digest": lineage["digest"]}, 100, ended["name"])
    assert (share["data"], share["trained"]) == (lineage["lineage"]["data"]["digest"], ended["name"])
    assert (share["asked"]["source"], share["asked"]["id"]) == (told["request"]["source"], told["request"]["id"])
    laptop.down()
    assert laptop.commands() == []


def retrained(laptop: Laptop, *phases: str) -> dict[str, Any] | None:
    return laptop.release("performance", *phases) or laptop.release("concept", *phases)


def test_the_events_end_point_refuses_with_a_sentence_and_keeps_what_it_cannot_join_yet(laptop: Laptop) -> None:
    laptop.up()
    cases = {
        "no secret": (post(laptop, event("dev.trimtab.label.v1", label("a")), secret="wrong"), 401, "secret"),
        "not JSON": (post(laptop, b"{"), 400, "not JSON"),
        "no CloudEvent": (post(laptop, b"{}", media="application/json"), 400, "not a CloudEvent"),
        "a label without a key": (post(laptop, event("dev.trimtab.label.v1", {"model": "load"})), 400, "key"),
        "an unknown type": (post(laptop, event("com.example.nothing", {})), 400, "com.example.nothing"),
        "an unknown model": (post(laptop, event("dev.trimtab.label.v1", {**label("a"), "model": "cars"})), 404, "cars"),
        "too large": (post(laptop, event("dev.trimtab.label.v1", {**label("a"), "value": "x" * (2 << 20)})), 413, "1,048,576 bytes"),
    }
    for name, ((status, said), wanted, word) in cases.items():
        assert (status, word in said) == (wanted, True), f"{name}: {status} {said}"
    assert post(laptop, event("dev.trimtab.label.v1", label("never-seen"), "kept"))[0] == 202
    metrics = laptop.status()["endpoints"]["metrics"]
    with urllib.request.urlopen(metrics, timeout=10) as answer:
        assert "trimtab_monitor_labels_unknown_key_total 1" in answer.read().decode()


def test_a_person_approves_rejects_and_rolls_back(fresh: Callable[[str], Laptop]) -> None:
    laptop = fresh(DOCUMENT.format(approval="manual"))
    first = laptop.play  # no traffic is needed: a first version goes direct
    del first
    import threading

    said: list[Any] = []
    asking = threading.Thread(target=lambda: said.append(laptop.run("local", "up", "model.yaml", "--from", cut(), *FREE_PORTS)))
    asking.start()
    waiting = laptop.wait(
        "the wait for approval", lambda: (laptop.state / "state.db").exists() and laptop.release("recipe", "AwaitingApproval")
    )
    laptop.run("approve", waiting["name"], "--by", "ada", "--reason", "looks right")
    asking.join()
    assert said
    decisions = laptop.ask("why", waiting["name"])["decisions"]
    assert "ada asked to approve: looks right" in [decision["sentence"] for decision in decisions]
    approval = laptop.served()["approval"]
    assert (approval["by"], approval["sentence"]) == ("ada", "ada asked to approve: looks right")

    again = laptop.ask("retrain")["name"]
    laptop.wait("the wait for approval", lambda: laptop.release("person", "AwaitingApproval"))
    laptop.run("reject", again, "--by", "ada", "--reason", "not today")
    ended = laptop.wait("the rejection", lambda: laptop.release("person", "Rejected"))
    assert ended["sentence"] == "ada asked to reject: not today"
    assert "has ended as Rejected" in laptop.run("approve", again, code=2).stderr
    assert "has no previous champion" in laptop.run("rollback", "load", code=2).stderr


def cut() -> str:
    from datetime import timedelta

    return (START + timedelta(hours=TRAINED)).isoformat()


@pytest.mark.parametrize("signal_name", ["SIGINT", "SIGTERM"])
def test_a_signal_to_the_supervisor_ends_everything_and_the_next_up_goes_on(laptop: Laptop, signal_name: str) -> None:
    import signal

    import psutil

    laptop.up()
    supervisor = psutil.Process(laptop.pid("supervisor"))
    supervisor.send_signal(getattr(signal, signal_name))
    supervisor.wait(30)
    assert laptop.commands() == []
    laptop.up()
    assert laptop.ask("status")[0]["champion"] == "1"
    assert len(laptop.releases()) == 1
