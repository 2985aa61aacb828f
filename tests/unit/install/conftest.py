"""The chart's generator and the images' builder, which are scripts beside the package and not in it."""

import importlib.util
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def script(path):
    """The module of a script."""
    spec = importlib.util.spec_from_file_location(f"script_{Path(path).stem}_{Path(path).parent.name}", ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def generate():
    return script("helm/generate.py")


@pytest.fixture(scope="session")
def builder():
    return script("images/build.py")


@pytest.fixture
def helm():
    found = shutil.which("helm")
    if not found:
        pytest.skip("helm is not on the PATH: the chart cannot be rendered")
    return found
