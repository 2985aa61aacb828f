"""Releases whose pipeline is a published package, with real packages: what was changed never runs, and what runs is what was published."""

import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.control.stories import first_version, newest
from tests.unit.control.world import World
from tests.unit.platforms.test_packages import a_key, a_package
from tests.unit.rollout.cases import FIRST, model, see
from trimtab.control.intake import release_for
from trimtab.control.running import run_request
from trimtab.errors import Unavailable
from trimtab.package import COMPILED, MANIFEST, SBOM, Package
from trimtab.platforms.packages import FOLDER, MlflowPackages
from trimtab.release import Phase, Request
from trimtab.rollout.decide import decide
from trimtab.spec import Champion, PipelinePolicy, PipelineVersion


@dataclass
class Shop:
    """A published package, in a real MLflow on SQLite."""

    folder: Path
    public: str
    version: PipelineVersion

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def store(self) -> MlflowPackages:
        """As a controller that has fetched nothing yet."""
        return MlflowPackages(self.uri, Path(tempfile.mkdtemp(dir=self.folder)))

    def stored(self, name: str) -> Path:
        return next((self.folder / "mlartifacts").rglob(f"{FOLDER}/{name}"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    key, public = a_key(folder, "ci")
    version = MlflowPackages(f"sqlite:///{folder / 'mlflow.db'}", folder / "ci").publish(a_package(folder / "made"), key)
    return Shop(folder, public, version)


def on_trial(shop: Shop, packages: MlflowPackages, keys: tuple[str, ...] | None = None) -> World:
    """A Model whose first version serves, and a Release that tries the package."""
    world = World()
    world.ports = replace(world.ports, packages=packages)
    world.restart(timedelta(0))
    first_version(world, pipeline_policy=PipelinePolicy((shop.public,) if keys is None else keys))
    asked = Request("pipeline", "tests", "1", world.data_now, pipeline=shop.version)
    world.store.create(release_for(world.model(), asked))
    return world


def champion_of(world: World) -> str:
    champion = world.model().status.champion
    return champion.version if champion else ""


def changed(path: Path, at: float, by: int) -> None:
    """Change one byte."""
    body = bytearray(path.read_bytes())
    place = int(at * (len(body) - 1))
    body[place] = (body[place] + by) % 256
    path.write_bytes(body)


def test_a_trial_is_submitted_as_what_was_published(shop: Shop) -> None:
    world = on_trial(shop, shop.store)
    world.run()
    first, trial = world.runner.requests
    assert (first.pipeline, first.image, first.trial) == (None, "", False)
    assert (trial.pipeline, trial.image, trial.trial) == (shop.version, "shop:1", True)
    assert newest(world).status.phase is Phase.PROMOTED


@pytest.mark.parametrize(
    ("phase", "champion", "trial"),
    [
        pytest.param(Phase.TRAINING, FIRST, True, id="on the champion's rows"),
        pytest.param(Phase.TRAINING, None, False, id="a first version has no champion to be compared with"),
        pytest.param(Phase.COMPARING, FIRST, False, id="the evaluate-only run against a new champion looks at the newest rows"),
    ],
)
def test_what_is_a_trial(shop: Shop, phase: Phase, champion: Champion | None, trial: bool) -> None:
    given = model(champion, pipeline_policy=PipelinePolicy((shop.public,)))
    observed = see(phase, {"pipeline": shop.version, "compared_with": champion}, request={"pipeline": shop.version}, model=given)
    asked = run_request(shop.store, observed, decide(observed), given)
    assert (asked.pipeline, asked.image, asked.trial) == (shop.version, "shop:1", trial)


def test_a_version_without_its_digest_does_not_run(shop: Shop) -> None:
    world = on_trial(Shop(shop.folder, shop.public, PipelineVersion("churn", "1.4.0")), shop.store)
    world.run()
    ended = newest(world).status
    assert (ended.phase, ended.reason, len(world.runner.requests)) == (Phase.FAILED, "PackageRefused", 1)
    assert "the pipeline churn 1.4.0 is named without its digest" in ended.sentence


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([COMPILED, SBOM, MANIFEST]), st.floats(0, 1), st.integers(1, 255))
def test_a_package_with_a_changed_byte_is_never_submitted(shop: Shop, name: str, at: float, by: int) -> None:
    stored = shop.stored(name)
    before = stored.read_bytes()
    world = on_trial(shop, shop.store)
    try:
        changed(stored, at, by)
        world.run()
    finally:
        stored.write_bytes(before)
    ended = newest(world).status
    assert len(world.runner.requests) == 1, "the first version's run, and no other"
    assert (ended.phase, ended.reason) == (Phase.FAILED, "PackageRefused")
    assert "churn 1.4.0" in ended.sentence
    assert champion_of(world) == "1"
    world.check_rest()


class Silent(MlflowPackages):
    """MLflow does not answer until it does."""

    away = True

    def fetch(self, version: PipelineVersion, keys: tuple[str, ...]) -> tuple[Path, Package]:
        if self.away:
            msg = "MLflow does not answer"
            raise Unavailable(msg)
        return super().fetch(version, keys)


def test_while_nobody_knows_whether_it_may_run_it_waits(shop: Shop, tmp_path: Path) -> None:
    silent = Silent(shop.uri, tmp_path)
    world = on_trial(shop, silent)
    for _ in range(5):
        world.step()
        world.tick()
    assert newest(world).status.phase is Phase.TRAINING
    assert len(world.runner.requests) == 1
    silent.away = False
    world.run()
    assert newest(world).status.phase is Phase.PROMOTED


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param((), "the Model believes no key (spec.pipelinePolicy.keys)", id="nobody is believed"),
        pytest.param(("not a key",), "none of the 1 keys that the Model believes signed the package churn 1.4.0", id="somebody else is"),
    ],
)
def test_a_package_that_no_believed_key_signed_ends_the_release(shop: Shop, keys: tuple[str, ...], said: str) -> None:
    world = on_trial(shop, shop.store, keys)
    world.run()
    ended = newest(world).status
    assert (ended.phase, ended.reason, len(world.runner.requests)) == (Phase.FAILED, "PackageRefused", 1)
    assert said in ended.sentence
    assert champion_of(world) == "1"
    world.check_rest()
