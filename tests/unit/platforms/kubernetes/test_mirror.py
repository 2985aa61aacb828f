"""The route that copies requests to a candidate: when it comes, what it says, and that it goes before anything else moves."""

import pytest
from msgspec.structs import replace

from tests.unit.platforms.kubernetes.kserve_world import World, adapter, isvc, model, plan, walk
from trimtab.platforms.kubernetes.mirror import mirror_name, read_mirror
from trimtab.platforms.kubernetes.resources import HTTP_ROUTES
from trimtab.platforms.kubernetes.serving import SETTLE_SECONDS

MODEL = model()


@pytest.fixture
def world():
    """A world in which version 3 answers and 4 is ready beside it."""
    world = World()
    walk(world, adapter(world), plan(MODEL, v3=100, v4=0))
    return world


def shadow():
    """Version 3 answers, and 4 is asked copies."""
    made = plan(MODEL, v3=100, v4=0)
    return replace(made, arms=(made.arms[0], replace(made.arms[1], mirrored=True)))


def route(world):
    return world.get(HTTP_ROUTES, "crm", mirror_name("bike"))


def on(paths):
    return {"path": {"type": "RegularExpression", "value": paths}}


def mirrored(serving):
    return {one.version: one.mirrored for one in serving.observe(MODEL)}


def test_it_says_what_kserves_rule_says_but_that_the_champion_answers_and_the_candidate_gets_copies(world):
    serving = adapter(world)
    assert mirrored(serving) == {"3": False, "4": False}
    walk(world, serving, shadow())
    assert mirrored(serving) == {"3": False, "4": True}
    metadata, spec = route(world)["metadata"], route(world)["spec"]
    assert metadata["ownerReferences"][0]["uid"] == "i-1", "it ends with the InferenceService"
    assert (spec["parentRefs"], spec["hostnames"]) == (
        [{"kind": "Gateway", "namespace": "gateways", "name": "ingress"}],
        ["bike-crm.example.com"],
    )
    service = {"kind": "Service", "port": 80}
    copies = {"type": "RequestMirror", "requestMirror": {"backendRef": {**service, "name": "bike-v4-predictor"}}}
    answered = {"timeouts": {"request": "60s"}, "backendRefs": [{**service, "name": "bike-v3-predictor"}]}
    theirs = {"type": "RequestHeaderModifier"}
    assert spec["rules"] == [
        {**answered, "matches": [on("^(/.*)$")], "filters": [copies, theirs]},
        {**answered, "matches": [on(r"^/inference\.GRPCInferenceService/.*$")], "filters": [theirs]},
    ]
    writes = len(world.requests)
    for _ in range(5):
        serving.apply(shadow())
    assert len(world.requests) == writes, "what is as it shall be is not written again"


def test_it_goes_before_the_candidate_gets_any_weight(world):
    walk(world, adapter(world), shadow())
    serving = adapter(world)
    assert not serving.settled(plan(MODEL, v3=95, v4=5))
    serving.apply(plan(MODEL, v3=95, v4=5))
    assert route(world) is None
    assert isvc(world)["spec"]["canary"][0]["trafficPercent"] == 0
    assert walk(world, serving, plan(MODEL, v3=95, v4=5))[-1] == "v3 v4:5"


def test_it_goes_some_time_before_the_candidate_is_dropped(world):
    serving = adapter(world)
    walk(world, serving, shadow())
    world.now += 10 * SETTLE_SECONDS
    serving.apply(plan(MODEL, v3=100))
    assert route(world) is None
    serving.apply(plan(MODEL, v3=100))
    assert isvc(world)["spec"]["canary"], "the gateway may still be sending copies"
    assert walk(world, serving, plan(MODEL, v3=100))[-1] == "v3"


def test_it_does_not_come_while_another_version_has_a_share(world):
    serving = adapter(world)
    walk(world, serving, plan(MODEL, v3=50, v4=50))
    serving.apply(shadow())
    assert route(world) is None
    walk(world, serving, shadow())
    assert mirrored(serving) == {"3": False, "4": True}


def test_a_route_that_the_gateway_has_not_taken_copies_nothing(world):
    walk(world, adapter(world), shadow())
    assert read_mirror(route(world), "bike").version == "4"
    assert read_mirror({**route(world), "status": {}}, "bike").version == ""
    assert read_mirror(None, "bike").version == ""
