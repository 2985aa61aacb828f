"""One version from MLflow into a folder: nothing appears there that the URI's digest and the controller's signature do not vouch for.

The order is what keeps it cheap and safe: the signature first (two tags, no files), then the manifest, which must be the one that the
URI's digest names, and only then the files that this manifest lists. What else lies in the store is never asked for.
"""

import hashlib
import re
import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from msgspec import Struct

from serving.fetch.server import DIGEST_MISMATCH, INVALID_CONFIGURATION, INVALID_URI, INVALID_VERSION, Missing, Server
from trimtab.errors import InvalidInput
from trimtab.manifest import MANIFEST, verify
from trimtab.signing import MISMATCH, MODEL_UID_TAG, RELEASE_UID_TAG, SIGNATURE_TAG, Statement
from trimtab.signing import verify as verify_signature

MAX_FILES = 10_000
MAX_MANIFEST_BYTES = 4 << 20
DRAFT = ".trimtab-fetch-"
_PROXIED = "/api/2.0/mlflow-artifacts/artifacts/"
_ALLOWED = "mlflow://models/NAME/VERSION?sha256=DIGEST is allowed"


class Target(Struct, frozen=True):
    """The version that a URI names: the registered model, the version's number, and the SHA-256 of its manifest."""

    name: str
    version: str
    digest: str

    def __str__(self) -> str:
        return f"version {self.version} of {self.name!r}"


def parse(uri: str) -> Target:
    """What `mlflow://models/NAME/7?sha256=…` says; raises InvalidInput (`InvalidUri: …`) where it is none."""
    parts = urlsplit(uri)
    found = [unquote(part) for part in parts.path.split("/")]
    digest = parse_qs(parts.query).get("sha256", [""])
    named = parts.scheme == "mlflow" and parts.netloc == "models" and len(found) == 3 and not found[0]
    if not named or not found[1] or not re.fullmatch(r"[1-9][0-9]{0,9}", found[2]):
        msg = f"{INVALID_URI}: {uri!r:.300} names no version; {_ALLOWED}"
        raise InvalidInput(msg)
    if len(digest) != 1 or not re.fullmatch(r"[0-9a-f]{64}", digest[0]):
        msg = f"{INVALID_URI}: {uri!r:.300} has no digest: sha256 must be 64 hexadecimal digits; {_ALLOWED}"
        raise InvalidInput(msg)
    return Target(found[1], found[2], digest[0])


