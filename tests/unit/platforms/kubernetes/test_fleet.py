"""Which versions a monitor on a cluster watches, and how their files come."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.unit.monitoring.folders import model, write_folder
from trimtab.errors import InvalidInput, Unavailable
from trimtab.manifest import write_manifest
from trimtab.platforms.kubernetes.fleet import KEEP_SECONDS, KubernetesFleet, VersionFolders, Wanted, fetcher
from trimtab.release import Phase, Promotion, Release, ReleaseSpec, ReleaseStatus, Request
from trimtab.spec import Champion, Metadata, Model, Version

NOW = datetime(2026, 6, 1, tzinfo=UTC)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Objects:
    def __init__(self) -> None:
        self.items: dict[type[Any], list[Any]] = {Model: [], Release: []}
        self.asked = 0
        self.failure: Exception | None = None
        self.cost = 0.0
        self.clock: Clock | None = None

    def all_of(self, kind: type[Any]) -> list[Any]:
        self.asked += 1
        if self.clock:
            self.clock.now += self.cost
        if self.failure:
            raise self.failure
        return self.items[kind]

    def get(self, *_: Any) -> Any: ...
    def create(self, item: Any) -> Any: ...
    def write_status(self, item: Any) -> Any: ...


class Registry:
    """Has versions as folders of one file each; the digest of a version is its manifest's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.asked: list[str] = []
        self.failures: list[Exception] = []

    def version(self, number: str) -> Version:
        place = self._folder / number
        place.mkdir(parents=True, exist_ok=True)
        (place / "model.json").write_text(number)
        return Version(number, write_manifest(place))

    def download(self, wanted: Wanted, folder: Path) -> None:
        self.asked.append(f"{wanted.registered}/{wanted.version}")
        if self.failures:
            raise self.failures.pop(0)
        folder.mkdir()
        for path in (self._folder / wanted.version).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())


class World:
    def __init__(self, folder: Path) -> None:
        self.clock, self.objects, self.registry = Clock(), Objects(), Registry(folder / "registry")
        self.folders = VersionFolders(folder / "versions", self.registry.download, self.clock)
        self.fleet = KubernetesFleet(self.objects, self.folders, self.clock)

    def model(self, champion: str | None, namespace: str = "shop") -> Model:
        made = replace(model(), metadata=Metadata("demand", namespace, uid=f"uid-{namespace}"))
        version = self.registry.version(champion) if champion else None
        status = replace(made.status, champion=Champion(version.version, version.digest) if version else None)
        made = replace(made, status=status)
        self.objects.items[Model] = [*(item for item in self.objects.items[Model] if item.metadata != made.metadata), made]
        return made

    def release(self, of: Model, **status: Any) -> None:
        spec = ReleaseSpec(of.name, of.metadata.uid, "r", Request("person", "/p", "1", NOW))
        self.objects.items[Release] = [Release(Metadata("r1", of.metadata.namespace), spec, ReleaseStatus(**status))]

    def look(self) -> list[tuple[str | None, tuple[str, ...]]]:
        """What is watched after a look and a round of fetching: the champion and the others of each Model."""
        self.clock.now += 3.0
        self.fleet.watched()
        self.folders.round()
        found = self.fleet.watched()
        return [(item.champion.version if item.champion else None, tuple(other.version for other in item.others)) for item in found]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_version_is_watched_once_its_verified_files_are_here(world: World) -> None:
    world.model("7")
    assert [(item.champion, item.others) for item in world.fleet.watched()] == [(None, ())]
    world.folders.round()
    watched = world.fleet.watched()[0]
    assert watched.champion is not None
    assert (watched.id, watched.champion.url) == ("shop/demand", "http://demand-v7-predictor.shop.svc")
    assert (watched.champion.folder / "model.json").read_text() == "7"
    assert world.registry.asked == ["shop.demand/7"]


@pytest.mark.parametrize(
    ("champion", "status", "expected"),
    [
        pytest.param(None, {}, (None, ()), id="no version yet"),
        pytest.param("1", {"phase": Phase.TRAINING}, ("1", ()), id="a run is under way"),
        pytest.param("1", {"phase": Phase.ROLLOUT, "candidate": "2", "deployed": True}, ("1", ("2",)), id="a canary"),
        pytest.param("1", {"phase": Phase.ROLLOUT, "candidate": "2"}, ("1", ()), id="a candidate that is not deployed"),
        pytest.param("1", {"phase": Phase.WITHDRAWING, "candidate": "2", "deployed": True}, ("1", ()), id="a canary that is withdrawn"),
        pytest.param(
            "2", {"phase": Phase.BAKING, "candidate": "2", "deployed": True, "compared_with": "1", "promotion": Promotion(NOW)},
            ("2", ("1",)), id="a bake",
        ),
        pytest.param(None, {"phase": Phase.ROLLOUT, "candidate": "1", "deployed": True}, (None, ("1",)), id="a first version"),
    ],
)  # fmt: skip
def test_what_is_watched(world: World, champion: str | None, status: dict[str, Any], expected: Any) -> None:
    made = world.model(champion)
    for name, kind in (("candidate", Version), ("compared_with", Champion)):
        if name in status:
            version = world.registry.version(status[name])
            status = {**status, name: kind(version.version, version.digest)}
    world.release(made, **status)
    assert world.look() == [expected]


