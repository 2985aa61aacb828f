"""What the serving port asks of the API server, and what it says of what it sees."""

import pytest

from tests.unit.platforms.kubernetes.kserve_world import World, adapter, isvc, model, plan, version, walk
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.resources import HTTP_ROUTES, INFERENCE_SERVICES
from trimtab.platforms.kubernetes.route import Route, read_route
from trimtab.platforms.kubernetes.serving import SETTLE_SECONDS
from trimtab.release import ServedVersion

MODEL = model()


@pytest.fixture
def world():
    return World()


@pytest.fixture
def serving(world):
    return adapter(world)


def weights(serving, of=MODEL):
    return {one.version: one.weight for one in serving.observe(of)}


def test_a_release_from_the_first_version_to_the_drop_of_the_old_one(world, serving):
    assert serving.observe(MODEL) == []
    assert walk(world, serving, plan(MODEL, v3=0)) == ["v3"]
    assert walk(world, serving, plan(MODEL, v3=100)) == ["v3"]
    assert walk(world, serving, plan(MODEL, v3=100, v4=0)) == ["v3 v4:0"]
    assert walk(world, serving, plan(MODEL, v3=80, v4=20)) == ["v3 v4:20"]
    assert walk(world, serving, plan(MODEL, v3=0, v4=100)) == ["v3 v4:99", "v3 v4:100"]
    assert not serving.settled(plan(MODEL, v4=100, v3=0)), "the weights are the plan's already, the roles are not"
    assert walk(world, serving, plan(MODEL, v4=100, v3=0)) == ["v4 v3:0"]
    assert walk(world, serving, plan(MODEL, v4=100)) == ["v4"]
    assert weights(serving) == {"4": 100}
    writes = len(world.requests)
    for _ in range(5):
        serving.apply(plan(MODEL, v4=100))
    assert len(world.requests) == writes, "what is as it shall be is not written again"


def test_a_route_that_nobody_can_call_keeps_the_clusters_of_all_versions_while_there_are_several(world, serving):
    def warm():
        found = world.get(HTTP_ROUTES, "crm", "bike-trimtab-warm")
        return found and [ref["name"] for ref in found["spec"]["rules"][0]["backendRefs"]]

    walk(world, serving, plan(MODEL, v3=100))
    assert warm() is None
    walk(world, serving, plan(MODEL, v3=100, v4=0))
    assert warm() == ["bike-v3-predictor", "bike-v4-predictor"]
    found = world.get(HTTP_ROUTES, "crm", "bike-trimtab-warm")
    assert found["spec"]["rules"][0]["matches"] == [{"headers": [{"type": "Exact", "name": "x-trimtab-warm", "value": "i-1"}]}]
    assert found["metadata"]["ownerReferences"][0]["uid"] == "i-1"
    assert found["spec"]["parentRefs"] == [{"kind": "Gateway", "namespace": "gateways", "name": "ingress"}]
    while len(isvc(world)["spec"]["canary"]):
        assert warm() == ["bike-v3-predictor", "bike-v4-predictor"], "until the version is dropped"
        serving.apply(plan(MODEL, v3=100))
        world.kserve()
        world.now += SETTLE_SECONDS
    walk(world, serving, plan(MODEL, v3=100))
    assert warm() is None


def test_another_controller_goes_on_where_one_was_killed(world, serving):
    walk(world, serving, plan(MODEL, v3=100, v4=0))
    shapes = []
    following = plan(MODEL, v4=100)
    for _ in range(40):
        fresh = adapter(world)
        fresh.observe(MODEL)
        world.now += SETTLE_SECONDS
        fresh.apply(following)
        world.kserve()
        spec = isvc(world)["spec"]
        shapes.append((spec["predictor"]["name"], *((one["predictor"]["name"], one["trafficPercent"]) for one in spec["canary"])))
    steps = list(dict.fromkeys(shapes))
    assert steps == [("v3", ("v4", 99)), ("v3", ("v4", 100)), ("v4", ("v3", 0)), ("v4",)]


def test_a_cache_that_lags_never_makes_a_step_too_many(world):
    serving = adapter(world)
    walk(world, serving, plan(MODEL, v3=70, v4=30))
    stale = World()
    stale.objects = {key: dict(value) for key, value in world.objects.items()}
    lagging = adapter(world, reader=stale)
    lagging.observe(MODEL)
    world.now += 60
    for _ in range(5):
        lagging.apply(plan(MODEL, v3=100))
    assert [one["trafficPercent"] for one in isvc(world)["spec"]["canary"]] == [1], "the route that counts is the API server's"


