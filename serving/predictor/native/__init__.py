"""The predictor's few hundred lines of C: the walk of a model's trees, and the reading of usual requests.

The C is the same for every model: an image holds it compiled from its own source (`native.so`), elsewhere it is compiled when a predictor
starts, if there is a C compiler (`cc`). No compiler ever sees a model, and nothing compiled is ever fetched.
"""

import ctypes
import functools
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
    """The image's own, else compiled now; raises Unavailable where there is no C compiler, or it fails."""
    if LIBRARY.exists():
        return _loaded(LIBRARY)
    if shutil.which(COMPILER[0]) is None:
        msg = f"there is no C compiler ({COMPILER[0]!r}) here"
        raise Unavailable(msg)
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / LIBRARY.name
        done = subprocess.run([*COMPILER, "-o", built, *SOURCES], check=False, capture_output=True, text=True)
        if done.returncode:
            msg = f"{COMPILER[0]!r} does not compile {FOLDER.name}: {done.stderr.strip()[:200]}"
            raise Unavailable(msg)
        return _loaded(built)


def _loaded(path: Path) -> Library:
    try:
        found = Library(ctypes.PyDLL(str(path)), ctypes.CDLL(str(path)))
        for name in ("trees_add", "body_v1", "body_v2"):
            getattr(found.keeping, name)
    except (OSError, AttributeError) as error:
        msg = f"{path.name} cannot be loaded: {error}"
        raise Unavailable(msg) from error
    return found
