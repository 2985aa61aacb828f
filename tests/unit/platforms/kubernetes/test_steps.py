"""The order in which canaries are moved: each case a sentence, and for all of them that nothing unsafe is ever asked for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.platforms.kubernetes.isvc import Shape
from trimtab.platforms.kubernetes.steps import next_shape

CASES = [
    ("the first version is the stable one at once", {"3": 0}, None, {}, True, Shape("3")),
    ("a first version that serves all stays", {"3": 0}, Shape("3"), {"3": 100}, True, Shape("3")),
    ("nothing to serve is no InferenceService", {}, Shape("3"), {"3": 100}, True, None),
    ("a lost InferenceService comes back with its canary", {"3": 80, "4": 20}, None, {}, True, Shape("3", (("4", 20),))),
    ("a candidate is deployed at 0%", {"3": 100, "4": 0}, Shape("3"), {"3": 100}, True, Shape("3", (("4", 0),))),
    ("a candidate takes a step", {"3": 80, "4": 20}, Shape("3", (("4", 0),)), {"3": 100}, False, Shape("3", (("4", 20),))),
    ("what is reached stays", {"3": 80, "4": 20}, Shape("3", (("4", 20),)), {"3": 80, "4": 20}, True, Shape("3", (("4", 20),))),
    ("all but 1% before all", {"3": 0, "4": 100}, Shape("3", (("4", 50),)), {"3": 50, "4": 50}, True, Shape("3", (("4", 99),))),
    ("the 1% is waited for", {"3": 0, "4": 100}, Shape("3", (("4", 99),)), {"3": 50, "4": 50}, True, Shape("3", (("4", 99),))),
    ("and must have settled", {"3": 0, "4": 100}, Shape("3", (("4", 99),)), {"3": 1, "4": 99}, False, Shape("3", (("4", 99),))),
    ("then all", {"3": 0, "4": 100}, Shape("3", (("4", 99),)), {"3": 1, "4": 99}, True, Shape("3", (("4", 100),))),
    ("no swap before the champion is another", {"3": 0, "4": 100}, Shape("3", (("4", 100),)), {"4": 100}, True, Shape("3", (("4", 100),))),
    (
        "no swap before the route confirms",
        {"4": 100, "3": 0},
        Shape("3", (("4", 100),)),
        {"3": 1, "4": 99},
        True,
        Shape("3", (("4", 100),)),
    ),
    ("no swap before the gateway has settled", {"4": 100, "3": 0}, Shape("3", (("4", 100),)), {"4": 100}, False, Shape("3", (("4", 100),))),
    ("the swap keeps the old one warm", {"4": 100, "3": 0}, Shape("3", (("4", 100),)), {"4": 100}, True, Shape("4", (("3", 0),))),
    ("the swap is needed before a drop too", {"4": 100}, Shape("3", (("4", 100),)), {"4": 100}, True, Shape("4", (("3", 0),))),
    ("the old one is dropped after the bake", {"4": 100}, Shape("4", (("3", 0),)), {"4": 100}, True, Shape("4")),
    ("and not before the gateway has settled", {"4": 100}, Shape("4", (("3", 0),)), {"4": 100}, False, Shape("4", (("3", 0),))),
    ("the champion comes back by weight first", {"3": 100, "4": 0}, Shape("4", (("3", 0),)), {"4": 100}, True, Shape("4", (("3", 99),))),
    ("a candidate is withdrawn to 1% first", {"3": 100}, Shape("3", (("4", 30),)), {"3": 70, "4": 30}, True, Shape("3", (("4", 1),))),
    ("then to 0%", {"3": 100}, Shape("3", (("4", 1),)), {"3": 99, "4": 1}, True, Shape("3", (("4", 0),))),
    ("is not dropped while the route names it", {"3": 100}, Shape("3", (("4", 0),)), {"3": 99, "4": 1}, True, Shape("3", (("4", 0),))),
    ("and is dropped at last", {"3": 100}, Shape("3", (("4", 0),)), {"3": 100}, True, Shape("3")),
    ("one that was never ready goes straight to 0%", {"3": 100}, Shape("3", (("4", 30),)), {"3": 100}, True, Shape("3", (("4", 0),))),
]


@pytest.mark.parametrize(("wanted", "shape", "route", "settled", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_next_step(wanted, shape, route, settled, expected):
    assert next_shape(wanted, shape, route, settled) == expected


VERSIONS = ["1", "2", "3", "4"]


@st.composite
def plans(draw):
    """One or two arms, the stable one first."""
    names = draw(st.permutations(VERSIONS))
    share = draw(st.sampled_from([0, 0, 1, 5, 50, 99, 100]))
    return draw(st.sampled_from([{names[0]: 100}, {names[0]: 100 - share, names[1]: share}]))


@st.composite
def shapes(draw):
    """Any InferenceService that KServe accepts."""
    names = draw(st.permutations(VERSIONS))
    count = draw(st.integers(0, 3))
    shares = draw(st.lists(st.sampled_from([0, 1, 20, 33]), min_size=count, max_size=count))
    if count and draw(st.booleans()):
        shares[0] = 100 - sum(shares[1:])
    return Shape(names[0], tuple(zip(names[1:], shares, strict=False)))


class Cluster:
    """KServe's route by its rules: a canary has its weight while it is ready, the stable version what is left."""

    def __init__(self, shape, ready):
        self.ready = set(ready)
        self.route = {}
        self.age = 0
        self.follow(shape)

    def follow(self, shape):
        live = {version: percent for version, percent in shape.canaries if version in self.ready}
        route = {shape.stable: 100 - sum(live.values()), **live}
        route = {version: percent for version, percent in route.items() if percent}
        self.age = self.age + 1 if route == self.route else 0
        self.route = route


