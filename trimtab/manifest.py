"""The manifest of a version's files: what makes "this version" a checkable statement.

The digest of a version is the SHA-256 of its manifest's bytes; whoever loads a version verifies it first, against a digest
that came another way than the files did.
"""

import hashlib
from pathlib import Path

import msgspec

from trimtab.errors import InvalidInput

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_manifest(folder: Path) -> str:
    """Write `manifest.json` over all other files of the folder; returns the version's digest."""
    files = {str(path.relative_to(folder)): sha256(path) for path in _files(folder)}
    body = msgspec.json.format(msgspec.json.encode({"files": files}, order="sorted"), indent=1)
    (folder / MANIFEST).write_bytes(body)
    return hashlib.sha256(body).hexdigest()


def verify(folder: Path, digest: str) -> None:
    """Check every file of the folder against its manifest and the manifest against `digest`.

    Raises InvalidInput that names the first file which differs, is missing, or does not belong there.
    """
    manifest = folder / MANIFEST
    if not manifest.is_file():
        msg = f"the model in {folder.name!r} has no {MANIFEST}: it is not a version that Trimtab registered"
        raise InvalidInput(msg)
    files = listed(manifest, digest)
    present = {str(path.relative_to(folder)) for path in _files(folder)}
    for name in sorted(files.keys() ^ present):
        where = "is missing from" if name in files else "does not belong to"
        msg = f"{name!r} {where} the model in {folder.name!r}"
        raise InvalidInput(msg)
    for name, expected in sorted(files.items()):
        actual = sha256(folder / name)
        if actual != expected:
            msg = f"{name!r} of the model in {folder.name!r} has SHA-256 {actual[:12]}, expected {expected[:12]}: the file was changed"
            raise InvalidInput(msg)


def listed(manifest: Path, digest: str) -> dict[str, str]:
    """The SHA-256 of each file that the manifest lists; raises InvalidInput where it is not the one that `digest` names."""
    body = manifest.read_bytes()
    found = hashlib.sha256(body).hexdigest()
    if found != digest:
        msg = (
            f"{MANIFEST} of the model in {manifest.parent.name!r} has digest {found[:12]}, expected {digest[:12]}: the version was changed"
        )
        raise InvalidInput(msg)
    return msgspec.json.decode(body, type=dict[str, dict[str, str]])["files"]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
