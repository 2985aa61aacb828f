"""The capture's counters, and how the shipper tells the predictor its own: in memory that both see, so that a crash takes none away.

A state is written as one record with its number and its checksum, into the two places of the memory by turns: a reader that meets a
record half written, or the writer's end in the middle of one, finds the state before it in the other place. No lock, no order of
writes is needed.
"""

import mmap
import os
import struct
import zlib

from msgspec import Struct
from msgspec.structs import astuple

FULL, REFUSED, UNENCODABLE, SPOILED, CLOSED, CRASHED = "full", "refused", "unencodable", "spoiled", "closed", "crashed"
REASONS = (FULL, REFUSED, UNENCODABLE, SPOILED, CLOSED, CRASHED)
"""Why events are dropped: no room; refused for good; bodies that cannot be read again; a fault of the disk; the end of the predictor;
the shipper ended by itself."""


class Counts(Struct, frozen=True):
    """Events since the start; captured = delivered + dropped + queued. What an earlier process left in the spool counts as captured.

    `dropped` is by reason. `skipped` events are not in the sample, and not captured; `failures` counts sendings that were not taken.
    """

    captured: int
    delivered: int
    dropped: dict[str, int]
    queued: int
    skipped: int
    failures: int

    @property
    def lost(self) -> int:
        """All that were dropped."""
        return sum(self.dropped.values())


class State(Struct, frozen=True):
    """A shipper's counters at one moment, in events but for the failures.

    It has `found` events in the spool when it began and got `received`; `spooled` are on the disk now.
    """

    found: int = 0
    received: int = 0
    spooled: int = 0
    delivered: int = 0
    failures: int = 0
    full: int = 0
    refused: int = 0
    unencodable: int = 0
    spoiled: int = 0
    closed: int = 0

    @property
    def dropped(self) -> int:
        """All that were dropped."""
        return self.full + self.refused + self.unencodable + self.spoiled + self.closed

    @property
    def held(self) -> int:
        """What is in the shipper's memory alone."""
        return self.found + self.received - self.delivered - self.dropped - self.spooled


_RECORD = struct.Struct(f"<{1 + len(State.__struct_fields__)}q")
_PLACE = _RECORD.size + 4
_TRIES = 10


class Board:
    """Memory that the predictor and its shipper share. One process writes, the other reads."""

    def __init__(self, descriptor: int | None = None) -> None:
        """Memory of its own, or another's by its file descriptor."""
        self.descriptor = os.memfd_create("trimtab-capture") if descriptor is None else descriptor
        if descriptor is None:
            os.truncate(self.descriptor, 2 * _PLACE)
        self._memory = mmap.mmap(self.descriptor, 2 * _PLACE)
        self._number = 0

    def write(self, state: State) -> None:
        """Tell this state. For one thread at a time."""
        self._number += 1
        record = _RECORD.pack(self._number, *astuple(state))
        at = self._number % 2 * _PLACE
        self._memory[at : at + _PLACE] = record + zlib.crc32(record).to_bytes(4, "little")

    def read(self) -> State | None:
        """The last state that was told; None where there is none yet."""
        for _ in range(_TRIES):
            found = [record for place in range(2) if (record := self._record(place))]
            if found:
                return State(*max(found)[1:])
        return None

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
        os.close(self.descriptor)

    def _record(self, place: int) -> tuple[int, ...] | None:
        held = self._memory[place * _PLACE : (place + 1) * _PLACE]
        record = held[: _RECORD.size]
        return _RECORD.unpack(record) if zlib.crc32(record) == int.from_bytes(held[_RECORD.size :], "little") else None


class Ledger:
    """The counters of all shippers that one predictor has had, one after the other, each on what the one before left in the spool."""

    def __init__(self) -> None:
        self._found = self._carried = 0
        self._delivered = self._failures = 0
        self._dropped = dict.fromkeys(REASONS, 0)

    def counts(self, taken: int, skipped: int, dropped: dict[str, int], state: State | None) -> Counts:
        """All counters: what the predictor took, skipped and dropped itself, and the present shipper's state if it has told any.

        What is neither delivered nor dropped is queued, wherever it is.
        """
        delivered, failures, found = self._delivered, self._failures, self._found
        lost = {reason: self._dropped[reason] + dropped.get(reason, 0) for reason in REASONS}
        if state is not None:
            delivered, failures = delivered + state.delivered, failures + state.failures
            found += max(state.found - self._carried, 0)
            for reason, events in self._lost(state).items():
                lost[reason] += events
        captured = taken + found
        return Counts(captured, delivered, lost, captured - delivered - sum(lost.values()), skipped, failures)

    def settle(self, state: State | None, given: int) -> None:
        """The present shipper has ended: of the `given` events, what it held in memory and what it never got is lost."""
        state = state or State(found=self._carried, spooled=self._carried)
        for reason, events in self._lost(state).items():
            self._dropped[reason] += events
        self._dropped[CRASHED] += state.held + given - state.received
        self._delivered += state.delivered
        self._failures += state.failures
        self._found += max(state.found - self._carried, 0)
        self._carried = state.spooled

    def _lost(self, state: State) -> dict[str, int]:
        """What the shipper dropped, and what it did not find of what its predecessor had left, as far as that told."""
        told = {reason: getattr(state, reason) for reason in REASONS if reason != CRASHED}
        return {**told, CRASHED: max(self._carried - state.found, 0)}
