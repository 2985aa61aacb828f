"""What the tests of the Kubernetes adapters share: an API server of their own."""

from collections.abc import Iterator

import pytest

from tests.unit.platforms.kubernetes.api_server import ApiServer, running
from trimtab.platforms.kubernetes.api import Api


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with running() as made:
        yield made


@pytest.fixture
def api(server: ApiServer) -> Api:
    return Api(server.client())
