"""A pipeline package: one version of a pipeline as an immutable, signed artifact, and which version a Model means.

A package is a folder:

    package.json    its manifest (`Package`): everything below by its SHA-256; the manifest's own SHA-256 is the package's digest
    pipeline.yaml   the compiled pipeline (KFP IR), every task's image named as it was built
    sbom.json       what is in the image (CycloneDX)

The manifest tells nothing of when or where it was made, so that equal content has an equal digest.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from semver import Version as Semver

from trimtab.errors import InvalidInput
from trimtab.making import PipelineRef
from trimtab.status import PipelineVersion
from trimtab.units import Name

MANIFEST: Literal["package.json"] = "package.json"
COMPILED: Literal["pipeline.yaml"] = "pipeline.yaml"
SBOM: Literal["sbom.json"] = "sbom.json"
SIZES: dict[str, int] = {MANIFEST: 1 << 20, COMPILED: 8 << 20, SBOM: 32 << 20}
"""A package's files, and how many bytes of each are allowed."""
BUILT_IN = PipelineVersion("tabular", "1.0.0")
"""The pipeline that comes with Trimtab: it is in its images and needs no package."""

DIRTY, UNKNOWN = "-dirty", "unknown"
"""At the end of a commit where what a package was built of is not all in it; and in its place where there is none."""
MOST = 128
"""The longest version, in characters."""
_NAME = re.compile(r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?\Z")
_DIGEST = re.compile(r"^[0-9a-f]{64}\Z")
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Parameter(Struct, frozen=True, omit_defaults=True):
    """A pipeline's parameter: its KFP type, and whether it may be left out."""

    type: str
    optional: bool = False


class Package(Struct, frozen=True, rename="camel"):
    """A package's manifest. `files` are SHA-256 by name, `tasks` the image of each task's executor, `commit` that of the source."""

    name: Name
    version: str
    commit: str
    image: str
    tasks: dict[str, str]
    parameters: dict[str, Parameter]
    files: dict[Literal["pipeline.yaml", "sbom.json"], Sha256]
    trimtab: str


def encode(package: Package) -> bytes:
    """The content of package.json; equal manifests give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(package, order="sorted"), indent=1)


def decode(body: bytes, where: str) -> Package:
    """The manifest in `body`; raises InvalidInput naming `where` it was found."""
    try:
        package = msgspec.json.decode(body, type=Package)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError, RecursionError) as error:
        msg = f"{MANIFEST} of {where} cannot be read: {error}"
        raise InvalidInput(msg) from error
    if not is_version(package.version):
        msg = f"{MANIFEST} of {where} has the version {package.version!r}: allowed is MAJOR.MINOR.PATCH by Semantic Versioning"
        raise InvalidInput(msg)
    return package


def digest(body: bytes) -> str:
    """The package's digest: the SHA-256 of its package.json, in hexadecimal."""
    return hashlib.sha256(body).hexdigest()


def semver(text: str) -> Semver:
    """A version by Semantic Versioning 2.0.0; raises InvalidInput where it is none."""
    try:
        return Semver.parse(text)
    except (ValueError, TypeError) as error:
        msg = f"{text!r} is no version: allowed is MAJOR.MINOR.PATCH by Semantic Versioning, such as 1.4.0 or 1.5.0-rc.1"
        raise InvalidInput(msg) from error


def is_name(text: str) -> bool:
    """Whether a pipeline may be called so."""
    return _NAME.match(text) is not None


def is_version(text: str) -> bool:
    """Whether this is a version by Semantic Versioning, of a length that a path can have."""
    return len(text) <= MOST and Semver.is_valid(text)


def is_sound(version: PipelineVersion) -> bool:
    """Whether there can be such a published version: name, version and digest are what they are called, and nothing else."""
    return is_name(version.name) and is_version(version.version) and _DIGEST.match(version.digest) is not None


def in_order(published: Iterable[PipelineVersion]) -> list[PipelineVersion]:
    """Oldest version first, by the precedence of Semantic Versioning (§11)."""
    return sorted(published, key=lambda one: semver(one.version))


def on_channel(published: Iterable[PipelineVersion], channel: Literal["stable", "latest"]) -> list[PipelineVersion]:
    """The versions of a channel, oldest first: stable has none with a prerelease part, latest has all."""
    return [one for one in in_order(published) if channel == "latest" or semver(one.version).prerelease is None]


def built_in(ref: PipelineRef) -> bool:
    """Whether a Model means the pipeline that comes with Trimtab."""
    return ref.name == BUILT_IN.name and ref.channel is None and ref.version in (None, BUILT_IN.version)
