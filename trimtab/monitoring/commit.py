"""Group commit: what arrives while the disk is busy goes into the next transaction, so that single events are not one sync each."""

import asyncio
from collections.abc import Callable, Sequence

from trimtab.errors import TrimtabError, Unavailable
from trimtab.monitoring.ingest import Arrival

Write = Callable[[Sequence[Arrival]], list[bool]]


class GroupCommit:
    """Gathers what arrives in one event loop. `write` keeps all or none and says which were new; it is called from a thread."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._busy = asyncio.Lock()
        self._waiting: list[tuple[Sequence[Arrival], asyncio.Future[list[bool]]]] = []

    async def keep(self, arrivals: Sequence[Arrival]) -> list[bool]:
        """Which of the arrivals were new; they are on disk. Raises Unavailable where they could not be kept."""
        kept: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrivals, kept))
        async with self._busy:
            if not kept.done():
                await self._commit()
        return await kept

    async def _commit(self) -> None:
        group, self._waiting = self._waiting, []
        failure: TrimtabError = Unavailable("the write was broken off before it was on disk")
        fresh: list[bool] | None = None
        try:
            fresh = await asyncio.to_thread(self._write, [arrival for arrivals, _ in group for arrival in arrivals])
        except TrimtabError as error:
            failure = error
        finally:
            first = 0
            for arrivals, kept in group:
                if kept.done():
                    pass
                elif fresh is None:
                    kept.set_exception(failure)
                else:
                    kept.set_result(fresh[first : first + len(arrivals)])
                first += len(arrivals)
