"""What the cluster tests share: any cluster that KUBECONFIG names will do, kind included; without one they are skipped, saying so."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.installation import install, uninstall
from tests.cluster.tools import ROOT, kubectl
from trimtab.platforms.kubernetes.api import Api, connect

ORDER = ("crds", "crds_over_time", "admission", "kubectl", "objects", "job", "serving", "monitor_auth", "install", "loop", "crashes")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs no installation comes first, what ends it comes last."""
    places = {f"test_{name}.py": place for place, name in enumerate(ORDER)}
    last = {"test_leaving.py": len(ORDER) + 1}
    items.sort(key=lambda item: {**places, **last}.get(item.path.name, len(ORDER)))


@pytest.fixture(scope="session")
def api() -> Api:
    """The API server, as whoever the kubeconfig says."""
    return Api(connect())


@pytest.fixture(scope="session")
def crds() -> Path:
    """The CRDs are installed; they stay, for other tests run beside this one."""
    folder = ROOT / "manifests" / "crds"
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager", "helm", "-f", str(folder))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(folder))
    return folder


@pytest.fixture(scope="session")
def installation() -> Iterator[None]:
    """Trimtab by Helm; it is taken away at the end unless TRIMTAB_KEEP is set."""
    install()
    yield
    if not os.environ.get("TRIMTAB_KEEP"):
        uninstall()
