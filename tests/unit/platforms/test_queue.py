"""The work queue hands each key to one taker, at the earliest time anybody asked for, and loses none."""

import threading
import time

from trimtab.platforms.queue import WorkQueue


def test_a_key_that_is_asked_for_twice_is_handed_out_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a")
    assert queue.take() == "a"
    assert len(queue) == 0


def test_the_earlier_time_wins() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", 60)
    queue.add("b", 30)
    queue.add("a")
    assert queue.take() == "a"
    assert len(queue) == 1


def test_a_later_wish_does_not_put_off_an_earlier_one() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.add("a", 60)
    assert queue.take() == "a"


def test_a_key_under_work_waits_until_it_is_done() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    queue.add("b", 0.05)
    assert queue.take() == "b", "a is being worked on"
    queue.done("a")
    assert queue.take() == "a", "what was asked meanwhile is not lost"


def test_a_taker_waits_for_the_time_and_is_woken_by_an_earlier_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("late", 60)
    found: list[str | None] = []
    taker = threading.Thread(target=lambda: found.append(queue.take()))
    taker.start()
    queue.add("soon", 0.05)
    taker.join(timeout=5)
    assert found == ["soon"]


def test_closing_lets_takers_go() -> None:
    queue: WorkQueue[str] = WorkQueue()
    found: list[str | None] = []
    takers = [threading.Thread(target=lambda: found.append(queue.take())) for _ in range(3)]
    for taker in takers:
        taker.start()
    queue.close()
    for taker in takers:
        taker.join(timeout=5)
    assert found == [None, None, None]


def test_many_workers_never_hold_one_key_together() -> None:
    queue: WorkQueue[int] = WorkQueue()
    held: set[int] = set()
    looks = dict.fromkeys(range(5), 0)
    clashes: list[int] = []
    lock = threading.Lock()

    def work() -> None:
        while (key := queue.take()) is not None:
            with lock:
                clashes.extend([key] if key in held else [])
                held.add(key)
                looks[key] += 1
            with lock:
                held.discard(key)
            queue.done(key)
            queue.add(key)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for key in looks:
        queue.add(key)
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + 20
    while min(looks.values()) < 50:
        assert time.monotonic() < deadline, "a key starved"
    queue.close()
    for worker in workers:
        worker.join(timeout=5)
    assert not clashes
