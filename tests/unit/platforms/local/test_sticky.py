"""Callers who are assigned by a header's value, on a real Envoy."""

import http.client
import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from scipy.stats import binomtest

from tests.unit.platforms.local.upstreams import PATH, Upstream, ask
from trimtab.platforms.assignment import assigned_weights
from trimtab.platforms.local.envoy import Envoy
from trimtab.platforms.local.processes import free_port
from trimtab.platforms.local.serving import _clusters
from trimtab.platforms.local.traffic import EnvoyTraffic
from trimtab.spec import Data, Metadata, Model, ModelSpec

MODEL = Model("trimtab.dev/v1alpha1", "Model", Metadata("bike"), ModelSpec(task="regression", data=Data(uri="x.csv", label="demand")))
HEADER = "x-user-id"
CALLERS = [f"user-{number}" for number in range(10_000)]


@pytest.fixture(scope="module")
def versions():
    found = {version: Upstream() for version in ("3", "4", "5")}
    yield found
    for upstream in found.values():
        upstream.close()


@pytest.fixture
def envoy(tmp_path):
    envoy = Envoy(tmp_path, free_port())
    envoy.start()
    yield envoy
    envoy.close()


def assign(envoy, versions, candidate, share):
    weights = assigned_weights(MODEL, {"3": 100 - share, candidate: share})
    assert envoy.publish_clusters(_clusters({f"bike/{name}": upstream.port for name, upstream in versions.items()}))
    assert envoy.publish_routes({"bike": weights}, sticky={"bike": HEADER})


def served(envoy, callers):
    """The version that each caller gets."""

    def part(some):
        connection = http.client.HTTPConnection("127.0.0.1", envoy.port, timeout=15)
        found = {}
        for caller in some:
            connection.request("POST", PATH, b"{}", {HEADER: caller})
            answer = connection.getresponse()
            answer.read()
            found[caller] = answer.getheader("x-trimtab-version")
        connection.close()
        return found

    with ThreadPoolExecutor(4) as pool:
        return {caller: version for found in pool.map(part, (callers[place::4] for place in range(4))) for caller, version in found.items()}


def test_a_caller_keeps_its_version_and_the_split_is_the_share(envoy, versions, tmp_path):
    assign(envoy, versions, "4", 30)
    with envoy.admin() as admin:
        route = admin.routes()["bike"]
    assert (route.sticky, route.percent("3"), route.percent("4")) == (HEADER, 70, 30)
    first = served(envoy, CALLERS)
    theirs = sum(version == "4" for version in first.values())
    assert set(first.values()) == {"3", "4"}
    assert binomtest(theirs, len(CALLERS), 0.3).pvalue > 0.001, theirs
    some = CALLERS[:1000]
    assert served(envoy, some) == {caller: first[caller] for caller in some}, "asked again"

    os.kill(envoy.pid, signal.SIGKILL)
    envoy._process.wait()
    envoy.tend()
    assert served(envoy, some) == {caller: first[caller] for caller in some}, "after a restart of the gateway"

    other = Envoy(tmp_path / "other", free_port())
    other.start()
    try:
        assign(other, versions, "4", 30)
        assert served(other, some) == {caller: first[caller] for caller in some}, "by another replica of the gateway"
    finally:
        other.close()


def test_a_larger_share_only_moves_callers_to_the_candidate(envoy, versions):
    some, before = CALLERS[:1500], set()
    for share in (1, 10, 50, 99):
        assign(envoy, versions, "4", share)
        found = {caller for caller, version in served(envoy, some).items() if version == "4"}
        assert before <= found
        assert binomtest(len(found), len(some), share / 100).pvalue > 0.001, (share, len(found))
        before = found


def test_the_next_test_of_the_model_draws_its_callers_anew(envoy, versions):
    some = CALLERS[:2000]
    assign(envoy, versions, "4", 50)
    first = served(envoy, some)
    assign(envoy, versions, "5", 50)
    second = served(envoy, some)
    both = sum(first[caller] == "4" and second[caller] == "5" for caller in some)
    had = sum(version == "4" for version in first.values())
    assert binomtest(both, had, 0.5).pvalue > 0.001, "who had the last candidate gets the next one no more often than others"


def test_callers_without_the_header_get_the_champion_and_are_in_no_comparison(envoy, versions):
    assign(envoy, versions, "4", 99)
    traffic = EnvoyTraffic(envoy)
    _, cursor = traffic.arms(MODEL, "3", "4", 250, {})
    for headers in ({}, {HEADER: ""}, {"x-other": "user-1"}):
        assert {ask(envoy.port, headers=headers) for _ in range(20)} == {(200, "3")}
    assert traffic.arms(MODEL, "3", "4", 250, cursor)[0] == []
    found = served(envoy, CALLERS[:200])
    [block], _ = traffic.arms(MODEL, "3", "4", 250, cursor)
    assert block.weight == 99
    assert {"3": block.champion.requests, "4": block.candidate.requests} == {
        version: sum(one == version for one in found.values()) for version in ("3", "4")
    }


def test_only_the_gateway_says_who_is_assigned(envoy, versions):
    assign(envoy, versions, "4", 50)
    forged = {"x-trimtab-assigned": "4"}
    for headers in (forged, {**forged, HEADER: "somebody"}):
        _, version = ask(envoy.port, headers=headers)
        found = versions[version].headers[-1].get("x-trimtab-assigned")
        assert found == (version if HEADER in headers else None)
    with envoy.admin() as admin:
        assert envoy.publish_routes({"bike": admin.routes()["bike"].weights})
    _, version = ask(envoy.port, headers=forged)
    assert "x-trimtab-assigned" not in versions[version].headers[-1]


def test_the_header_is_a_part_of_the_route_that_is_confirmed(envoy, versions):
    assign(envoy, versions, "4", 50)
    with envoy.admin() as admin:
        sticky = admin.routes()["bike"]
    assert envoy.publish_routes({"bike": sticky.weights})
    with envoy.admin() as admin:
        random = admin.routes()["bike"]
    assert (random.weights, random.sticky) == (sticky.weights, "")
    assert random.generation != sticky.generation, "what was counted before is not compared with what comes after"


def test_the_weights_stand_for_the_percents_and_two_tests_have_two_sums():
    sums = set()
    for candidate in ("4", "5", "6"):
        for share in range(101):
            weights = assigned_weights(MODEL, {"3": 100 - share, candidate: share})
            total = sum(weights.values())
            assert [round(100 * weight / total) for weight in weights.values()] == [100 - share, share]
            assert all(0 <= weight <= 1_000_000 for weight in weights.values()), "what a Gateway API backend may have"
            sums.add(total)
    assert len(sums) == 3
    assert all(total % divisor for total in sums for divisor in range(2, 1000)), "primes"
