"""The arithmetic beneath the judge: what makes an E-value one is checked by adding up all outcomes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import rel_entr
from scipy.stats import binom

from trimtab.rollout import eprocess

LINES = st.one_of(
    st.tuples(st.just(1.0), st.floats(-0.3, 0.3)),
    st.tuples(st.floats(0.3, 4.0), st.just(0.0)),
)
RATES = st.floats(-4.0, -0.3).map(lambda power: 10.0**power)
SIZES = st.integers(0, 20)
TRUTHS = st.integers(0, 1000).map(lambda thousandth: thousandth / 1000)


def _all_outcomes(n_s: int, n_c: int) -> tuple[np.ndarray, np.ndarray]:
    x_s, x_c = np.meshgrid(np.arange(n_s + 1), np.arange(n_c + 1), indexing="ij")
    return x_s.reshape(-1, 1), x_c.reshape(-1, 1)


@settings(max_examples=60, deadline=None)
@given(n_s=SIZES, n_c=SIZES, line=LINES, sign=st.sampled_from([1.0, -1.0]), rate=RATES, champion=TRUTHS, candidate=TRUTHS)
def test_nowhere_in_the_null_does_a_block_gain_in_the_mean(n_s, n_c, line, sign, rate, champion, candidate) -> None:
    a, b = line
    edge = min(1.0, max(0.0, a * champion + b))
    x_s, x_c = _all_outcomes(n_s, n_c)
    counts = (np.full_like(x_s, n_s), x_s, np.full_like(x_c, n_c), x_c)
    lines = [np.full((1, 1), value) for value in (a, b, sign)]
    logs = [eprocess.block_log_e(counts, rate, *lines), eprocess.first_log_e(counts, *lines)]
    for truth in (edge, candidate):
        if sign * (truth - (a * champion + b)) <= 1e-12:
            weights = binom.pmf(x_s, n_s, champion) * binom.pmf(x_c, n_c, truth)
            for log_e in logs:
                assert np.max(np.sum(weights * np.exp(log_e), axis=0)) <= 1.0 + 1e-6


@settings(max_examples=100, deadline=None)
@given(line=LINES, q_s=RATES, q_c=RATES, n_s=st.integers(1, 10_000), n_c=st.integers(1, 10_000))
def test_the_projection_is_the_nearest_point_of_the_line(line, q_s, q_c, n_s, n_c) -> None:
    a, b = line

    def divergence(t: float) -> float:
        c = a * t + b
        champion = rel_entr(q_s, t) + rel_entr(1 - q_s, 1 - t)
        return n_s * champion + n_c * (rel_entr(q_c, c) + rel_entr(1 - q_c, 1 - c))

    t, c = (float(value) for value in eprocess.project(np.float64(q_s), np.float64(q_c), n_s, n_c, a, b))
    best = minimize_scalar(divergence, bounds=(max(0.0, -b / a), min(1.0, (1 - b) / a)), method="bounded", options={"xatol": 1e-12})
    assert c == pytest.approx(a * t + b)
    assert divergence(t) <= best.fun + 1e-6 * max(1.0, abs(best.fun))


def test_an_arm_without_requests_bets_nothing() -> None:
    for counts in ((0, 0, 50, 3), (50, 3, 0, 0)):
        lines = [np.full((1, 1), value) for value in (1.0, 0.0, 1.0)]
        assert np.allclose(eprocess.block_log_e(counts, 0.01, *lines), 0.0, atol=1e-6)


def test_dealing_out_anew_keeps_the_total() -> None:
    log_e = np.array([[0.0, -500.0, 3.0], [1.0, 2.0, -40.0]])
    assert np.allclose(eprocess.log_mean(eprocess.share(log_e)), eprocess.log_mean(log_e))
    assert eprocess.share(log_e)[0, 1] > -10.0


def test_a_reserve_outlasts_days_of_looks_at_which_every_bet_loses() -> None:
    log_e, lost = np.zeros(len(eprocess.EFFECTS)), -np.sign(eprocess.EFFECTS)
    for look in range(1, 20_001):
        log_e = eprocess.share(log_e + lost, eprocess.dealt(20, 20 * look))
    assert eprocess.log_mean(log_e) > np.log(1.0 / len(eprocess.EFFECTS)) - (0.2 + 0.2 * np.log(20_000 / 200))
    assert np.min(log_e) > np.max(log_e) - 16.0


def test_the_first_two_hundred_looks_deal_out_the_whole_share() -> None:
    assert [eprocess.dealt(50, 50 * look) for look in (1, 200)] == [eprocess.SHARE, eprocess.SHARE]
    assert eprocess.dealt(50, 50 * 2_000) == pytest.approx(eprocess.SHARE / 10)


def test_memory_is_bounded_and_keeps_the_rate() -> None:
    n, x = eprocess.remember(0.0, 0.0, 1_000_000, 10_000)
    assert x == pytest.approx(eprocess.MEMORY)
    assert x / n == pytest.approx(0.01)
    assert eprocess.remember(0.0, 0.0, 1_000_000, 3) == (1_000_000, 3)
