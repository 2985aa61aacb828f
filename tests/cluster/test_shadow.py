"""A candidate that is asked copies, on a real API server, gateway and KServe: no caller gets an answer of it, whatever it does."""

import urllib.request

import pytest
from msgspec.structs import replace

from tests.cluster.kserve_tiny import Load, Site
from tests.cluster.test_serving import crash
from tests.cluster.tools import needs_cluster, until
from trimtab.platforms.kubernetes.mirror import mirror_name
from trimtab.platforms.kubernetes.resources import HTTP_ROUTES, INFERENCE_SERVICES
from trimtab.platforms.kubernetes.traffic import GatewayTraffic
from trimtab.release import ServingPlan

pytestmark = needs_cluster


@pytest.fixture(scope="module")
def site():
    site = Site("shadow")
    yield site
    site.close()


def shadowed(site: Site, model) -> ServingPlan:
    """Version 3 answers, and 4 is asked copies."""
    plan = site.plan(model, v3=100, v4=0)
    return replace(plan, arms=(plan.arms[0], replace(plan.arms[1], mirrored=True)))


def shadow(site, model):
    plan = shadowed(site, model)
    site.push(plan, lambda: site.seen(model)["4"].mirrored and site.serving.settled(plan))


def blocks_until(traffic, model, enough):
    """Blocks, read on until there is enough of them; the champion is 3 and the candidate 4."""
    cursor, found = {}, []

    def read() -> bool:
        nonlocal cursor
        blocks, cursor = traffic.arms(model, "3", "4", 250, cursor)
        found.extend(blocks)
        return enough(found)

    until(read)
    return found


def counted_and_timed(blocks):
    """Enough copies are counted, and Envoy tells how long they took, which it does some seconds later."""
    return sum(block.candidate.requests for block in blocks) >= 200 and sum(sum(block.candidate.times) for block in blocks) > 0


def test_copies_are_counted_and_judged_and_callers_get_the_champions_answers_alone(site):
    model = site.model("good")
    site.reach(model, v3=100)
    with Load(site, model) as load:
        site.reach(model, v3=100, v4=0)
        shadow(site, model)
        found = blocks_until(GatewayTraffic(site.api), model, counted_and_timed)
        champion, candidate = (sum(getattr(block, arm).requests for block in found) for arm in ("champion", "candidate"))
        assert abs(champion - candidate) <= 3 * 3 * len(found), "each request went to both"
        assert sum(block.candidate.errors + block.champion.errors for block in found) == 0
        assert all(block.weight == 0 for block in found)
        assert set(load.answers) == {(200, "3")}
        site.reach(model, v3=80, v4=20)
        assert site.api.get(HTTP_ROUTES, site.namespace, mirror_name("good")) is None
        load.more(20, "4")
        site.reach(model, v3=0, v4=100)
        site.reach(model, v4=100)
        assert load.failed == {}


def test_every_path_is_copied_but_grpc(site):
    model = site.model("paths")
    site.reach(model, v3=100)
    site.reach(model, v3=100, v4=0)
    shadow(site, model)
    address, host = site.gateway(model)
    traffic, cursor, copies = GatewayTraffic(site.api), {}, {}
    paths = ("/v1/models/paths:predict", "/", "/inference.GRPCInferenceService/ModelInfer")

    def read() -> int:
        nonlocal cursor
        blocks, cursor = traffic.arms(model, "3", "4", 250, cursor)
        return sum(block.candidate.requests for block in blocks)

    def ask(path: str) -> None:
        request = urllib.request.Request(f"http://{address}{path}", b"{}", {"host": host, "content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.headers["x-trimtab-version"] == "3"

    until(lambda: ask("/") or read())
    for path in paths:
        for _ in range(10):
            ask(path)
        seen: list[int] = []
        until(lambda seen=seen: seen.append(read()) or len(seen) >= 5)
        copies[path] = sum(seen)
    assert copies == {paths[0]: 10, paths[1]: 10, paths[2]: 0}


def test_a_candidate_that_fails_stalls_or_crashes_in_shadow_touches_no_caller_and_is_withdrawn(site):
    model = site.model("bad")
    site.reach(model, v3=100)
    with Load(site, model, body={"fail": ["4"], "delay": {"4": 1.5}}) as load:
        site.reach(model, v3=100, v4=0)
        shadow(site, model)
        traffic = GatewayTraffic(site.api)
        found = blocks_until(traffic, model, lambda blocks: sum(block.candidate.slow for block in blocks) >= 20)
        assert sum(block.candidate.errors for block in found) >= 20
        assert sum(block.champion.errors + block.champion.slow for block in found) == 0
        crash(site.service_url(model, "4"))
        until(lambda: site.seen(model)["4"].restarts == 1 and site.seen(model)["4"].ready)
        load.more(100)
        site.reach(model, v3=100)
        load.more(100)
        assert set(load.answers) == {(200, "3")}
    assert site.api.get(HTTP_ROUTES, site.namespace, mirror_name("bad")) is None


def test_another_controller_goes_on_where_one_ended_and_copies_end_with_the_inference_service(site):
    model = site.model("ends")
    site.reach(model, v3=100)
    site.reach(model, v3=100, v4=0)
    site.serving.apply(shadowed(site, model))
    other = site.adapter()
    until(lambda: {one.version: one.mirrored for one in other.observe(model)} == {"3": False, "4": True})
    before = site.api.get(HTTP_ROUTES, site.namespace, mirror_name("ends"))
    other.apply(shadowed(site, model))
    after = site.api.get(HTTP_ROUTES, site.namespace, mirror_name("ends"))
    assert before["metadata"]["generation"] == after["metadata"]["generation"], "applied once"
    site.api.delete(INFERENCE_SERVICES, site.namespace, "ends")
    until(lambda: site.api.get(HTTP_ROUTES, site.namespace, mirror_name("ends")) is None)
