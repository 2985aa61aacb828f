"""Published pipelines in MLflow, next to the models: one experiment a version, which is its claim, with runs that hold the files.

MLflow takes the name of an experiment once and writes its tags with it, so the first who publishes a version says for good what its digest
is; whoever comes with other content meets a Conflict. A publication that was cut off is finished by publishing the same content again, and
one with another key adds that key's signature.

Whoever can write to MLflow can put runs of his own there. So what a run holds is believed by digest and signature alone, and of all
finished runs of a version one that is as it should be is enough.
"""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.package import DIRTY, MANIFEST, UNKNOWN, Package, decode, digest, in_order, is_name, is_sound
from trimtab.packaging.seal import REFUSED, check_files, check_signature
from trimtab.platforms.kept_packages import FOLDER as FOLDER
from trimtab.platforms.kept_packages import KeptPackages
from trimtab.platforms.package_runs import SIGNATURE as SIGNATURE
from trimtab.platforms.package_runs import finished, gather, is_signed
from trimtab.signing import public_key, sign_folder
from trimtab.spec import PipelineVersion
from trimtab.training import tracking

log = logging.getLogger(__name__)

PREFIX = "pipelines"
NAME_TAG, VERSION_TAG, DIGEST_TAG = "trimtab.pipeline", "trimtab.pipeline-version", "trimtab.pipeline-digest"
RUNS = 8
"""How many finished runs of a version are looked at, the oldest first: what strangers put there later hides no publication."""