@given(plans(), shapes(), st.sets(st.sampled_from(VERSIONS)), st.lists(st.booleans(), min_size=24, max_size=24))
@settings(max_examples=250, deadline=None, derandomize=True, database=None)
def test_from_anywhere_the_plan_is_reached_and_no_step_is_unsafe(plan, shape, ready, reconciles):
    cluster = Cluster(shape, ready)
    everyone_is_ready_at = 12
    for look, reconciled in enumerate([*reconciles, *[True] * 40]):
        if look == everyone_is_ready_at:
            cluster.ready = set(VERSIONS)
        before, route = shape, dict(cluster.route)
        shape = next_shape(plan, before, route, cluster.age >= 1)
        check(plan, before, shape, route)
        if reconciled:
            cluster.follow(shape)
    assert cluster.route == {version: weight for version, weight in plan.items() if weight}
    assert shape.declared.keys() == plan.keys()
    wanted_stable = next(iter(plan))
    assert shape.stable == wanted_stable or plan[wanted_stable] < 100


def check(plan, before, after, route):
    """What must hold for every step."""
    declared, was = after.declared, before.declared
    assert all(percent >= 0 for percent in declared.values())
    assert sum(declared.values()) == 100
    assert len(after.canaries) == len(dict(after.canaries))
    assert after.stable not in dict(after.canaries)
    for version in was.keys() - declared.keys():
        assert not route.get(version), f"{version} is dropped while the route gives it {route}"
        assert version not in plan
    for version, percent in declared.items():
        assert version in plan or version in was, "only the plan's versions are deployed"
        assert version in plan or percent <= max(was[version], 1), "a version that is not in the plan never gets more"
        straight_to_zero = percent == 0 and was.get(version, 0) > 1 and route.get(version, 0) > 1
        assert not straight_to_zero, f"{version} goes from {route} straight to 0%"
    if after.stable != before.stable:
        assert not route.get(before.stable), "the stable version changes only when the route gives it nothing"
        assert before.stable in declared
        assert set(declared.items()) == set(was.items()), "a swap changes no weight"
