"""What the kubelet and Prometheus get, over real HTTP."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trimtab.platforms.kubernetes.endpoints import Numbers, serve


class World:
    """The end-points with what their checks say."""

    def __init__(self) -> None:
        self.healthy = self.ready = ""
        self.numbers = Numbers()
        self.server = serve(0, self.numbers, lambda: self.healthy, lambda: self.ready)

    def ask(self, path: str) -> tuple[int, str, str]:
        """Status, content type and text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.server.server_port}{path}", timeout=10) as answer:
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read().decode()


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    made = World()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def world(shared: World) -> World:
    shared.healthy = shared.ready = ""
    return shared


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_all_is_well(world: World, path: str) -> None:
    assert world.ask(path) == (200, "text/plain; charset=utf-8", "ok\n")


def test_each_check_is_its_own_and_is_made_at_each_request(world: World) -> None:
    world.healthy = "a look has lasted 301 s"
    assert world.ask("/healthz") == (503, "text/plain; charset=utf-8", "a look has lasted 301 s\n")
    assert world.ask("/readyz")[0] == 200
    world.healthy, world.ready = "", "the Lease is not held"
    assert world.ask("/healthz")[0] == 200
    assert world.ask("/readyz") == (503, "text/plain; charset=utf-8", "the Lease is not held\n")


@pytest.mark.parametrize("path", ["/", "/metrics/x", "/models", "/healthz/"])
def test_nothing_else_is_there(world: World, path: str) -> None:
    status, _, text = world.ask(path)
    assert status == 404
    assert "/metrics, /healthz and /readyz" in text


def test_the_numbers_are_prometheus_text(world: World) -> None:
    numbers = world.numbers
    numbers.requests.labels("GET").inc(3)
    numbers.looks.inc()
    numbers.decisions.labels("ChampionSwapped").inc()
    numbers.waiting.set(7)
    numbers.held.set(1)
    numbers.models.labels("True").set(2)
    numbers.releases.labels("Rollout").set(4)
    numbers.problems.set(5)
    status, content, text = world.ask("/metrics")
    assert status == 200
    assert content.startswith("text/plain; version=")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {(one.name, *one.labels.values()): one.value for one in samples if not one.name.endswith("_created")} == {
        ("trimtab_api_requests_total", "GET"): 3,
        ("trimtab_looks_total",): 1,
        ("trimtab_decisions_total", "ChampionSwapped"): 1,
        ("trimtab_queue_depth",): 7,
        ("trimtab_lease_held",): 1,
        ("trimtab_models", "True"): 2,
        ("trimtab_releases", "Rollout"): 4,
        ("trimtab_problems",): 5,
        ("trimtab_notifications_behind",): 0,
    }
    assert b"trimtab_looks_total 0.0" in Numbers().page(), "two sets of numbers are two"


def test_a_request_leaves_no_line_in_the_logs(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.ask("/healthz")
    world.ask("/nothing")
    assert capfd.readouterr() == ("", "")
