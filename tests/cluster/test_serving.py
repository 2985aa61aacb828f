"""Serving and traffic on a real API server, gateway and KServe, with a tiny predictor of the test's own."""

import contextlib
import http.client
import time
import urllib.request

import pytest
from msgspec.structs import replace
from scipy.stats import binomtest

from tests.cluster.kserve_tiny import IMAGE, RUNTIME, Load, Site
from tests.cluster.tools import kubectl, needs_cluster, until
from tests.unit.serving.tiny import tiny_model
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.resources import DEPLOYMENTS, HPAS, INFERENCE_SERVICES, PODS
from trimtab.platforms.kubernetes.serving_parts import Settings
from trimtab.platforms.kubernetes.traffic import GatewayTraffic
from trimtab.release import Block
from trimtab.spec import Champion

pytestmark = needs_cluster


@pytest.fixture(scope="module")
def site():
    site = Site()
    yield site
    site.close()


def crash(url):
    request = urllib.request.Request(f"{url}/", b'{"crash": true}', {"content-type": "application/json"})
    with contextlib.suppress(OSError, http.client.HTTPException):
        urllib.request.urlopen(request, timeout=5).close()


def isvc(site, model):
    return site.api.get(INFERENCE_SERVICES, site.namespace, model.name)


def pods(site, model, version):
    return site.api.list(PODS, site.namespace, f"app=isvc.{model.name}-v{version}-predictor")


def counting(traffic, model):
    """A cursor from which on every request is in a block: the gateway has taken over the weights."""
    cursor = {}

    def settled() -> bool:
        nonlocal cursor
        blocks, cursor = traffic.arms(model, "3", "4", 250, cursor)
        return bool(blocks)

    until(settled)
    return cursor


def test_a_canary_comes_grows_and_is_promoted_and_the_next_one_is_withdrawn_without_a_failed_request(site):
    model = site.model("bike")
    traffic = GatewayTraffic(site.api)
    began = time.monotonic()
    site.reach(model, v3=100)
    print(f"\napply to serving: {time.monotonic() - began:.1f} s")
    with Load(site, model) as load:
        site.reach(model, v3=100, v4=0)
        site.reach(model, v3=80, v4=20)
        before = (load.count("3"), load.count("4"))
        cursor = counting(traffic, model)
        start = (load.count("3"), load.count("4"))
        load.more(800)
        blocks, cursor = traffic.arms(model, "3", "4", 250, cursor)
        counted = (load.count("3") - start[0], load.count("4") - start[1])
        [block] = blocks
        assert block.weight == 20
        for arm, answers in ((block.champion, counted[0]), (block.candidate, counted[1])):
            assert abs(arm.requests - answers) <= 4 * 3, (block, counted)
            assert arm.errors == 0
        total = block.champion.requests + block.candidate.requests
        assert binomtest(block.candidate.requests, total, 0.2).pvalue > 0.001, block
        assert sum(start) > sum(before)
        assert load.failed == {}

        started = {pod["metadata"]["uid"] for pod in pods(site, model, "4")}
        site.reach(model, v3=50, v4=50)
        began = time.monotonic()
        site.reach(model, v3=0, v4=100)
        assert isvc(site, model)["spec"]["predictor"]["name"] == "v3"
        site.reach(model, v4=100, v3=0)
        promoted = isvc(site, model)["spec"]
        assert (promoted["predictor"]["name"], [one["predictor"]["name"] for one in promoted["canary"]]) == ("v4", ["v3"])
        site.reach(model, v4=100)
        print(f"50% to promoted and the old one dropped: {time.monotonic() - began:.1f} s")
        assert {pod["metadata"]["uid"] for pod in pods(site, model, "4")} == started, "the promoted pods are the canary's"
        assert load.failed == {}

        site.reach(model, v4=70, v5=30)
        load.more(20, "5")
        began = time.monotonic()
        site.reach(model, v4=100)
        print(f"withdrawn from 30%: {time.monotonic() - began:.1f} s")
        load.more(100)
        assert load.failed == {}, "0 failed requests in a promotion and a withdrawal"
    assert not site.api.get(DEPLOYMENTS, site.namespace, "bike-v5-predictor")


