"""The findings that have not left yet, in the store: to where Releases come from, and to people.

A finding of broken data leads to no Release. Where people are told, that is all that becomes of it, and it waits for nobody but them.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from trimtab.errors import InvalidInput
from trimtab.events import CloudEvent
from trimtab.monitoring.ports import Emit, Page
from trimtab.monitoring.prometheus import Counters
from trimtab.monitoring.records import Records

log = logging.getLogger(__name__)


class Outbox:
    """Sends each finding until it was taken, oldest first."""

    def __init__(self, records: Records, counters: Counters, emit: Emit, page: Page | None) -> None:
        """Without `page` all findings go to `emit`."""
        self._records, self._counters, self._emit, self._page = records, counters, emit, page

    @property
    def pages(self) -> bool:
        """Whether people are told."""
        return self._page is not None

    def send(self, now: datetime) -> None:
        """Send what asks for a Release; raises what `emit` raises, and what is left is sent the next time."""
        for event in self._records.pending():
            if self.pages and _pages(event):
                continue
            try:
                self._emit(event)
            except InvalidInput as error:
                log.warning("finding %s was refused and is not sent again: %s", event.id, error)
            self._records.emitted(event.id, now)

    def tell(self, now: datetime, go_on: Callable[[], bool]) -> None:
        """Tell people the rest, while `go_on`; whoever is told may be slow, or not answer at all."""
        for event in self._records.pending():
            if not _pages(event):
                continue
            if self._page is None or not go_on() or not self._page(event):
                return
            self._counters.add("trimtab_monitor_pages_total")
            self._records.emitted(event.id, now)


def _pages(event: CloudEvent) -> bool:
    return bool(event.data["kind"] == "quality")
