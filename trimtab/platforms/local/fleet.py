"""The monitor's port `Fleet` on the local state: which versions serve now, where their files lie and where they can be asked.

The addresses come from a small file that the supervisor keeps, so that the monitor needs nothing of the serving adapter.
"""

from pathlib import Path

from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.platforms.local.objects import SqliteObjects
from trimtab.platforms.local.state import State, read_json
from trimtab.release import Phase, Release
from trimtab.rollout.plan import serving_plan
from trimtab.spec import Model, Version

ADDRESSES = "addresses.json"
_OUT = (Phase.ROLLOUT, Phase.BAKING)


class LocalFleet:
    """Reads the state database and the supervisor's file of addresses."""

    def __init__(self, state: State, objects: SqliteObjects) -> None:
        """Both are only read."""
        self._state, self._objects = state, objects

    def watched(self) -> list[Watched]:
        """Every Model that has a champion, with the other versions that are served beside it."""
        addresses = read_json(self._state.folder / ADDRESSES) or {}
        releases = [release for release in self._objects.all_of(Release) if release.status.phase in _OUT]
        found = []
        for model in self._objects.all_of(Model):
            active = next((release for release in releases if release.spec.model_uid == model.metadata.uid), None)
            champion = model.status.champion
            others = [arm.version for arm in serving_plan(model, active).arms if not champion or arm.version.version != champion.version]
            watch = [self._version(model, version, addresses) for version in others]
            present = tuple(version for version in watch if version.folder.exists())
            serving = self._version(model, champion, addresses) if champion else None
            found.append(Watched(model, serving if serving and serving.folder.exists() else None, present))
        return found

    def _version(self, model: Model, version: Version, addresses: dict[str, str]) -> WatchedVersion:
        folder: Path = self._state.version_folder(model.name, version.version)
        return WatchedVersion(version.version, version.digest, folder, addresses.get(f"{model.name}/{version.version}", ""))
