"""What is decided reaches a real receiver: in order, with the same id when it comes again, and whoever dies in between."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.unit.audit.drafts import NOW, draft
from tests.unit.listener import Listener, listening
from tests.unit.platforms.test_webhook import Clock
from trimtab.audit.record import AuditRecord
from trimtab.errors import InvalidInput, Unavailable
from trimtab.platforms.local.cursors import SqliteCursors
from trimtab.platforms.local.ledger import SqliteLedger
from trimtab.platforms.notifier import BATCH, Notifier
from trimtab.platforms.webhook import REFUSED_SECONDS, Delivery, Webhook
from trimtab.release import Phase, Release, ReleaseSpec, Request
from trimtab.spec import Metadata

DEAD = Phase.FAILED


def release(namespace: str = "default", name: str = "bike-1") -> Release:
    return Release(Metadata(name, namespace, uid=f"{namespace}-{name}"), ReleaseSpec("bike", "uid", "r", Request("person", "t", name, NOW)))


class Desk:
    """A state folder that records decisions, and a notifier that follows them."""

    def __init__(self, folder: Path, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.counted = folder / "state.db", list[str]()
        self.ledger = SqliteLedger(self.path)
        self.cursors = SqliteCursors(self.path)
        self.notifier = Notifier(
            SqliteLedger(self.path), self.cursors, Delivery(Webhook(url).post, self.counted.append, clock), clock=clock
        )
        self.notifier.open()

    def decide(self, *sentences: str, namespace: str = "default", phase: Phase = DEAD, **told: Any) -> list[AuditRecord]:
        """A decision each, all of them worth telling."""
        about = release(namespace)
        made = [
            self.ledger.append(draft(about, "RunFailed", phase, **{**told, "sentence": one, "at": self.now()}), self.ledger.last(about))
            for one in sentences
        ]
        for one in made:
            self.notifier.recorded(one)
        return made

    def now(self) -> datetime:
        return datetime.now(UTC)


def heard(receiver: Listener, namespace: str = "default") -> list[str]:
    """The sentences that came, in their order."""
    events = [json.loads(body) for _, _, body in receiver.heard]
    return [event["data"]["sentence"] for event in events if event["data"]["namespace"] == namespace]


def ids(receiver: Listener) -> list[str]:
    return [json.loads(body)["id"] for _, _, body in receiver.heard]


def wait(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    ends, pause = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < ends, "it did not happen in time"
        pause.wait(0.01)


@contextmanager
def running(notifier: Notifier, *namespaces: str) -> Iterator[None]:
    notifier.start(*namespaces)
    try:
        yield
    finally:
        notifier.close()


def test_decisions_are_told_once_each_in_their_order_and_what_is_no_news_is_not(tmp_path: Path) -> None:
    with listening(202) as receiver:
        desk = Desk(tmp_path, receiver.url)
        with running(desk.notifier):
            made = desk.decide("one", "two")
            desk.decide("nothing", phase=Phase.TRAINING)
            made += desk.decide("three")
            wait(lambda: desk.notifier.behind == 0 and len(receiver.heard) == 3)
    assert ids(receiver) == [record.hash for record in made]
    assert desk.counted == ["delivered"] * 3
    assert SqliteCursors(desk.path).all() == {"default": 4}


def test_a_receiver_that_is_away_gets_everything_when_it_is_back(tmp_path: Path) -> None:
    with listening(200) as receiver:
        url, port = receiver.url, receiver.server.server_address[1]
    desk = Desk(tmp_path, url)
    with running(desk.notifier):
        desk.decide("one", "two")
        wait(lambda: "failed" in desk.counted)
        assert "does not answer" in desk.notifier.delivery.trouble
        assert desk.notifier.behind == 2
        with listening(200, port=int(port)) as receiver:
            desk.decide("three")
            wait(lambda: len(receiver.heard) == 3)
            wait(lambda: desk.notifier.behind == 0)
    assert heard(receiver) == ["one", "two", "three"]
    assert desk.notifier.delivery.trouble == ""


def test_a_receiver_that_is_slow_holds_up_nobody(tmp_path: Path) -> None:
    answer = threading.Event()
    with listening(200) as receiver:
        receiver.choose = lambda _: 200 if answer.wait(20) else 500
        desk = Desk(tmp_path, receiver.url)
        with running(desk.notifier):
            desk.decide("first")
            wait(lambda: receiver.heard)
            desk.decide(*(str(number) for number in range(2 * BATCH)))
            assert len(receiver.heard) == 1, "all was decided while the first event was not taken yet"
            answer.set()
            wait(lambda: len(receiver.heard) == 2 * BATCH + 1)
    assert heard(receiver) == ["first", *(str(number) for number in range(2 * BATCH))]


def test_an_event_that_is_refused_for_good_does_not_stop_the_others(tmp_path: Path) -> None:
    with listening(200) as receiver:
        receiver.choose = lambda body: 422 if b"poison" in body else 200
        desk = Desk(tmp_path, receiver.url)
        desk.decide("one", "poison", "two")
        assert desk.notifier.follow("default") is None
    assert heard(receiver) == ["one", "poison", "two"]
    assert desk.counted == ["delivered", "skipped", "delivered"]


def test_an_event_that_is_refused_for_now_holds_its_namespace_for_an_hour_and_no_other(tmp_path: Path) -> None:
    clock = Clock()
    with listening(200) as receiver:
        receiver.choose = lambda body: 404 if b"poison" in body else 200
        desk = Desk(tmp_path, receiver.url, clock)
        desk.decide("poison", "two", namespace="crm")
        desk.decide("one", namespace="ads")
        assert desk.notifier.follow("crm")
        assert desk.notifier.follow("ads") is None
        tries = len(receiver.heard)
        assert desk.notifier.follow("crm"), "it is left in peace, whatever wakes it"
        assert len(receiver.heard) == tries
        clock.now += REFUSED_SECONDS / 2
        assert desk.notifier.follow("crm")
        assert heard(receiver, "crm") == ["poison"] * 2
        clock.now += REFUSED_SECONDS / 2
        assert desk.notifier.follow("crm") is None
    assert heard(receiver, "crm") == ["poison"] * 3 + ["two"]
    assert heard(receiver, "ads") == ["one"]


def test_of_two_events_of_one_decision_the_first_is_not_told_again_for_the_second(tmp_path: Path) -> None:
    clock = Clock()
    with listening(200) as receiver:
        receiver.choose = lambda body: 503 if b"breaker.opened" in body and len(receiver.heard) == 2 else 200
        desk = Desk(tmp_path, receiver.url, clock)
        (made,) = desk.decide("failed", breaker_until=NOW)
        assert desk.notifier.follow("default")
        clock.now += 10.0
        assert desk.notifier.follow("default") is None
    assert ids(receiver) == [made.hash, f"{made.hash}-breaker", f"{made.hash}-breaker"]


def test_what_was_decided_before_there_was_a_webhook_is_not_told_and_what_a_crash_left_is(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "state.db")
    for number in range(3):
        old = release(name=f"old-{number}")
        ledger.append(draft(old, "RunFailed", DEAD), None)
    with listening(200) as receiver:
        first = Desk(tmp_path, receiver.url)
        first.decide("new", namespace="default")
        first.decide("elsewhere", namespace="crm")
        again = Desk(tmp_path, receiver.url)
        for namespace in again.ledger.namespaces():
            assert again.notifier.follow(namespace) is None
        assert (heard(receiver), heard(receiver, "crm")) == (["new"], ["elsewhere"]), "the first notifier told nothing and died"
        third = Desk(tmp_path, receiver.url)
        assert [third.notifier.follow(namespace) for namespace in third.ledger.namespaces()] == [None, None]
    assert len(receiver.heard) == 2


def test_a_webhook_that_was_taken_away_is_not_told_later_what_it_missed(tmp_path: Path) -> None:
    with listening(200) as receiver:
        desk = Desk(tmp_path, receiver.url)
        desk.cursors.forget()
        desk.decide("missed")
        later = Desk(tmp_path, receiver.url)
        later.decide("told")
        assert later.notifier.follow("default") is None
    assert heard(receiver) == ["told"]


class Forgetful(SqliteCursors):
    """The disk is full: no cursor is kept."""

    def move(self, namespace: str, sequence: int) -> None:
        msg = f"{namespace}/{sequence} cannot be kept"
        raise Unavailable(msg)


def test_a_cursor_that_cannot_be_kept_is_tried_again_and_costs_no_second_event(tmp_path: Path) -> None:
    clock = Clock()
    with listening(200) as receiver:
        desk = Desk(tmp_path, receiver.url, clock)
        (made,) = desk.decide("one")
        notifier = Notifier(desk.ledger, Forgetful(desk.path), desk.notifier.delivery, clock=clock)
        notifier.open()
        for _ in range(3):
            assert notifier.follow("default")
            clock.now += 1000.0
        assert ids(receiver) == [made.hash]
        assert Desk(tmp_path, receiver.url).notifier.follow("default") is None
    assert ids(receiver) == [made.hash] * 2, "the next process tells it once more, by the same id"


class Barred(SqliteLedger):
    """One namespace may not be read any more."""

    def after(self, namespace: str, sequence: int) -> Iterator[AuditRecord]:
        if namespace == "crm":
            msg = f"auditentries is forbidden in {namespace}"
            raise InvalidInput(msg)
        return super().after(namespace, sequence)


def test_a_chain_that_cannot_be_read_holds_up_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with listening(200) as receiver:
        desk = Desk(tmp_path, receiver.url, clock)
        notifier = Notifier(Barred(desk.path), desk.cursors, desk.notifier.delivery, clock=clock)
        notifier.open()
        for number in range(3):
            desk.decide(f"crm {number}", namespace="crm")
            desk.decide(f"ads {number}", namespace="ads")
            assert notifier.follow("crm")
            assert notifier.follow("ads") is None
            clock.now += 1000.0
    assert heard(receiver, "ads") == ["ads 0", "ads 1", "ads 2"]
    assert "crm: its decisions cannot be followed: auditentries is forbidden in crm" in caplog.text


def test_a_cursor_is_kept_for_each_event_and_for_many_records_without_one(tmp_path: Path) -> None:
    with listening(200) as receiver:
        desk = Desk(tmp_path, receiver.url)
        desk.decide(*["no news"] * (BATCH - 1), phase=Phase.TRAINING)
        assert desk.notifier.follow("default") is None
        assert (desk.cursors.all(), desk.notifier.behind) == ({}, 0), "nothing is written for a decision that is no news"
        desk.decide("no news", phase=Phase.TRAINING)
        assert desk.notifier.follow("default") is None
        assert desk.cursors.all() == {"default": BATCH}
        desk.decide("news")
        assert desk.notifier.follow("default") is None
        assert desk.cursors.all() == {"default": BATCH + 1}


def test_who_may_not_tell_waits(tmp_path: Path) -> None:
    with listening(200) as receiver:
        desk = Desk(tmp_path, receiver.url)
        idle = Notifier(desk.ledger, desk.cursors, desk.notifier.delivery, may=lambda: False)
        desk.decide("one")
        assert idle.follow("default") == 1.0
        assert receiver.heard == []


CHILD = """
import sys
from pathlib import Path
from tests.unit.platforms.test_notifier import Desk
folder, url, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
desk = Desk(folder, url)
desk.notifier.start(*desk.ledger.namespaces())
print("up", flush=True)
for number in range(first, first + count):
    for namespace in ("ads", "crm"):
        desk.decide(f"{namespace} {number}", namespace=namespace)
    print(number, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_however_often_the_process_is_killed(tmp_path: Path, seed: int) -> None:
    """Killed at random moments, while a receiver answers 503 now and then: all arrives, in order, repeated only with the same id."""
    rand = random.Random(seed)  # noqa: S311 - test data
    root = Path(__file__).parents[3]
    with listening(200) as receiver:
        receiver.choose = lambda _: 503 if rand.random() < 0.02 else 200
        decided = 0
        for _ in range(4):
            command = [sys.executable, "-c", CHILD, str(tmp_path), receiver.url, str(decided), "40"]
            environment = {**os.environ, "PYTHONPATH": str(root)}
            child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root, env=environment)
            assert child.stdout
            assert child.stdout.readline() == "up\n"
            for _ in range(rand.randint(1, 40)):
                decided = int(child.stdout.readline()) + 1
            child.send_signal(signal.SIGKILL)
            child.communicate()
        desk = Desk(tmp_path, receiver.url)
        chain = list(desk.ledger.records())
        with running(desk.notifier, *desk.ledger.namespaces()):
            wait(lambda: {record.hash for record in chain} <= set(ids(receiver)))
    for namespace in ("ads", "crm"):
        wanted = [record.hash for record in chain if record.namespace == namespace]
        came = [event["id"] for event in (json.loads(body) for _, _, body in receiver.heard) if event["data"]["namespace"] == namespace]
        assert list(dict.fromkeys(came)) == wanted, "each first comes in its place"
        places = [wanted.index(one) for one in came]
        assert all(later >= earlier for earlier, later in pairwise(places)), "and comes again before the next"
    assert len(chain) >= 2 * 4
