"""Last words: the line by which a process says why it ended, and where a container leaves it for the kubelet, people and controllers."""

import contextlib
from pathlib import Path

TERMINATION_LOG = Path("/dev/termination-log")
LONGEST_BYTES = 4096
"""The kubelet reads no more."""


def last_said(text: str) -> str:
    """The last line of what a process said that is not empty, without its margins; empty where there is none."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def leave(words: str, place: Path = TERMINATION_LOG) -> None:
    """Leave the words at `place`, cut to what is read; nothing where there is no such file (no container), or it cannot be written."""
    body = words.encode("utf-8", "replace")[:LONGEST_BYTES].decode("utf-8", "ignore").encode()
    with contextlib.suppress(OSError), place.open("r+b") as stream:
        stream.truncate()
        stream.write(body)
