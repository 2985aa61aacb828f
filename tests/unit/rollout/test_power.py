"""What a rollout plan can see."""

import math

import pytest

from trimtab.rollout.power import describe, detectable, n_star
from trimtab.spec import ErrorGuard, Guard, Rollout
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
    found = n_star(1e-6, margin("+0.01"), 0.5)
    assert found is not None
    assert found / 2 == pytest.approx(3.0 / 0.01, rel=0.15)


@pytest.mark.parametrize("text", ["+0", "-0.01", "x1", "x0.9"])
def test_a_margin_without_room_can_never_be_shown(text: str) -> None:
    assert n_star(0.1, margin(text), 0.5) is None
    plan = describe(Rollout(guard=Guard(errors=ErrorGuard(margin=text))), 100.0)
    assert plan[0].requests is None
    assert not plan[0].fits
    assert "leaves no room" in plan[0].sentence


def test_more_requests_catch_less_harm() -> None:
    found = [detectable(0.01, requests, 0.25) for requests in (1_000, 10_000, 100_000)]
    assert found == sorted(found, reverse=True)
    assert found[0] < 0.06
    assert found[2] < 0.004


def test_a_plan_tells_each_step_and_when_the_deadline_comes_first() -> None:
    quick, slow, none = (describe(Rollout(), rate) for rate in (100.0, 5.0, 0.0))
    assert [step.weight for step in quick] == [5, 25, 50]
    assert all(step.fits for step in quick)
    assert quick[0].seconds == pytest.approx((quick[0].requests or math.nan) / 100.0)
    assert [step.fits for step in slow] == [True, False, False] or not slow[-1].fits
    assert "the deadline comes first" in slow[-1].sentence
    assert none[0].seconds is None
    assert not none[0].fits
