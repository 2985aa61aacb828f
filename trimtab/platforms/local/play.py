"""Plays rows as live traffic: requests through the gateway in time order, labels posted when their time has come.

An answer, whatever its code, is an answer and is counted; only where nobody answered is the same request sent again, under
the same event id, so that capture still counts it once. Progress is written as it goes: a second `play` goes on from there.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.events import BATCH, LABEL, CloudEvent, structured
from trimtab.platforms.local.rows import Row, Rows
from trimtab.platforms.local.state import read_json, write_json

CONNECTIONS = 8
LABEL_BATCH = 200
PATIENCE_SECONDS = 60.0


class Route(Struct, frozen=True):
    """Where a played row goes: the model's predict URL, the events URL with its secret, and how late its label comes.

    `host` is the name that a shared gateway knows the model by.
    """

    namespace: str
    model: str
    predict: str
    events: str
    secret: str
    label_delay: timedelta
    host: str = ""


class Played(Struct):
    """How far a play came: what was sent, what was answered how, and what had to be sent twice."""

    digest: str
    next_row: int = 0
    next_label: int = 0
    answered: int = 0
    failed: int = 0
    retried: int = 0
    codes: dict[str, int] = {}
    versions: dict[str, int] = {}
    data_time: datetime | None = None
    wall_seconds: float = 0.0
    finished: bool = False


class Player:
    """Plays `rows` at `rate` rows a second; 0 is as fast as they are answered."""

    def __init__(self, rows: Rows, route: Route, progress_file: Path, rate: float) -> None:
        """Goes on where an earlier play of the same file stopped."""
        self._rows, self._route, self._file, self._rate = rows.rows, route, progress_file, rate
        found = read_json(progress_file)
        if found and found["digest"] == rows.digest:
            self.played = msgspec.convert(found, Played)
        else:
            self.played = Played(rows.digest)
        self.pending = [row for row in self._rows if row.index >= self.played.next_row]
        self._done: set[int] = set()
        self._stop = asyncio.Event()
        self._started = 0.0

    def run(self, tell: Callable[[Played], None]) -> Played:
        """Play to the end; `tell` hears of progress about every second. Raises Unavailable where the gateway stays silent.

        SIGINT and SIGTERM stop it when what is under way has been answered; then KeyboardInterrupt is raised.
        """
        try:
            asyncio.run(self._run(tell))
        except* TrimtabError as group:
            raise group.exceptions[0] from None
        finally:
            self._save()
        if self._stop.is_set():
            raise KeyboardInterrupt
        self.played.finished = True
        self._save()
        return self.played

    def _save(self) -> None:
        write_json(self._file, msgspec.to_builtins(self.played))

    async def _run(self, tell: Callable[[Played], None]) -> None:
        import aiohttp

        queue: asyncio.Queue[Row | None] = asyncio.Queue(maxsize=CONNECTIONS)
        connector = aiohttp.TCPConnector(limit=CONNECTIONS + 1)
        timeout = aiohttp.ClientTimeout(total=15)
        self._started = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as tasks:
            for _ in range(CONNECTIONS):
                tasks.create_task(self._work(session, queue))
            tasks.create_task(self._feed(queue, tell))
            tasks.create_task(self._labels(session))

    async def _feed(self, queue: "asyncio.Queue[Row | None]", tell: Callable[[Played], None]) -> None:
        told = 0.0
        for number, row in enumerate(self.pending):
            if self._rate:
                await self._pause(max(0.0, self._started + number / self._rate - time.monotonic()))
            if self._stop.is_set():
                break
            await queue.put(row)
            if time.monotonic() - told > 1.0:
                told = time.monotonic()
                self.played.wall_seconds = told - self._started
                self._save()
                tell(self.played)
        for _ in range(CONNECTIONS):
            await queue.put(None)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the play is stopped."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _work(self, session: Any, queue: "asyncio.Queue[Row | None]") -> None:
        while (row := await queue.get()) is not None:
            code, version = await self._ask(session, row)
            played = self.played
            played.answered += 1
            played.failed += code >= 300
            played.codes[str(code)] = played.codes.get(str(code), 0) + 1
            played.versions[version] = played.versions.get(version, 0) + 1
            self._finish(row)

    def _finish(self, row: Row) -> None:
        """Move the cursor over every row that is done; the next row is the oldest one that is not."""
        self._done.add(row.index)
        played = self.played
        if played.data_time is None or row.time > played.data_time:
            played.data_time = row.time
        first = self._rows[0].index
        played.next_row = max(played.next_row, first)
        while played.next_row in self._done:
            self._done.discard(played.next_row)
            played.next_row += 1

    async def _ask(self, session: Any, row: Row) -> tuple[int, str]:
        import aiohttp

        headers = {"ce-id": f"play-{self.played.digest[:12]}-{row.index}", "content-type": "application/json"}
        headers |= {"host": self._route.host} if self._route.host else {}
        body = msgspec.json.encode({"instances": [row.instance]})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async with session.post(self._route.predict, data=body, headers=headers) as answer:
                    await answer.read()
                    return answer.status, answer.headers.get("x-trimtab-version", "")
            except (aiohttp.ClientError, TimeoutError) as error:
                self.played.retried += 1
                if time.monotonic() > deadline:
                    msg = f"the gateway at {self._route.predict} did not answer for {PATIENCE_SECONDS:.0f} s: {type(error).__name__}"
                    raise Unavailable(msg) from error
                await asyncio.sleep(0.2)

    async def _labels(self, session: Any) -> None:
        """Post the labels whose time has come; those of the last rows when all rows were sent."""
        played = self.played
        waiting = [row for row in self._rows if row.index >= played.next_label]
        last = self._rows[-1].index
        while waiting and not self._stop.is_set():
            done = played.next_row > last
            now = played.data_time
            due = [row for row in waiting[:LABEL_BATCH] if done or (now and row.time + self._route.label_delay <= now)]
            if not due:
                await asyncio.sleep(0.05)
                continue
            await self._post(session, [self._label(row) for row in due if row.label is not None])
            waiting = waiting[len(due) :]
            played.next_label = due[-1].index + 1

    def _label(self, row: Row) -> dict[str, Any]:
        route = self._route
        when = row.time + route.label_delay
        data = {"model": route.model, "namespace": route.namespace, "key": row.key, "value": row.label, "time": when.isoformat()}
        return structured(CloudEvent(id=f"label-{row.index}", source=f"play/{self.played.digest[:12]}", type=LABEL, time=when, data=data))

    async def _post(self, session: Any, events: list[dict[str, Any]]) -> None:
        import aiohttp

        headers = {"authorization": f"Bearer {self._route.secret}", "content-type": BATCH}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while events:
            try:
                async with session.post(self._route.events, data=msgspec.json.encode(events), headers=headers) as answer:
                    status, said = answer.status, await answer.text()
            except (aiohttp.ClientError, TimeoutError) as error:
                status, said = 503, type(error).__name__
            if status == 202:
                return
            if status < 500:
                msg = f"the events end-point refused the labels with {status}: {said[:200]}"
                raise InvalidInput(msg)
            self.played.retried += 1
            if time.monotonic() > deadline:
                msg = f"the events end-point {self._route.events} did not take the labels for {PATIENCE_SECONDS:.0f} s: {said[:200]}"
                raise Unavailable(msg)
            await asyncio.sleep(0.2)
