"""The template: what a Model adds to every version's predictor, what becomes of it when it is edited, and what it never touches."""

import pytest
from msgspec.structs import replace

from tests.unit.platforms.kubernetes.kserve_world import World, adapter, isvc, model, plan, version, walk
from trimtab.platforms.kubernetes.isvc import Shape, document, predictor
from trimtab.platforms.kubernetes.resources import INFERENCE_SERVICES

TEMPLATE = {
    "nodeSelector": {"disk": "fast"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "maxReplicas": 6,
    "scaleMetric": "cpu",
    "timeout": 30,
    "labels": {"team": "risk", "trimtab.dev/version": "mine"},
    "model": {"env": [{"name": "THREADS", "value": "2"}, {"name": "TRIMTAB_VERSION", "value": "mine"}]},
}


@pytest.fixture
def world():
    return World()


def stable_and_canary(of, replicas=None):
    known = {name: version(name) for name in ("3", "4")}
    spec = document(of, Shape("3", (("4", 20),)), known, replicas, "trimtab")["spec"]
    return spec["predictor"], spec["canary"][0]["predictor"]


def test_every_version_has_the_template_and_over_it_what_is_trimtabs():
    for number, found in zip("34", stable_and_canary(model(template=TEMPLATE)), strict=True):
        environment = {one["name"]: one["value"] for one in found["model"]["env"]}
        assert (found["nodeSelector"], found["timeout"], found["tolerations"]) == ({"disk": "fast"}, 30, TEMPLATE["tolerations"])
        assert found["labels"] == {"team": "risk", "trimtab.dev/version": number}
        assert (environment["THREADS"], environment["TRIMTAB_VERSION"]) == ("2", number)
        assert len(environment) == len(found["model"]["env"]), "no variable twice"
        assert (found["name"], found["model"]["runtime"]) == (f"v{number}", "trimtab")


def test_a_canary_gets_no_field_that_kserve_refuses_in_one():
    stable, canary = stable_and_canary(model(template=TEMPLATE))
    assert {"maxReplicas", "scaleMetric"} <= stable.keys()
    assert not {"maxReplicas", "scaleMetric"} & canary.keys()


def test_the_upper_bound_makes_room_for_the_canarys_replicas():
    stable, _ = stable_and_canary(model(template={"maxReplicas": 4}, replicas=4))
    assert (stable["minReplicas"], stable["maxReplicas"]) == (5, 5), "KServe refuses fewer at most than at least"


RESOURCES = [
    ("Trimtab's own where nobody says any", {}, {}, {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}),
    ("the template's, as a whole", {}, {"limits": {"cpu": "1"}}, {"limits": {"cpu": "1"}}),
    ("the Model's, as a whole", {"limits": {"cpu": "2"}}, {"requests": {"cpu": "1"}}, {"limits": {"cpu": "2"}}),
]


@pytest.mark.parametrize(("own", "template", "made"), [case[1:] for case in RESOURCES], ids=[case[0] for case in RESOURCES])
def test_resources(own, template, made):
    of = model(resources=own, template={"model": {"resources": template}} if template else {})
    assert predictor(of, version("3"), 1, "trimtab")["model"]["resources"] == made


def test_what_is_no_list_of_variables_is_left_for_the_api_server_to_refuse():
    of = model(template={"model": {"env": ["THREADS=2"]}})
    for found in stable_and_canary(of):
        assert found["model"]["env"][0] == "THREADS=2"


def edited(of, **template):
    return replace(of, spec=replace(of.spec, serving=replace(of.spec.serving, template=template)))


def fields_of_all(world):
    spec = isvc(world)["spec"]
    return [{**one, "model": None} for one in (spec["predictor"], *(canary["predictor"] for canary in spec["canary"]))]


@pytest.mark.parametrize("restarted", [False, True], ids=["by the same controller", "by one that was down meanwhile"])
def test_an_edit_is_followed_in_every_version_and_what_is_taken_out_goes_away(world, restarted):
    before = edited(model(), nodeSelector={"disk": "fast"}, priorityClassName="high", labels={"team": "risk"})
    after = edited(before, nodeSelector={"disk": "slow"}, timeout=30)
    serving = adapter(world)
    walk(world, serving, plan(before, v3=80, v4=20))
    world.write(INFERENCE_SERVICES, {**NAMED, "spec": {"predictor": {"labels": {"theirs": "1"}, "logger": {"mode": "all"}}}}, "kubectl")
    walk(world, serving, plan(before, v3=80, v4=20))
    for found in fields_of_all(world):
        assert (found["priorityClassName"], found["labels"]["team"], found["labels"]["theirs"]) == ("high", "risk", "1")
    if restarted:
        serving = adapter(world)
    assert not serving.settled(plan(after, v3=80, v4=20))
    assert walk(world, serving, plan(after, v3=80, v4=20)) == ["v3 v4:20"], "in place: no version comes or goes"
    for found in fields_of_all(world):
        assert (found["nodeSelector"], found["timeout"], found["logger"]) == ({"disk": "slow"}, 30, {"mode": "all"})
        assert "priorityClassName" not in found
        assert set(found["labels"]) == {"trimtab.dev/version", "theirs"}
    walk(world, serving, plan(after, v4=100))
    assert "priorityClassName" not in isvc(world)["spec"]["predictor"], "nor does the promotion bring it back"


def test_a_field_that_a_person_wrote_too_stays_when_the_template_no_longer_says_it(world):
    serving = adapter(world)
    walk(world, serving, plan(edited(model(), timeout=30), v3=100))
    world.write(INFERENCE_SERVICES, {**NAMED, "spec": {"predictor": {"timeout": 30}}}, "kubectl")
    walk(world, serving, plan(model(), v3=100))
    assert isvc(world)["spec"]["predictor"]["timeout"] == 30


def test_what_was_applied_once_is_not_applied_again(world):
    serving, of = adapter(world), plan(model(template=TEMPLATE), v3=80, v4=20)
    walk(world, serving, of)
    writes = len(world.requests)
    for _ in range(5):
        serving.apply(of)
    assert len(world.requests) == writes
    fresh = adapter(world)
    for _ in range(5):
        fresh.apply(of)
    assert len(world.requests) == writes + 1, "a controller that begins applies once what it did not apply itself"


NAMED = {"metadata": {"name": "bike", "namespace": "crm"}}