class MlflowPackages:
    """The port `Packages`, and how a package gets there, over one MLflow tracking URI. Several threads may ask at once."""

    def __init__(self, tracking_uri: str, kept: Path, connected: Any = None) -> None:
        """Verified packages are kept in the folder `kept`, by digest.

        Nothing is imported or opened yet. `connected` is an MLflow client that is open already.
        """
        self._tracking_uri, self._kept = tracking_uri, KeptPackages(kept)
        self._lock = threading.Lock()
        self._connected: Any = connected
        self._complete: dict[str, set[str]] = {}

    def publish(self, folder: Path, key: Path) -> PipelineVersion:
        """Sign the package in `folder` with the private key in the file `key`, and publish it; what is published already is left.

        Raises Conflict where the version was published with other content, InvalidInput where package or key cannot be used, or the
        package was built of what is in no commit.
        """
        body = (folder / MANIFEST).read_bytes() if (folder / MANIFEST).is_file() else b""
        package = decode(body, repr(str(folder)))
        version = PipelineVersion(package.name, package.version, digest(body))
        check_files(folder, version.digest, str(version))
        if package.commit == UNKNOWN or package.commit.endswith(DIRTY):
            msg = f"{version} was built of commit {package.commit!r}: commit everything first, so that it can be told what it was made of"
            raise InvalidInput(msg)
        bundle, public = sign_folder(folder, key), public_key(key).decode()
        connected = self._client()
        with tracking.speaking(f"publishing {version}"):
            experiment = self._claim(connected, version)
            if not is_signed(connected, finished(connected, experiment, RUNS), version, public):
                run = connected.create_run(experiment, run_name=str(version)).info.run_id
                connected.log_artifacts(run, str(folder), FOLDER)
                connected.log_text(run, bundle, SIGNATURE)
                connected.set_terminated(run)
        return version

    def published(self, name: str) -> list[PipelineVersion]:
        """The pipeline's versions that were published, whoever signed them, oldest version first.

        A version that was used here has the digest that it had then. It costs one request, and one more for each version that was not
        seen whole before.
        """
        if not is_name(name):
            return []
        return in_order(self._listed(name))

    def fetch(self, version: PipelineVersion, keys: tuple[str, ...]) -> tuple[Path, Package]:
        """A folder with the package's files, and its manifest, verified against digest and signature.

        Raises InvalidInput, `PackageRefused: …`, where a file is not as its digest says, none of the `keys` signed it, or the version
        had other content when it was first used.
        """
        folder, package = self.checked(version)
        where = f"the package {version}"
        try:
            check_signature(folder, self._kept.signatures(version), keys, where)
        except InvalidInput:
            if not keys:
                raise
            self._download(version)  # it may have been signed by another key since
            folder, package = self.checked(version)
            check_signature(folder, self._kept.signatures(version), keys, where)
        self._kept.pin(version)
        return folder, package

    def checked(self, version: PipelineVersion) -> tuple[Path, Package]:
        """A folder with the package's files, and its manifest, verified against the digest alone: to look at, not to run.

        Raises InvalidInput, `PackageRefused: …`, where a file is not as its digest says.
        """
        where = f"the package {version}"
        if not is_sound(version):
            raise _unknown(version)
        found = self._kept.read(version)
        if found is None:
            self._download(version)
            found = self._kept.read(version)
        if found is None:
            msg = f"{where} was removed from this machine's disk while it was read"
            raise Unavailable(msg)
        package = found[1]
        if (package.name, package.version) != (version.name, version.version):
            msg = f"{REFUSED}: {where} says of itself that it is {package.name} {package.version}"
            raise InvalidInput(msg)
        return found

    def _listed(self, name: str) -> Iterator[PipelineVersion]:
        connected = self._client()
        with self._lock:
            known = self._complete.get(name, set())
        complete = set()
        with tracking.speaking(f"the versions of pipeline {name!r}"):
            token = None
            while True:
                page = connected.search_experiments(filter_string=f"tags.`{NAME_TAG}` = '{name}'", page_token=token)
                for one in page:
                    version = PipelineVersion(name, one.tags.get(VERSION_TAG, ""), one.tags.get(DIGEST_TAG, ""))
                    if not is_sound(version) or one.name != _place(version):
                        continue
                    if one.experiment_id in known or finished(connected, one.experiment_id, 1):
                        complete.add(one.experiment_id)
                        yield self._as_used(version)
                token = page.token
                if not token:
                    break
        with self._lock:
            if complete:
                self._complete[name] = complete
            else:
                self._complete.pop(name, None)

    def _as_used(self, version: PipelineVersion) -> PipelineVersion:
        pinned = self._kept.pinned(version)
        if pinned and pinned != version.digest:
            log.error("MLflow says of %s that its digest is %r; it was %s when it was first used", version, version.digest, pinned)
        return PipelineVersion(version.name, version.version, pinned or version.digest)

    def _download(self, version: PipelineVersion) -> None:
        """Keep the package's files and every signature that its finished runs hold."""
        connected = self._client()
        with tracking.speaking(f"the package {version}"):
            experiment = connected.get_experiment_by_name(_place(version))
            runs = finished(connected, experiment.experiment_id, RUNS) if experiment else []
            if not runs:
                raise _unknown(version)
            self._kept.keep(version, lambda draft: gather(connected, runs, version, draft))

    def _claim(self, connected: Any, version: PipelineVersion) -> str:
        """The experiment of the version, made where there is none; raises Conflict where it stands for another content."""
        name = _place(version)
        if connected.get_experiment_by_name(name) is None:
            tags = {NAME_TAG: version.name, VERSION_TAG: version.version, DIGEST_TAG: version.digest}
            try:
                with tracking.speaking(f"the claim of {version}"):
                    connected.create_experiment(name, artifact_location=self._location(version), tags=tags)
            except (InvalidInput, Unavailable):
                if connected.get_experiment_by_name(name) is None:
                    raise
        found = connected.get_experiment_by_name(name)
        known = found.tags.get(DIGEST_TAG, "")
        if known != version.digest:
            msg = f"{version} was published with other content (digest {known[:12]}, this is {version.digest[:12]}): raise the version"
            raise Conflict(msg)
        if found.lifecycle_stage != "active":
            msg = f"{version} was published and then deleted in MLflow (experiment {name!r}): restore it there, or raise the version"
            raise Conflict(msg)
        return str(found.experiment_id)

    def _location(self, version: PipelineVersion) -> str | None:
        root = tracking.artifact_root(self._tracking_uri)
        return f"{root}/{_place(version)}" if root else None

    def _client(self) -> Any:
        with self._lock:
            if self._connected is None:
                tracking.impatient()
                self._connected = tracking.client(self._tracking_uri)
            return self._connected


def _place(version: PipelineVersion) -> str:
    return f"{PREFIX}/{version.name}/{version.version}"


def _unknown(version: PipelineVersion) -> InvalidInput:
    return InvalidInput(f"there is no pipeline {version}: it was never published, or not to the end")
