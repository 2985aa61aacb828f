"""A monitor over a model folder written by hand, with the real detector worker."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trimtab.cage import Cage
from trimtab.events import CloudEvent
from trimtab.monitoring.detectors.asking import caged
from trimtab.monitoring.detectors.tabular import TabularDrift
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.store import Store

from .folders import DETECTORS, MemoryFleet, ScipyDetector, model, write_folder
from .postgres import database, programs, server


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    place = programs()
    if place is None:
        pytest.skip("there is no PostgreSQL on this machine: neither initdb on the PATH nor /usr/lib/postgresql")
    with server(place) as url:
        yield url


@pytest.fixture
def postgres(postgres_server: str) -> str:
    return database(postgres_server)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store.db" if request.param == "sqlite" else request.getfixturevalue("postgres"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> WatchedVersion:
    return write_folder(tmp_path_factory.mktemp("versions") / "1")


@pytest.fixture(scope="session")
def cage() -> Iterator[Cage]:
    made = caged(DETECTORS)
    yield made
    made.close()


@pytest.fixture(scope="session")
def detector(cage: Cage) -> TabularDrift:
    return TabularDrift(cage)


@pytest.fixture
def sent() -> list[CloudEvent]:
    return []


@pytest.fixture
def fleet(version: WatchedVersion) -> MemoryFleet:
    return MemoryFleet(Watched(model(), version))


@pytest.fixture
def monitor(tmp_path: Path, fleet: MemoryFleet, sent: list[CloudEvent]) -> Iterator[Monitor]:
    made = Monitor(tmp_path / "monitor.db", fleet, ScipyDetector(), sent.append, replaying=True)
    yield made
    made.settle()
    made.stop()
