"""What a rollout plan can see."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from trimtab.release import Evidence, GuardState
from trimtab.rollout.power import detectable, n_star, plan, planned
from trimtab.spec import ErrorGuard, Guard, Rollout, SlowGuard
from trimtab.units import margin


def test_a_twentieth_of_the_traffic_needs_about_five_times_the_requests_of_a_half() -> None:
    half, twentieth = n_star(0.1, margin("+0.02"), 0.5), n_star(0.1, margin("+0.02"), 0.05)
    assert half is not None
    assert twentieth is not None
    assert 4.5 < twentieth / half < 6.5


def test_it_is_the_textbook_number_where_the_normal_approximation_is_good() -> None:
    p, slack, split = 0.3, 0.02, 0.5
    textbook = (1.6449 + 1.2816) ** 2 * p * (1 - p) * (1 / split + 1 / (1 - split)) / slack**2
    assert n_star(p, margin("+0.02"), split) == pytest.approx(textbook, rel=0.02)


def test_without_errors_it_is_the_rule_of_three() -> None:
    assert n_star(0.1, margin("+0.0000001"), 0.5) is None, "out of reach of any traffic"
    found = n_star(1e-6, margin("+0.01"), 0.5)
    assert found is not None
    assert found / 2 == pytest.approx(3.0 / 0.01, rel=0.15)


@pytest.mark.parametrize("text", ["+0", "-0.01", "x1", "x0.9"])
def test_a_margin_without_room_can_never_be_shown(text: str) -> None:
    assert n_star(0.1, margin(text), 0.5) is None
    found = plan(Rollout(guard=Guard(errors=ErrorGuard(margin=text))), 100.0)
    assert found.steps[0].requests is None
    assert not found.fits
    assert "out of reach" in found.steps[0].sentence
    assert "leaves no room" in found.steps[0].sentence
    assert "the steps never end" in found.sentence


def test_more_requests_catch_less_harm() -> None:
    found = [detectable(0.01, requests, 0.25) for requests in (1_000, 10_000, 100_000)]
    assert found == sorted(found, reverse=True)
    assert found[0] < 0.065
    assert found[2] < 0.004


def test_a_plan_tells_each_step_and_when_the_deadline_comes_first() -> None:
    quick, slow, none = (plan(Rollout(), rate) for rate in (100.0, 5.0, 0.0))
    assert [step.weight for step in quick.steps] == [5, 25, 50]
    assert quick.fits
    assert all(step.fits for step in quick.steps)
    assert quick.steps[0].seconds == pytest.approx((quick.steps[0].requests or math.nan) / 100.0)
    assert not slow.fits
    assert "out of reach before the deadline" in slow.sentence
    assert "out of reach: the deadline comes first" in slow.steps[-1].sentence
    assert none.steps[0].seconds is None
    assert not none.fits
    assert none.sentence.startswith("without traffic the steps never end, and 2 h are left")


def test_a_shadow_comes_before_the_first_step_and_takes_half_the_time_of_half_the_traffic() -> None:
    found = plan(Rollout(strategy="shadow", steps=(50,)), 100.0)
    assert [step.weight for step in found.steps] == [0, 50]
    shadow, half = found.steps
    assert (shadow.requests, shadow.at_most, shadow.detectable) == (half.requests, half.at_most, half.detectable)
    assert shadow.seconds == pytest.approx((half.seconds or math.nan) / 2)
    assert shadow.sentence.startswith("shadow: ")
    assert [step.weight for step in plan(Rollout(strategy="shadow", steps=()), 100.0).steps] == [0]
    assert [step.weight for step in plan(Rollout(strategy="shadow", steps=(50,)), 100.0, step=0).steps] == [50]


def test_copies_are_no_traffic() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    evidence = Evidence(errors=GuardState(champion_n=1000, candidate_n=900), since=start)
    found = planned(evidence, Rollout(strategy="shadow"), -1, start + timedelta(seconds=20), 7200.0, copies=900)
    assert found is not None
    assert found.requests_per_second == 50.0


def test_a_plan_under_way_is_of_the_steps_and_the_time_that_are_left() -> None:
    last = plan(Rollout(), 100.0, step=2)
    assert [step.weight for step in last.steps] == [50]
    assert last.fits
    late = plan(Rollout(), 100.0, step=2, left=(last.steps[0].seconds or 0.0) - 1.0)
    assert not late.fits


def test_what_was_seen_at_a_step_is_not_asked_for_again() -> None:
    whole = plan(Rollout(), 100.0, step=1).steps
    left = [plan(Rollout(), 100.0, step=1, seen=round(share * (whole[0].requests or 0))).steps for share in (0.5, 0.9, 3.0)]
    requests = [steps[0].requests or 0 for steps in left]
    assert 0.5 < requests[0] / (whole[0].requests or 0) < 0.75
    assert requests[1] < requests[0]
    assert all(steps[1] == whole[1] for steps in left), "only the step that it stands at has seen any"
    assert all((steps[0].at_most or 0) >= (steps[0].requests or 0) for steps in left)
    assert left[0][0].detectable == whole[0].detectable


def test_a_step_that_is_half_done_fits_in_the_time_that_is_left() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    state = GuardState(champion_n=9_500, champion_x=95, candidate_n=500)
    evidence = Evidence(errors=state, slow=state, since=start, at_step=10_000)
    now, rollout = start + timedelta(seconds=100), Rollout(steps=(5,))
    need = plan(rollout, 100.0).steps[0].seconds or 0.0
    under_way, anew = (planned(replace(evidence, at_step=seen), rollout, 0, now, need - 1.0) for seen in (10_000, 0))
    assert under_way is not None
    assert anew is not None
    assert (under_way.fits, anew.fits) == (True, False)


def test_two_guards_that_are_as_slow_take_longer_than_one() -> None:
    one = plan(Rollout(steps=(25,)), 100.0, errors=0.01, slow=1e-4).steps[0].requests
    alike = Guard(errors=ErrorGuard(margin="+0.01"), slow=SlowGuard(margin="+0.01"))
    two = plan(Rollout(steps=(25,), guard=alike), 100.0, errors=0.01, slow=0.01).steps[0].requests
    needed = n_star(0.01, margin("+0.01"), 0.25)
    assert one is not None
    assert two is not None
    assert needed is not None
    assert one / needed == pytest.approx(1.1, abs=0.03)
    assert two / needed == pytest.approx(1.5, abs=0.05)


def test_traffic_and_rates_are_those_that_were_counted() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    evidence = Evidence(errors=GuardState(champion_n=950, champion_x=19, candidate_n=50), since=start)
    found = planned(evidence, Rollout(), -1, start + timedelta(seconds=20), 7200.0)
    assert found is not None
    assert (found.requests_per_second, found.errors, found.slow) == (50.0, 0.021, 0.01)
    assert len(found.steps) == 3
    assert planned(Evidence(), Rollout(), -1, start, 7200.0) is None
