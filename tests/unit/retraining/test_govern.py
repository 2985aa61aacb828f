"""The governor: who may begin, who waits until when, who is told no."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.unit.retraining.releases import ALL_ON, DAY, HOUR, NOW, model, release
from trimtab.release import TERMINAL, Admit, Phase, Refuse, Release, Wait
from trimtab.retraining.govern import PRIORITY, breaker_open, govern
from trimtab.spec import Model, PipelineVersion, Version

ASKED = release("asked")
TRIAL = release("t", "pipeline", pipeline=PipelineVersion("churn", "1.4.0"))
ENDED = Phase.PROMOTED
OLD = Version("1", "a" * 64)


def said(asked: Release, *others: Release, of: Model | None = None, running: int = 0, limit: int = 4) -> str:
    """The governor's answer as one word: its reason."""
    return govern(asked, of or model(), [*others, asked], NOW, running, limit).reason


def failures(*phases: Phase, hours: float = -100.0) -> list[Release]:
    return [
        release(f"old-{number}", phase=phase, born=hours + number, admitted=hours + number, cut=hours + number)
        for number, phase in enumerate(phases)
    ]


BAD = (Phase.REJECTED, Phase.ROLLED_BACK, Phase.FAILED)
NEITHER = (Phase.INCONCLUSIVE, Phase.CANCELLED, Phase.SUPERSEDED, Phase.REFUSED)
GONE = [replace(old, spec=replace(old.spec, model_uid="gone")) for old in failures(*BAD)]
PROMOTED = [release("new", phase=ENDED, promoted=-2)]
NEWER = PipelineVersion("churn", "1.5.0", "c" * 64)
TRIED = [release(f"t{number}", "pipeline", phase, born=-90, admitted=-90 + number, pipeline=NEWER) for number, phase in enumerate(BAD)]
TAKEN = release("t", "pipeline", ENDED, born=-99, admitted=-98.5, promoted=-98.4, pipeline=NEWER)

CASES = [
    ("nothing stands against it", ASKED, [], {}, "Admitted"),
    ("another Release of the model is in training", ASKED, [release("busy", phase=Phase.TRAINING)], {}, "AnotherActive"),
    ("another is being withdrawn", ASKED, [release("busy", phase=Phase.WITHDRAWING)], {}, "AnotherActive"),
    ("a Release of another model is in training", ASKED, [release("busy", phase=Phase.TRAINING, of="fraud")], {}, "Admitted"),
    ("a person's waits for the active one too", release("p", "person"), [release("busy", phase=Phase.BAKING)], {}, "AnotherActive"),
    ("the trigger is not in the policy", release("d", "drift"), [], {"on": ("performance",)}, "TriggerOff"),
    ("a person needs no policy", release("p", "person"), [], {"on": ()}, "Admitted"),
    ("a changed recipe needs no policy", release("r", "recipe"), [], {"on": ()}, "Admitted"),
    ("a finding before the first version", ASKED, [], {"champion": False}, "NoChampion"),
    ("a recipe's first version", release("r", "recipe"), [], {"champion": False}, "Admitted"),
    ("an hour after the last retrain", ASKED, [release("old", phase=Phase.REJECTED, admitted=-1)], {}, "Cooldown"),
    ("a day after the last retrain", ASKED, [release("old", phase=Phase.REJECTED, admitted=-24)], {}, "Admitted"),
    ("an hour after a version was brought back", ASKED, [release("b", phase=ENDED, admitted=-1, version=OLD)], {}, "Admitted"),
    ("a person does not cool down", release("p", "person"), [release("old", phase=Phase.REJECTED, admitted=-1)], {}, "Admitted"),
    ("what was refused cools nothing down", ASKED, [release("no", phase=Phase.REFUSED)], {}, "Admitted"),
    (
        "two retrains a day are spent",
        ASKED,
        [release("a", phase=Phase.REJECTED, admitted=-20), release("b", phase=Phase.REJECTED, admitted=-2)],
        {"cooldown": "1h"},
        "BudgetSpent",
    ),
    (
        "one of the two was more than a day ago",
        ASKED,
        [release("a", phase=Phase.REJECTED, admitted=-24), release("b", phase=Phase.REJECTED, admitted=-2)],
        {"cooldown": "1h"},
        "Admitted",
    ),
    ("three failures in a row", ASKED, failures(*BAD), {}, "BreakerOpen"),
    ("two failures in a row", ASKED, failures(*BAD[:2]), {}, "Admitted"),
    ("a promotion between failures", ASKED, failures(*BAD[:2], ENDED, Phase.FAILED), {}, "Admitted"),
    ("others between failures count as nothing", ASKED, failures(*BAD[:2], *NEITHER, Phase.FAILED), {}, "BreakerOpen"),
    ("three failures more than a week ago", ASKED, failures(*BAD, hours=-171.0), {}, "Admitted"),
    ("three failures that a person forgave", ASKED, failures(*BAD), {"reset_at": NOW - 50 * HOUR}, "Admitted"),
    ("a person passes the breaker", release("p", "person"), failures(*BAD), {}, "Admitted"),
    ("a changed recipe passes the breaker", release("r", "recipe"), failures(*BAD), {}, "Admitted"),
    ("failures of the model that had the name before", ASKED, GONE, {}, "Admitted"),
    ("a finding that a promotion has answered", release("a", cut=-3), PROMOTED, {}, "AlreadyAnswered"),
    ("a finding since the last promotion", release("a", cut=-1), PROMOTED, {}, "Admitted"),
    ("new data from before a promotion is still new", release("a", "newData", cut=-3), PROMOTED, {}, "Admitted"),
    ("performance speaks for concept", release("c", "concept", born=-5), [ASKED], {}, "Collapsed"),
    ("and is not collapsed by it", ASKED, [release("c", "concept", born=-5)], {}, "Admitted"),
    ("a person's speaks for the others", ASKED, [release("p", "person", born=1)], {}, "Collapsed"),
    ("a person's never collapses", release("p", "person"), [release("p0", "person", born=-1)], {}, "AnotherFirst"),
    ("of two findings the one that reads more data stays", ASKED, [release("later", born=1, cut=1)], {}, "Collapsed"),
    ("others collapse while one is active", release("c", "concept"), [ASKED, release("busy", phase=Phase.TRAINING)], {}, "Collapsed"),
    (
        "a recipe is not swallowed by a finding that cools down",
        release("r", "recipe"),
        [ASKED, release("old", phase=Phase.REJECTED, admitted=-1)],
        {},
        "Admitted",
    ),
    ("one of another recipe speaks for nobody", ASKED, [release("r2", "person", recipe="r2")], {}, "AnotherFirst"),
    ("a trial of a pipeline waits for a person's", TRIAL, [release("p", "person", born=1)], {}, "AnotherFirst"),
    ("a trial speaks for no retrain, which runs what made the champion", release("n", "newData"), [TRIAL], {}, "AnotherFirst"),
    (
        "a trial two hours ago, on old rows, is no retrain",
        ASKED,
        [release("t", "pipeline", BAD[0], admitted=-2, pipeline=NEWER)],
        {},
        "Admitted",
    ),
    ("a finding that only a trial was promoted after", release("a", cut=-99), [TAKEN], {}, "Admitted"),
    ("three trials that failed", ASKED, TRIED, {}, "Admitted"),
    ("two failures and a trial that failed", ASKED, [*failures(*BAD[:2]), TRIED[0]], {}, "Admitted"),
    ("a trial that was promoted between failures", ASKED, [*failures(*BAD), TAKEN], {}, "BreakerOpen"),
    ("one that will be refused speaks for nobody", release("s", "schedule"), [release("c", "concept")], {"on": ("schedule",)}, "Admitted"),
]


