"""One first version is trained for all tests; each then goes on from a copy of that state. And an MLflow server with versions to fetch."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local.fetch_bench import Bench
from tests.local.laptop import DOCUMENT, Laptop, write_rows
from tests.local.mlflow_server import MlflowServer, Shop
from tests.unit.test_signing import write_key
from trimtab.platforms.registry import MlflowRegistry
from trimtab.platforms.signer import Signer
from trimtab.training import tracking


@pytest.fixture(scope="session")
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose state has a first version, with nothing running."""
    folder = tmp_path_factory.mktemp("template")
    write_rows(folder / "rows.csv", 6000, changes_at=1200)
    write_rows(folder / "calm.csv", 6000)
    (folder / "model.yaml").write_text(DOCUMENT.format(approval="automatic"))
    laptop = Laptop(folder)
    try:
        laptop.up()
        laptop.down()
    finally:
        laptop.end()
    return folder


@pytest.fixture
def laptop(served_once: Path, tmp_path: Path) -> Iterator[Laptop]:
    """The platform, down, with a first version in its state."""
    shutil.copytree(served_once / "state", tmp_path / "state")
    made = Laptop(served_once, tmp_path / "state")
    yield made
    made.end()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[[str], Laptop]]:
    """An empty folder with data and the given document; nothing was ever up."""
    made = Laptop(tmp_path)

    def make(document: str = DOCUMENT.format(approval="automatic")) -> Laptop:
        write_rows(tmp_path / "rows.csv", 1400)
        (tmp_path / "model.yaml").write_text(document)
        return made

    yield make
    made.end()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    made = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    yield made
    made.end()


@pytest.fixture(scope="session")
def shop(server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"), server)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The controller's key and certificate, and a stranger's."""
    folder = tmp_path_factory.mktemp("keys")
    certificates = {name: write_key(folder / f"{name}.key") for name in ("ours", "theirs")}
    return {"folder": folder, **certificates}


@pytest.fixture(scope="session")
def registry(server: MlflowServer, keys: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> MlflowRegistry:
    return MlflowRegistry(server.uri, tmp_path_factory.mktemp("cache"), Signer(keys["folder"] / "ours.key"))


@pytest.fixture(scope="session")
def client(server: MlflowServer) -> Any:
    return tracking.client(server.uri)


@pytest.fixture
def bench(shop: Shop, registry: MlflowRegistry, client: Any, keys: dict[str, Any], tmp_path: Path) -> Bench:
    return Bench(shop, registry, client, keys["ours"], f"uid-{tmp_path.name}", tmp_path)
