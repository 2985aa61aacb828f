"""Published pipelines in MLflow, next to the models: one experiment a version, which is its claim, with one run that holds the files.

MLflow takes the name of an experiment once and writes its tags with it, so the first who publishes a version says for good what its digest
is; whoever comes with other content meets a Conflict. A publication that was cut off is finished by publishing the same content again.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.package import MANIFEST, Package, decode, digest, in_order, semver
from trimtab.packaging.seal import REFUSED, check_files, check_signature, sign
from trimtab.spec import PipelineVersion
from trimtab.training import tracking

PREFIX = "pipelines"
NAME_TAG, VERSION_TAG, DIGEST_TAG = "trimtab.pipeline", "trimtab.pipeline-version", "trimtab.pipeline-digest"
FOLDER, SIGNATURE = "package", "package.sig"


class MlflowPackages:
    """The port `Packages`, and how a package gets there, over one MLflow tracking URI."""

    def __init__(self, tracking_uri: str, kept: Path) -> None:
        """Verified packages are kept in the folder `kept`, by digest. Nothing is imported or opened yet."""
        self._tracking_uri, self._kept = tracking_uri, kept
        self._connected: Any = None

    def publish(self, folder: Path, key: Path) -> PipelineVersion:
        """Sign the package in `folder` with the private key in the file `key`, and publish it; what is published already is left.

        Raises Conflict where the version was published with other content, InvalidInput where package or key cannot be used.
        """
        body = (folder / MANIFEST).read_bytes() if (folder / MANIFEST).is_file() else b""
        package = decode(body, repr(str(folder)))
        version = PipelineVersion(package.name, str(semver(package.version)), digest(body))
        check_files(folder, version.digest, str(version))
        bundle = sign(folder, key)
        connected = self._client()
        with tracking.speaking(f"publishing {version}"):
            experiment = self._claim(connected, version)
            if self._complete(connected, experiment.experiment_id) is None:
                run = connected.create_run(experiment.experiment_id, run_name=str(version)).info.run_id
                connected.log_artifacts(run, str(folder), FOLDER)
                connected.log_text(run, bundle, SIGNATURE)
                connected.set_terminated(run)
        return version

    def published(self, name: str) -> list[PipelineVersion]:
        """The pipeline's versions that were published, whoever signed them, oldest version first."""
        connected = self._client()
        with tracking.speaking(f"the versions of pipeline {name!r}"):
            found, token = [], None
            while True:
                page = connected.search_experiments(filter_string=f"tags.`{NAME_TAG}` = '{name}'", page_token=token)
                found += [one for one in page if self._complete(connected, one.experiment_id) is not None]
                token = page.token
                if not token:
                    break
        return in_order(PipelineVersion(name, one.tags[VERSION_TAG], one.tags[DIGEST_TAG]) for one in found)

    def fetch(self, version: PipelineVersion, keys: tuple[str, ...]) -> tuple[Path, Package]:
        """A folder with the package's files, and its manifest, verified against digest and signature.

        Raises InvalidInput, `PackageRefused: …`, where a file is not as its digest says, or none of the `keys` signed it.
        """
        folder, package = self.read(version)
        check_signature(folder, folder.with_name(SIGNATURE).read_text(), keys, f"the package {version}")
        return folder, package

    def read(self, version: PipelineVersion) -> tuple[Path, Package]:
        """A folder with the package's files, and its manifest, verified against the digest alone: to look at, not to run.

        Raises InvalidInput, `PackageRefused: …`, where a file is not as its digest says.
        """
        folder, where = self._kept / version.digest, f"the package {version}"
        if not folder.is_dir():
            self._download(version, folder)
        package = check_files(folder / FOLDER, version.digest, where)
        if (package.name, package.version) != (version.name, version.version):
            msg = f"{REFUSED}: {where} says of itself that it is {package.name} {package.version}"
            raise InvalidInput(msg)
        return folder / FOLDER, package

    def _download(self, version: PipelineVersion, folder: Path) -> None:
        connected = self._client()
        self._kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._kept, prefix=".download-") as draft, tracking.speaking(f"the package {version}"):
            experiment = connected.get_experiment_by_name(self._place(version))
            run = self._complete(connected, experiment.experiment_id) if experiment else None
            if run is None:
                msg = f"there is no pipeline {version}: it was never published, or not to the end"
                raise InvalidInput(msg)
            inner = Path(draft) / "whole"
            inner.mkdir()
            for name in (FOLDER, SIGNATURE):
                connected.download_artifacts(run, name, str(inner))
            inner.rename(folder)

    def _claim(self, connected: Any, version: PipelineVersion) -> Any:
        """The experiment of the version, made where there is none; raises Conflict where it stands for another content."""
        name = self._place(version)
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
        return found

    def _location(self, version: PipelineVersion) -> str | None:
        root = tracking.artifact_root(self._tracking_uri)
        return f"{root}/{self._place(version)}" if root else None

    def _place(self, version: PipelineVersion) -> str:
        return f"{PREFIX}/{version.name}/{version.version}"

    def _complete(self, connected: Any, experiment: str) -> str | None:
        """The run that holds the whole package, or None while there is none."""
        found = connected.search_runs([experiment], filter_string="attributes.status = 'FINISHED'", max_results=1)
        return found[0].info.run_id if found else None

    def _client(self) -> Any:
        if self._connected is None:
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
            self._connected = tracking.client(self._tracking_uri)
        return self._connected
