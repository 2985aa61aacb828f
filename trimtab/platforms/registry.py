"""The registry of every platform: MLflow on SQLite with its files beside it, or an MLflow server with artifacts of its own.

MLflow is imported on first use: `warm` does that ahead of time, beside everything else that starts. A control loop asks again by
itself, so nothing here waits long for a server: what does not answer is `Unavailable`.
"""

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput, Unavailable
from trimtab.manifest import verify
from trimtab.platforms.signer import Signer
from trimtab.release import Outcome
from trimtab.spec import Champion, Model, Version
from trimtab.training import tracking

log = logging.getLogger(__name__)

ALIAS = "champion"
KEPT = 4


class Registered(Struct, frozen=True):
    """A version as the registry lists it; `created` is wall time."""

    version: Version
    created: datetime
    release: str
    release_uid: str
    run: str
    metrics: dict[str, float]


class MlflowRegistry:
    """The port `Registry` over one MLflow tracking URI, sqlite:///… or http(s)://…."""

    def __init__(self, tracking_uri: str, artifacts: Path, signer: Signer | None = None) -> None:
        """Nothing is imported or opened yet.

        Files of versions that are not on this machine are kept in `artifacts`, the last few of each model; without a `signer`
        nothing is signed.
        """
        self._tracking_uri = tracking_uri
        self._artifacts = artifacts
        self._signer = signer
        self._lock = threading.Lock()
        self._connected: Any = None
        self._signed: set[tuple[str, str, Version]] = set()

    def warm(self) -> None:
        """Import MLflow and open the database; what goes wrong is logged, and raised by the first use."""
        try:
            with tracking.speaking("opening MLflow"):
                self._client().search_experiments(max_results=1)
        except (Unavailable, InvalidInput) as error:
            log.warning("MLflow is not ready: %s", error)

    def outcome(self, release_uid: str, attempt: int, run: str = "") -> Outcome | None:
        """The outcome that the attempt's run (or the run named `run`) wrote, None while there is none.

        Raises InvalidInput where there is no run `run` or its outcome is not one, Unavailable where MLflow does not answer.
        """
        connected = self._client()
        with tracking.speaking(f"the outcome of {f'run {run!r}' if run else f'attempt {attempt} of Release {release_uid!r}'}"):
            found = connected.get_run(run) if run else self._run(connected, release_uid, attempt)
            if found is None or tracking.OUTCOME not in {item.path for item in connected.list_artifacts(found.info.run_id)}:
                return None
            with tempfile.TemporaryDirectory() as folder:
                body = Path(connected.download_artifacts(found.info.run_id, tracking.OUTCOME, folder)).read_bytes()
        try:
            return msgspec.json.decode(body, type=Outcome)  # type: ignore[no-any-return]
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            msg = f"{tracking.OUTCOME} of run {found.info.run_id!r} is no outcome: {error}"
            raise InvalidInput(msg) from error

    def project(self, model: str, champion: Champion) -> None:
        """Make the alias `champion` point at the champion; nothing is written where it does."""
        connected = self._client()
        with tracking.speaking(f"the alias {ALIAS!r} of {model!r}"):
            found = connected.get_registered_model(model).aliases.get(ALIAS)
            if found is None or str(found) != champion.version:
                log.info("the alias %r of %s goes from version %s to %s", ALIAS, model, found or "none", champion.version)
                connected.set_registered_model_alias(model, ALIAS, champion.version)

    def sign(self, model: Model, version: Version, release_uid: str) -> None:
        """Sign the version as one that passed the gates of the Release; the signature and its statement become tags of the version.

        Nothing is written without a signer, or where its key signed this version of this Model before, for whatever Release.
        Raises InvalidInput where the key cannot be used or there is no such version, Unavailable where MLflow does not answer or
        servers do not believe the key.
        """
        known = (model.registered, model.metadata.uid, version)
        if self._signer is not None and known not in self._signed:
            signer = self._signer
            self._tag(model, version, lambda tags: signer.passed(tags, model.metadata.uid, version, release_uid))
            self._signed.add(known)

    def renew(self, model: Model, version: Version) -> None:
        """Put the key's signature beside those that servers believe, so that another key can be withdrawn; raises as `sign` does."""
        if self._signer is not None:
            signer = self._signer
            self._tag(model, version, lambda tags: signer.renewed(tags, model.metadata.uid, version))

    def _tag(self, model: Model, version: Version, added: Callable[[dict[str, str]], dict[str, str]]) -> None:
        connected = self._client()
        with tracking.speaking(f"signing version {version.version} of {model.registered!r}"):
            written = added(connected.get_model_version(model.registered, version.version).tags)
            for name, value in written.items():
                connected.set_model_version_tag(model.registered, version.version, name, value)
        if written:
            log.info("version %s of %s has a signature: %s", version.version, model.registered, ", ".join(sorted(written)))

    def fetch(self, model: str, version: Version) -> Path:
        """The folder with the version's files, verified; raises InvalidInput where they differ from its digest.

        A version that is here already is not asked for again, so that it can be had while MLflow is down.
        """
        if self._tracking_uri.startswith("sqlite:"):
            connected = self._client()
            with tracking.speaking(f"version {version.version} of {model!r}"):
                source = urlparse(connected.get_model_version(model, version.version).source)
            if source.scheme in ("", "file"):
                folder = Path(unquote(source.path))
                verify(folder, version.digest)
                return folder
        return self._fetched(model, version)

    def _fetched(self, model: str, version: Version) -> Path:
        """The version's files in our own folder; what is there and is not the version is downloaded anew."""
        folder = self._artifacts / "fetched" / model / version.version
        if folder.exists():
            try:
                verify(folder, version.digest)
                return folder
            except InvalidInput as error:
                log.warning("%s; it is downloaded anew", error)
                shutil.rmtree(folder, ignore_errors=True)
        tracking.download(self._tracking_uri, model, version.version, folder)
        verify(folder, version.digest)
        others = sorted((path for path in folder.parent.iterdir() if path.name.isdigit()), key=lambda path: path.stat().st_mtime)
        for old in others[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return folder

    def history(self, model: str) -> list[Registered]:
        """The model's versions, oldest first; empty where none was ever registered."""
        connected = self._client()
        with tracking.speaking(f"the versions of {model!r}"):
            found = connected.search_model_versions(f"name = '{model}'")
            return sorted((self._registered(connected, item) for item in found), key=lambda item: int(item.version.version))

    def _registered(self, connected: Any, item: Any) -> Registered:
        tags = item.tags
        return Registered(
            version=Version(str(item.version), tags.get(tracking.DIGEST, "")),
            created=datetime.fromtimestamp(item.creation_timestamp / 1000, UTC),
            release=tags.get(tracking.RELEASE, ""),
            release_uid=tags.get(tracking.RELEASE_UID, ""),
            run=item.run_id,
            metrics=dict(connected.get_run(item.run_id).data.metrics),
        )

    def _run(self, connected: Any, release_uid: str, attempt: int) -> Any | None:
        experiments: list[str] = []
        page = connected.search_experiments(max_results=1000)
        while True:
            experiments += [found.experiment_id for found in page]
            if not page.token:
                return tracking.find_run(connected, experiments, release_uid, attempt)
            page = connected.search_experiments(max_results=1000, page_token=page.token)

    def _client(self) -> Any:
        with self._lock:
            if self._connected is None:
                tracking.impatient()
                self._connected = tracking.client(self._tracking_uri)
            return self._connected
