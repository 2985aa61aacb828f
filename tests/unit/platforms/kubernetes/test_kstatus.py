"""What kstatus makes of our objects: the rules by which Flux and other tools tell what is in progress, current or failed.

The rules are those of kubernetes-sigs/cli-utils, pkg/kstatus, for kinds that it does not know: deletion, then the generation that was
observed, then Reconciling and Stalled, then Ready; an object that has none of them is current.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.platforms.kubernetes.test_conditions import MODEL, RELEASE, told
from trimtab.platforms.kubernetes.conditions import of_release
from trimtab.platforms.kubernetes.crds import UNSEEN
from trimtab.release import BAD_ENDS, TERMINAL, Phase, Release, ReleaseStatus
from trimtab.spec import Model, ModelStatus

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def kstatus(body: dict[str, Any]) -> str:
    """InProgress, Current, Failed or Terminating."""
    status = body.get("status", {})
    if body["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if status.get("observedGeneration", body["metadata"]["generation"]) != body["metadata"]["generation"]:
        return "InProgress"
    said = {one["type"]: one["status"] for one in status.get("conditions", [])}
    if said.get("Reconciling") == "True":
        return "InProgress"
    if said.get("Stalled") == "True":
        return "Failed"
    return "Current" if said.get("Ready", "True") == "True" else "InProgress"


def stored(item: Model | Release, **metadata: object) -> dict[str, Any]:
    """The object as an API server keeps it."""
    body: dict[str, Any] = msgspec.to_builtins(item)
    body["metadata"] |= {"generation": item.metadata.generation, **metadata}
    return body


EMPTY = replace(MODEL, status=ModelStatus())
MODELS = {
    "nobody looked at it yet": ({**stored(EMPTY), "status": UNSEEN}, "InProgress"),
    "its first version is being made": (stored(replace(EMPTY, status=told(EMPTY))), "InProgress"),
    "its first version was rejected": (
        stored(replace(EMPTY, status=told(EMPTY, [replace(RELEASE, status=ReleaseStatus(phase=Phase.REJECTED))]))),
        "Failed",
    ),
    "its champion serves": (stored(replace(MODEL, status=told())), "Current"),
    "its champion serves while the next version is made": (stored(replace(MODEL, status=told(MODEL, [RELEASE]))), "Current"),
    "its champion should serve and does not": (stored(replace(MODEL, status=told(serving="it is starting"))), "InProgress"),
    "a person has to mend something": (stored(replace(MODEL, status=told(problem="OwnershipConflict: they fight"))), "Failed"),
    "MLflow does not answer": (stored(replace(MODEL, status=told(wait="MLflow does not answer"))), "Current"),
    "it was edited a moment ago": (stored(replace(MODEL, status=told()), generation=5), "InProgress"),
    "it was deleted": (stored(replace(MODEL, status=told()), deletionTimestamp="2026-01-01T00:00:00Z"), "Terminating"),
}


@pytest.mark.parametrize(("body", "expected"), MODELS.values(), ids=MODELS.keys())
def test_a_model(body: dict[str, Any], expected: str) -> None:
    assert kstatus(body) == expected


@pytest.mark.parametrize("phase", Phase)
def test_a_release_in_each_phase(phase: Phase) -> None:
    made = replace(RELEASE, status=ReleaseStatus(phase=phase, reason="Why"))
    expected = "InProgress" if phase not in TERMINAL else "Failed" if phase in BAD_ENDS else "Current"
    assert kstatus(stored(replace(made, status=of_release(made, NOW)))) == expected


def test_a_release_that_nobody_looked_at_is_in_progress() -> None:
    assert kstatus({**stored(RELEASE), "status": UNSEEN}) == "InProgress"
