"""The route by which callers are assigned: what follows what, and what stands there on the way."""

import pytest
from msgspec.structs import replace

from tests.unit.platforms.kubernetes.kserve_world import World, adapter, isvc, model, plan
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.resources import BACKEND_TRAFFIC_POLICIES, HTTP_ROUTES
from trimtab.platforms.kubernetes.route import read_route
from trimtab.platforms.kubernetes.serving import SETTLE_SECONDS
from trimtab.platforms.kubernetes.split import Split, effective, next_split, read_split, split_clusters, split_route

MODEL = model()
HEADER = "x-user-id"
NAME = "bike-trimtab-ab"
PAIR = ("3", "4")


def sticky(**weights):
    return replace(plan(MODEL, **weights), sticky=HEADER)


def parked(percent=0, pair=PAIR):
    return Split(HEADER, pair, percent, is_open=False)


def opened(percent=0, pair=PAIR):
    return Split(HEADER, pair, percent, is_open=True)


HALF = sticky(v3=50, v4=50)
OVER = plan(MODEL, v3=0, v4=100)
CASES = [
    ("nobody is assigned to a dark version", sticky(v3=100, v4=0), {"3": 100}, None, True, None, False),
    ("nor in a canary", plan(MODEL, v3=50, v4=50), {"3": 50, "4": 50}, None, True, None, False),
    ("the clusters come first", HALF, {"3": 100}, None, False, parked(), True),
    ("and are waited for", HALF, {"3": 100}, parked(), False, parked(), True),
    ("then callers come, to the champion", HALF, {"3": 100}, parked(), True, opened(0), True),
    ("KServe's route goes on", HALF, {"3": 100}, opened(0), True, opened(0), False),
    ("and callers follow it", HALF, {"3": 50, "4": 50}, opened(0), False, opened(50), False),
    ("to a larger share, not before KServe's route", sticky(v3=20, v4=80), {"3": 50, "4": 50}, opened(50), True, opened(50), False),
    ("to a smaller share at once", sticky(v3=90, v4=10), {"3": 50, "4": 50}, opened(50), True, opened(10), False),
    ("a candidate that KServe takes off has no callers", HALF, {"3": 100}, opened(50), True, opened(0), False),
    ("a loser has no callers at once", sticky(v3=100, v4=0), {"3": 50, "4": 50}, opened(50), True, opened(0), False),
    ("KServe's route takes over from the split", sticky(v3=100, v4=0), {"3": 100}, opened(0), True, parked(0), True),
    ("whose clusters stay for a moment", sticky(v3=100, v4=0), {"3": 100}, parked(0), False, parked(0), True),
    ("and go", sticky(v3=100, v4=0), {"3": 100}, parked(0), True, None, True),
    ("a winner waits for KServe's route", OVER, {"3": 50, "4": 50}, opened(50), True, opened(50), False),
    ("which then takes over", OVER, {"4": 100}, opened(50), True, parked(50), True),
    ("a candidate that vanished from the plan", plan(MODEL, v3=100), {"3": 50, "4": 50}, opened(50), True, opened(0), False),
    ("another test has to wait for the end of the last", sticky(v3=50, v5=50), {"3": 100}, opened(50), True, parked(50), True),
    ("so has one by another header", HALF, {"3": 100}, Split("x-other", PAIR, 50, True), True, Split("x-other", PAIR, 50, False), True),
]


