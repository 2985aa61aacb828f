"""Where a registered version comes from, as MLflow has it: its lineage, held against the version's digest, and its run's gates; and
the package of the pipeline that made it.

Of a version only the manifest and the lineage are brought here, not its model.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput, TrimtabError
from trimtab.manifest import MANIFEST, listed, sha256
from trimtab.package import SBOM, Package
from trimtab.platforms.packages import MlflowPackages
from trimtab.spec import PipelineVersion, Version
from trimtab.training import tracking
from trimtab.training.found import GATES
from trimtab.training.gate import GateResult
from trimtab.training.lineage import LINEAGE, Lineage, decode


class Origin(Struct, frozen=True):
    """A version and its run. `created` is wall time; `lineage` is None for a version that has none, `gates` is then empty as well."""

    version: Version
    created: datetime
    run: str
    release: str
    release_uid: str
    commit: str
    lineage: Lineage | None = None
    gates: tuple[GateResult, ...] = ()


class Packaged(Struct, frozen=True):
    """A pipeline's package as MLflow has it now. `missing` is why it cannot be shown, and then there is no manifest and no SBOM.

    What is shown has the digest that was asked for; `unverified` is why it would all the same not be run, empty where a key signed it.
    """

    package: Package | None = None
    sbom: bytes = b""
    missing: str = ""
    unverified: str = ""


def packaged(tracking_uri: str, pipeline: PipelineVersion, keys: tuple[str, ...]) -> Packaged:
    """The package of the pipeline's version, to look at; its signature is held against the public `keys` (PEM)."""
    with tempfile.TemporaryDirectory() as scratch:
        packages = MlflowPackages(tracking_uri, Path(scratch))
        try:
            folder, package = packages.checked(pipeline)
            sbom = (folder / SBOM).read_bytes()
        except (TrimtabError, OSError) as error:
            return Packaged(missing=str(error))
        try:
            packages.fetch(pipeline, keys)
        except (TrimtabError, OSError) as error:
            return Packaged(package, sbom, unverified=str(error))
        return Packaged(package, sbom)


def origin(tracking_uri: str, model: str, version: str) -> Origin:
    """What MLflow knows of a version of the registered model.

    Raises InvalidInput, naming the versions there are, where it does not exist or its lineage is not the one that was registered;
    Unavailable where MLflow does not answer.
    """
    connected = tracking.client(tracking_uri)
    with tracking.speaking(f"version {version} of {model!r}"):
        found = _version(connected, model, version)
        run = connected.get_run(found.run_id)
        known = Version(str(found.version), found.tags.get(tracking.DIGEST, ""))
        made = {tag: found.tags.get(tag, "") for tag in (tracking.RELEASE, tracking.RELEASE_UID)}
        with tempfile.TemporaryDirectory() as scratch:
            lineage = _lineage(connected, found.run_id, model, known, Path(scratch))
            gates = _file(connected, found.run_id, GATES, Path(scratch))
            results = msgspec.json.decode(gates.read_bytes(), type=tuple[GateResult, ...]) if gates else ()
    created = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    commit = run.data.tags.get("mlflow.source.git.commit", "")
    return Origin(known, created, found.run_id, made[tracking.RELEASE], made[tracking.RELEASE_UID], commit, lineage, results)


def _version(connected: Any, model: str, version: str) -> Any:
    found = {str(item.version): item for item in connected.search_model_versions(f"name = '{model}'")}
    if version not in found:
        known = f"its versions are {', '.join(sorted(found, key=int))}" if found else "nor any other of a model of that name"
        msg = f"there is no version {version!r} of {model!r} in the registry, {known}"
        raise InvalidInput(msg)
    return found[version]


def _lineage(connected: Any, run: str, model: str, version: Version, scratch: Path) -> Lineage | None:
    where = f"version {version.version} of {model!r}"
    manifest = _file(connected, run, f"{tracking.MODEL_PATH}/{MANIFEST}", scratch)
    files = listed(manifest, version.digest) if manifest else {}
    if LINEAGE not in files:
        return None
    path = _file(connected, run, f"{tracking.MODEL_PATH}/{LINEAGE}", scratch)
    if path is None or sha256(path) != files[LINEAGE]:
        msg = f"{LINEAGE} of {where} is not the one that was registered: the file was changed"
        raise InvalidInput(msg)
    return decode(path.read_bytes(), where)


def _file(connected: Any, run: str, name: str, scratch: Path) -> Path | None:
    """A file among the run's artifacts, None where there is none."""
    folder = name.rpartition("/")[0]
    if name not in {item.path for item in connected.list_artifacts(run, folder or None)}:
        return None
    return Path(connected.download_artifacts(run, name, str(scratch)))
