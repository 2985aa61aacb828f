"""Verified packages on this machine's disk, by digest, and which content a version had when it was first used.

    DIGEST/package/      the package's files
    DIGEST/signatures/   every signature that was found with them
    pins/NAME/VERSION    the digest

A version that was used once never becomes other content here, whatever somebody writes into MLflow later.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trimtab.errors import InvalidInput, Unavailable
from trimtab.package import Package
from trimtab.packaging.seal import REFUSED, check_files
from trimtab.spec import PipelineVersion

FOLDER, SIGNATURES = "package", "signatures"
KEPT = 64
"""How many packages are kept; the ones that were not asked for the longest go first."""


class KeptPackages:
    """The folder. Several threads may ask at once, and several processes share it."""

    def __init__(self, folder: Path) -> None:
        """Nothing is created yet."""
        self._folder = folder
        self._lock = threading.Lock()
        self._pins: dict[tuple[str, str], str] = {}

    def read(self, version: PipelineVersion) -> tuple[Path, Package] | None:
        """The package's folder and manifest, checked anew; None where it is not kept, or what is kept was damaged."""
        place = self._folder / version.digest
        if not place.is_dir():
            return None
        try:
            package = check_files(place / FOLDER, version.digest, f"the package {version}")
        except (InvalidInput, OSError):
            return None
        with suppress(OSError):  # it was just removed, or another user's process made it
            os.utime(place)
        return place / FOLDER, package

    def signatures(self, version: PipelineVersion) -> list[str]:
        """The signatures that are kept with the package."""
        found = []
        for one in sorted((self._folder / version.digest / SIGNATURES).glob("*")):
            with suppress(OSError):  # another process just removed it
                found.append(one.read_text(errors="replace"))
        return found

    def keep(self, version: PipelineVersion, fill: Callable[[Path], None]) -> None:
        """Let `fill` write the package's files and signatures to an empty folder, and keep them.

        What is kept whole stays where it is, for others may be reading it: only signatures are added. What was damaged is replaced.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".draft-") as scratch:
            draft, place = Path(scratch) / "whole", self._folder / version.digest
            for name in (FOLDER, SIGNATURES):
                (draft / name).mkdir(parents=True)
            fill(draft)
            with self._lock, suppress(OSError):  # another process was faster: what it kept has the same digest
                if self.read(version) is not None:
                    for one in (draft / SIGNATURES).iterdir():
                        one.replace(place / SIGNATURES / one.name)
                else:
                    if place.is_dir():
                        place.rename(Path(scratch) / "old")
                    draft.rename(place)
            self._evict(place)

    def pin(self, version: PipelineVersion) -> None:
        """Remember the version's content for good; raises InvalidInput, `PackageRefused: …`, where it was another before."""
        known = self.pinned(version)
        if not known:
            try:
                self._write_pin(self._pin(version), version.digest)
                known = self.pinned(version)
            except OSError as error:
                msg = f"what {version} is cannot be remembered in {str(self._folder)!r}: {error.strerror}"
                raise Unavailable(msg) from error
        if known != version.digest:
            msg = (
                f"{REFUSED}: {version} had the digest {known[:12]} when it was first used here, and is {version.digest[:12]} now: "
                "a version never becomes other content"
            )
            raise InvalidInput(msg)

    def pinned(self, version: PipelineVersion) -> str:
        """The digest that the version had when it was first used; empty where it was not."""
        key = (version.name, version.version)
        if key not in self._pins:
            place = self._pin(version)
            found = place.read_text().strip() if place.is_file() else ""
            if not found:
                return ""
            self._pins[key] = found
        return self._pins[key]

    @staticmethod
    def _write_pin(place: Path, digest: str) -> None:
        """The file appears whole or not at all, and whoever comes first writes it."""
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=place.parent, prefix=".") as draft, suppress(FileExistsError):
            draft.write(digest)
            draft.flush()
            place.hardlink_to(draft.name)

    def _pin(self, version: PipelineVersion) -> Path:
        return self._folder / "pins" / version.name / version.version

    def _evict(self, new: Path) -> None:
        kept = [one for one in self._folder.iterdir() if (one / FOLDER).is_dir() and one != new]
        for old in sorted(kept, key=_asked)[: max(0, len(kept) + 1 - KEPT)]:
            shutil.rmtree(old, ignore_errors=True)


def _asked(folder: Path) -> float:
    """When the folder was asked for last; long ago where another process just removed it."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0
