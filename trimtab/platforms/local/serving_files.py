"""A version's files in the state folder: fetched once, verified whenever they are used."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from trimtab.errors import InvalidInput, Unavailable
from trimtab.manifest import verify
from trimtab.spec import Version

log = logging.getLogger(__name__)


def version_path(state: Path, model: str, version: str) -> Path:
    """Where the state folder keeps a version's files."""
    return state / "versions" / model / version


def version_folder(state: Path, model: str, version: Version, fetch: Callable[[str, Version], Path]) -> Path:
    """`<state>/versions/<model>/<version>/`, verified; fetched anew where it is missing or no longer as its digest says.

    Raises InvalidInput where what was fetched does not have the digest.
    """
    folder = version_path(state, model, version.version)
    if folder.is_dir():
        try:
            verify(folder, version.digest)
            return folder
        except InvalidInput as error:
            log.warning("the kept copy of %s/%s is fetched again: %s", model, version.version, error)
            shutil.rmtree(folder)
    fetched = fetch(model, version)
    verify(fetched, version.digest)
    temporary = folder.with_name(f".{folder.name}.new")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(fetched, temporary)
        temporary.rename(folder)
    except OSError as error:
        msg = f"version {version.version!r} of {model!r} cannot be copied into the state folder: {error}"
        raise Unavailable(msg) from error
    verify(folder, version.digest)
    return folder
