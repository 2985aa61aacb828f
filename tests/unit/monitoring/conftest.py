"""A monitor over a model folder written by hand, with the real detector worker."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trimtab.events import CloudEvent
from trimtab.monitoring.detectors.tabular import TabularDrift
from trimtab.monitoring.monitor import Monitor
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.store import Store

from .folders import DETECTORS, MemoryFleet, ScipyDetector, model, write_folder


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store.db")
    yield made
    made.close()


@pytest.fixture(scope="session")
def version(tmp_path_factory: pytest.TempPathFactory) -> WatchedVersion:
    return write_folder(tmp_path_factory.mktemp("versions") / "1")


@pytest.fixture(scope="session")
def detector() -> Iterator[TabularDrift]:
    made = TabularDrift(DETECTORS)
    yield made
    made.close()


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
