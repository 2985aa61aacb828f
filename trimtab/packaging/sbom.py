"""What is installed where a pipeline's tasks run, as a CycloneDX 1.6 document: one component a Python distribution.

Equal environments give equal bytes: no time, and the serial number is made of the content.
"""

import json
import uuid
from collections.abc import Iterable
from importlib import metadata
from typing import Any

from msgspec import Struct

from trimtab.errors import InvalidInput

_SERIALS = uuid.UUID("6f3c1e3e-6d3b-5f0a-9a2c-0c6c0a7f6f55")
"""The namespace (RFC 9562 §5.5) of the serial numbers."""


class Distribution(Struct, frozen=True, order=True):
    """An installed Python distribution; the name as PEP 503 writes it."""

    name: str
    version: str


def installed() -> list[Distribution]:
    """The distributions of this environment, in the order of their names."""
    found = {(_normal(one.metadata["Name"]), one.version) for one in metadata.distributions() if one.metadata["Name"]}
    return sorted(Distribution(name, version) for name, version in found)


def of_environment() -> bytes:
    """The SBOM of the environment that this process runs in."""
    return sbom(installed())


def sbom(distributions: Iterable[Distribution]) -> bytes:
    """CycloneDX 1.6 JSON; raises InvalidInput where the library for it is not installed."""
    try:
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.output.json import JsonV1Dot6
        from packageurl import PackageURL
    except ImportError as error:
        msg = "an SBOM needs a package that is not installed here: pip install 'trimtab[local]'"
        raise InvalidInput(msg) from error
    bom, names = Bom(), []
    for one in sorted(set(distributions)):
        url = PackageURL("pypi", None, one.name, one.version)
        names.append(str(url))
        bom.components.add(Component(name=one.name, version=one.version, type=ComponentType.LIBRARY, purl=url, bom_ref=str(url)))
    bom.serial_number = uuid.uuid5(_SERIALS, "\n".join(names))
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    document.get("metadata", {}).pop("timestamp", None)
    return _written(document)


def settled(text: str, where: str) -> bytes:
    """Another tool's SBOM without its time and its random serial number; raises InvalidInput naming `where` it is of if it is none."""
    components(text.encode(), where)
    document = json.loads(text)
    document.pop("serialNumber", None)
    document.get("metadata", {}).pop("timestamp", None)
    return _written(document)


def components(document: bytes, where: str) -> dict[str, str]:
    """The version of each component of an SBOM by its name; raises InvalidInput naming `where` it was found."""
    try:
        told = json.loads(document)
        found = {one["name"]: one.get("version", "") for one in told.get("components", [])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"the SBOM of {where} is no CycloneDX document: {type(error).__name__}: {error}"
        raise InvalidInput(msg) from error
    if told.get("bomFormat") != "CycloneDX":
        msg = f"the SBOM of {where} is no CycloneDX document: its bomFormat is {told.get('bomFormat')!r}"
        raise InvalidInput(msg)
    return found


def _written(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _normal(name: str) -> str:
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)
