"""A pipeline package: one version of a pipeline as an immutable, signed artifact, and which version a Model means.

A package is a folder:

    package.json    its manifest (`Package`): everything below by its SHA-256; the manifest's own SHA-256 is the package's digest
    pipeline.yaml   the compiled pipeline (KFP IR), every task's image named as it was built
    sbom.json       what is in the image (CycloneDX)

The manifest tells nothing of when or where it was made, so that equal content has an equal digest.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal

import msgspec
from msgspec import Struct
from semver import Version as Semver

from trimtab.errors import InvalidInput
from trimtab.making import PipelineRef
from trimtab.status import PipelineVersion

MANIFEST, COMPILED, SBOM = "package.json", "pipeline.yaml", "sbom.json"
BUILT_IN = PipelineVersion("tabular", "1.0.0")
"""The pipeline that comes with Trimtab: it is in its images and needs no package."""


class Parameter(Struct, frozen=True, omit_defaults=True):
    """A pipeline's parameter: its KFP type, and whether it may be left out."""

    type: str
    optional: bool = False


class Package(Struct, frozen=True, rename="camel"):
    """A package's manifest. `files` are SHA-256 by name, `tasks` the image of each task's executor, `commit` that of the source."""

    name: str
    version: str
    commit: str
    image: str
    tasks: dict[str, str]
    parameters: dict[str, Parameter]
    files: dict[str, str]
    trimtab: str


def encode(package: Package) -> bytes:
    """The content of package.json; equal manifests give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(package, order="sorted"), indent=1)


def decode(body: bytes, where: str) -> Package:
    """The manifest in `body`; raises InvalidInput naming `where` it was found."""
    try:
        return msgspec.json.decode(body, type=Package)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"{MANIFEST} of {where} cannot be read: {error}"
        raise InvalidInput(msg) from error


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


def in_order(published: Iterable[PipelineVersion]) -> list[PipelineVersion]:
    """Oldest version first, by the precedence of Semantic Versioning (§11)."""
    return sorted(published, key=lambda one: semver(one.version))


def on_channel(published: Iterable[PipelineVersion], channel: Literal["stable", "latest"]) -> list[PipelineVersion]:
    """The versions of a channel, oldest first: stable has none with a prerelease part, latest has all."""
    return [one for one in in_order(published) if channel == "latest" or semver(one.version).prerelease is None]


def built_in(ref: PipelineRef) -> bool:
    """Whether a Model means the pipeline that comes with Trimtab."""
    return ref.name == BUILT_IN.name and ref.channel is None and ref.version in (None, BUILT_IN.version)