def fetch(target: Target, folder: Path, server: Server, certificate: str | None, limit: int) -> int:
    """Bring the version's files into `folder`, at most `limit` bytes; with `certificate` (PEM) only if they are signed by its key.

    Returns the bytes that came, 0 where the whole version is there already. Until all is verified the folder holds only a draft,
    which is also where small temporary files go: a container may have no other place that can be written to.
    Raises InvalidInput or Unavailable; each sentence starts with its reason.
    """
    version = _registered(target, server)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{DRAFT}*"):
        shutil.rmtree(left, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(dir=folder, prefix=DRAFT))
    try:
        if certificate is not None:
            _check_signature(target, version, certificate, draft)
        size = 0
        if not (folder / MANIFEST).exists():
            size = _download(target, server, _artifacts_of(target, str(version.get("source", ""))), draft, limit)
            _verified(target, draft)
            _move(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _verified(target, folder)
    return size


def _registered(target: Target, server: Server) -> dict[str, Any]:
    try:
        found = server.ask("model-versions/get", name=target.name, version=target.version).get("model_version")
    except Missing:
        msg = f"{INVALID_URI}: there is no {target} in MLflow at {server.shown}"
        raise InvalidInput(msg) from None
    if not isinstance(found, dict):
        msg = f"{INVALID_CONFIGURATION}: {server.shown!r} does not answer as MLflow does: is it an MLflow server?"
        raise InvalidInput(msg)
    return found


def _check_signature(target: Target, version: dict[str, Any], certificate: str, scratch: Path) -> None:
    tags = {str(tag.get("key")): str(tag.get("value", "")) for tag in version.get("tags", []) if isinstance(tag, dict)}
    missing = [name for name in (SIGNATURE_TAG, MODEL_UID_TAG, RELEASE_UID_TAG) if not tags.get(name)]
    if missing:
        msg = f"{MISMATCH}: {target} is not signed: it has no tag {missing[0]!r}; only what a Release's gates let pass is signed and served"
        raise InvalidInput(msg)
    statement = Statement(tags[MODEL_UID_TAG], target.version, target.digest, tags[RELEASE_UID_TAG])
    try:
        verify_signature(statement, tags[SIGNATURE_TAG], certificate, scratch)
    except InvalidInput as error:
        text = str(error).removeprefix(f"{MISMATCH}: ")
        msg = f"{MISMATCH if text != str(error) else INVALID_CONFIGURATION}: {target}: {text}"
        raise InvalidInput(msg) from error


def _artifacts_of(target: Target, source: str) -> str:
    """The path of the version's files under the artifact root that MLflow serves itself."""
    parts = urlsplit(source)
    if parts.scheme == "mlflow-artifacts":
        return unquote(parts.path).strip("/")
    if parts.scheme in ("http", "https") and _PROXIED in parts.path:
        return unquote(parts.path.split(_PROXIED, 1)[1]).strip("/")
    if parts.scheme == "models":
        msg = f"{INVALID_VERSION}: {target} was not registered by Trimtab: it is {source!r:.200}, without a {MANIFEST} to verify it by"
    else:
        msg = (
            f"{INVALID_VERSION}: the files of {target} are in {source!r:.200}, which MLflow does not hand out: "
            "run `mlflow server --serve-artifacts --artifacts-destination …` without another --default-artifact-root"
        )
    raise InvalidInput(msg)


def _download(target: Target, server: Server, root: str, draft: Path, limit: int) -> int:
    size = _save(target, server, root, MANIFEST, draft, min(limit, MAX_MANIFEST_BYTES))
    for name in _listed(target, (draft / MANIFEST).read_bytes()):
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        size += _save(target, server, root, name, draft, limit - size)
    return size


def _save(target: Target, server: Server, root: str, name: str, draft: Path, limit: int) -> int:
    try:
        return server.save(f"{root}/{name}", draft / name, limit)
    except Missing:
        what = "it is not a version that Trimtab registered" if name == MANIFEST else "the version was changed"
        msg = f"{DIGEST_MISMATCH}: {name!r} of {target} is missing from MLflow's artifacts: {what}"
        raise InvalidInput(msg) from None


def _listed(target: Target, body: bytes) -> list[str]:
    """The names of the files that the manifest lists, after the manifest was held against the digest."""
    found = hashlib.sha256(body).hexdigest()
    if found != target.digest:
        msg = f"{DIGEST_MISMATCH}: {MANIFEST} of {target} has digest {found[:12]}, expected {target.digest[:12]}: the version was changed"
        raise InvalidInput(msg)
    try:
        names = sorted(msgspec.json.decode(body, type=dict[str, dict[str, str]])["files"])
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError) as error:
        msg = f"{INVALID_VERSION}: {MANIFEST} of {target} cannot be read: {error}"
        raise InvalidInput(msg) from error
    if len(names) > MAX_FILES:
        msg = f"{INVALID_VERSION}: {target} has {len(names)} files, {MAX_FILES} are allowed"
        raise InvalidInput(msg)
    for name in names:
        if not safe(name):
            msg = f"{INVALID_VERSION}: {MANIFEST} of {target} names the file {name!r:.200}: a relative path inside the version is allowed"
            raise InvalidInput(msg)
    return names


def safe(name: str) -> bool:
    """Whether a path stays inside the folder that it is relative to, on any system, and is written the shortest way."""
    path = PurePosixPath(name)
    plain = not path.is_absolute() and str(path) == name and ".." not in path.parts and "\\" not in name and "\0" not in name
    return plain and name not in ("", ".", MANIFEST) and not path.parts[0].startswith(DRAFT) and max(map(len, path.parts)) <= 200


def _verified(target: Target, folder: Path) -> None:
    try:
        verify(folder, target.digest)
    except InvalidInput as error:
        msg = f"{DIGEST_MISMATCH}: {target}: {str(error).replace(f' the model in {folder.name!r}', ' it')}"
        raise InvalidInput(msg) from error


def _move(draft: Path, folder: Path) -> None:
    """Move everything over, the manifest last: a folder that has one was moved whole."""
    for entry in sorted(draft.iterdir(), key=lambda path: path.name == MANIFEST):
        place = folder / entry.name
        if place.is_dir():
            shutil.rmtree(place)
        entry.replace(place)
