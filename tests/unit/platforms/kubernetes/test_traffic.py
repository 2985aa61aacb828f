"""Counters by Service become blocks: pure cases first, then a scrape over HTTP of proxies that come, go, start anew and fall silent."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from tests.unit.platforms.kubernetes import kserve_world
from trimtab.errors import Unavailable
from trimtab.platforms.kubernetes import traffic as module
from trimtab.platforms.kubernetes.blocks import PATIENCE, ROUTE, Reading, advance, with_unanswered
from trimtab.platforms.kubernetes.envoy_stats import cluster_counts, clusters, parse, predictor_counts
from trimtab.platforms.kubernetes.mirror import mirror_route
from trimtab.platforms.kubernetes.resources import HTTP_ROUTES
from trimtab.platforms.kubernetes.traffic import CANNOT_TELL, GatewayTraffic
from trimtab.release import ArmCounts, Block

START = datetime(2026, 1, 1, tzinfo=UTC)
SETTLE = timedelta(seconds=2)
NAME = "service/crm/bike-v4-predictor/80/http"

SCRAPE = f"""# TYPE envoy_cluster_upstream_rq_xx counter
envoy_cluster_upstream_rq_xx{{envoy_response_code_class="2",envoy_cluster_name="{NAME}"}} 90
envoy_cluster_upstream_rq_xx{{envoy_response_code_class="4",envoy_cluster_name="{NAME}"}} 3
envoy_cluster_upstream_rq_xx{{envoy_response_code_class="5",envoy_cluster_name="{NAME}"}} 7
envoy_cluster_external_upstream_rq_xx{{envoy_response_code_class="5",envoy_cluster_name="{NAME}"}} 7
envoy_cluster_upstream_rq_timeout{{envoy_cluster_name="{NAME}"}} 2
envoy_cluster_upstream_rq_time_bucket{{envoy_cluster_name="{NAME}",le="100"}} 60
envoy_cluster_upstream_rq_time_bucket{{envoy_cluster_name="{NAME}",le="250"}} 93
envoy_cluster_upstream_rq_time_bucket{{envoy_cluster_name="{NAME}",le="+Inf"}} 98
envoy_cluster_upstream_rq_time_count{{envoy_cluster_name="{NAME}"}} 98
envoy_cluster_upstream_rq_total{{envoy_cluster_name="service/crm/other/80/http"}} 5
"""


def test_a_scrape_is_counted_by_cluster():
    samples = list(parse(SCRAPE))
    assert cluster_counts(samples, NAME, 250) == ArmCounts(100, 10, 7)
    assert cluster_counts(samples, NAME, 100) == ArmCounts(100, 10, 40)
    assert cluster_counts(samples, "service/crm/other/80/http", 250) == ArmCounts()
    assert clusters(samples) == {NAME, "service/crm/other/80/http"}


def test_a_predictors_own_counters():
    text = 'trimtab_requests_total{code="200",version="4"} 9.0\ntrimtab_requests_total{code="500",version="4"} 1.0\n'
    assert predictor_counts(parse(text), 250) == ArmCounts(10, 1, 0)
    text += 'trimtab_request_seconds_bucket{le="0.25"} 6\ntrimtab_request_seconds_count 10\n'
    assert predictor_counts(parse(text), 250) == ArmCounts(10, 1, 4)


def reading(seconds=0.0, since=-10.0, sources=None, **changes):
    values = {"by": "gateway", "generation": "7", "champion": "3", "candidate": "4", "slow_ms": 250, "weight": 20, **changes}
    at, first = (START + timedelta(seconds=moment) for moment in (seconds, since))
    return Reading(at=at, since=first, sources=sources or {}, **values)


def proxy(stable=(0, 0, 0), new=(0, 0, 0)):
    return {"3": ArmCounts(*stable), "4": ArmCounts(*new)}


def step(last, here, present=("a", "b"), settle=SETTLE):
    return advance(last, here, frozenset(present), settle)


def test_the_counts_of_all_proxies_are_one_block():
    last = reading(0, sources={"a": proxy((10, 1, 0), (5, 1, 1)), "b": proxy((1, 0, 0))})
    here = reading(5, sources={"a": proxy((30, 2, 1), (9, 4, 1)), "b": proxy((11, 0, 0), (2, 0, 0))})
    [block], after = step(last, here)
    assert block == Block(20, last.at, here.at, ArmCounts(30, 1, 1), ArmCounts(6, 3, 0))
    assert (after.sources, after.since) == (here.sources, last.since)


def test_a_proxy_that_began_anew_or_is_new_counts_from_then_on():
    last = reading(0, sources={"a": proxy((100, 0, 0)), "b": proxy((50, 0, 0))})
    here = reading(5, sources={"a": proxy((10, 0, 0)), "b": proxy((60, 0, 0)), "c": proxy((7, 7, 0))})
    [block], after = step(last, here)
    assert block.champion == ArmCounts(10, 0, 0)
    assert after.sources == here.sources
    [block], _ = step(after, reading(9, sources={name: proxy((100, 7, 0)) for name in "abc"}))
    assert block.champion == ArmCounts(90 + 40 + 93, 14, 0)


def test_a_proxy_that_does_not_answer_is_read_on_later_and_one_that_is_gone_is_forgotten():
    last = reading(0, sources={"a": proxy((10, 0, 0)), "b": proxy((10, 0, 0)), "gone": proxy((10, 0, 0))})
    [block], after = step(last, reading(5, sources={"a": proxy((15, 0, 0))}))
    assert block.champion.requests == 5
    assert after.sources.keys() == {"a", "b"}
    [block], _ = step(after, reading(9, sources={"a": proxy((15, 0, 0)), "b": proxy((17, 0, 0))}))
    assert block.champion.requests == 7


def test_a_slow_answer_that_the_histogram_has_late_counts_in_the_next_block_once():
    here = reading(5, sources={"a": proxy(new=(1, 0, 3))})
    [block], after = step(reading(0, sources={"a": proxy()}), here)
    assert block.candidate == ArmCounts(1, 0, 1)
    [block], after = step(after, reading(6, sources={"a": proxy(new=(6, 0, 3))}))
    assert block.candidate == ArmCounts(5, 0, 2)
    [block], _ = step(after, reading(7, sources={"a": proxy(new=(8, 0, 3))}))
    assert block.candidate == ArmCounts(2, 0, 0)


NO_BLOCK = [
    ("other weights", {"generation": "8", "weight": 50}, 20),
    ("weights that changed while they were read", {"generation": ""}, 20),
    ("another candidate", {"candidate": "5"}, 0),
    ("another threshold", {"slow_ms": 500}, 0),
    ("another way to count", {"by": "predictors"}, 0),
]


@pytest.mark.parametrize(("changes", "lost"), [case[1:] for case in NO_BLOCK], ids=[case[0] for case in NO_BLOCK])
def test_an_interval_that_mixes_is_no_block_and_is_counted(changes, lost):
    here = reading(5, 5, sources={"a": proxy((30, 0, 0))}, **changes)
    blocks, after = step(reading(0, sources={"a": proxy((10, 0, 0))}, lost=3), here)
    assert (blocks, msgspec.structs.replace(after, silent={})) == ([], msgspec.structs.replace(here, lost=3 + lost))


def test_new_weights_count_only_when_the_gateway_had_time_to_take_them_over():
    first = reading(0, 0, sources={"a": proxy((10, 0, 0))})
    blocks, after = step(first, reading(1, 1, sources={"a": proxy((20, 0, 0))}))
    assert (blocks, after.since, after.lost) == ([], first.at, 10)
    [block], _ = step(after, reading(2.5, 2.5, sources={"a": proxy((25, 0, 0))}))
    assert block.champion.requests == 5


UNANSWERED = [
    ("all that the candidate was meant for and did not answer", ArmCounts(80, 0, 0), ArmCounts(0, 0, 0), 20, (80, 0), (20, 20)),
    ("half of it", ArmCounts(80, 0, 0), ArmCounts(10, 0, 0), 10, (80, 0), (20, 10)),
    ("the champion's, where it answered less than its share", ArmCounts(60, 0, 0), ArmCounts(20, 0, 0), 20, (80, 20), (20, 0)),
    ("what predictors counted themselves is not counted twice", ArmCounts(80, 3, 0), ArmCounts(20, 2, 0), 5, (80, 3), (20, 2)),
]


@pytest.mark.parametrize(("stable", "new", "errors", "first", "second"), [c[1:] for c in UNANSWERED], ids=[c[0] for c in UNANSWERED])
def test_errors_that_met_no_predictor_go_to_the_version_they_were_meant_for(stable, new, errors, first, second):
    found = with_unanswered(stable, new, errors, 20)
    assert [(arm.requests, arm.errors) for arm in found] == [first, second]


def route(requests, errors):
    return {ROUTE: ArmCounts(requests, errors, 0)}


PODS = {"s": "3", "n1": "4", "n2": "4"}
"""One predictor of the stable version and two of the candidate."""


class Canary:
    """A route and its predictors, read every 20 s; a predictor that is `silent` answers callers and no scrape."""

    def __init__(self, silent=(), pods=None):
        self.pods, self.silent, self.now, self.last, self.blocks = dict(pods or PODS), set(silent), 0.0, None, []
        self.route, self.counts = [0, 0], {name: [0, 0, 0] for name in self.pods}

    def serve(self, unanswered=0, **asked):
        """`asked` has of each pod its requests, errors and slow answers; the next look is in 20 s."""
        for name, counts in asked.items():
            self.counts[name] = [old + new for old, new in zip(self.counts[name], counts, strict=True)]
        self.route[0] += sum(counts[0] for counts in asked.values()) + unanswered
        self.route[1] += sum(counts[1] for counts in asked.values()) + unanswered
        self.now += 20.0
        return self.look()

    def look(self):
        told = {name: {version: ArmCounts(*self.counts[name])} for name, version in self.pods.items() if name not in self.silent}
        here = reading(self.now, by="predictors", weight=50, sources={"proxy": route(*self.route), **told})
        blocks, after = advance(self.last, here, frozenset({"proxy", *self.pods}), SETTLE, self.pods)
        self.last = msgspec.convert(msgspec.to_builtins(after), Reading)
        self.blocks += blocks
        return blocks

    def total(self):
        arms = [(block.champion, block.candidate) for block in self.blocks]
        return [tuple(sum(getattr(arm[side], name) for arm in arms) for name in ("requests", "errors", "slow")) for side in (0, 1)]


EVEN = {"s": (100, 1, 4), "n1": (50, 1, 2), "n2": (50, 1, 2)}


def test_a_predictor_that_never_answers_a_scrape_holds_evidence_up_for_a_minute_and_its_requests_count():
    canary = Canary(silent={"n2"})
    canary.look()
    for _ in range(4):
        assert canary.serve(**EVEN) == [], "it is waited for, and what mixes is no block"
    for _ in range(5):
        canary.serve(**EVEN)
    assert canary.total() == [(500, 5, 20), (500, 10, 20)], "n2 served half of the candidate's, and is taken to be as slow"
    assert canary.last.left_out == {"n2": "4"}


def test_what_a_hung_predictor_does_not_answer_counts_against_its_version():
    canary = Canary(silent={"n2"})
    canary.look()
    for _ in range(4):
        canary.serve(s=(100, 0, 0), n1=(50, 0, 0), unanswered=50)
    canary.serve(s=(100, 0, 0), n1=(50, 0, 0), unanswered=50)
    assert canary.total() == [(100, 0, 0), (100, 50, 0)]


def test_a_silent_predictor_of_the_champion_is_no_harm_of_the_candidates():
    canary = Canary(silent={"s"})
    canary.look()
    for _ in range(9):
        canary.serve(s=(100, 20, 0), n1=(50, 0, 0), n2=(50, 0, 0))
    assert canary.total() == [(500, 100, 0), (500, 0, 0)]


def test_one_that_answers_again_counts_from_then_on_and_nothing_twice():
    canary = Canary()
    canary.look()
    canary.serve(**EVEN)
    canary.silent = {"n2"}
    for _ in range(6):
        canary.serve(**EVEN)
    seen = canary.total()
    canary.silent = set()
    assert canary.serve(**EVEN) == [], "the interval in which it came back is no block"
    assert canary.total() == seen
    canary.serve(**EVEN)
    grown = [tuple(new - old for old, new in zip(*arms, strict=True)) for arms in zip(seen, canary.total(), strict=True)]
    assert grown == [(100, 1, 4), (100, 2, 4)]
    assert sum(requests for requests, _, _ in canary.total()) <= canary.route[0], "never more than the route was asked"


def test_one_that_is_silent_for_a_moment_loses_nothing():
    canary = Canary()
    canary.look()
    canary.silent = {"n2"}
    canary.serve(**EVEN)
    canary.silent = set()
    canary.serve(**EVEN)
    assert canary.total() == [(200, 2, 8), (200, 4, 8)]


@pytest.mark.parametrize(
    "silent", [{"s", "n2"}, {"proxy-2"}, {"proxy-2", "n2"}], ids=["both versions' predictors", "a proxy", "one of each"]
)
def test_where_nobody_can_tell_whose_the_requests_were_nothing_is_counted(silent):
    last, sources = None, {"proxy": ROUTE, "proxy-2": ROUTE, **PODS}
    for moment in range(10):
        told = {name: {arm: ArmCounts(10 * moment, 0, 0)} for name, arm in sources.items() if name not in silent}
        here = reading(20.0 * moment, by="predictors", weight=50, sources=told)
        blocks, last = advance(last, here, frozenset(sources), SETTLE, PODS)
        assert blocks == []
    assert last.silent.keys() == silent


class Scraped:
    """A proxy or predictor whose counters are asked for over HTTP."""

    def __init__(self):
        self.text, self.status, self.paths = "", 200, []
        scraped = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                scraped.paths.append(self.path)
                self.send_response(scraped.status)
                self.end_headers()
                self.wfile.write(scraped.text.encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def scraped():
    scraped = Scraped()
    yield scraped
    scraped.close()


@pytest.fixture
def world(scraped, monkeypatch):
    monkeypatch.setattr(module, "STATS_PORT", scraped.port)
    monkeypatch.setattr(module, "SETTLE", timedelta(0))
    world = kserve_world.World()
    world.route({"3": 80, "4": 20})
    owner = {f"gateway.envoyproxy.io/owning-gateway-{key}": value for key, value in (("name", "ingress"), ("namespace", "gateways"))}
    status = {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": [{"restartCount": 0}]}
    metadata = {"name": "envoy", "namespace": "envoy-system", "uid": "e-1", "labels": owner}
    world.put("Pod", {"metadata": metadata, "status": status})
    return world


def by_service(stable, new):
    lines = []
    for name, (good, bad) in (("3", stable), ("4", new)):
        labels = f'envoy_cluster_name="service/crm/bike-v{name}-predictor/80/http"'
        lines += [
            f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="{code}",{labels}}} {n}' for code, n in (("2", good), ("5", bad))
        ]
    return "\n".join(lines)


def look(traffic, cursor):
    blocks, cursor = traffic.arms(kserve_world.model(), "3", "4", 250, msgspec.json.decode(msgspec.json.encode(cursor)))
    return [(block.weight, block.champion, block.candidate) for block in blocks], cursor


def test_proxies_are_found_by_the_routes_gateway_and_asked_for_two_services(world, scraped):
    traffic = GatewayTraffic(world)
    scraped.text = by_service((10, 0), (2, 1))
    assert look(traffic, {})[0] == []
    _, cursor = look(traffic, {})
    scraped.text = by_service((90, 0), (20, 3))
    blocks, cursor = look(traffic, cursor)
    assert blocks == [(20, ArmCounts(80, 0, 0), ArmCounts(20, 2, 0))]
    assert look(traffic, cursor)[0] == []
    assert "bike%5C-v3%5C-predictor" in scraped.paths[0]
    assert traffic.problems == {}
    world.route({"3": 50, "4": 50})
    scraped.text = by_service((100, 0), (30, 3))
    assert look(traffic, cursor)[0] == [], "weights changed in between"


def test_where_nobody_answers_it_is_unavailable(world, scraped):
    traffic = GatewayTraffic(world)
    scraped.status = 503
    with pytest.raises(Unavailable, match="none of the gateway's proxies answers a scrape"):
        look(traffic, {})
    world.objects.pop(("Pod", "envoy-system", "envoy"))
    with pytest.raises(Unavailable, match="no Envoy Gateway proxy of gateways/ingress is running"):
        look(traffic, {})
    world.objects.pop(("HTTPRoute", "crm", "bike"))
    with pytest.raises(Unavailable, match="there is no HTTPRoute crm/bike yet"):
        look(traffic, {})


def whole_route(good, bad):
    name = 'envoy_cluster_name="httproute/crm/bike/rule/0"'
    return "\n".join(
        f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="{code}",{name}}} {n}' for code, n in (("2", good), ("5", bad))
    )


def test_a_gateway_that_cannot_tell_versions_apart_says_so_and_the_predictors_are_asked(world, scraped, monkeypatch):
    predictor = Scraped()
    monkeypatch.setattr(module, "PREDICTOR_PORT", predictor.port)
    traffic = GatewayTraffic(world)
    world.pod("3", podIP="127.0.0.1")
    world.pod("4", podIP="127.0.0.1", phase="Pending")
    scraped.text, predictor.text = whole_route(100, 0), 'trimtab_requests_total{code="200",version="3"} 100'
    try:
        _, cursor = look(traffic, {})
        assert traffic.problems == {"crm/bike": CANNOT_TELL}
        scraped.text, predictor.text = whole_route(180, 20), 'trimtab_requests_total{code="200",version="3"} 180'
        assert look(traffic, cursor)[0] == [(20, ArmCounts(80, 0, 0), ArmCounts(20, 20, 0))]
    finally:
        predictor.close()
    assert ROUTE in next(iter(cursor["sources"].values()))


def copied(candidate, champion="service/crm/bike-v3-predictor/80/http"):
    """A scrape while version 4 is asked copies: of a cluster that its route has for them."""
    named = {champion: (100, 0), "httproute/crm/bike-trimtab-shadow/rule/0-mirror-0": candidate}
    return "\n".join(
        f'envoy_cluster_upstream_rq_xx{{envoy_response_code_class="{code}",envoy_cluster_name="{name}"}} {n}'
        for name, counts in named.items()
        for code, n in zip("25", counts, strict=True)
    )


@pytest.mark.parametrize("champion", ["service/crm/bike-v3-predictor/80/http", "httproute/crm/bike-trimtab-shadow/rule/0"])
def test_copies_are_counted_by_their_own_cluster_even_where_versions_cannot_be_told_apart(world, scraped, champion):
    traffic = GatewayTraffic(world)
    world.route({"3": 100, "4": 0})
    scraped.text = by_service((50, 0), (0, 0))
    _, cursor = look(traffic, {})
    world.apply(
        HTTP_ROUTES,
        mirror_route({"metadata": {"name": "bike", "namespace": "crm", "uid": "i"}}, world.get(HTTP_ROUTES, "crm", "bike"), "3", "4"),
    )
    scraped.text = whole_route(60, 0) + "\n" + copied((10, 12), champion)
    blocks, cursor = look(traffic, cursor)
    assert blocks == [], "the first copies meet a cluster that has no endpoints yet"
    scraped.text = whole_route(60, 0) + "\n" + copied((88, 14), champion)
    assert look(traffic, cursor)[0] == [(0, ArmCounts(), ArmCounts(80, 2))]
    assert traffic.problems == {}


def test_a_predictor_that_does_not_answer_for_a_minute_is_named_and_left_out(world, scraped, monkeypatch):
    predictor = Scraped()
    monkeypatch.setattr(module, "PREDICTOR_PORT", predictor.port)
    traffic = GatewayTraffic(world)
    world.pod("3", podIP="127.0.0.1")
    silent = world.pod("4", podIP="127.0.0.2")
    scraped.text, predictor.text = whole_route(100, 0), 'trimtab_requests_total{code="200",version="3"} 100'
    try:
        _, cursor = look(traffic, {})
        assert look(traffic, cursor)[0] == []
        cursor = look(traffic, cursor)[1]
        assert traffic.problems == {"crm/bike": CANNOT_TELL}, "a moment of silence is not told"
        cursor["silent"] = {name: (datetime.now(UTC) - PATIENCE).isoformat() for name in cursor["silent"]}
        _, cursor = look(traffic, cursor)
        assert f"; {silent['metadata']['name']} does not answer a scrape: what nobody else answered" in traffic.problems["crm/bike"]
        assert traffic.problems["crm/bike"].endswith("is counted for version 4")
        scraped.text, predictor.text = whole_route(198, 2), 'trimtab_requests_total{code="200",version="3"} 180'
        assert look(traffic, cursor)[0] == [(20, ArmCounts(80, 0, 0), ArmCounts(20, 2, 0))]
    finally:
        predictor.close()


def test_prometheus_is_asked_where_there_is_one(world, scraped, monkeypatch):
    monkeypatch.setattr(module, "PROMETHEUS_SETTLE", timedelta(0))
    traffic = GatewayTraffic(world, f"http://127.0.0.1:{scraped.port}")

    def said(text):
        samples = [{"metric": {"__name__": one.name, "instance": "e", **one.labels}, "value": [0, str(one.value)]} for one in parse(text)]
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": samples}})

    scraped.text = said(by_service((10, 0), (2, 1)))
    _, cursor = look(traffic, {})
    scraped.text = said(by_service((90, 0), (20, 3)))
    assert look(traffic, cursor)[0] == [(20, ArmCounts(80, 0, 0), ArmCounts(20, 2, 0))]
    assert scraped.paths[0].startswith("/api/v1/query?query=")
    scraped.text = said("")
    with pytest.raises(Unavailable, match="has no counters of the route"):
        look(traffic, cursor)
    scraped.text = "<html>"
    with pytest.raises(Unavailable, match="does not answer a query"):
        look(traffic, cursor)
