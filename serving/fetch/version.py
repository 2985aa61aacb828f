"""One version from MLflow into a folder: nothing appears there that the URI's digest and the controller's signature do not vouch for.

The order is what keeps it cheap and safe: the signature first (two tags, no files), then the manifest, which must be the one that the
URI's digest names, and only then the files that this manifest lists. What else lies in the store is never asked for.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from serving.fetch.server import Missing, Server
from trimtab.errors import InvalidInput
from trimtab.fetching import DIGEST_MISMATCH, INVALID_CONFIGURATION, INVALID_VERSION, NOT_FOUND, SIGNATURE_MISMATCH
from trimtab.manifest import MANIFEST, verify
from trimtab.signing import MODEL_UID_TAG, RELEASE_UID_TAG, SIGNATURE_TAGS, Statement, signatures
from trimtab.signing import verify as verify_signature
from trimtab.version_uri import VersionUri

MAX_FILES = 10_000
MAX_MANIFEST_BYTES = 4 << 20
DRAFT = ".trimtab-fetch-"
_PROXIED = "/api/2.0/mlflow-artifacts/artifacts/"


class Fetched(Struct, frozen=True):
    """How many bytes came, and the id of the key whose signature was verified; None where none was asked for."""

    size: int
    signer: str | None


def fetch(target: VersionUri, folder: Path, server: Server, certificates: str | None, limit: int) -> Fetched:
    """Bring the version's files into `folder`, at most `limit` bytes; with `certificates` (PEM) only if a key of theirs signed them.

    What came is told, 0 bytes where the whole version is there already. Until all is verified the folder holds only a draft,
    which is also where small temporary files go: a container may have no other place that can be written to.
    Raises InvalidInput or Unavailable; each sentence starts with its reason.
    """
    version = _registered(target, server)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{DRAFT}*"):
        shutil.rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(dir=folder, prefix=DRAFT))
    try:
        signer = None if certificates is None else _signer(target, version, certificates, draft)
        size = 0
        if not (folder / MANIFEST).exists():
            size = _download(target, server, _artifacts_of(target, str(version.get("source", ""))), draft, limit)
            _verified(target, draft)
            _move(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _verified(target, folder)
    return Fetched(size, signer)


def _registered(target: VersionUri, server: Server) -> dict[str, Any]:
    try:
        found = server.ask("model-versions/get", name=target.name, version=target.version).get("model_version")
    except Missing:
        msg = f"{NOT_FOUND}: there is no {target.told} in MLflow at {server.shown}"
        raise InvalidInput(msg) from None
    if not isinstance(found, dict):
        msg = f"{INVALID_CONFIGURATION}: {server.shown!r} does not answer as MLflow does: is it an MLflow server?"
        raise InvalidInput(msg)
    return found


def _signer(target: VersionUri, version: dict[str, Any], certificates: str, scratch: Path) -> str:
    tags = {str(tag.get("key")): str(tag.get("value", "")) for tag in version.get("tags", []) if isinstance(tag, dict)}
    missing = [name for name in (MODEL_UID_TAG, RELEASE_UID_TAG) if not tags.get(name)]
    bundles = signatures(tags)
    if missing or not bundles:
        lacks = f"it has no tag {(missing or [f'{SIGNATURE_TAGS}ID'])[0]!r}"
        msg = f"{SIGNATURE_MISMATCH}: {target.told} is not signed: {lacks}; only what a Release's gates let pass is signed and served"
        raise InvalidInput(msg)
    statement = Statement(tags[MODEL_UID_TAG], target.version, target.digest, tags[RELEASE_UID_TAG])
    try:
        return verify_signature(statement, bundles, certificates, scratch)
    except InvalidInput as error:
        text = str(error).removeprefix(f"{SIGNATURE_MISMATCH}: ")
        msg = f"{SIGNATURE_MISMATCH if text != str(error) else INVALID_CONFIGURATION}: {target.told}: {text}"
        raise InvalidInput(msg) from error


def _artifacts_of(target: VersionUri, source: str) -> str:
    """The path of the version's files under the artifact root that MLflow serves itself."""
    parts = urlsplit(source)
    if parts.scheme == "mlflow-artifacts":
        return unquote(parts.path).strip("/")
    if parts.scheme in ("http", "https") and _PROXIED in parts.path:
        return unquote(parts.path.split(_PROXIED, 1)[1]).strip("/")
    if parts.scheme == "models":
        msg = f"{INVALID_VERSION}: {target.told} was not registered by Trimtab: it is {source!r:.200}, without a {MANIFEST} to verify it by"
    else:
        msg = (
            f"{INVALID_VERSION}: the files of {target.told} are in {source!r:.200}, which MLflow does not hand out: "
            "run `mlflow server --serve-artifacts --artifacts-destination …` without another --default-artifact-root"
        )
    raise InvalidInput(msg)