def test_a_promotion_is_taken_back_without_a_failed_request(site):
    model = site.model("back")
    site.reach(model, v3=100)
    site.reach(model, v3=50, v4=50)
    with Load(site, model) as load:
        site.reach(model, v3=0, v4=100)
        site.reach(model, v4=100, v3=0)
        began = time.monotonic()
        site.reach(model, v3=100, v4=0)
        site.reach(model, v3=100)
        print(f"\na promotion taken back: {time.monotonic() - began:.1f} s")
        assert load.failed == {}
    assert isvc(site, model)["spec"]["predictor"]["name"] == "v3"


def test_errors_and_slow_answers_are_counted_by_version_even_those_that_met_no_pod(site):
    model = site.model("errs")
    traffic = GatewayTraffic(site.api)
    site.reach(model, v3=100)
    site.reach(model, v3=50, v4=50)
    with Load(site, model, body={"fail": ["4"], "delay": {"3": 0.3}}) as load:
        cursor = counting(traffic, model)
        load.more(50, "4")
        found: list[Block] = []

        def all_merged() -> bool:
            nonlocal cursor
            blocks, cursor = traffic.arms(model, "3", "4", 250, cursor)
            found.extend(blocks)
            return sum(block.champion.slow for block in found) >= 30

        until(all_merged)
        [errors, requests] = (sum(getattr(block.candidate, name) for block in found) for name in ("errors", "requests"))
    assert errors == requests >= 50
    assert sum(block.champion.errors + block.candidate.slow for block in found) == 0
    assert all(block.champion.slow <= block.champion.requests for block in found)
    with Load(site, model) as load:
        load.more(20, "4")
        cursor = counting(traffic, model)
        before = sum(load.failed.values())
        crash(site.service_url(model, "4"))
        counted = []

        def back() -> bool:
            nonlocal cursor
            blocks, cursor = traffic.arms(model, "3", "4", 250, cursor)
            counted.extend(blocks)
            return site.seen(model)["4"].restarts == 1 and site.seen(model)["4"].ready

        until(back)
        load.more(50)
        failed = sum(load.failed.values()) - before
        errors = sum(block.candidate.errors for block in counted)
        print(f"\na crashed pod: {failed} failed, {errors} counted against it before KServe took it off the route; lost {cursor['lost']}")
        assert 0 < errors <= failed
        assert sum(block.champion.errors for block in counted) == 0


def test_a_users_own_field_survives_and_changes_follow_the_model(site):
    model = site.model("mine")
    site.reach(model, v3=100)
    kubectl(
        "patch",
        "isvc",
        "-n",
        site.namespace,
        "mine",
        "--type=merge",
        "-p",
        '{"spec": {"predictor": {"timeout": 77, "labels": {"team": "risk"}}}}',
    )
    until(lambda: [pod for pod in pods(site, model, "3") if pod["metadata"]["labels"].get("team") == "risk"])
    site.reach(model, v3=80, v4=20)
    site.reach(model, v3=0, v4=100)
    site.reach(model, v4=100)
    predictor = isvc(site, model)["spec"]["predictor"]
    assert (predictor["name"], predictor["timeout"], predictor["labels"]["team"]) == ("v4", 77, "risk")
    more = replace(model, spec=replace(model.spec, serving=replace(model.spec.serving, replicas=2)))
    site.reach(more, v4=100)
    until(lambda: len(pods(site, model, "4")) == 2)


def templated(model, /, **template):
    return replace(model, spec=replace(model.spec, serving=replace(model.spec.serving, template=template)))


def test_a_template_is_in_every_version_and_what_is_taken_out_of_it_goes_away(site):
    first = templated(site.model("made"), labels={"team": "risk"}, timeout=77, model={"env": [{"name": "THREADS", "value": "2"}]})
    site.reach(first, v3=100)
    kubectl("patch", "isvc", "-n", site.namespace, "made", "--type=merge", "-p", '{"spec": {"predictor": {"labels": {"theirs": "1"}}}}')
    site.reach(first, v3=80, v4=20)

    def labels(name):
        return [pod["metadata"]["labels"].get(name) for version in ("3", "4") for pod in pods(site, first, version)]

    def variables():
        containers = [pod["spec"]["containers"] for version in ("3", "4") for pod in pods(site, first, version)]
        found = [one["env"] for listed in containers for one in listed if one["name"] == "kserve-container"]
        return [{one["name"] for one in env} >= {"THREADS", "TRIMTAB_VERSION"} for env in found]

    until(lambda: labels("team") == ["risk"] * 2 and labels("theirs") == ["1"] * 2)
    assert variables() == [True, True]
    after = templated(first, timeout=78)
    site.reach(after, v3=80, v4=20)
    until(lambda: labels("team") == [None] * 2 and labels("theirs") == ["1"] * 2)
    assert variables() == [False, False]
    spec = isvc(site, first)["spec"]
    for predictor in (spec["predictor"], spec["canary"][0]["predictor"]):
        assert (predictor["timeout"], predictor["labels"].get("team"), predictor["labels"]["theirs"]) == (78, None, "1")
    site.reach(after, v4=100)
    assert "team" not in isvc(site, first)["spec"]["predictor"]["labels"], "nor does a promotion bring it back"


