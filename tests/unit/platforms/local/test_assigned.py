"""From a Model with strategy ab to the monitor: callers are assigned, and who asked is told, by real predictors behind a real Envoy."""

import http.client

import pytest
from msgspec.structs import replace

from tests.unit.platforms.local.test_serving import BODY, MODEL, Platform
from tests.unit.platforms.local.upstreams import PATH
from tests.unit.serving.tiny import SECRET, TinyMonitor, until
from trimtab.events import REQUEST
from trimtab.release import Arm, ServingPlan
from trimtab.rolling import Ab, Rollout

HEADER = "X-Customer"
TESTED = replace(MODEL, spec=replace(MODEL.spec, rollout=Rollout(strategy="ab", ab=Ab(header=HEADER))))


@pytest.fixture
def monitor():
    monitor = TinyMonitor()
    yield monitor
    monitor.close()


@pytest.fixture
def platform(tmp_path, monitor):
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    platform = Platform(tmp_path, capture_url=monitor.url, secret_file=secret)
    yield platform
    platform.close()


def serve(platform, model, sticky="", **weights):
    arms = tuple(Arm(platform.versions[name.strip("v")], weight) for name, weight in weights.items())
    platform.serving.apply(ServingPlan(model, arms, sticky))
    until(lambda: platform.weights() == {name.strip("v"): weight for name, weight in weights.items()}, 60)


def asked(platform, callers):
    connection = http.client.HTTPConnection("127.0.0.1", platform.envoy.port, timeout=15)
    found = {}
    for caller in callers:
        connection.request("POST", PATH, BODY, {"Content-Type": "application/json", **({HEADER: caller} if caller else {})})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()
        found[caller] = answer.getheader("x-trimtab-version")
    connection.close()
    return found


def test_the_monitor_hears_who_asked_and_of_each_but_one_version(platform, monitor):
    serve(platform, MODEL, v3=100)
    assert set(asked(platform, ["ada"]).values()) == {"3"}
    before = platform.process("3").pid
    edited = ServingPlan(TESTED, (Arm(platform.versions["3"], 100),))
    assert not platform.serving.settled(edited)
    serve(platform, TESTED, v3=100)
    assert platform.serving.settled(edited)
    until(lambda: platform.process("3").pid != before and platform.seen()["3"].ready)
    first = platform.process("3").pid
    serve(platform, TESTED, HEADER, v3=60, v4=40)
    callers = [f"customer-{number}" for number in range(60)]
    got = asked(platform, callers)
    assert asked(platform, callers) == got
    assert set(got.values()) == {"3", "4"}
    assert asked(platform, [""]) == {"": "3"}
    until(lambda: sum(event.type == REQUEST for event in monitor.events) == 1 + 2 * 60 + 1)
    told = [(event.extensions.get("trimtabunit"), event.extensions["trimtabversion"]) for event in monitor.events if event.type == REQUEST]
    units = {unit: {version for one, version in told if one == unit} for unit, _ in told}
    assert units.pop(None) == {"3"}, "who has no header, and who asked before there was a test"
    assert len(units) == 60
    assert sorted(version for versions in units.values() for version in versions) == sorted(got.values()), "one version each"
    assert platform.process("3").pid == first, "nothing is started anew while the test is under way"
    assert not any(b"customer-" in path.read_bytes() for path in (platform.state / "logs").iterdir())
