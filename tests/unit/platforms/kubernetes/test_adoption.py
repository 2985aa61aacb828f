"""An InferenceService that was there before the Model is taken over, and serves in every step until the first version does."""

import copy

import pytest

from tests.unit.platforms.kubernetes.kserve_world import World, adapter, crowned, isvc, model, plan, version, walk
from trimtab.errors import InvalidInput
from trimtab.platforms.kubernetes.resources import HTTP_ROUTES, INFERENCE_SERVICES
from trimtab.platforms.kubernetes.route import read_route
from trimtab.platforms.kubernetes.serving import SETTLE_SECONDS

MODEL = model(adopt=True)
PROMOTED = crowned(MODEL, "8")
HEAD = {"metadata": {"name": "bike", "namespace": "crm"}}
SKLEARN = {"modelFormat": {"name": "sklearn"}, "storageUri": "s3://models/bike", "env": [{"name": "OMP", "value": "1"}]}


def orphan(world):
    walk(world, adapter(world), plan(model(uid="u-0", template={"priorityClassName": "high"}), v7=100))
    world.write(INFERENCE_SERVICES, {**HEAD, "spec": {"predictor": {"timeout": 77}}}, "kubectl")


def unnamed(world):
    world.write(INFERENCE_SERVICES, {**HEAD, "spec": {"predictor": {"model": SKLEARN, "timeout": 77}}}, "kubectl")


def named(world):
    world.write(INFERENCE_SERVICES, {**HEAD, "spec": {"predictor": {"name": "main", "model": SKLEARN, "timeout": 77}}}, "kubectl")


BEFORE = {
    "an orphan of an earlier Model": (orphan, "7", "v7"),
    "one without a name": (unnamed, ":", ""),
    "a named one": (named, ":main", "main"),
}


@pytest.fixture(params=BEFORE.values(), ids=BEFORE.keys())
def taken(request):
    """A world with an InferenceService of somebody else's; how it is called, and its name."""
    make, called, name = request.param
    world = World()
    make(world)
    world.kserve()
    return world, called, name


def shares(world):
    return read_route(world.get(HTTP_ROUTES, "crm", "bike"), "bike").weights


def seen(serving, of=MODEL):
    return {one.version: one.weight for one in serving.observe(of)}


def steps(world, serving, *plans):
    """Apply each plan until nothing is left to do; returns every share that was routed and every predictor that was stable."""
    routed, stable = [shares(world)], [isvc(world)["spec"]["predictor"]]
    for one in plans:
        for _ in range(40):
            serving.apply(one)
            stable.append(isvc(world)["spec"]["predictor"])
            world.kserve()
            routed.append(shares(world))
            serving.observe(one.model)
            world.now += SETTLE_SECONDS / 2
            if serving.settled(one):
                break
        else:
            raise AssertionError(routed)
    return routed, stable


def test_nothing_is_written_before_there_is_a_version(taken):
    world, called, _ = taken
    before, serving = copy.deepcopy(isvc(world)), adapter(world)
    world.requests.clear()
    for _ in range(3):
        serving.observe(MODEL)
        serving.apply(plan(MODEL))
        world.kserve()
    assert (isvc(world), world.requests, shares(world)) == (before, [], {called: 100})
    assert serving.settled(plan(MODEL))


def test_it_serves_alone_until_the_first_version_is_promoted_and_is_replaced_step_by_step(taken):
    world, called, name = taken
    serving, before = adapter(world), copy.deepcopy(isvc(world)["spec"]["predictor"])
    routed, stable = steps(world, serving, plan(MODEL), plan(MODEL, v8=0))
    assert all(one == {called: 100} for one in routed), "a version that is tried has nothing yet"
    assert {**stable[-1], "minReplicas": 1} == {**before, "minReplicas": 1}, "and its pods stay as they are"
    [canary] = isvc(world)["spec"]["canary"]
    assert (canary["predictor"]["name"], canary["trafficPercent"]) == ("v8", 0)
    assert canary["predictor"]["timeout"] == 77
    warm = world.get(HTTP_ROUTES, "crm", "bike-trimtab-warm")["spec"]["rules"][0]["backendRefs"]
    assert {ref["name"] for ref in warm} == {"bike-v8-predictor", "-".join(word for word in ("bike", name, "predictor") if word)}
    routed, _ = steps(world, serving, plan(MODEL, v8=100))
    assert list(dict.fromkeys(one.get("8", 0) for one in routed)) == [0, 99, 100]
    assert isvc(world)["spec"]["predictor"].get("name", "") == name, "no swap before the version is the champion"
    routed, _ = steps(world, serving, plan(PROMOTED, v8=100))
    assert all(one == {"8": 100} for one in routed), "no swap gives anything to another"
    spec = isvc(world)["spec"]
    assert (spec["predictor"]["name"], spec["canary"], seen(serving)) == ("v8", [], {"8": 100})
    assert (spec["predictor"]["timeout"], "priorityClassName" in spec["predictor"]) == (77, False)
    assert walk(world, adapter(world), plan(PROMOTED, v8=60, v9=40)) == ["v8 v9:40"], "from then on it is like any other"


def test_of_earlier_versions_the_old_one_is_kept_at_nothing_for_a_moment_and_others_are_replaced(taken):
    world, called, name = taken
    serving = adapter(world)
    walk(world, serving, plan(MODEL, v8=100))
    shapes = walk(world, serving, plan(PROMOTED, v8=100))
    assert shapes == (["v8 v7:0", "v8"] if called == "7" else ["v8"]), name