def test_what_is_observed_is_the_routes_and_the_pods(world, serving):
    walk(world, serving, plan(MODEL, v3=80, v4=20))
    world.pod("3", containerStatuses=[{"name": "kserve-container", "restartCount": 1, "state": {"running": {}}}])
    world.pod("3", conditions=[], containerStatuses=[{"name": "kserve-container", "restartCount": 2, "state": {"running": {}}}])
    said = "INFO asking\nSignatureMismatch: the key is another\n"
    ended = {"exitCode": 8, "message": said}
    fetch = {"name": "storage-initializer", "restartCount": 4, "state": {"waiting": {}}, "lastState": {"terminated": ended}}
    world.pod("4", conditions=[], phase="Pending", initContainerStatuses=[fetch])
    world.pod("5", conditions=[])
    world.pod("6")["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert serving.observe(MODEL) == [
        ServedVersion("3", True, 80, 3, ""),
        ServedVersion("4", False, 20, 0, "SignatureMismatch: the key is another"),
        ServedVersion("5", False, 0, 0, ""),
    ]
    world.route({"3": 1})
    assert weights(serving) == {"3": 100, "4": 0, "5": 0}
    world.route({"3": 80, "4": 20}, accepted="False")
    assert set(weights(serving).values()) == {0}, "a route that the gateway refuses brings nothing to anybody"


def test_a_route_that_the_gateway_has_not_seen_yet_is_not_settled_and_a_new_one_brings_nothing(world):
    world.route({"3": 80, "4": 20})
    document = world.objects[("HTTPRoute", "crm", "bike")]
    assert read_route(document, "bike") == Route({"3": 80, "4": 20}, True, "r-1/1", (("gateways", "ingress"),))
    document["metadata"]["generation"] = 2
    assert (read_route(document, "bike").weights, read_route(document, "bike").accepted) == ({"3": 80, "4": 20}, False)
    document["status"] = {}
    assert read_route(document, "bike").weights == {}
    explainer = {"backendRefs": [{"name": "bike-explainer"}, {"name": "bike-v4-predictor", "weight": 20}]}
    document |= {"status": {"parents": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}}
    document["spec"]["rules"] = [explainer, {"backendRefs": [{"name": "bike-v3-predictor", "weight": 1}]}]
    assert read_route(document, "bike").weights == {"3": 100}


def test_a_registry_that_does_not_answer_is_no_fault_of_the_version(world, serving):
    walk(world, serving, plan(MODEL, v3=100))
    for code in (1, 9, 10):
        ended = {"exitCode": code, "message": "MLflow does not answer"}
        world.pod("3", conditions=[], initContainerStatuses=[{"name": "storage-initializer", "state": {"terminated": ended}}])
        assert serving.observe(MODEL) == [ServedVersion("3", False, 100, 0, "")]


def test_the_end_of_everything_deletes_the_inference_service(world, serving):
    walk(world, serving, plan(MODEL, v3=0))
    serving.apply(plan(MODEL))
    assert world.requests[-1] == ("delete", "InferenceService/bike")
    world.kserve()
    assert serving.observe(MODEL) == []


def test_a_change_of_the_model_is_followed_and_no_one_elses_field_is_touched(world, serving):
    walk(world, serving, plan(MODEL, v3=100))
    live = isvc(world)
    live["spec"]["predictor"] |= {"timeout": 77, "maxReplicas": 5, "labels": {**live["spec"]["predictor"]["labels"], "team": "risk"}}
    world.put("InferenceService", live)
    assert serving.settled(plan(MODEL, v3=100))
    more = model(replicas=3)
    assert not serving.settled(plan(more, v3=75, v4=25))
    walk(world, serving, plan(more, v3=75, v4=25))
    spec = isvc(world)["spec"]
    canary = spec["canary"][0]["predictor"]
    assert (spec["predictor"]["minReplicas"], canary["minReplicas"]) == (4, 1), "KServe subtracts the canary's from the stable one's"
    assert (canary["timeout"], canary["labels"]) == (77, {"trimtab.dev/version": "4", "team": "risk"})
    assert "maxReplicas" not in canary
    assert (spec["predictor"]["timeout"], spec["predictor"]["maxReplicas"]) == (77, 5)


def test_left_over_scalers_are_deleted_once_after_a_change(world, serving):
    for name, owner in (("bike-v3-predictor", "bike"), ("bike-v2-predictor", "bike"), ("bike-own", "bike"), ("bike-v1-predictor", "other")):
        labels = {"serving.kserve.io/inferenceservice": owner}
        world.put("HorizontalPodAutoscaler", {"metadata": {"name": name, "namespace": "crm", "labels": labels}})
    walk(world, serving, plan(MODEL, v3=100))
    assert [name for verb, name in world.requests if verb == "delete"] == ["HorizontalPodAutoscaler/bike-v2-predictor"]


OLD = {"metadata": {"name": "bike", "namespace": "crm"}, "spec": {"predictor": {"name": "v3"}}}