@pytest.mark.parametrize(
    ("of", "route", "present", "settled", "following", "waits"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_follows(of, route, present, settled, following, waits):
    assert next_split(of, route, present, settled) == (following, waits)


class Gateway(World):
    """A World whose gateway takes every route and policy."""

    def __init__(self, controller="gateway.envoyproxy.io/gatewayclass-controller", refuses=""):
        super().__init__()
        self.controller, self.refuses = controller, refuses

    def turn(self):
        """KServe and the gateway do their part, and a moment passes."""
        self.kserve()
        for (kind, _, _), document in self.objects.items():
            generation = document["metadata"].setdefault("generation", 1)
            condition = {"type": "Accepted", "status": "True", "observedGeneration": generation}
            if kind == "HTTPRoute":
                document["status"] = {"parents": [{"controllerName": self.controller, "conditions": [condition]}]}
            if kind == "BackendTrafficPolicy":
                said = {"status": "False", "message": self.refuses} if self.refuses else {}
                document["status"] = {"ancestors": [{"conditions": [{**condition, **said}]}]}
        self.now += SETTLE_SECONDS / 2

    def split(self):
        return read_split(self.get(HTTP_ROUTES, "crm", NAME), "bike")

    def canary(self):
        return {one["predictor"]["name"]: one["trafficPercent"] for one in (isvc(self) or {"spec": {}})["spec"].get("canary") or []}


def walk(world, following, serving=None):
    """Apply the plan by a controller that is started anew each time, unless one is given; returns what was there on the way."""
    seen = []
    moments = 0
    for _ in range(60):
        acting = serving or adapter(world)
        acting.apply(following)
        if serving is None:
            world.now += SETTLE_SECONDS
            acting.apply(following)
        split = world.split()
        state = (split and ("open" if split.is_open else "parked", split.percent), world.canary().get("v4"))
        if seen[-1:] != [state]:
            seen.append(state)
        world.turn()
        acting.observe(MODEL)
        moments = moments + 1 if acting.settled(following) else 0
        if moments > 1:
            return seen
    raise AssertionError(seen)


@pytest.mark.parametrize("crashing", [False, True], ids=["one controller", "one that is started anew at every step"])
def test_a_test_from_its_first_share_to_its_end(crashing):
    world = Gateway()
    serving = None if crashing else adapter(world)

    def weights():
        return {one.version: one.weight for one in (serving or adapter(world)).observe(MODEL)}

    walk(world, plan(MODEL, v3=100), serving)
    walk(world, sticky(v3=100, v4=0), serving)
    began = walk(world, HALF, serving)
    assert began[:2] == [(("parked", 0), 0), (("open", 0), 0)], "KServe's route waits for the split"
    assert began[-1] == (("open", 50), 50)
    assert weights() == {"3": 50, "4": 50}
    ended = walk(world, sticky(v3=100, v4=0), serving)
    assert ended[0] == (("open", 0), 1), "nobody is assigned to a loser any more, at once"
    assert (("parked", 0), 0) in ended
    assert ended[-1] == (None, 0)
    assert weights() == {"3": 100, "4": 0}
    assert [key for key in world.objects if NAME in key] == []

    walk(world, HALF, serving)
    won = walk(world, OVER, serving)
    assert [state for state in won if state[0] is None] == [(None, 100)]
    assert weights() == {"3": 0, "4": 100}
    writes = len(world.requests)
    (serving or adapter(world)).observe(MODEL)
    assert len(world.requests) == writes


def test_what_stands_there():
    world = Gateway()
    serving = adapter(world)
    walk(world, plan(MODEL, v3=100), serving)
    walk(world, HALF, serving)
    policy, route = (world.get(kind, "crm", NAME) for kind in (BACKEND_TRAFFIC_POLICIES, HTTP_ROUTES))
    assert policy["spec"]["targetRefs"][0]["sectionName"] == route["spec"]["rules"][1]["name"]
    assert policy["spec"]["loadBalancer"]["consistentHash"] == {"type": "Headers", "headers": [{"name": HEADER}]}
    for document in (policy, route):
        assert document["metadata"]["ownerReferences"][0]["uid"] == "i-1"
    others, assigned = route["spec"]["rules"]
    assert [ref["name"] for ref in others["backendRefs"]] == ["bike-v3-predictor"]
    assert [ref["name"] for ref in assigned["backendRefs"]] == ["bike-v3-predictor", "bike-v4-predictor"]
    assert all(ref["filters"] for ref in assigned["backendRefs"]), "else they are one cluster, without weights"
    total = sum(ref["weight"] for ref in assigned["backendRefs"])
    assert 0 < total <= 1_000_000


def test_another_gateway_than_envoy_gateway_is_a_sentence_and_nothing_is_begun():
    world = Gateway(controller="istio.io/gateway-controller")
    serving = adapter(world)
    walk(world, plan(MODEL, v3=100), serving)
    walk(world, sticky(v3=100, v4=0), serving)
    with pytest.raises(
        InvalidInput, match=r"ab: callers are assigned by Envoy Gateway, 1\.9 or later, and KServe routes through istio\.io"
    ):
        serving.apply(HALF)
    assert (world.split(), world.canary()) == (None, {"v4": 0})
    walk(world, sticky(v3=100, v4=0), serving)
    walk(world, plan(MODEL, v3=100), serving)


def test_a_policy_that_the_gateway_refuses_is_a_sentence_and_nobody_is_assigned():
    world = Gateway(refuses="no such field")
    serving = adapter(world)
    walk(world, plan(MODEL, v3=100), serving)
    with pytest.raises(InvalidInput, match="does not assign callers by BackendTrafficPolicy crm/bike-trimtab-ab: no such field"):
        walk(world, HALF, serving)
    assert not world.split().is_open
    walk(world, plan(MODEL, v3=100), serving)
    assert world.split() is None


def test_callers_meet_the_split_while_it_is_open_and_kserves_route_while_it_is_parked():
    world = Gateway()
    serving = adapter(world)
    walk(world, plan(MODEL, v3=100), serving)
    walk(world, HALF, serving)
    kserve, split = (world.get(HTTP_ROUTES, "crm", name) for name in ("bike", NAME))
    route = read_route(kserve, "bike")
    met = effective(route, split, "bike")
    assert met.weights == {"3": 50, "4": 50}
    assert met.mark not in (route.mark, read_route(split, "bike").mark), "a change of either is another route"
    cluster = "httproute/crm/bike-trimtab-ab/rule/1/backend"
    assert split_clusters(split, "bike") == {"3": f"{cluster}/0", "4": f"{cluster}/1"}
    closed = {**split, "spec": split_route(isvc(world), [kserve], MODEL, parked(50))["spec"]}
    assert (effective(route, closed, "bike"), split_clusters(closed, "bike")) == (route, {})
    assert (effective(route, None, "bike"), split_clusters(None, "bike")) == (route, {})
