import asyncio
import threading
from collections.abc import Sequence

import pytest

from trimtab.errors import Unavailable
from trimtab.monitoring.commit import GroupCommit
from trimtab.monitoring.ingest import Arrival, Labelled


def label(number: int) -> Labelled:
    return Labelled("/labels", str(number), "default/demand", str(number), b"1", 0.0)


def test_what_waits_is_written_together_and_each_gets_its_own_answer() -> None:
    groups: list[int] = []
    first = threading.Event()

    def write(arrivals: Sequence[Arrival]) -> list[bool]:
        groups.append(len(arrivals))
        first.wait(5)
        return [int(arrival.id) % 2 == 0 for arrival in arrivals]

    async def steps() -> list[list[bool]]:
        commit = GroupCommit(write)
        tasks = [asyncio.create_task(commit.keep([label(number), label(number + 1)])) for number in range(10)]
        while not groups:
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(commit.keep([label(10)]))]
        await asyncio.sleep(0)
        first.set()
        return await asyncio.gather(*tasks)

    found = asyncio.run(steps())
    assert found == [*([number % 2 == 0, number % 2 == 1] for number in range(10)), [True]]
    assert (sum(groups), len(groups) <= 3) == (21, True)


def test_a_write_that_fails_fails_for_all_who_wait_and_the_next_one_works() -> None:
    calls: list[int] = []

    def write(arrivals: Sequence[Arrival]) -> list[bool]:
        calls.append(len(arrivals))
        if len(calls) == 1:
            msg = "the disk is full"
            raise Unavailable(msg)
        return [True] * len(arrivals)

    async def steps() -> None:
        commit = GroupCommit(write)
        answers = await asyncio.gather(*(commit.keep([label(n)]) for n in range(3)), return_exceptions=True)
        assert any("the disk is full" in str(answer) for answer in answers)
        assert all(answer == [True] or isinstance(answer, Unavailable) for answer in answers)
        assert await commit.keep([label(9)]) == [True]

    asyncio.run(steps())


def test_one_who_left_does_not_keep_the_others_waiting() -> None:
    held = threading.Event()

    def write(arrivals: Sequence[Arrival]) -> list[bool]:
        held.wait(5)
        return [True] * len(arrivals)

    async def steps() -> None:
        commit = GroupCommit(write)
        first = asyncio.create_task(commit.keep([label(1)]))
        await asyncio.sleep(0.01)
        leaving, staying = (asyncio.create_task(commit.keep([label(n)])) for n in (2, 3))
        await asyncio.sleep(0.01)
        leaving.cancel()
        held.set()
        assert await first == [True]
        assert await staying == [True]
        with pytest.raises(asyncio.CancelledError):
            await leaving

    asyncio.run(steps())
