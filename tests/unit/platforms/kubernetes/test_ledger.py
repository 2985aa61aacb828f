"""The port `Ledger` on an API server over real HTTP: one chain a namespace, whatever crashes (the real one: tests/cluster)."""

import json
import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tests.unit.audit.drafts import NOW, draft
from tests.unit.audit.lived import key, keys
from tests.unit.platforms.kubernetes.api_server import ApiServer, Asked, Refusal
from trimtab.audit.chain import short, verify
from trimtab.audit.lines import anchors
from trimtab.audit.record import AuditRecord
from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.platforms.kubernetes.api import PAGE, Api
from trimtab.platforms.kubernetes.ledger import RECENT, KubernetesLedger, name_of
from trimtab.platforms.kubernetes.logs import JsonLines
from trimtab.platforms.kubernetes.resources import AUDIT
from trimtab.release import Phase, Release, ReleaseSpec, ReleaseStatus, Request
from trimtab.spec import Metadata


def release(name: str = "bike-1", namespace: str = "crm") -> Release:
    return Release(Metadata(name, namespace, uid=f"{name}-uid"), ReleaseSpec("bike", "bike-uid", "r", Request("person", "t", name, NOW)))


@pytest.fixture
def ledger(api: Api) -> KubernetesLedger:
    return KubernetesLedger(api, key("ours"))


def decide(ledger: KubernetesLedger, of: Release, *reasons: str, phase: Phase = Phase.TRAINING) -> list[AuditRecord]:
    return [ledger.append(draft(of, reason, phase), ledger.last(of)) for reason in reasons]


def kept(api: Api, namespace: str = "crm") -> list[AuditRecord]:
    return list(KubernetesLedger(api, namespace=namespace).records())


def test_all_releases_of_a_namespace_are_one_signed_chain(api: Api, ledger: KubernetesLedger) -> None:
    one, two = release(), release("bike-2")
    made = [*decide(ledger, one, "Admitted"), *decide(ledger, two, "Cooldown"), *decide(ledger, one, "RunSubmitted", "CandidateReady")]
    decide(ledger, release(namespace="ads"), "Admitted")
    assert kept(api) == made
    assert [record.sequence for record in made] == [1, 2, 3, 4]
    assert verify(kept(api), keys()) is None
    assert verify(kept(api, "ads"), keys()) is None
    assert ledger.of(one) == [made[0], *made[2:]]
    assert ledger.last(two) == made[1]


def test_an_entry_has_no_owner_and_is_named_by_its_number(server: ApiServer, ledger: KubernetesLedger) -> None:
    decide(ledger, release(), "Admitted")
    body = server.get(AUDIT, "crm", "0000000001")
    assert body
    assert "ownerReferences" not in body["metadata"], "it outlives what it is about"
    assert body["metadata"]["labels"]["trimtab.dev/model"] == "bike"


def test_a_decision_costs_one_request_once_the_chain_is_known(server: ApiServer, ledger: KubernetesLedger) -> None:
    decide(ledger, release(), "Admitted")
    server.asked.clear()
    decide(ledger, release(), "RunSubmitted", "CandidateReady")
    assert [(one.verb, one.body["metadata"]["name"]) for one in server.asked] == [("POST", "0000000002"), ("POST", "0000000003")]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 9, 70])
def test_a_new_controller_goes_on_where_the_last_one_ended(server: ApiServer, api: Api, ledger: KubernetesLedger, length: int) -> None:
    decide(ledger, release(), *(f"R{number}" for number in range(length)))
    server.asked.clear()
    again = KubernetesLedger(api, key("ours"))
    (made,) = decide(again, release("bike-2"), "Admitted")
    assert made.sequence == length + 1
    assert verify(kept(api), keys()) is None
    assert len([one for one in server.asked if one.verb == "GET"]) <= 40, "the head is found by name, not by reading everything"


def test_the_oldest_may_be_deleted_once_they_were_exported(server: ApiServer, api: Api, ledger: KubernetesLedger) -> None:
    old = decide(ledger, release(), *(f"R{number}" for number in range(30)))
    for record in old[:11]:
        server.remove(AUDIT, "crm", name_of(record.sequence))
    (made,) = decide(KubernetesLedger(api, key("ours")), release("bike-2"), "Admitted")
    assert made.sequence == 31
    assert verify([*old[:11], *kept(api)], keys()) is None
    fault = verify(kept(api), keys())
    assert fault is not None
    assert "stands where record 1 belongs" in fault.sentence


def test_what_a_crash_kept_from_the_status_is_found_again(api: Api, ledger: KubernetesLedger) -> None:
    (made,) = decide(ledger, release(), "Admitted")
    assert KubernetesLedger(api).last(release()) == made


def test_of_a_release_that_rested_long_the_last_record_is_the_one_that_its_status_names(
    server: ApiServer, api: Api, ledger: KubernetesLedger
) -> None:
    (made,) = decide(ledger, release(), "Admitted")
    decide(ledger, release("bike-2"), *(f"R{number}" for number in range(RECENT + 5)))
    again, rested = KubernetesLedger(api), replace(release(), status=ReleaseStatus(decisions=(short(made),)))
    again.last(release("bike-2"))
    server.asked.clear()
    assert again.last(rested) == made
    assert again.last(release("bike-3")) is None
    assert len(server.asked) == 1, "nothing is listed: there may be very many"