def test_another_hand_is_put_back_once_and_then_nothing_fights(world, serving):
    walk(world, serving, plan(MODEL, v4=100))
    uri = isvc(world)["spec"]["predictor"]["model"]["storageUri"]
    old = {"name": "v3", "model": {"storageUri": uri.replace("/4?", "/3?").replace("4" * 64, "3" * 64)}}
    foreign = {**OLD, "spec": {"predictor": old}}
    world.write(INFERENCE_SERVICES, foreign, "argocd")
    world.kserve()
    assert weights(serving) == {"3": 100}
    assert walk(world, serving, plan(MODEL, v4=100)) == ["v3 v4:99", "v3 v4:100", "v4 v3:0", "v4"]
    world.write(INFERENCE_SERVICES, foreign, "argocd")
    writes = len(world.requests)
    with pytest.raises(InvalidInput, match=r"^OwnershipConflict: 'argocd' keeps changing InferenceService crm/bike"):
        serving.observe(MODEL)
    serving.apply(plan(MODEL, v4=100))
    assert len(world.requests) == writes
    world.now += 3601
    serving.observe(MODEL)
    serving.apply(plan(MODEL, v4=100))
    assert len(world.requests) > writes


def test_a_predictor_that_is_no_version_of_ours_is_replaced_at_once(world, serving):
    walk(world, serving, plan(MODEL, v4=100))
    theirs = {"name": "main", "model": {"storageUri": "s3://elsewhere/model"}}
    world.write(INFERENCE_SERVICES, {**OLD, "spec": {"predictor": theirs}}, "kubectl-edit")
    assert walk(world, serving, plan(MODEL, v4=100)) == ["v4"]
    assert "sha256=444" in isvc(world)["spec"]["predictor"]["model"]["storageUri"]


def test_a_canary_that_somebody_took_away_is_put_back_once(world, serving):
    walk(world, serving, plan(MODEL, v3=80, v4=20))
    for expected in ("put back", "said"):
        live = isvc(world)
        live["spec"]["canary"] = []
        live["metadata"]["generation"] += 1
        live["metadata"]["managedFields"].append({"manager": "kubectl-edit", "operation": "Update", "time": "2026", "fieldsV1": {}})
        world.put("InferenceService", live)
        if expected == "put back":
            assert walk(world, serving, plan(MODEL, v3=80, v4=20)) == ["v3 v4:20"]
    with pytest.raises(InvalidInput, match=r"^OwnershipConflict: 'kubectl-edit'"):
        serving.observe(MODEL)


def foreign(world):
    world.write(INFERENCE_SERVICES, OLD, "kubectl")


def orphan(world):
    walk(world, adapter(world), plan(model(uid="u-0"), v3=100))


def no_runtime(world):
    world.objects.pop(("ClusterServingRuntime", "", "trimtab"))


def another_gateway(world):
    world.put("Gateway", {"metadata": {"name": "mine", "namespace": "crm"}})
    world.route({"3": 1})


MENDED_BY_A_PERSON = [
    ("an InferenceService of somebody else's", foreign, MODEL, r"InferenceService crm/bike is there already and was not made by Trimtab"),
    ("one that outlived its Model", orphan, MODEL, r"InferenceService crm/bike outlived the Model that it was made for"),
    ("no runtime", no_runtime, MODEL, r"there is no ClusterServingRuntime 'trimtab', nor a ServingRuntime of that name in 'crm'"),
    ("no gateway", lambda _: None, model(gateway="a/b"), r"spec.serving.gateway: there is no Gateway 'a/b'; give an existing one"),
    ("not KServe's gateway", another_gateway, model(gateway="mine"), r"found 'mine', but KServe routes through gateways/ingress"),
]


@pytest.mark.parametrize(("happens", "of", "said"), [case[1:] for case in MENDED_BY_A_PERSON], ids=[case[0] for case in MENDED_BY_A_PERSON])
def test_what_a_person_has_to_mend_is_said(world, serving, happens, of, said):
    happens(world)
    before = isvc(world)
    with pytest.raises(InvalidInput, match=said):
        serving.observe(of)
    if happens in (foreign, orphan):
        with pytest.raises(InvalidInput, match=said):
            serving.apply(plan(of, v3=100))
        assert isvc(world) == before


def test_kserves_gateway_is_accepted_by_its_name(world, serving):
    world.put("Gateway", {"metadata": {"name": "ingress", "namespace": "gateways"}})
    world.route({"3": 1})
    assert weights(serving, model(gateway="gateways/ingress")) == {"3": 100}


def test_a_version_never_changes(world, serving):
    walk(world, serving, plan(MODEL, v3=100))
    other = plan(MODEL, v3=100)
    changed = type(other)(other.model, (type(other.arms[0])(version("3").__class__("3", "a" * 64), 100),))
    with pytest.raises(InvalidInput, match="a version never changes"):
        serving.apply(changed)
    assert not serving.settled(changed)


def test_a_versions_own_address_is_its_service(serving):
    assert serving.address(MODEL, "3") == "http://bike-v3-predictor.crm.svc:80"
