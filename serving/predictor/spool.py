"""Captured events on disk, for a monitor that is away longer than memory lasts; and over a restart.

A segment is one file of encoded exchanges, a line each, and says in its name how many events it holds. It appears whole, by rename,
and is gone once the monitor took it; one that was sent just before the process was killed is sent again, and the monitor knows events by
id. Several predictors may be given one folder: each locks a part of it, and takes over what an earlier one left there.
"""

import contextlib
import fcntl
import os
import re
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from serving.predictor.exchange import Encoded
from trimtab.errors import InvalidInput

PARTS = 64
_NAME = re.compile(r"^(?P<number>\d{12})-(?P<events>\d+)\.events$")


class Segment(Struct, frozen=True):
    """A file and the number of events in it."""

    path: Path
    events: int
    size: int


class Part(Struct, frozen=True):
    """A folder that is one predictor's alone as long as the file descriptor `lock` is open, there or in a process that inherits it."""

    folder: Path
    lock: int


class Spool:
    """The segments in a part, oldest first. `add` and `remove` are each for one thread."""

    def __init__(self, folder: Path, limit: int) -> None:
        """`folder` is a part's; `limit` is in bytes."""
        self._limit = limit
        self._folder = folder
        for draft in self._folder.glob("*.draft"):
            draft.unlink(missing_ok=True)
        self._segments = deque(sorted(_segments(self._folder), key=lambda one: one.path.name))
        self._next = int(self._segments[-1].path.name[:12]) + 1 if self._segments else 0
        self._removed = 0
        self._added = sum(one.size for one in self._segments)

    @property
    def events(self) -> int:
        """How many events wait here."""
        return sum(one.events for one in tuple(self._segments))

    def add(self, batch: Sequence[Encoded]) -> bool:
        """Write a segment; False, and nothing is left behind, where the disk or the limit does not allow it."""
        body = b"".join(b"%d %b\n" % (one.events, one.body) for one in batch)
        if self._added - self._removed + len(body) > self._limit:
            return False
        events = sum(one.events for one in batch)
        path = self._folder / f"{self._next:012}-{events}.events"
        draft = path.with_suffix(".draft")
        try:
            with draft.open("wb") as stream:
                stream.write(body)
            draft.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)
            return False
        self._next += 1
        self._added += len(body)
        self._segments.append(Segment(path, events, len(body)))
        return True

    def oldest(self) -> Segment | None:
        """The segment to send next, None where there is none."""
        return self._segments[0] if self._segments else None

    def remove(self, segment: Segment) -> None:
        """Forget the oldest segment, which was sent or given up."""
        with contextlib.suppress(OSError):
            segment.path.unlink(missing_ok=True)
        self._segments.popleft()
        self._removed += segment.size


def claim(folder: Path) -> Part:
    """Lock a part of the folder; raises InvalidInput where it cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _part(folder)
    except OSError as error:
        msg = f"--capture-spool: {str(folder)!r} cannot be written to: {error.strerror or error}"
        raise InvalidInput(msg) from error


def read(segment: Segment) -> list[Encoded]:
    """The exchanges in a segment; those that a fault of the disk spoiled are left out, and all of them where it cannot be read."""
    try:
        lines = segment.path.read_bytes().split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        events, _, body = line.partition(b" ")
        if events in (b"1", b"2") and body.startswith(b"{") and body.endswith(b"}"):
            found.append(Encoded(int(events), body))
    return found


def _part(folder: Path) -> Part:
    for number in range(PARTS):
        part = folder / str(number)
        part.mkdir(exist_ok=True)
        lock = os.open(part / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return Part(part, lock)
    raise OSError(os.EX_UNAVAILABLE, f"{PARTS} processes use it already")


def _segments(folder: Path) -> list[Segment]:
    found = []
    for path in folder.iterdir():
        if named := _NAME.match(path.name):
            found.append(Segment(path, int(named["events"]), path.stat().st_size))
    return found
