"""How many events a second the monitor keeps on one processor, and whether each is there once after a `kill -9` in the middle.

Run it as `python -m tests.bench.ingest_events --events 100000` (make bench-events); it writes build/bench/events.json, and
docs/evidence/ingest.md where all of it was run. The monitor is a
real process over HTTP, pinned to processor 0 with all of its threads and, where there is one, Alibi's; the sender, and PostgreSQL
where it is the database, have processor 1. Batches are those that a predictor's shipper sends: 500 events, one connection, the next
when the last was acknowledged. Both databases sync to disk at each commit.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from tests.unit.monitoring.folders import write_folder
from tests.unit.monitoring.postgres import database, programs, server
from tests.unit.monitoring.process import Live, names
from tests.unit.monitoring.sending import Sending, batched, exchanges, single
from tests.unit.monitoring.test_exactly_once import stored

OUT = Path("build/bench/events.json")
PAGE = Path("docs/evidence/ingest.md")
HEAD = """# Ingest: how many events a second, and that none is lost

`make bench-events` writes this page and `build/bench/events.json`. The monitor is a real process over HTTP with all of its threads, and
Alibi's where it is named, on one processor; the sender, and PostgreSQL, have the other. Half of the events are requests of one row, half
their answers. A batch has 500 events, over one connection, the next when the last was acknowledged. Both databases sync to disk at each
commit.
The window has 5,000 rows, so that windows are closed and checked meanwhile; with 1,000 models none is filled.

At the end the database is asked what is there: every request once, with its answer. Seconds include the restart after a `kill -9`.
Promised are 3,000 events a second in batches, on either database.

| database | case | events | events/s | p50 ms | p99 ms | CPU us an event | sent again | lost | doubled |
|---|---|---|---|---|---|---|---|---|---|
"""
GOAL = 3000
BATCH = 500


class Case(msgspec.Struct, frozen=True):
    """One measurement: `share` of the events are sent, in batches or alone; `kill` is the share after which the monitor is killed."""

    name: str
    share: float = 1.0
    alone: bool = False
    connections: int = 1
    kill: float | None = None
    options: tuple[str, ...] = ()
    models: int = 1
    held: bool = True


class Result(msgspec.Struct, frozen=True):
    """What came of it; `seconds` and so `events_s` include the restart after a kill. Bytes are the database file's."""

    database: str
    case: str
    events: int
    seconds: float
    events_s: int
    cpu_s: float
    p50_ms: float
    p99_ms: float
    sent_again: int
    drift_checks: int
    rows: int
    rows_expected: int
    unanswered: int
    bytes_an_event: int | None


CASES = (
    Case("batches of 500"),
    Case("batches of 500, kill -9 in the middle", kill=0.5),
    Case("batches of 500 over 1,000 models", models=1000),
    Case("batches of 500, drift checks by Alibi beside it", options=("--caged",)),
    Case("single events over 32 connections", share=0.1, alone=True, connections=32, held=False),
    Case("single events over 32 connections, kill -9 in the middle", share=0.1, alone=True, connections=32, kill=0.5, held=False),
)


@contextmanager
def place(kind: str, folder: Path) -> Iterator[Path | str]:
    """A new database."""
    if kind == "sqlite":
        yield folder / "monitor.db"
        return
    binaries = programs()
    if binaries is None:
        sys.exit("error: there is no PostgreSQL on this machine: neither initdb on the PATH nor /usr/lib/postgresql")
    with server(binaries, fsync=True) as url:
        yield database(url)


def measure(kind: str, case: Case, events: int) -> Result:
    """Send the case's events and count what is there."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        version = write_folder(folder / "1")
        count = int(events * case.share) // 2
        bodies = exchanges(count, names(case.models), time.time() - count / 10)
        messages = single(bodies) if case.alone else batched(bodies, BATCH)
        with place(kind, folder) as where:
            options = ("--models", str(case.models), "--window", "5000", *case.options)
            with Live(where, version.folder, *options, pinned=0) as live:
                sending = Sending(live, messages)
                before, began = cpu(live), time.perf_counter()
                spent = asyncio.run(run(live, sending, case, len(messages)))
                seconds = time.perf_counter() - began
                checks = tested(live)
                used = spent + cpu(live) - (before if case.kill is None else 0.0)
            every, different, answered, identities = stored(where)
        size = (folder / "monitor.db").stat().st_size if kind == "sqlite" else None
        waits = sorted(sending.waits)
        assert (every, identities) == (different, 2 * count), (every, different, identities)
        return Result(
            kind,
            case.name,
            2 * count,
            round(seconds, 2),
            round(2 * count / seconds),
            round(used, 2),
            round(1000 * waits[len(waits) // 2], 1),
            round(1000 * waits[int(len(waits) * 0.99)], 1),
            sending.again,
            checks,
            every,
            count,
            every - answered,
            None if size is None else size // (2 * count),
        )


async def run(live: Live, sending: Sending, case: Case, messages: int) -> float:
    """Send all of it; returns the processor time of the process that was killed."""
    task = asyncio.create_task(sending.run(case.connections))
    spent = 0.0
    if case.kill is not None:
        while sending.acknowledged < case.kill * messages:
            await asyncio.sleep(0.0005)
        spent = cpu(live)
        await asyncio.to_thread(live.kill)
        await asyncio.to_thread(live.start)
    await task
    return spent


def tested(live: Live) -> int:
    """How many windows' drift tests the process has begun."""
    with urllib.request.urlopen(f"http://127.0.0.1:{live.port}/metrics", timeout=60) as answer:
        lines = answer.read().decode().splitlines()
    return int(float(next((line.split()[1] for line in lines if line.startswith("trimtab_monitor_detector_runs_total ")), "0")))


def cpu(live: Live) -> float:
    """The processor time of the monitor's process and its children, in seconds."""
    process = psutil.Process(live.process.pid)
    return sum(sum(one.cpu_times()[:2]) for one in [process, *process.children(recursive=True)])


def page(results: Sequence[Result]) -> str:
    """The results as docs/evidence/ingest.md has them."""
    lines = []
    for found in results:
        rate = f"{found.events:,} | {found.events_s:,} | {found.p50_ms} | {found.p99_ms} | {1e6 * found.cpu_s / found.events:.0f}"
        lost = max(found.rows_expected - found.rows, 0) + found.unanswered
        doubled = max(found.rows - found.rows_expected, 0)
        lines.append(f"| {found.database} | {found.case} | {rate} | {found.sent_again} | {lost} | {doubled} |\n")
    return HEAD + "".join(lines)


def main(arguments: list[str]) -> int:
    """Print a line a case and write the file; exit code 1 where a batched case is too slow, or an event is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--cases", nargs="+", type=int, default=list(range(len(CASES))), help="which, by their number")
    given = parser.parse_args(arguments)
    os.sched_setaffinity(0, {1})
    results, bad = [], False
    for kind in given.databases:
        for case in (CASES[number] for number in given.cases):
            found = measure(kind, case, given.events)
            results.append(found)
            whole = found.rows == found.rows_expected and not found.unanswered
            bad |= not whole or (case.held and found.events_s < GOAL)
            rate = f"{found.events:>9,} events{found.events_s:>8,}/s, p50 {found.p50_ms:.1f} ms, p99 {found.p99_ms:.1f} ms"
            print(
                f"{kind:11}{case.name:58}{rate}, {found.drift_checks} checks, {found.cpu_s:.1f} s of processor; "
                f"{'each there once' if whole else 'NOT WHOLE'}",
                flush=True,
            )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    if len(results) == 2 * len(CASES):
        PAGE.write_text(page(results))
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
