"""One supervisor a state folder: an advisory lock that the kernel frees however its holder ends."""

import fcntl
import os
from pathlib import Path
from typing import IO

from trimtab.errors import InvalidInput


def take(path: Path) -> IO[str]:
    """Hold the lock as long as the returned file is open; raises InvalidInput naming the holder where it is taken."""
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        msg = f"the state folder {str(path.parent)!r} is in use by process {holder(path)}; `trimtab local down` ends it"
        raise InvalidInput(msg) from error
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def holder(path: Path) -> int | None:
    """The process that holds the lock, None where nobody does."""
    if not path.exists():
        return None
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            return int(handle.read() or 0) or None
    return None