def adopted(site, model, before):
    """Version 4 takes the place of what answers as version `before` under the Model's name, and no request fails."""
    champion = replace(model, status=replace(model.status, champion=Champion("4", "4" * 64, 1)))
    dark = site.plan(model, v4=0)
    with Load(site, model) as load:
        load.more(20, before)
        site.push(dark, lambda: site.seen(model)["4"].ready and site.serving.settled(dark))
        load.more(100, before)
        assert load.count("4") == 0, "a version that is tried has nothing yet"
        tried = {pod["metadata"]["uid"] for pod in pods(site, model, "4")}
        site.push(site.plan(model, v4=100), lambda: site.weights(model)["4"] == 100)
        assert isvc(site, model)["spec"]["predictor"].get("name") != "v4", "no swap before it is the champion"
        site.reach(champion, v4=100)
        load.more(100, "4")
        assert load.failed == {}
    assert {pod["metadata"]["uid"] for pod in pods(site, model, "4")} == tried, "the promoted pods are those that were tried"
    assert isvc(site, model)["spec"]["predictor"]["name"] == "v4"


def test_an_orphan_is_taken_over_without_a_failed_request(site):
    earlier = site.model("heir")
    site.reach(earlier, v3=100)
    heir = replace(site.model("heir", adopt=True), metadata=replace(earlier.metadata, uid="another"))
    with pytest.raises(InvalidInput, match=r"outlived the Model that it was made for; set spec\.serving\.adopt: true"):
        site.serving.observe(replace(earlier, metadata=heir.metadata))
    old = {pod["metadata"]["uid"] for pod in pods(site, earlier, "3")}
    waiting = site.plan(heir)
    site.push(waiting, lambda: site.serving.settled(waiting))
    assert site.weights(heir) == {"3": 100}
    site.push(site.plan(heir, v9=0), lambda: (found := site.seen(heir).get("9")) and found.fault)
    site.push(waiting, lambda: site.weights(heir) == {"3": 100})
    assert {pod["metadata"]["uid"] for pod in pods(site, earlier, "3")} == old, "a version that cannot be fetched changes nothing"
    adopted(site, heir, "3")


