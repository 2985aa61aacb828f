"""The references that are in memory: each is read when a window needs it, and let go of where others need the room.

A reference of 10,000 rows and twenty features takes 6 to 8 MB with what is sorted of it, so that those of a thousand models would not
fit into a monitor; one is read in a tenth of a second, and a model needs it a few times a window.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection

from trimtab.monitoring.ports import WatchedVersion
from trimtab.monitoring.reference import Reference, read_reference

ROOM = 512 << 20
"""How many bytes of references are kept."""
SORTED = 4
"""How many times its arrays a reference takes with what is sorted of them (measured: 3.0 to 3.8)."""
Key = tuple[str, str]


class References:
    """Keeps those that were needed last; safe to use from several threads."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Reference] = OrderedDict()

    def of(self, version: WatchedVersion) -> Reference:
        """The version's reference; raises InvalidInput where it cannot be read."""
        key = key_of(version)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = read_reference(version.folder)
                while len(self._kept) > 1 and self._bytes() > self._room:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def only(self, served: Collection[WatchedVersion]) -> None:
        """Let go of all but these versions'."""
        keys = {key_of(version) for version in served}
        with self._lock:
            for key in [key for key in self._kept if key not in keys]:
                del self._kept[key]

    def __len__(self) -> int:
        return len(self._kept)

    def _bytes(self) -> int:
        return sum(SORTED * reference.bytes for reference in self._kept.values())


def key_of(version: WatchedVersion) -> Key:
    """What tells a version's files from all others."""
    return version.digest, str(version.folder)
