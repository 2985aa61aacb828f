"""Callers who are assigned to a version, on a real API server and Envoy Gateway, with a tiny predictor of the test's own."""

import copy
import http.client
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace
from scipy.stats import binomtest

from tests.cluster.kserve_tiny import Load, Site
from tests.cluster.tools import needs_cluster, until
from trimtab.platforms.kubernetes.resources import BACKEND_TRAFFIC_POLICIES, HTTP_ROUTES, INFERENCE_SERVICES
from trimtab.platforms.kubernetes.split import split_name
from trimtab.platforms.kubernetes.traffic import GatewayTraffic

pytestmark = needs_cluster

HEADER = "x-user-id"
CALLERS = [f"user-{number}" for number in range(1000)]


@pytest.fixture(scope="module")
def site():
    site = Site("sticky")
    yield site
    site.close()


class Callers:
    """Asks as each caller, over a few connections at once."""

    def __init__(self, site, model):
        self._address, self._host = site.gateway(model)
        self._path = f"/v1/models/{model.name}:predict"

    def at(self, host):
        """The same callers at another host of the model's."""
        other = copy.copy(self)
        other._host = host
        return other

    def served(self, callers, header=HEADER, connections=12):
        """The version that each gets."""
        with ThreadPoolExecutor(connections) as pool:
            parts = pool.map(self._served, (callers[place::connections] for place in range(connections)), [header] * connections)
            return {caller: version for part in parts for caller, version in part.items()}

    def _served(self, callers, header):
        connection = http.client.HTTPConnection(self._address, 80, timeout=20)
        found = {}
        for caller in callers:
            headers = {"Host": self._host, "Content-Type": "application/json", **({header: caller} if header else {})}
            connection.request("POST", self._path, "{}", headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            found[caller] = answer.getheader("x-trimtab-version")
        connection.close()
        return found


def sticky(site, model, **weights):
    return replace(site.plan(model, **weights), sticky=HEADER)


def reach(site, model, **weights):
    plan = sticky(site, model, **weights)
    wanted = {name.removeprefix("v"): weight for name, weight in weights.items()}
    site.push(plan, lambda: site.weights(model) == wanted and site.serving.settled(plan))


def there(site, model):
    return [
        resource.kind
        for resource in (HTTP_ROUTES, BACKEND_TRAFFIC_POLICIES)
        if site.api.get(resource, site.namespace, split_name(model.name))
    ]


def test_callers_keep_their_version_from_the_first_share_to_the_end_and_no_request_fails(site):
    model = site.model("split")
    site.reach(model, v3=100)
    reach(site, model, v3=100, v4=0)
    callers = Callers(site, model)
    assert there(site, model) == [], "nobody is assigned to a dark version"
    with Load(site, model) as load, Crowd(callers) as crowd:
        reach(site, model, v3=90, v4=10)
        first = callers.served(CALLERS)
        theirs = {caller for caller, version in first.items() if version == "4"}
        assert binomtest(len(theirs), len(CALLERS), 0.1).pvalue > 0.001, len(theirs)
        assert callers.served(CALLERS[:500]) == {caller: first[caller] for caller in CALLERS[:500]}
        assert set(callers.served(CALLERS[:50], header="").values()) == {"3"}, "who has no header gets the champion"
        assert set(callers.served([""] * 20).values()) == {"3"}
        inner = site.api.get(HTTP_ROUTES, site.namespace, "split-predictor")["spec"]["hostnames"][0]
        assert callers.at(inner).served(CALLERS[:200]) == {caller: first[caller] for caller in CALLERS[:200]}, "at its other host too"
        before = load.count("4")

        reach(site, model, v3=50, v4=50)
        second = callers.served(CALLERS)
        more = {caller for caller, version in second.items() if version == "4"}
        assert theirs <= more, "a larger share only moves callers to the candidate"
        assert binomtest(len(more), len(CALLERS), 0.5).pvalue > 0.001, len(more)
        assert load.count("4") == before == 0, "nobody but the assigned ever came to the candidate"

        site.serving = site.adapter()
        site.serving.apply(sticky(site, model, v3=50, v4=50))
        assert callers.served(CALLERS[:500]) == {caller: second[caller] for caller in CALLERS[:500]}, "another controller changes nothing"

        site.reach(model, v3=0, v4=100)
        assert set(callers.served(CALLERS[:50]).values()) == {"4"}
        site.reach(model, v4=100, v3=0)
        site.reach(model, v4=100)
        assert there(site, model) == []

        reach(site, model, v4=100, v5=0)
        reach(site, model, v4=50, v5=50)
        third = callers.served(CALLERS)
        both = sum(third[caller] == "5" for caller in more)
        assert binomtest(both, len(more), 0.5).pvalue > 0.001, "who had the last candidate gets the next one no more often than others"
        reach(site, model, v4=100, v5=0)
        assert there(site, model) == []
        assert set(callers.served(CALLERS[:50]).values()) == {"4"}
        site.reach(model, v4=100)
        assert load.failed == {}
        assert crowd.failed == {}
    assert not site.api.get(HTTP_ROUTES, site.namespace, "split-trimtab-warm")


class Crowd:
    """Callers who ask one after the other without a break; `failed` has what they got instead of an answer."""

    def __init__(self, callers):
        self._callers = callers
        self.failed: Counter[str] = Counter()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        number = 0
        while not self._end.wait(0.01):
            number += 1
            try:
                self._callers.served([f"crowd-{number % 300}"], connections=1)
            except (AssertionError, OSError, http.client.HTTPException) as error:
                self.failed[str(error)] += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(20)


def test_only_those_who_are_assigned_are_counted(site):
    model = site.model("count")
    site.reach(model, v3=100)
    reach(site, model, v3=60, v4=40)
    traffic, callers = GatewayTraffic(site.api), Callers(site, model)
    cursor = {}

    def block():
        nonlocal cursor
        found, cursor = traffic.arms(model, "3", "4", 250, cursor)
        return found[0] if found else None

    until(lambda: callers.served(CALLERS[:1]) and block())
    callers.served(CALLERS[:300], header="")
    found = callers.served(CALLERS[:200])
    counted = until(block)
    assert counted.weight == 40
    assert (counted.champion.requests, counted.candidate.requests) == tuple(
        sum(one == version for one in found.values()) for version in ("3", "4")
    )
    assert traffic.problems == {}
    site.reach(model, v3=100)


def test_the_split_goes_with_the_inference_service(site):
    model = site.model("gone")
    site.reach(model, v3=100)
    reach(site, model, v3=50, v4=50)
    assert there(site, model) == ["HTTPRoute", "BackendTrafficPolicy"]
    site.api.delete(INFERENCE_SERVICES, site.namespace, "gone")
    until(lambda: there(site, model) == [])