def _download(target: VersionUri, server: Server, root: str, draft: Path, limit: int) -> int:
    size = _save(target, server, root, MANIFEST, draft, min(limit, MAX_MANIFEST_BYTES))
    for name in _listed(target, (draft / MANIFEST).read_bytes()):
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        size += _save(target, server, root, name, draft, limit - size)
    return size


def _save(target: VersionUri, server: Server, root: str, name: str, draft: Path, limit: int) -> int:
    try:
        return server.save(f"{root}/{name}", draft / name, limit)
    except Missing:
        what = "it is not a version that Trimtab registered" if name == MANIFEST else "the version was changed"
        msg = f"{DIGEST_MISMATCH}: {name!r} of {target.told} is missing from MLflow's artifacts: {what}"
        raise InvalidInput(msg) from None


def _listed(target: VersionUri, body: bytes) -> list[str]:
    """The names of the files that the manifest lists, after the manifest was held against the digest."""
    found = hashlib.sha256(body).hexdigest()
    if found != target.digest:
        msg = f"{DIGEST_MISMATCH}: {MANIFEST} of {target.told} has digest {found[:12]}, not {target.digest[:12]}: the version was changed"
        raise InvalidInput(msg)
    try:
        names = sorted(msgspec.json.decode(body, type=dict[str, dict[str, str]])["files"])
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        msg = f"{INVALID_VERSION}: {MANIFEST} of {target.told} cannot be read: {error}"
        raise InvalidInput(msg) from error
    if len(names) > MAX_FILES:
        msg = f"{INVALID_VERSION}: {target.told} has {len(names)} files, {MAX_FILES} are allowed"
        raise InvalidInput(msg)
    for name in names:
        if not safe(name):
            msg = f"{INVALID_VERSION}: {MANIFEST} of {target.told} names the file {name!r:.200}: a path inside the version is allowed"
            raise InvalidInput(msg)
    inside = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    for name in names:
        if name in inside:
            msg = f"{INVALID_VERSION}: {MANIFEST} of {target.told} names {name!r:.200} as a file and as a folder"
            raise InvalidInput(msg)
    return names


def safe(name: str) -> bool:
    """Whether a path stays inside the folder that it is relative to, on any system, and is written the shortest way."""
    path = PurePosixPath(name)
    plain = not path.is_absolute() and str(path) == name and ".." not in path.parts and "\\" not in name and "\0" not in name
    return (
        plain
        and name not in ("", ".", MANIFEST)
        and not path.parts[0].startswith(DRAFT)
        and max(len(part.encode()) for part in path.parts) <= 200
    )


def _verified(target: VersionUri, folder: Path) -> None:
    try:
        verify(folder, target.digest)
    except InvalidInput as error:
        msg = f"{DIGEST_MISMATCH}: {target.told}: {str(error).replace(f' the model in {folder.name!r}', ' it')}"
        raise InvalidInput(msg) from error


def _move(draft: Path, folder: Path) -> None:
    """Move everything over, the manifest last: a folder that has one was moved whole."""
    for entry in sorted(draft.iterdir(), key=lambda path: path.name == MANIFEST):
        place = folder / entry.name
        if place.is_dir():
            shutil.rmtree(place)
        entry.replace(place)
