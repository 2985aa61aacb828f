import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.unit.platforms.local.upstreams import Load, Upstream, ask
from tests.unit.serving.tiny import until
from trimtab.errors import InvalidInput, Unavailable
from trimtab.platforms.local.envoy import Envoy
from trimtab.platforms.local.envoy_config import Route, bootstrap, clusters, read_clusters, read_routes, routes
from trimtab.platforms.local.processes import free_port


@pytest.fixture
def envoy(tmp_path):
    envoy = Envoy(tmp_path, free_port(), timeout_seconds=0.5)
    envoy.start()
    yield envoy
    envoy.close()


@pytest.fixture
def versions():
    found = {version: Upstream() for version in ("3", "4")}
    yield found
    for upstream in found.values():
        upstream.close()


def ports(versions, *names):
    return {f"bike/{name}": versions[name].port for name in names}


def test_what_is_written_is_what_is_read_back():
    found = {"bike": Route("7", {"3": 80, "4": 20}), "boat": Route("2", {})}
    dump = {"configs": [{"version_info": "7", "route_config": routes(found, "7", 10.0)["resources"][0]}]}
    assert read_routes(dump) == ("7", found)
    written = clusters({"bike/3": 1234}, "1")
    assert read_clusters({"configs": [{"cluster": cluster} for cluster in written["resources"]]}) == {"bike/3": 1234}
    assert read_routes({}) == ("", {})


def test_the_share_is_in_percent_of_what_the_route_holds():
    assert Route("1", {"3": 80, "4": 20}).percent("4") == 20
    assert Route("1", {"3": 80}).percent("3") == 100
    assert Route("1", {"3": 80}).percent("4") == 0
    assert Route("1", {}).percent("3") == 0


def test_no_retry_no_access_log_and_only_loopback():
    documents = [bootstrap(Path("envoy"), 8080, "n"), routes({"bike": Route("1", {"3": 100})}, "1", 10.0), clusters({"bike/3": 1}, "1")]
    text = str(documents)
    assert "retry" not in text
    assert "access_log" not in text
    assert "0.0.0.0" not in text


def test_weights_change_and_versions_come_and_go_under_load_without_a_failure(envoy, versions):
    assert envoy.publish_clusters(ports(versions, "3"))
    assert envoy.publish_routes({"bike": {"3": 100}})
    with Load(envoy.port) as load:
        for weight in (20, 50, 1, 80, 100, 0, 30):
            until(lambda seen=load.total: load.total > seen + 40)
            assert envoy.publish_clusters(ports(versions, "3", "4"))
            assert envoy.publish_routes({"bike": {"3": 100 - weight, "4": weight}})
            with envoy.admin() as admin:
                assert admin.routes()["bike"].percent("4") == weight
        for _ in range(4):
            assert envoy.publish_routes({"bike": {"3": 100}})
            assert envoy.publish_clusters(ports(versions, "3"))
            until(lambda seen=load.total: load.total > seen + 20)
            assert envoy.publish_clusters(ports(versions, "3", "4"))
            assert envoy.publish_routes({"bike": {"3": 50, "4": 50}})
            until(lambda seen=load.total: load.total > seen + 20)
    assert load.failed == {}
    assert load.answers[200, "4"] > 50


def test_a_share_is_kept_by_a_version_that_nobody_serves_and_fails_on_it(envoy, versions):
    envoy.publish_clusters({**ports(versions, "3"), "bike/4": free_port()})
    envoy.publish_routes({"bike": {"3": 50, "4": 50}})
    answers = [ask(envoy.port) for _ in range(60)]
    assert set(answers) == {(200, "3"), (503, "4")}


def test_paths_that_are_no_models_are_not_found_and_capture_cannot_be_switched_off_from_outside(envoy, versions):
    envoy.publish_clusters(ports(versions, "3"))
    envoy.publish_routes({"bike": {"3": 100}, "boat": {"1": 0}})
    cases = {
        "/v1/models/bike:predict": 200,
        "/v2/models/bike/infer": 200,
        "/v1/models/bikes:predict": 404,
        "/v2/repository/models/bike/unload": 404,
        "/v1/models/bike/../../../v2/repository/models/bike/unload": 404,
        "/metrics": 404,
        "/v1/models/boat:predict": 503,
    }
    assert {path: ask(envoy.port, path)[0] for path in cases} == cases
    ask(envoy.port, headers={"x-trimtab-capture": "off"})
    assert all("x-trimtab-capture" not in headers for headers in versions["3"].headers)


def test_a_dead_envoy_comes_back_on_its_port_with_its_routes(envoy, versions):
    envoy.publish_clusters(ports(versions, "3", "4"))
    envoy.publish_routes({"bike": {"3": 80, "4": 20}})
    with envoy.admin() as admin:
        before = admin.node()
    os.kill(envoy._process.pid, signal.SIGKILL)
    envoy._process.wait()
    with pytest.raises(Unavailable), envoy.admin() as admin:
        admin.node()
    envoy.tend()
    with envoy.admin() as admin:
        assert admin.node() != before
        assert admin.routes()["bike"].weights == {"3": 80, "4": 20}
    assert ask(envoy.port)[0] == 200


def test_a_taken_port_is_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"port {port} on 127.0.0.1 is taken"):
            Envoy(tmp_path, port).start()


def test_a_second_envoy_never_shares_the_port(envoy, tmp_path):
    with pytest.raises(InvalidInput, match="is taken"):
        Envoy(tmp_path / "other", envoy.port).start()


def test_copies_of_all_requests_go_to_a_version_that_answers_nobody(envoy, versions):
    versions["4"].status, versions["4"].delay = 500, 0.3
    assert envoy.publish_clusters(ports(versions, "3", "4"))
    assert envoy.publish_routes({"bike": {"3": 100, "4": 0}}, mirrors={"bike": "4"})
    with envoy.admin() as admin:
        assert admin.routes()["bike"].mirror == "4"
    began = time.monotonic()
    assert {ask(envoy.port) for _ in range(20)} == {(200, "3")}
    assert time.monotonic() - began < 20 * 0.3
    until(lambda: len(versions["4"].headers) == 20)
    assert {headers["host"].partition(":")[0] for headers in versions["4"].headers} == {"127.0.0.1-shadow"}
    assert {headers["host"].partition(":")[0] for headers in versions["3"].headers} == {"127.0.0.1"}
    with envoy.admin() as admin:
        before = admin.routes()["bike"].generation
    assert envoy.publish_routes({"bike": {"3": 100, "4": 0}})
    with envoy.admin() as admin:
        assert (admin.routes()["bike"].mirror, admin.routes()["bike"].generation != before) == ("", True)
    seen = len(versions["4"].headers)
    ask(envoy.port)
    assert len(versions["4"].headers) == seen
