"""The monitor's process is killed again and again while events come in: at the end each is there once, whatever the database."""

import asyncio
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from trimtab.monitoring import tables
from trimtab.monitoring.ports import WatchedVersion
from trimtab.monitoring.store import Store

from .process import Live, names
from .sending import Message, Sending, batched, exchanges, single

EXCHANGES = 1500
KILLS = 3


def stored(place: Path | str) -> tuple[int, int, int, int]:
    """How many rows there are, different ones, rows that have their answer, and identities."""
    store = Store(place)
    rows = tables.rows
    question = sa.select(sa.func.count(), sa.func.count(rows.c.key.distinct()), sa.func.count(rows.c.prediction)).select_from(rows)
    with store.transaction(reading=True) as connection:
        every, different, answered = connection.execute(question).one()
        identities = connection.scalar(sa.select(sa.func.count()).select_from(tables.arrivals))
    store.close()
    return every, different, answered, identities or 0


async def killing(live: Live, messages: list[Message], connections: int) -> Sending:
    """Send everything; the monitor is killed and started again as often as KILLS says, each time after a like share was acknowledged."""
    sending = Sending(live, messages)
    task = asyncio.create_task(sending.run(connections))
    for number in range(1, KILLS + 1):
        while sending.acknowledged < number * len(messages) // (KILLS + 1):
            await asyncio.sleep(0.001)
        await asyncio.to_thread(live.kill)
        await asyncio.to_thread(live.start)
    await task
    return sending


@pytest.mark.parametrize("kind", ["batches", "single events"])
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_kill_9_loses_nothing_and_doubles_nothing(
    database: str, kind: str, tmp_path: Path, version: WatchedVersion, request: pytest.FixtureRequest
) -> None:
    place = tmp_path / "m.db" if database == "sqlite" else request.getfixturevalue("postgres")
    bodies = exchanges(EXCHANGES if kind == "batches" else EXCHANGES // 5, names(5), time.time() - 200)
    messages, connections = (batched(bodies, 20), 2) if kind == "batches" else (single(bodies), 8)
    with Live(place, version.folder, "--models", "5") as live:
        sending = asyncio.run(killing(live, messages, connections))
    assert (sending.acknowledged, sending.again >= KILLS) == (len(messages), True)
    assert stored(place) == (len(bodies), len(bodies), len(bodies), 2 * len(bodies))
