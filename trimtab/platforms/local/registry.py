"""The registry on a laptop: MLflow on SQLite, its files beside it.

MLflow is imported on first use: `warm` does that ahead of time, beside everything else that starts.
"""

import logging
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput, Unavailable
from trimtab.manifest import verify
from trimtab.release import Outcome
from trimtab.spec import Champion, Version
from trimtab.training import tracking

log = logging.getLogger(__name__)

ALIAS = "champion"


class Registered(Struct, frozen=True):
    """A version as the registry lists it; `created` is wall time."""

    version: Version
    created: datetime
    release: str
    release_uid: str
    run: str
    metrics: dict[str, float]


class MlflowRegistry:
    """The port `Registry` over one MLflow tracking URI."""

    def __init__(self, tracking_uri: str, artifacts: Path) -> None:
        """Nothing is imported or opened yet; files of versions that are not on this machine are kept in `artifacts`."""
        self._tracking_uri = tracking_uri
        self._artifacts = artifacts
        self._lock = threading.Lock()
        self._connected: Any = None

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
            if connected.get_registered_model(model).aliases.get(ALIAS) != champion.version:
                connected.set_registered_model_alias(model, ALIAS, champion.version)

    def fetch(self, model: str, version: Version) -> Path:
        """The folder with the version's files, verified; raises InvalidInput where they differ from its digest."""
        connected = self._client()
        with tracking.speaking(f"version {version.version} of {model!r}"):
            source = urlparse(connected.get_model_version(model, version.version).source)
        if source.scheme in ("", "file"):
            folder = Path(unquote(source.path))
        else:
            folder = self._artifacts / "fetched" / model / version.version
            if not folder.exists():
                tracking.download(self._tracking_uri, model, version.version, folder)
        verify(folder, version.digest)
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
        experiments = [found.experiment_id for found in connected.search_experiments()]
        return tracking.find_run(connected, experiments, release_uid, attempt)

    def _client(self) -> Any:
        with self._lock:
            if self._connected is None:
                self._connected = tracking.client(self._tracking_uri)
            return self._connected