@pytest.mark.parametrize(("asked", "others", "rules", "reason"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_is_said(asked: Release, others: list[Release], rules: dict[str, object], reason: str) -> None:
    assert said(asked, *others, of=model(**rules)) == reason  # type: ignore[arg-type]


def test_waits_say_until_when_in_data_time() -> None:
    cooling = govern(ASKED, model(), [release("old", phase=Phase.REJECTED, admitted=-1)], NOW, 0, 4)
    assert isinstance(cooling, Wait)
    assert cooling.until == NOW + 23 * HOUR
    spent = govern(ASKED, model(cooldown="1h"), failures(*BAD[:2], hours=-10), NOW, 0, 4)
    assert isinstance(spent, Wait)
    assert spent.until == NOW + 14 * HOUR
    broken = govern(ASKED, model(), failures(*BAD), NOW, 0, 4)
    assert isinstance(broken, Wait)
    assert broken.until == NOW - 98 * HOUR + 7 * DAY
    assert "3 Releases in a row failed" in broken.sentence


def test_what_collapsed_ends_superseded_and_what_is_off_ends_refused() -> None:
    collapsed = govern(release("c", "concept"), model(), [ASKED], NOW, 0, 4)
    assert isinstance(collapsed, Refuse)
    assert collapsed.phase is Phase.SUPERSEDED
    assert "'asked' (performance)" in collapsed.sentence
    off = govern(release("d", "drift"), model(on=("concept",)), [], NOW, 0, 4)
    assert isinstance(off, Refuse)
    assert off.phase is Phase.REFUSED


def test_priority_is_person_first_and_drift_last() -> None:
    waiting = [release(trigger.lower(), trigger, born=number) for number, trigger in enumerate(reversed(PRIORITY))]
    answers = {one.spec.request.trigger: said(one, *waiting) for one in waiting}
    assert answers == {"person": "Admitted"} | dict.fromkeys(PRIORITY[1:], "Collapsed")


def test_the_breaker_tells_since_when_and_a_new_failure_after_the_reset_opens_it_again() -> None:
    old = failures(*BAD, hours=-171.0)
    assert breaker_open(model(), failures(*BAD), NOW) == NOW - 98 * HOUR
    assert breaker_open(model(), old, NOW) is None
    assert breaker_open(model(), [*old, release("again", phase=Phase.FAILED, born=-1, admitted=-1)], NOW) == NOW - HOUR


def test_places_go_to_the_model_that_has_waited_longest() -> None:
    others = [release("f", of="fraud", born=-2), release("g", of="grid", born=-1)]
    assert said(ASKED, *others, running=2, limit=4) == "ConcurrencyLimit"
    assert said(ASKED, *others, running=1, limit=4) == "Admitted"
    assert said(others[0], ASKED, *others, of=model("fraud"), running=3, limit=4) == "Admitted"
    assert said(ASKED, running=4, limit=4) == "ConcurrencyLimit"


def test_a_model_that_had_a_place_of_late_lets_others_go_first() -> None:
    had = release("had", phase=Phase.REJECTED, of="fraud", admitted=-30)
    assert said(ASKED, release("f", of="fraud", born=-9), had, running=3, limit=4) == "Admitted"


def test_a_model_that_cools_down_or_is_busy_keeps_no_place_from_others() -> None:
    cooling = release("f", of="fraud", born=-2, reason="Cooldown")
    busy = [release("g", of="grid", born=-2), release("g0", of="grid", phase=Phase.TRAINING, admitted=-1)]
    assert said(ASKED, cooling, *busy, running=3, limit=4) == "Admitted"


phases = st.sampled_from([Phase.PENDING] * 4 + list(Phase))
releases = st.builds(
    release,
    st.sampled_from([f"n{number}" for number in range(12)]),
    st.sampled_from(PRIORITY),
    phases,
    of=st.sampled_from(["churn", "fraud"]),
    born=st.integers(-50, 0),
    cut=st.integers(-50, 0),
    recipe=st.sampled_from(["r1", "r2"]),
    reason=st.sampled_from(["", "Cooldown", "ConcurrencyLimit"]),
)
worlds = st.lists(releases, min_size=1, max_size=8, unique_by=lambda one: one.name)
policies = st.builds(
    model,
    champion=st.booleans(),
    on=st.sets(st.sampled_from(ALL_ON)).map(lambda names: tuple(sorted(names))),
    cooldown=st.sampled_from(["0s", "24h", "200h", "30d"]),
)


@settings(max_examples=150, deadline=None)
@given(world=worlds, policy=policies, order=st.randoms(use_true_random=False), limit=st.integers(0, 4))
def test_order_and_repeats_of_the_list_change_no_answer(world, policy, order, limit) -> None:
    asked = world[0]
    shuffled = [*world, *world[::2]]
    order.shuffle(shuffled)
    assert govern(asked, policy, shuffled, NOW, 1, limit) == govern(asked, policy, world, NOW, 1, limit)
    assert govern(asked, policy, world[1:], NOW, 1, limit) == govern(asked, policy, world, NOW, 1, limit)


@settings(max_examples=150, deadline=None)
@given(world=worlds, policy=policies)
def test_of_one_list_at_most_one_release_of_a_model_is_admitted_and_none_beside_an_active_one(world, policy) -> None:
    own = [one for one in world if one.spec.model == "churn"]
    pending = [one for one in own if one.status.phase is Phase.PENDING]
    admitted = [one for one in pending if isinstance(govern(one, policy, world, NOW, 0, 9), Admit)]
    busy = [one for one in own if one.status.phase is not Phase.PENDING and one.status.phase not in TERMINAL]
    assert len(admitted) + bool(busy) <= 1


@settings(max_examples=80, deadline=None)
@given(world=worlds, policy=policies)
def test_whatever_waits_is_answered_in_the_end(world, policy) -> None:
    """Granting what is granted, ending it, and letting time pass, no waiting Release is left behind for ever."""
    policy = model(on=policy.spec.retraining.on, cooldown=policy.spec.retraining.cooldown)
    now, left = NOW, {one.name: one for one in world if one.spec.model == "churn" and one.spec.recipe == "r1"}
    for _ in range(40 + 8 * 30):
        for name, one in list(left.items()):
            if one.status.phase is not Phase.PENDING:
                ended = one.status.phase if one.terminal else Phase.INCONCLUSIVE
                left[name] = replace(one, status=replace(one.status, phase=ended))
                continue
            answer = govern(one, policy, list(left.values()), now, 0, 1)
            if isinstance(answer, Admit):
                left[name] = replace(one, status=replace(one.status, phase=Phase.TRAINING, admitted_at=now, admitted_data=now))
            elif isinstance(answer, Wait):
                assert answer.ends, "with a champion every wait ends by itself"
            else:
                left[name] = replace(one, status=replace(one.status, phase=answer.phase))
        now += timedelta(hours=24)
    assert all(one.status.phase is not Phase.PENDING for one in left.values())
