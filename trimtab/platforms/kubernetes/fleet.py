"""The monitor's port `Fleet` on a cluster: which versions serve by the Models and Releases, their files by MLflow.

Files are fetched in the background into a folder of the monitor's volume and verified against the digest in the Model's status,
never one that the registry told; a version whose files are not there yet is simply not watched. Objects are listed at most every
two seconds, and never for more than a twentieth of the time, however many there are.
"""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from trimtab.control.ports import Objects
from trimtab.errors import InvalidInput, TrimtabError, Unavailable
from trimtab.fetching import LASTING
from trimtab.manifest import verify
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.platforms.kubernetes.isvc import component
from trimtab.release import Phase, Release
from trimtab.rollout.plan import serving_plan
from trimtab.spec import Model, Version
from trimtab.version_uri import VersionUri

log = logging.getLogger(__name__)
LOOK_SECONDS = 2.0
_SHARE = 20.0
FIRST_WAIT, LONGEST_WAIT = 5.0, 300.0
KEEP_SECONDS = 3600.0
_OUT = (Phase.ROLLOUT, Phase.BAKING)
_DRAFT = ".incoming-"

FETCH_SECONDS = 900.0
_PASSED = (
    *("PATH", "LANG", "SSL_CERT_FILE", "TRIMTAB_TRACKING_CA_FILE", "TRIMTAB_SIGNING_CERTIFICATE"),
    *("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
)


class Wanted(Struct, frozen=True):
    """The files of a version: `registered` is the model's name in MLflow."""

    registered: str
    version: str
    digest: str
    folder: Path


Download = Callable[[Wanted, Path], object]


def fetcher(tracking_uri: str) -> Download:
    """Brings versions by the program that brings them to the model servers: it knows MLflow, and may be killed."""

    def download(wanted: Wanted, folder: Path) -> None:
        uri = str(VersionUri(wanted.registered, wanted.version, wanted.digest))
        passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
        environment = {**passed, "TRIMTAB_TRACKING_URI": tracking_uri, "TRIMTAB_FETCH_PATIENCE_SECONDS": "5"}
        command = [sys.executable, "-m", "serving.fetch", uri, str(folder)]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            msg = f"the fetch took more than {FETCH_SECONDS:g} s"
            raise Unavailable(msg) from error
        if done.returncode:
            sentence = (done.stderr.strip().splitlines() or [f"the fetch ended with exit code {done.returncode}"])[-1]
            raise (InvalidInput if done.returncode in LASTING else Unavailable)(sentence)

    return download


class _Trouble(Struct, frozen=True):
    """A fetch that failed: when to try again (monotonic seconds), and how long to wait after the next failure."""

    until: float
    wait: float


class VersionFolders:
    """Keeps the files of wanted versions in a folder; `download` brings those of one to a folder that is not there yet."""

    def __init__(self, folder: Path, download: Download, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._download = download
        self._clock = clock
        self._wanted: dict[Path, Wanted] = {}
        self._last: dict[Path, float] = {}
        self._troubles: dict[Path, _Trouble] = {}
        self._changed = threading.Event()
        self._stopping = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)

    def place(self, namespace: str, name: str, version: Version) -> Path:
        """Where the version's files are or will be; another digest is another place."""
        return self._folder / namespace / name / f"{version.version}-{version.digest[:16]}"

    def want(self, wanted: list[Wanted]) -> None:
        """What serves now: it is fetched, and what has not been wanted for an hour goes."""
        self._wanted = {item.folder: item for item in wanted}
        self._changed.set()

    def start(self) -> None:
        """Fetch and prune in a thread until the process ends."""
        for draft in self._folder.glob(f"{_DRAFT}*"):
            shutil.rmtree(draft, ignore_errors=True)
        threading.Thread(target=self._run, name="versions", daemon=True).start()

    def stop(self) -> None:
        """Begin no other fetch."""
        self._stopping.set()
        self._changed.set()

    def round(self) -> None:
        """Fetch what is wanted, is not there and did not fail just now; remove what nobody wanted for long."""
        wanted = dict(self._wanted)
        for item in wanted.values():
            trouble = self._troubles.get(item.folder)
            if self._stopping.is_set() or item.folder.is_dir() or (trouble and trouble.until > self._clock()):
                continue
            try:
                self._fetch(item)
                self._troubles.pop(item.folder, None)
                log.info("version %s of %s is here", item.version, item.registered)
            except (TrimtabError, OSError) as error:
                wait = trouble.wait if trouble else FIRST_WAIT
                self._troubles[item.folder] = _Trouble(self._clock() + wait, min(2 * wait, LONGEST_WAIT))
                log.warning("version %s of %s is not watched: %s", item.version, item.registered, error)
        self._prune(set(wanted))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._changed.wait(FIRST_WAIT)
            self._changed.clear()
            try:
                self.round()
            except Exception:
                log.exception("the versions' files were not looked after; that is tried again")
                self._stopping.wait(FIRST_WAIT)

    def _fetch(self, item: Wanted) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=_DRAFT) as draft:
            files = Path(draft) / item.version
            self._download(item, files)
            verify(files, item.digest)
            item.folder.parent.mkdir(parents=True, exist_ok=True)
            files.rename(item.folder)

    def _prune(self, wanted: set[Path]) -> None:
        now = self._clock()
        for folder in self._folder.glob("[!.]*/*/*"):
            last = now if folder in wanted else self._last.setdefault(folder, now)
            self._last[folder] = last
            if now - last > KEEP_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
                self._last.pop(folder)
                for parent in (folder.parent, folder.parent.parent):
                    with contextlib.suppress(OSError):
                        parent.rmdir()


