"""A container's last words: what the kubelet puts into the pod's status, where people and our controllers read why it ended."""

import contextlib
from pathlib import Path

TERMINATION_LOG = Path("/dev/termination-log")
LONGEST_BYTES = 4096
"""The kubelet reads no more."""


def leave(words: str, place: Path = TERMINATION_LOG) -> None:
    """Leave the words at `place`, cut to what is read; nothing where there is no such file (no container), or it cannot be written."""
    body = words.encode("utf-8", "replace")[:LONGEST_BYTES].decode("utf-8", "ignore").encode()
    with contextlib.suppress(OSError), place.open("r+b") as stream:
        stream.truncate()
        stream.write(body)
