"""The address of a registered version, `mlflow://models/NAME/7?sha256=…`: which one it is, and what its files must be.

KServe is given it as `storageUri`, a training run as its champion, and the fetch container as its argument: all read it by `parse`.
On one machine, where a version is a folder, it is `file:///PATH/NAME/7?sha256=…`.
"""

import re
from urllib.parse import parse_qs, quote, unquote, urlsplit

from msgspec import Struct

from trimtab.errors import InvalidInput

REGISTERED = "mlflow://models/NAME/VERSION?sha256=DIGEST"
_VERSION = re.compile(r"[1-9][0-9]{0,9}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class VersionUri(Struct, frozen=True):
    """The registered model's name, the version's number and the SHA-256 of its manifest; `folder` is where its files are, if here."""

    name: str
    version: str
    digest: str
    folder: str = ""

    @property
    def told(self) -> str:
        """The version for a sentence."""
        return f"version {self.version} of {self.name!r}"

    def __str__(self) -> str:
        place = f"file://{quote(self.folder)}" if self.folder else f"mlflow://models/{quote(self.name, safe='')}/{self.version}"
        return f"{place}?sha256={self.digest}"


def parse(uri: str, *, folders: bool = False) -> VersionUri:
    """What `uri` says; raises InvalidInput where it names no version with a digest. `folders` allows `file:///PATH/7?sha256=…` too."""
    allowed = f"{REGISTERED}{' or file:///PATH/VERSION?sha256=DIGEST' if folders else ''} is allowed"
    try:
        parts = urlsplit(uri)
        digests = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)).get("sha256", [])
    except ValueError as error:
        msg = f"{uri!r:.300} is no URI ({error}); {allowed}"
        raise InvalidInput(msg) from error
    found = [unquote(part) for part in parts.path.split("/")]
    local = folders and parts.scheme == "file" and not parts.netloc and len(found) > 2
    registered = parts.scheme == "mlflow" and parts.netloc == "models" and len(found) == 3 and bool(found[1])
    if not (local or registered) or found[0] or parts.fragment or not _VERSION.fullmatch(found[-1]):
        msg = f"{uri!r:.300} names no version; {allowed}"
        raise InvalidInput(msg)
    if len(digests) != 1 or not _DIGEST.fullmatch(digests[0]):
        msg = f"{uri!r:.300} has no digest: sha256 must be given once, as 64 hexadecimal digits in lower case; {allowed}"
        raise InvalidInput(msg)
    return VersionUri(found[-2], found[-1], digests[0], unquote(parts.path) if local else "")