class KubernetesFleet:
    """Reads the Models and Releases; `folders` keeps the versions' files."""

    def __init__(self, objects: Objects, folders: VersionFolders, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects, self._folders, self._clock = objects, folders, clock
        self._lock = threading.Lock()
        self._again = 0.0
        self._models: list[tuple[Model, Release | None]] = []
        self._failure = ""

    def watched(self) -> list[Watched]:
        """Every Model, with the versions that serve and whose files are here; raises Unavailable while the API server is away."""
        with self._lock:
            if self._clock() >= self._again:
                self._look()
            if self._failure:
                raise Unavailable(self._failure)
            return [self._watched(model, active) for model, active in self._models]

    def _look(self) -> None:
        started = self._clock()
        try:
            releases = [release for release in self._objects.all_of(Release) if release.status.phase in _OUT]
            active = {release.spec.model_uid: release for release in releases}
            self._models = [(model, active.get(model.metadata.uid)) for model in self._objects.all_of(Model)]
            self._failure = ""
        except Unavailable as error:
            self._failure = str(error)
        took = self._clock() - started
        self._again = self._clock() + max(LOOK_SECONDS, _SHARE * took)
        if not self._failure:
            self._folders.want([item for model, release in self._models for item in self._wanted(model, release)])

    def _versions(self, model: Model, active: Release | None) -> list[Version]:
        """The versions that serve, the champion first."""
        champion = model.status.champion
        others = [arm.version for arm in serving_plan(model, active).arms if not champion or arm.version.version != champion.version]
        return [*([champion] if champion else []), *others]

    def _wanted(self, model: Model, active: Release | None) -> list[Wanted]:
        place = (model.metadata.namespace, model.name)
        versions = self._versions(model, active)
        return [Wanted(model.registered, item.version, item.digest, self._folders.place(*place, item)) for item in versions]

    def _watched(self, model: Model, active: Release | None) -> Watched:
        here = [version for item in self._versions(model, active) if (version := self._version(model, item)).folder.is_dir()]
        champion = model.status.champion
        serving = next((version for version in here if champion and version.version == champion.version), None)
        return Watched(model, serving, tuple(version for version in here if version is not serving))

    def _version(self, model: Model, version: Version) -> WatchedVersion:
        namespace = model.metadata.namespace
        url = f"http://{component(model.name, version.version)}.{namespace}.svc"
        return WatchedVersion(version.version, version.digest, self._folders.place(namespace, model.name, version), url)
