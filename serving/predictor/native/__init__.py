"""The predictor's few hundred lines of C: the walk of a model's trees, and the reading of usual requests.

The C is the same for every model: an image holds it compiled from its own source (`native.so`), elsewhere it is compiled when the first
predictor starts, if there is a C compiler (`cc`), and kept in a folder that no other user can write to. No compiler ever sees a model, and
nothing compiled is ever fetched.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from msgspec import Struct

from trimtab.errors import Unavailable

FOLDER = Path(__file__).parent
SOURCES = (FOLDER / "trees.c", FOLDER / "bodies.c")
LIBRARY = FOLDER / "native.so"
COMPILER = ("cc", "-O3", "-shared", "-fPIC")


class Library(Struct, frozen=True):
    """The compiled C, twice: calls that keep the interpreter, for what is shorter than giving it away, and calls that give it to others."""

    keeping: ctypes.PyDLL
    giving: ctypes.CDLL


@functools.cache
def library() -> Library:
    """The image's own, else this user's, which is compiled once; raises Unavailable where there is no C compiler, or it fails."""
    if LIBRARY.exists():
        return _loaded(LIBRARY)
    try:
        return _loaded(_kept(_cache()))
    except (OSError, RuntimeError):
        with tempfile.TemporaryDirectory() as folder:
            return _loaded(_kept(Path(folder)))


def _cache() -> Path:
    """The user's folder for what can be made again (XDG Base Directory); OSError if others may write there, RuntimeError without a home."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "trimtab"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022:
        msg = f"{folder} is not this user's alone"
        raise PermissionError(msg)
    return folder


def _kept(folder: Path) -> Path:
    """The library in `folder`, compiled first if these sources were not; raises OSError where it cannot be written."""
    sources = [source.read_bytes() for source in sorted(FOLDER.glob("*.[ch]"))]
    digest = hashlib.sha256(b"\0".join([*(word.encode() for word in (platform.machine(), *COMPILER)), *sources])).hexdigest()
    path = folder / f"native-{digest[:16]}.so"
    if path.exists():
        return path
    if shutil.which(COMPILER[0]) is None:
        msg = f"there is no C compiler ({COMPILER[0]!r}) here"
        raise Unavailable(msg)
    with tempfile.TemporaryDirectory(dir=folder) as drafts:
        draft = Path(drafts) / LIBRARY.name
        done = subprocess.run([*COMPILER, "-o", draft, *SOURCES], check=False, capture_output=True, text=True)
        if done.returncode:
            msg = f"{COMPILER[0]!r} does not compile {FOLDER.name}: {done.stderr.strip()[:200]}"
            raise Unavailable(msg)
        draft.replace(path)
    return path


def _loaded(path: Path) -> Library:
    try:
        found = Library(ctypes.PyDLL(str(path)), ctypes.CDLL(str(path)))
        for name in ("trees_add", "body_v1", "body_v2"):
            getattr(found.keeping, name)
    except (OSError, AttributeError) as error:
        msg = f"{path.name} cannot be loaded: {error}"
        raise Unavailable(msg) from error
    return found