def test_of_two_controllers_at_once_one_loses_and_looks_again(api: Api, ledger: KubernetesLedger) -> None:
    other = KubernetesLedger(api, key("ours"))
    decide(ledger, release(), "Admitted")
    other.last(release("bike-2"))
    decide(other, release("bike-2"), "Admitted")
    with pytest.raises(Conflict):
        decide(ledger, release(), "RunSubmitted")
    (made,) = decide(ledger, release(), "RunSubmitted")
    assert made.sequence == 3
    assert verify(kept(api), keys()) is None


def test_who_decided_on_an_old_last_record_loses(ledger: KubernetesLedger) -> None:
    first, _ = decide(ledger, release(), "Admitted", "RunSubmitted")
    with pytest.raises(Conflict, match="another decision about 'bike-1' was recorded meanwhile"):
        ledger.append(draft(release(), "Other"), first)


@pytest.mark.parametrize("status", [409, 503])
def test_after_a_failure_the_chain_goes_on_whole(server: ApiServer, api: Api, ledger: KubernetesLedger, status: int) -> None:
    decide(ledger, release(), "Admitted")

    def refuse(asked: Asked) -> None:
        if asked.verb == "POST":
            server.before = None
            raise Refusal(status, "not now")

    server.before = refuse
    with pytest.raises((Conflict, Unavailable)):
        decide(ledger, release(), "RunSubmitted")
    decide(ledger, release(), "RunSubmitted")
    assert [record.reason for record in kept(api)] == ["Admitted", "RunSubmitted"]
    assert verify(kept(api), keys()) is None


def test_an_answer_that_is_lost_is_no_second_record(server: ApiServer, api: Api, ledger: KubernetesLedger) -> None:
    """The entry is made and the answer never comes: what is known is asked anew, and the record is there."""
    decide(ledger, release(), "Admitted")

    def lose(asked: Asked) -> None:
        if asked.verb == "POST":
            server.before = None
            api.create(AUDIT, {name: value for name, value in asked.body.items() if name in ("metadata", "record")})
            raise Refusal(504, "timeout")

    server.before = lose
    with pytest.raises(Unavailable):
        decide(ledger, release(), "RunSubmitted")
    found = ledger.last(release())
    assert found is not None
    assert found.reason == "RunSubmitted"
    decide(ledger, release(), "CandidateReady")
    assert verify(kept(api), keys()) is None


def test_many_workers_at_once_make_one_chain(api: Api, ledger: KubernetesLedger) -> None:
    def work(number: int) -> None:
        decide(ledger, release(f"bike-{number}"), *(f"R{one}" for one in range(6)))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(kept(api)) == 24
    assert verify(kept(api), keys()) is None


def test_a_long_chain_is_read_in_pages(server: ApiServer, api: Api, ledger: KubernetesLedger) -> None:
    (made,) = decide(ledger, release(), "Admitted")
    body: Any = server.get(AUDIT, "crm", name_of(1))
    for number in range(2, 2 * PAGE + 3):
        server.put(AUDIT, "crm", name_of(number), record=body["record"])
    server.asked.clear()
    assert kept(api) == [made] * (2 * PAGE + 2)
    assert len(server.asked) == 3


def test_what_is_no_record_is_named(server: ApiServer, api: Api) -> None:
    server.put(AUDIT, "crm", name_of(1), record={"sequence": "one"})
    with pytest.raises(InvalidInput, match="the AuditEntry crm/0000000001 is no record"):
        kept(api)


def test_each_record_is_a_line_of_the_log(ledger: KubernetesLedger, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "trimtab.audit"):
        (made,) = decide(ledger, release(), "Admitted")
    line = JsonLines().format(caplog.records[-1])
    assert json.loads(line)["message"] == "crm/bike-1: record 1"
    assert [(one.namespace, one.sequence, one.hash) for one in anchors([line.encode()], "the log")] == [("crm", 1, made.hash)]


def test_a_chain_is_followed_from_any_record_and_from_its_first_where_the_oldest_were_deleted(
    server: ApiServer, ledger: KubernetesLedger
) -> None:
    made = decide(ledger, release(), *(f"R{number}" for number in range(12)))
    assert [*ledger.after("crm", 0)] == made
    assert [*ledger.after("crm", 9)] == made[9:]
    assert [*ledger.after("crm", 12)] == [*ledger.after("ads", 0)] == []
    for record in made[:5]:
        server.remove(AUDIT, "crm", name_of(record.sequence))
    assert [*ledger.after("crm", 2)] == made[5:]
    assert [*ledger.after("crm", 7)] == made[7:]
    server.asked.clear()
    assert next(ledger.after("crm", 7)) == made[7]
    assert len(server.asked) == 1, "only what is looked at is asked for"


@pytest.mark.parametrize(("hours", "number"), [(0, 0), (1, 1), (5, 5), (99, 9)])
def test_the_last_record_before_a_moment_is_found_from_the_head(api: Api, ledger: KubernetesLedger, hours: int, number: int) -> None:
    for hour in range(9):
        ledger.append(draft(release(), f"R{hour}", at=NOW + timedelta(hours=hour)), ledger.last(release()))
    assert KubernetesLedger(api).older("crm", NOW + timedelta(hours=hours)) == number
    assert KubernetesLedger(api).older("ads", NOW) == 0


def test_each_record_is_heard_of(api: Api) -> None:
    heard: list[AuditRecord] = []
    ledger = KubernetesLedger(api, key("ours"), recorded=heard.append)
    assert decide(ledger, release(), "Admitted", "RunSubmitted") == heard