def test_models_of_the_same_name_in_two_namespaces_do_not_share_files(world: World) -> None:
    world.model("1", "shop")
    world.model("2", "default")
    assert world.look() == [("1", ()), ("2", ())]
    assert sorted(world.registry.asked) == ["demand/2", "shop.demand/1"]


def test_a_tampered_version_is_not_watched_and_leaves_nothing(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world.model("1")
    (tmp_path / "registry" / "1" / "model.json").write_text("changed")
    assert world.look() == [(None, ())]
    assert "version 1 of shop.demand is not watched: 'model.json' of the model in '1' has SHA-256" in caplog.text
    assert list((tmp_path / "versions").iterdir()) == []


def test_a_fetch_that_fails_waits_longer_and_longer(world: World) -> None:
    world.model("1")
    world.registry.failures = [Unavailable("MLflow is away"), Unavailable("MLflow is away"), OSError("no space left")]
    for seconds, asked in ((0, 1), (1, 1), (4.5, 2), (4.5, 2), (6, 3), (15, 3), (6, 4)):
        world.clock.now += seconds
        world.fleet.watched()
        world.folders.round()
        assert len(world.registry.asked) == asked, seconds
    assert world.look() == [("1", ())]


def test_a_version_that_no_longer_serves_goes_after_an_hour(world: World, tmp_path: Path) -> None:
    world.model("1")
    world.look()
    world.objects.items[Model].clear()
    world.model("2")
    assert world.look() == [("2", ())]
    folders = tmp_path / "versions" / "shop" / "demand"
    assert len(list(folders.iterdir())) == 2
    world.clock.now += KEEP_SECONDS + 1
    assert world.look() == [("2", ())]
    assert [path.name.split("-")[0] for path in folders.iterdir()] == ["2"]
    world.objects.items[Model].clear()
    world.look()
    world.clock.now += KEEP_SECONDS + 1
    world.look()
    assert list((tmp_path / "versions").iterdir()) == []


def test_objects_are_listed_every_two_seconds_and_never_for_much_of_the_time(world: World) -> None:
    world.model("1")
    for _ in range(10):
        world.clock.now += 0.5
        world.fleet.watched()
    assert world.objects.asked == 2 * 3
    world.objects.clock, world.objects.cost, world.objects.asked = world.clock, 0.5, 0
    for _ in range(200):
        world.clock.now += 0.5
        world.fleet.watched()
    assert world.objects.asked <= 2 * 6


def test_while_the_api_server_is_away_that_is_said_and_it_is_not_hammered(world: World) -> None:
    world.model("1")
    world.look()
    world.objects.failure, world.objects.asked = Unavailable("the API server does not answer"), 0
    world.clock.now += 3
    for _ in range(5):
        with pytest.raises(Unavailable, match="does not answer"):
            world.fleet.watched()
    assert world.objects.asked == 1
    world.objects.failure = None
    assert world.look() == [("1", ())]


def test_the_thread_fetches_what_is_wanted_and_does_not_block_a_look(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.model("1")
    begun, held, fetched = threading.Event(), threading.Event(), threading.Event()
    download = world.registry.download

    def slow(wanted: Wanted, folder: Path) -> None:
        begun.set()
        held.wait(20)
        download(wanted, folder)
        fetched.set()

    folders = VersionFolders(tmp_path / "slow", slow)
    (tmp_path / "slow" / ".incoming-left").mkdir()
    fleet = KubernetesFleet(world.objects, folders)
    folders.start()
    assert fleet.watched()[0].champion is None
    assert begun.wait(20)
    assert fleet.watched()[0].champion is None
    held.set()
    assert fetched.wait(20)
    folders.stop()
    assert not (tmp_path / "slow" / ".incoming-left").exists()


def test_the_fetch_program_says_in_a_sentence_why_it_brought_nothing(tmp_path: Path) -> None:
    download = fetcher("http://127.0.0.1:9")
    wanted = Wanted("shop.demand", "1", "0" * 64, tmp_path / "x")
    with pytest.raises(InvalidInput, match="InvalidUri"):
        download(replace(wanted, digest="none"), tmp_path / "files")


def test_the_fetch_program_gets_mlflows_credentials_and_no_other_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "serving" / "fetch"
    program.mkdir(parents=True)
    (program.parent / "__init__.py").touch()
    (program / "__init__.py").touch()
    (program / "__main__.py").write_text("import json, os, sys; open(sys.argv[2], 'w').write(json.dumps(dict(os.environ)))")
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "TRIMTAB_DATABASE_URL"):
        monkeypatch.setenv(name, f"of {name}")
    fetcher("https://mlflow.example")(Wanted("shop.demand", "1", "0" * 64, tmp_path / "x"), tmp_path / "seen")
    seen = msgspec.json.decode((tmp_path / "seen").read_bytes())
    assert {name for name, value in seen.items() if value == f"of {name}"} == {
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
    }
    assert seen["TRIMTAB_TRACKING_URI"] == "https://mlflow.example"


def test_the_monitor_reads_a_folder_that_came_so(tmp_path: Path) -> None:
    made = write_folder(tmp_path / "1")
    folders = VersionFolders(tmp_path / "versions", lambda _, folder: (tmp_path / "1").rename(folder))
    place = folders.place("shop", "demand", Version("1", made.digest))
    folders.want([Wanted("shop.demand", "1", made.digest, place)])
    folders.round()
    assert msgspec.json.decode((place / "schema.json").read_bytes())["label"] == "y"
