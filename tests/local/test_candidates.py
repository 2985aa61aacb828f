"""Candidates as they are in reality, each with a verdict known before: the platform's own processes, a fault planted in a predictor.

What a bad candidate may harm is part of the answer: requests that failed, and requests that it answered, stand in the table at the end.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.local.laptop import DOCUMENT, Laptop, interrupt
from trimtab import release

PLANTED = Path(__file__).parent / "planted"
TERMINAL = tuple(release.TERMINAL)
STRICT = DOCUMENT.replace("2500ms", "100ms").replace("+0.20", "+0.10")
RATE = 60


class Case(NamedTuple):
    """A candidate: the fault of which versions, whether it begins in the middle of the rollout, and how its Release has to end."""

    planted: dict[str, str]
    phase: str
    reasons: tuple[str, ...]
    midway: bool = False
    traffic: bool = True


CASES = {
    "good": Case({}, "Promoted", ("Promoted",)),
    "erroring": Case({"2": "errors"}, "RolledBack", ("Harm",)),
    "slow": Case({"2": "slow"}, "RolledBack", ("Harm",)),
    "wrong answers only": Case({"2": "wrong"}, "RolledBack", ("BakeHarm",), midway=True),
    "crash-looping": Case({"2": "crash"}, "RolledBack", ("Harm", "Unstable")),
    "errors of both": Case({"*": "errors"}, "Promoted", ("Promoted",), midway=True),
    "starved of traffic": Case({}, "Inconclusive", ("DeadlinePassed",), traffic=False),
}


@pytest.mark.parametrize("name", CASES)
def test_a_candidate_gets_the_verdict_that_it_deserves(
    name: str, laptop: Laptop, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    case = CASES[name]
    trigger = laptop.state / "trigger"
    monkeypatch.setenv("PYTHONPATH", str(PLANTED))
    monkeypatch.setenv("PLANTED", json.dumps(case.planted))
    if case.midway:
        monkeypatch.setenv("TRIGGER", str(trigger))
    document = laptop.folder / f"{name}.yaml"
    document.write_text(
        STRICT.format(approval="automatic").replace("steps:", f"maxDuration: {'2h' if case.traffic else '20s'}\n    steps:")
    )
    laptop.up(document.name)
    laptop.run("retrain")
    laptop.wait(
        "the canary", lambda: (found := laptop.release("person", "Rollout", *TERMINAL)) and (found["weight"] or found["phase"] in TERMINAL)
    )
    trigger.touch()
    playing = laptop.play("--rate", str(RATE), data="calm.csv") if case.traffic else None
    try:
        ended = laptop.wait("the verdict", lambda: laptop.release("person", *TERMINAL), 150)
    finally:
        if playing:
            interrupt(playing)
    told = laptop.ask("why", ended["name"])
    reasons = [decision["reason"] for decision in told["decisions"]]
    assert (ended["phase"], [reason for reason in case.reasons if reason in reasons] != []) == (case.phase, True), (
        f"{reasons}\n{laptop.log()}"
    )
    assert laptop.ask("status")[0]["champion"] == ("2" if case.phase == "Promoted" else "1")
    laptop.chain_is_whole()
    played = (
        json.loads(next((laptop.state / "play").glob("*.json")).read_text())
        if case.traffic
        else {"answered": 0, "failed": 0, "versions": {}}
    )
    candidate = played["versions"].get("2", 0)
    record_property(
        "table", f"{name:20}{ended['phase']:14}{played['answered']:6} requests {candidate:6} to the candidate {played['failed']:6} failed"
    )
