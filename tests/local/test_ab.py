"""An A/B with real parts: callers with a header ask through the gateway, and what they bring depends on the version that answered them."""

import http.client
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from tests.local.laptop import DOCUMENT, START, TRAINED, Laptop
from trimtab.events import BATCH, LABEL
from trimtab.release import TERMINAL

CALLERS, BATCHED, DELAY = 400, 20, timedelta(hours=6)
AB = DOCUMENT.format(approval="automatic").replace(
    "steps: [20, 50]", 'strategy: ab\n    maxDuration: 12h\n    ab: {share: 50, header: x-user-id, effect: "+10", winner: WINNER}'
)


class Callers:
    """Callers who ask row after row, one header each; a label of 90 on average comes six hours later, `better` more from version 2."""

    def __init__(self, laptop: Laptop, better: float) -> None:
        ends = laptop.status()["endpoints"]
        self.gateway, self.events = urlsplit(ends["inference"]), urlsplit(ends["events"])
        self.secret = (laptop.state / "secret").read_text()
        self.better, self.random = better, random.Random(3)  # noqa: S311 - test data
        self.versions: dict[str, set[str]] = {}
        self.stopped = threading.Event()

    def run(self) -> None:
        """Ask until stopped."""
        labels: list[dict[str, Any]] = []
        gateway = http.client.HTTPConnection(self.gateway.netloc, timeout=20)
        events = http.client.HTTPConnection(self.events.netloc, timeout=20)
        for number in range(TRAINED, 100_000):
            if self.stopped.wait(0.005):
                return
            caller, at = f"user-{self.random.randrange(CALLERS)}", START + number * timedelta(hours=1)
            row = {"at": at.isoformat(), "id": f"ab{number}", "hour": at.hour, "warmth": self.random.gauss(15, 5), "kind": "shop"}
            body = json.dumps({"instances": [row]})
            headers = {"content-type": "application/json", "x-user-id": caller}
            gateway.request("POST", "/v1/models/load:predict", body, headers)
            answer = gateway.getresponse()
            answer.read()
            version = answer.headers.get("x-trimtab-version", "")
            self.versions.setdefault(caller, set()).add(version)
            value = 90.0 + self.random.gauss(0, 10) + (self.better if version == "2" else 0.0)
            data = {"model": "load", "key": row["id"], "value": value, "time": (at + DELAY).isoformat() + "Z"}
            labels.append({"specversion": "1.0", "id": row["id"], "source": "callers", "type": LABEL, "data": data})
            if len(labels) >= BATCHED + int(DELAY / timedelta(hours=1)):
                events.request(
                    "POST",
                    self.events.path,
                    json.dumps(labels[:BATCHED]),
                    {"content-type": BATCH, "authorization": f"Bearer {self.secret}"},
                )
                taken = events.getresponse()
                taken.read()
                assert taken.status == 202
                del labels[:BATCHED]


@contextmanager
def asking(laptop: Laptop, better: float) -> Iterator[Callers]:
    callers = Callers(laptop, better)
    thread = threading.Thread(target=callers.run)
    thread.start()
    try:
        yield callers
    finally:
        callers.stopped.set()
        thread.join()


def began(laptop: Laptop, winner: str) -> None:
    document = laptop.folder / "ab.yaml"
    document.write_text(AB.replace("WINNER", winner))
    laptop.up(document.name)
    laptop.run("retrain")
    laptop.wait("the rollout", lambda: laptop.release("person", "Rollout", *TERMINAL), 180)


def test_a_candidate_whose_callers_bring_more_wins(laptop: Laptop) -> None:
    began(laptop, "promote")
    with asking(laptop, better=20.0) as callers:
        found = laptop.wait("the winner", lambda: laptop.release("person", "Baking", *TERMINAL), 180)
        assert found["phase"] in ("Baking", "Promoted"), f"{found}\n{laptop.log()}"
    told = laptop.ask("why", found["name"])
    (label,) = [guard for guard in told["verdict"]["guards"] if guard["guard"] == "label"]
    assert label["says"] == "wins"
    assert 10.0 <= label["difference"] <= 30.0
    assert any("the candidate wins" in decision["sentence"] for decision in told["decisions"])
    assert laptop.ask("status")[0]["champion"] == "2"
    assert {"1", "2"} <= {version for versions in callers.versions.values() for version in versions}
    laptop.chain_is_whole()


def test_one_whose_callers_bring_as_much_does_not(laptop: Laptop) -> None:
    """A false winner would wait for a person, and nobody comes: the champion stays."""
    began(laptop, "ask")
    with asking(laptop, better=0.0):
        found = laptop.wait("the verdict", lambda: laptop.release("person", "Baking", *TERMINAL), 180)
    assert found["phase"] == "Inconclusive", f"{found}\n{laptop.log()}"
    reasons = [decision["reason"] for decision in laptop.ask("why", found["name"])["decisions"]]
    assert "NoWorthwhileDifference" in reasons
    assert laptop.ask("status")[0]["champion"] == "1"
    laptop.chain_is_whole()
