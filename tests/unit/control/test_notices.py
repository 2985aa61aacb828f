"""Which decisions are told as which events, and what is in them: held against whole lives and against single records."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.unit.audit.drafts import NOW, record
from tests.unit.audit.lived import records
from tests.unit.control.world import SPEC, Behaviour, World
from trimtab.audit.record import Asked, AuditRecord, Stand
from trimtab.control.intake import accept, release_for
from trimtab.control.notices import of_finding, of_record
from trimtab.events import BREAKER_OPENED, ESCALATION, FINDING, PROMOTED, ROLLED_BACK, CloudEvent, Finding, finding_event, parse, structured
from trimtab.release import Phase, Release, ReleaseSpec, Request
from trimtab.spec import Champion, Metadata, Version

OLD, NEW = Champion("6", "a" * 64, 3), Version("7", "b" * 64)
RELEASE = Release(Metadata("bike-1", "crm", uid="u"), ReleaseSpec("bike", "bike-uid", "r", Request("person", "t", "1", NOW)))


def told(chain: list[AuditRecord] | tuple[AuditRecord, ...]) -> list[CloudEvent]:
    return [event for one in chain for event in of_record(one)]


def short(events: list[CloudEvent]) -> list[tuple[str, str, str | None]]:
    """Type, reason and version of each."""
    return [(event.type, event.data["reason"], event.data.get("version", {}).get("version")) for event in events]


def test_a_whole_life_is_told_in_its_order() -> None:
    assert short(told(records())) == [
        (PROMOTED, "ChampionSwapped", "1"),
        (ESCALATION, "PerformanceLost", None),
        (PROMOTED, "ChampionSwapped", "2"),
        (ESCALATION, "PerformanceLost", None),
        (ESCALATION, "ApprovalMissing", "3"),
        (PROMOTED, "ChampionSwapped", "3"),
        (ESCALATION, "PerformanceLost", None),
        (ROLLED_BACK, "Harm", "4"),
    ]
    promoted = [event.data for event in told(records()) if event.type == PROMOTED]
    assert [one.get("previousChampion", {}).get("version") for one in promoted] == [None, "1", "2"]
    assert [one["weights"] for one in promoted] == [{"1": 100}, {"2": 100}, {"3": 100}]
    back = next(event.data for event in told(records()) if event.type == ROLLED_BACK)
    assert (back["champion"]["version"], back["weights"], back["phase"]) == ("3", {"3": 100}, "RolledBack")


def test_a_bake_that_goes_wrong_is_a_promotion_and_a_rollback() -> None:
    world = World()
    world.declare()
    world.run()
    world.behaviours[("m", "2")] = Behaviour(loss=3.0)
    accept(world.finding(1), world.store)
    world.run()
    found = [event for event in told(world.store.chain()) if event.type in (PROMOTED, ROLLED_BACK)]
    assert short(found) == [(PROMOTED, "ChampionSwapped", "1"), (PROMOTED, "ChampionSwapped", "2"), (ROLLED_BACK, "BakeHarm", "2")]
    assert found[-1].data["champion"]["version"] == "1"


def test_the_breaker_is_told_when_it_opens_and_not_again_while_it_is_open() -> None:
    world = World()
    world.declare(retraining=msgspec.structs.replace(SPEC.retraining, cooldown="1h", max_per_day=10))
    world.run()
    for number in range(2, 6):
        world.behaviours[("m", str(number))] = Behaviour(errors=0.5)
    for day in (1, 2, 3):
        accept(world.finding(day), world.store)
        world.run()
    opened = [event for event in told(world.store.chain()) if event.type == BREAKER_OPENED]
    assert [(event.data["reason"], event.data["version"]["version"]) for event in opened] == [("BreakerOpen", "4")]
    record_of = next(one for one in world.store.chain() if one.breaker_until)
    assert opened[0].id == f"{record_of.hash}-breaker"
    admitted = world.releases()[-1].status.admitted_data
    assert (record_of.breaker_until, record_of.release) == (admitted and admitted + timedelta(days=7), world.releases()[-1].name)
    assert len(told([record_of])) == 2, "the rollback that opened it is told too"
    world.store.create(release_for(world.model(), Request("person", "cli", "1", NOW, by="ada")))
    world.run()
    assert world.releases()[-1].status.phase is Phase.ROLLED_BACK
    assert len([event for event in told(world.store.chain()) if event.type == BREAKER_OPENED]) == 1


CASES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("an admission is nobody's business", {}, []),
    ("a step of a canary is none either", {"reason": "NextStep", "phase": Phase.ROLLOUT, "weight": 25}, []),
    ("the verdict is not told before it is carried out", {"reason": "Harm", "phase": Phase.WITHDRAWING}, []),
    ("a Release that failed asks for a person", {"reason": "SignatureMismatch", "phase": Phase.FAILED}, [ESCALATION]),
    ("a gate that stops a candidate does its work", {"reason": "GateFailed", "phase": Phase.REJECTED}, []),
    ("an approval is awaited", {"reason": "ApprovalMissing", "phase": Phase.AWAITING_APPROVAL}, [ESCALATION]),
    ("a winner waits for a person", {"reason": "WinnerAwaitsPerson", "phase": Phase.ROLLOUT}, [ESCALATION]),
    (
        "an approval is awaited still",
        {"reason": "Other", "phase": Phase.AWAITING_APPROVAL, "before": Stand(Phase.AWAITING_APPROVAL)},
        [],
    ),
    (
        "somebody changed the champion under a promotion",
        {"reason": "ChampionChanged", "phase": Phase.WITHDRAWING, "before": Stand(Phase.ROLLOUT, 2, 100, OLD)},
        [ESCALATION],
    ),
    (
        "somebody changed the champion before it",
        {"reason": "ChampionChanged", "phase": Phase.WITHDRAWING, "before": Stand(Phase.ROLLOUT, 1, 25, OLD)},
        [],
    ),
    ("a person asks for a Release", {"asked": Asked("person", "cli", "1", NOW, "r", by="ada")}, []),
    ("the error grew", {"asked": Asked("performance", "/monitor", "1", NOW, "r", sentence="it got worse")}, [ESCALATION]),
    (
        "the last failure of too many",
        {"reason": "RunFailed", "phase": Phase.FAILED, "breaker_until": NOW + timedelta(days=7)},
        [ESCALATION, BREAKER_OPENED],
    ),
]


@pytest.mark.parametrize(("given", "types"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_a_decision_is_told_as(given: dict[str, Any], types: list[str]) -> None:
    before = given.pop("before", None) if "before" in given else None
    made = record(RELEASE, given.get("reason", "Admitted"), given.get("phase", Phase.TRAINING), **_rest(given))
    made = msgspec.structs.replace(made, before=before) if before else made
    assert [event.type for event in of_record(made)] == types


def _rest(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in ("reason", "phase")}


def test_an_event_is_a_cloud_event_whose_id_is_its_records_hash() -> None:
    made = record(RELEASE, "ChampionSwapped", Phase.ROLLOUT, weight=100, champion=Champion("7", "b" * 64, 4), candidate=NEW, by="ada")
    (event,) = of_record(made)
    assert (event.id, event.time, event.subject, event.source) == (made.hash, made.at, "crm/bike", "/namespaces/crm/audit")
    assert event.extensions == {"sequence": "1"}
    assert event.data["by"] == "ada"
    assert parse({"content-type": "application/cloudevents+json"}, msgspec.json.encode(structured(event))) == [
        msgspec.structs.replace(event, data=event.data)
    ]


def test_ids_are_different_and_stay_the_same() -> None:
    events = told(records())
    assert len({event.id for event in events}) == len(events)
    assert told(records()) == events


def finding(kind: str) -> CloudEvent:
    moment = NOW - timedelta(hours=1)
    made = Finding("bike", "crm", "u", "7", kind, 3, moment, NOW, NOW, "a column is empty", severity="critical")  # type: ignore[arg-type]
    return finding_event(made, "/monitor")


def test_of_findings_those_of_broken_data_are_told_here_and_the_others_by_their_releases() -> None:
    event = of_finding(finding("quality"))
    assert event is not None
    assert (event.type, event.id, event.source, event.subject) == (ESCALATION, finding("quality").id, "/monitor", "crm/bike")
    assert event.data == {
        "namespace": "crm",
        "model": "bike",
        "reason": "DataInDoubt",
        "sentence": "a column is empty",
        "dataTime": NOW.isoformat().replace("+00:00", "Z"),
        "severity": "critical",
    }
    assert finding("quality").type == FINDING
    assert [of_finding(finding(kind)) for kind in ("performance", "concept", "covariate", "prediction", "explanation")] == [None] * 5