def test_an_inference_service_of_somebody_elses_is_taken_over_without_a_failed_request(site):
    model = site.model("guest", adopt=True)
    server = {"modelFormat": {"name": "trimtab"}, "runtime": RUNTIME, "storageUri": f"mlflow://models/{site.namespace}.guest/0?sha256=00"}
    server |= {"env": [{"name": "TRIMTAB_VERSION", "value": "0"}], "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}
    kubectl("create", "-f", "-", stdin=_json("guest", site.namespace, {"model": server, "timeout": 77}))
    kubectl("wait", "isvc/guest", "-n", site.namespace, "--for=condition=Ready", "--timeout=60s")
    adopted(site, model, "0")
    assert isvc(site, model)["spec"]["predictor"]["timeout"] == 77
    until(lambda: not site.api.get(DEPLOYMENTS, site.namespace, "guest-predictor"))


def test_a_scaler_of_a_dropped_version_is_deleted_and_others_stay(site):
    model = site.model("hpas")
    site.reach(model, v3=100)
    made_by_kserve = {one["metadata"]["name"] for one in site.api.list(HPAS, site.namespace)}
    for name in {"hpas-v2-predictor", "hpas-v3-predictor", "other"} - made_by_kserve:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        metadata = {"name": name, "namespace": site.namespace, "labels": {"serving.kserve.io/inferenceservice": "hpas"}}
        site.api.create(HPAS, {"metadata": metadata, "spec": {"maxReplicas": 1, "scaleTargetRef": target}})
    site.reach(model, v3=100, v4=0)
    left = {one["metadata"]["name"] for one in site.api.list(HPAS, site.namespace)}
    assert left - {"hpas-v4-predictor"} == {"hpas-v3-predictor", "other"}


def test_another_hand_is_put_back_once_and_then_said(site):
    model = site.model("fight")
    site.reach(model, v3=100)
    site.reach(model, v3=0, v4=100)
    site.reach(model, v4=100)
    old = '{"spec": {"predictor": {"name": "v3", "model": {"storageUri": "%s"}}}}' % isvc(site, model)["spec"]["predictor"]["model"][  # noqa: UP031
        "storageUri"
    ].replace("/4?", "/3?").replace("4" * 64, "3" * 64)
    kubectl("patch", "isvc", "-n", site.namespace, "fight", "--type=merge", "--field-manager=argocd", "-p", old)
    site.reach(model, v4=100)
    assert isvc(site, model)["spec"]["predictor"]["name"] == "v4"
    kubectl("patch", "isvc", "-n", site.namespace, "fight", "--type=merge", "--field-manager=argocd", "-p", old)
    with pytest.raises(InvalidInput, match=r"^OwnershipConflict: 'argocd' keeps changing InferenceService .*/fight"):
        site.serving.observe(model)
    before = isvc(site, model)["metadata"]["generation"]
    site.serving.apply(site.plan(model, v4=100))
    assert isvc(site, model)["metadata"]["generation"] == before, "nothing fights"


def test_a_version_that_cannot_be_fetched_says_why_and_gets_no_traffic(site):
    model = site.model("broken")
    site.reach(model, v3=100)
    site.serving.apply(site.plan(model, v3=100, v9=0))
    fault = until(lambda: (found := site.seen(model).get("9")) and found.fault)
    assert fault == "SignatureMismatch: 'model.json' was changed"
    found = site.seen(model)["9"]
    assert (found.ready, found.weight, found.restarts) == (False, 0, 0)
    site.reach(model, v3=100)
    first = site.model("none")
    site.serving.apply(site.plan(first, v9=0))
    until(lambda: (found := site.seen(first).get("9")) and found.fault)
    site.reach(first)
    assert isvc(site, first) is None


def test_what_a_person_has_to_mend_is_said(site):
    model = site.model("said")
    with pytest.raises(InvalidInput, match=r"no ClusterServingRuntime 'other', nor a ServingRuntime of that name"):
        site.adapter(settings=Settings(runtime="other")).observe(model)
    with pytest.raises(InvalidInput, match=r"^spec.serving.gateway: there is no Gateway 'nowhere/none'"):
        site.serving.observe(site.model("said", gateway="nowhere/none"))
    predictor = {"model": {"modelFormat": {"name": "trimtab"}, "runtime": RUNTIME, "storageUri": "s3://elsewhere"}}
    kubectl("create", "-f", "-", stdin=_json("theirs", site.namespace, predictor))
    with pytest.raises(InvalidInput, match=r"is there already and was not made by Trimtab"):
        site.serving.observe(site.model("theirs"))
    with pytest.raises(InvalidInput, match=r"is there already and was not made by Trimtab"):
        site.serving.apply(site.plan(site.model("theirs"), v3=100))
    kubectl("create", "-f", "-", stdin=_json("custom", site.namespace, {"containers": [{"name": "kserve-container", "image": IMAGE}]}))
    with pytest.raises(InvalidInput, match=r"only beside spec\.predictor\.model with a storageUri"):
        site.serving.observe(site.model("custom", adopt=True))


def test_the_smoke_test_asks_the_version_itself(site, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = site.model("smoke")
    site.reach(model, v3=100)
    tiny_model(tmp_path / "model")
    path = tmp_path / "model" / "reference.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("__prediction")
    pq.write_table(table.set_column(place, "__prediction", pa.array([3.0] * len(table))), path)
    asked = []
    adapter = site.adapter(
        fetch=lambda *what: asked.append(what) or tmp_path / "model", settings=Settings(RUNTIME, service_url=site.service_url(model, "3"))
    )
    version = site.plan(model, v3=100).arms[0].version
    assert adapter.smoke(model, version) == (True, "smoke test: 20 reference rows got their recorded predictions")
    assert asked == [(f"{site.namespace}.smoke", version)]


def _json(name, namespace, predictor):
    import json

    head = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "metadata": {"name": name, "namespace": namespace}}
    return json.dumps({**head, "spec": {"predictor": predictor}})