def test_a_first_version_that_is_withdrawn_leaves_what_was_there(taken):
    world, called, _ = taken
    serving, before = adapter(world), copy.deepcopy(isvc(world)["spec"]["predictor"])
    for weight in (0, 100):
        steps(world, serving, plan(MODEL, v8=weight))
        routed, stable = steps(world, serving, plan(MODEL, v8=0), plan(MODEL))
        assert routed[-1] == {called: 100}
        assert {**stable[-1], "minReplicas": 1} == {**before, "minReplicas": 1}
        assert isvc(world)["spec"]["canary"] == []
    assert world.get(HTTP_ROUTES, "crm", "bike-trimtab-warm") is None
    with pytest.raises(InvalidInput, match=r"set spec\.serving\.adopt: true"):
        adapter(world).observe(model())


def test_a_first_version_that_never_starts_takes_nothing(taken):
    world, called, _ = taken
    world.unready = {"v8"}
    serving = adapter(world)
    routed, _ = steps(world, serving, plan(MODEL, v8=0))
    for _ in range(10):
        serving.apply(plan(MODEL, v8=100))
        world.kserve()
        world.now += SETTLE_SECONDS
        routed.append(shares(world))
    assert all(one == {called: 100} for one in routed)


def test_labels_stay_as_they_are_for_they_would_restart_every_pod_and_the_owner_comes_with_the_first_version(taken):
    world, _, _ = taken
    of = model(adopt=True, policy="Delete")
    before = dict(isvc(world)["metadata"].get("labels", {}))
    serving = adapter(world)
    steps(world, serving, plan(of, v8=0))
    assert "ownerReferences" not in isvc(world)["metadata"], "a Model that never served takes nothing along"
    steps(world, serving, plan(of, v8=100), plan(crowned(of, "8"), v8=100))
    assert isvc(world)["metadata"].get("labels", {}) == before
    assert [one["uid"] for one in isvc(world)["metadata"]["ownerReferences"]] == ["u-1"]


def test_another_controller_goes_on_where_one_was_killed(taken):
    world, called, _ = taken
    routed = []
    for following in (plan(MODEL, v8=0), plan(MODEL, v8=100), plan(PROMOTED, v8=100)):
        for _ in range(10):
            fresh = adapter(world)
            fresh.observe(following.model)
            world.now += SETTLE_SECONDS
            fresh.apply(following)
            world.kserve()
            routed.append(tuple(shares(world).items()))
    assert list(dict.fromkeys(routed)) == [((called, 100),), ((called, 1), ("8", 99)), (("8", 100),)]
    assert isvc(world)["spec"]["predictor"]["name"] == "v8"


def test_what_others_write_into_it_before_it_is_replaced_is_theirs(taken):
    world, called, _ = taken
    serving = adapter(world)
    steps(world, serving, plan(MODEL, v8=0))
    for uri in ("s3://models/bike/2", "s3://models/bike/3"):
        world.write(INFERENCE_SERVICES, {**HEAD, "spec": {"predictor": {"model": {"storageUri": uri}}}}, "argocd")
        routed, stable = steps(world, serving, plan(MODEL, v8=0))
        assert (stable[-1]["model"]["storageUri"], routed[-1]) == (uri, {called: 100})
    assert seen(serving)["8"] == 0, "nobody fights"


ROOM = [
    ("fewer than the Model asks for", 3, {"minReplicas": 2, "maxReplicas": 2}, (6, 6)),
    ("none said", 1, {}, (1, None)),
    ("more than the Model asks for", 1, {"minReplicas": 5, "maxReplicas": 9}, (5, 9)),
]


@pytest.mark.parametrize(("replicas", "there", "expected"), [case[1:] for case in ROOM], ids=[case[0] for case in ROOM])
def test_what_is_there_keeps_its_replicas_and_has_as_many_more_as_its_canary(replicas, there, expected):
    world, of = World(), model(adopt=True, replicas=replicas)
    world.write(INFERENCE_SERVICES, {**HEAD, "spec": {"predictor": {"model": SKLEARN, **there}}}, "kubectl")
    world.kserve()
    steps(world, adapter(world), plan(of, v8=100))
    spec = isvc(world)["spec"]
    assert (spec["predictor"]["minReplicas"], spec["predictor"].get("maxReplicas")) == expected
    assert spec["canary"][0]["predictor"]["minReplicas"] == replicas


def test_the_same_version_made_for_an_earlier_model_is_taken_over_in_place():
    world = World()
    orphan(world)
    world.kserve()
    routed, _ = steps(world, adapter(world), plan(MODEL, v7=0), plan(crowned(MODEL, "7"), v7=100))
    assert all(one == {"7": 100} for one in routed)
    assert "priorityClassName" not in isvc(world)["spec"]["predictor"], "and follows the new Model"


def test_a_version_of_the_same_name_is_another():
    world = World()
    world.write(INFERENCE_SERVICES, {**HEAD, "spec": {"predictor": {"name": "v8", "model": SKLEARN}}}, "kubectl")
    world.kserve()
    before = copy.deepcopy(isvc(world))
    with pytest.raises(InvalidInput, match="the predictor 'v8' that serves as InferenceService crm/bike is not version '8' of the Model"):
        adapter(world).apply(plan(MODEL, v8=0))
    assert isvc(world) == before


def test_an_orphan_whose_registry_began_anew_goes_on_serving():
    world = World()
    orphan(world)
    world.kserve()
    before = copy.deepcopy(isvc(world))
    other = type(plan(MODEL))(MODEL, (type(plan(MODEL, v7=0).arms[0])(version("7").__class__("7", "a" * 64), 0),))
    with pytest.raises(InvalidInput, match="a version never changes"):
        adapter(world).apply(other)
    assert isvc(world) == before
