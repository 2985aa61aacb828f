"""E-processes that compare two Bernoulli streams block by block: the arithmetic beneath the judge.

A canary is looked at all the time, its split changes, and the world changes under both versions. So evidence is a product
over blocks of E-values, each of which compares the versions *within* its block, and which holds at any stopping time.

Null hypotheses are half-planes beneath or above a line: p_candidate <= a * p_champion + b ("harm" is what refutes it), or
>= ("not worse" refutes it). For a point alternative q = (q_champion, q_candidate) outside of the half-plane, let q0 be the
point in it that minimises n_champion KL(q_champion, .) + n_candidate KL(q_candidate, .). Then the likelihood ratio of q to q0
is an E-value: a champion's request has the expectation 1 + u_s, a candidate's 1 + u_c, and the optimality of q0 in a convex
set says n_s u_s + n_c u_c <= 0 at every point of the null, so the product is at most exp(0) = 1. It is enough that the rates'
averages over the block are in the null. (Turner and Gruenwald, "Safe sequential testing and effect estimation in stratified
count data", AISTATS 2023, theorem 1; Turner, Ly and Gruenwald, "Generic E-variables for exact sequential k-sample tests", 2024.)

Alternatives: the champion's rate as learned from earlier blocks, and a candidate beyond the line by each of `EFFECTS` in
log-odds. Their products are kept apart and averaged, which is an E-process too. At each look a part of the capital is dealt
out evenly again (fixed share, Herbster and Warmuth 1998): capital may be moved between bets at any time, and a candidate that
goes bad after hours is found as if the bets against it had not been lost meanwhile. The effect 0 bets nothing: it is the reserve.
The part shrinks as requests add up (`dealt`), or a canary that stands for days would deal its reserve out to bets that lose it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Stakes(NamedTuple):
    """What one request adds to the log of an E-process, by its version and whether it is bad; one for each of `EFFECTS` (the last axis)."""

    champion_bad: Floats
    champion_good: Floats
    candidate_bad: Floats
    candidate_good: Floats

    def gain(self, counts: tuple[Any, Any, Any, Any]) -> Floats:
        """The log E-values of a block of (champion n, champion x, candidate n, candidate x); they broadcast against the stakes."""
        n_s, x_s, n_c, x_c = counts
        champion = x_s * self.champion_bad + (n_s - x_s) * self.champion_good
        return np.asarray(champion + x_c * self.candidate_bad + (n_c - x_c) * self.candidate_good)


EFFECTS: Floats = np.array([0.0, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12])
SHARE = 0.001
_DEALT = 0.2
MEMORY = 64.0
_FIRST_RATES: Floats = np.array([1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.25, 0.5])
_KNOWN = 16.0
_GRAIN = 16.0
_TINY = 1e-7
_EDGE = 1e-12


def project(q_s: Any, q_c: Any, n_s: Any, n_c: Any, a: Any, b: Any) -> tuple[Floats, Floats]:
    """The point (t, a t + b) that is nearest to (q_s, q_c): it minimises n_s KL(q_s, t) + n_c KL(q_c, a t + b). Broadcasts.

    The derivative, freed of its denominators, is a cubic with one root between q_s and (q_c - b) / a: found by Newton's
    method within a shrinking bracket, which is halved in the logarithm, for roots lie close above 0 where rates are small.
    (It is the restricted maximum likelihood estimate of Farrington and Manning, 1990.)
    """
    one, other = np.broadcast_arrays(q_s, (q_c - b) / a)
    floor = np.maximum(0.0, -b / a)
    least, most = floor + _EDGE, np.minimum(1.0, (1.0 - b) / a) - _EDGE
    low, high = np.clip(np.minimum(one, other), least, most), np.clip(np.maximum(one, other), least, most)
    t = np.clip((n_s * q_s + a * n_c * (q_c - b)) / np.maximum(n_s + a * a * n_c, _TINY), low, high)
    for _ in range(60):
        c = a * t + b
        s_var, c_var = t * (1.0 - t), c * (1.0 - c)
        s_gap, c_gap = n_s * (t - q_s), a * n_c * (c - q_c)
        value = s_gap * c_var + c_gap * s_var
        slope = n_s * c_var + s_gap * a * (1.0 - 2.0 * c) + a * a * n_c * s_var + c_gap * (1.0 - 2.0 * t)
        right = value < 0.0
        low, high = np.where(right, t, low), np.where(right, high, t)
        following = t - value / np.where(slope > 0.0, slope, np.inf)
        inside = (following >= low) & (following <= high) & (slope > 0.0)
        following = np.where(inside, following, floor + np.sqrt((low - floor) * (high - floor)))
        settled = bool(np.all(np.abs(following - t) <= 1e-10 * following))
        t = following
        if settled:
            break
    return t, a * t + b


def bet(counts: tuple[Any, Any, Any, Any], learned: tuple[Any, Any], look_n: Any, a: Any, b: Any, sign: Any) -> Floats:
    """The log E-values of one block (see `block_log_e`), with what was learned of the champion's rate before this look.

    `learned` are remembered (n, x), `look_n` the champion's requests of the whole look: where less than a quarter of it was
    seen before, and few errors, the rate is not taken as known (`is_known`).
    """
    n, x = learned
    known = is_known(n, x, look_n)
    if np.all(known):
        return block_log_e(counts, rate_at(learned_place(n, x)), a, b, sign)
    first = first_log_e(counts, a, b, sign)
    return np.where(known, block_log_e(counts, rate_at(learned_place(n, x)), a, b, sign), first) if np.any(known) else first


def block_log_e(counts: tuple[Any, Any, Any, Any], rate: Any, a: Any, b: Any, sign: Any) -> Floats:
    """The log E-values of one block, one for each of `EFFECTS` (the last axis): what its `stakes` gain."""
    return stakes(counts[0], counts[2], rate, a, b, sign).gain(counts)


def is_known(n: Any, x: Any, look_n: Any) -> Any:
    """Whether the champion's rate is known from x of n, before a look at which it had `look_n` requests."""
    return (4.0 * n >= look_n) | (np.minimum(x, n - x) >= _KNOWN)


def stakes(n_s: Any, n_c: Any, rate: Any, a: Any, b: Any, sign: Any) -> Stakes:
    """What is bet on a block of so many requests of champion and candidate, before it is known how they were answered.

    `rate` is what the champion's is taken to be; a null is p_candidate <= a p_champion + b where `sign` is 1, >= where it
    is -1. All broadcast against the effects' axis. Where no two rates are on the line, nothing is bet.
    """
    edge = np.clip(a * rate + b, _TINY, 1.0 - _TINY)
    odds = np.exp(sign * EFFECTS)
    q_c = np.clip(edge * odds / (1.0 - edge + edge * odds), _TINY, 1.0 - _TINY)
    q_s = np.broadcast_to(rate, q_c.shape)
    possible = (a + b > _TINY) & (b < 1.0 - _TINY)
    beyond = possible & (sign * (q_c - (a * q_s + b)) > 0.0)
    t, c = project(np.where(beyond, q_s, 0.5), np.where(beyond, q_c, 0.5), n_s, n_c, np.where(beyond, a, 1.0), np.where(beyond, b, 0.0))
    ratios = (np.log(q_s / t), np.log((1.0 - q_s) / (1.0 - t)), np.log(q_c / c), np.log((1.0 - q_c) / (1.0 - c)))
    return Stakes(*(np.where(beyond, ratio, 0.0) for ratio in ratios))


def first_log_e(counts: tuple[Any, Any, Any, Any], a: Any, b: Any, sign: Any) -> Floats:
    """The log E-values of a block before which nothing was learned: the average over a grid of champion's rates."""
    wide = tuple(np.atleast_1d(count)[..., None, :] for count in counts)
    lines = [np.asarray(part)[..., None, :] for part in (a, b, sign)]
    each = block_log_e((wide[0], wide[1], wide[2], wide[3]), _FIRST_RATES[:, None], *lines)
    return np.asarray(log_mean(each, axis=-2))


def log_mean(logs: Any, axis: int = -1) -> Floats:
    """The log of the average of exp(logs) along an axis."""
    top = np.max(logs, axis=axis, keepdims=True)
    return np.asarray(np.squeeze(top, axis) + np.log(np.mean(np.exp(logs - top), axis=axis)))


def dealt(more: Any, total: Any) -> Any:
    """The part of the capital that is dealt out after a look of `more` requests, where `total` were seen in all, these included.

    All looks together deal out so much that it costs e^-(0.2 + 0.2 ln(looks / 200)) of the capital at the most.
    """
    return np.minimum(SHARE, _DEALT * more / total)


def share(log_e: Any, part: Any = SHARE) -> Floats:
    """Deal out `part` of the capital evenly over the effects (the last axis); the total stays the same."""
    top = np.max(log_e, axis=-1, keepdims=True)
    capital = np.exp(log_e - top)
    return np.asarray(top + np.log((1.0 - part) * capital + part * np.mean(capital, axis=-1, keepdims=True)))


def learned_place(n: Any, x: Any) -> Floats:
    """The champion's rate after x of n (Laplace-Jeffreys) as its place on a grid of sixteenths in log-odds.

    Which rate is taken touches only which bets are made; on a grid equal bets are worked out once for many rollouts.
    """
    return np.asarray(np.round(_GRAIN * np.log((x + 0.5) / (n - x + 0.5))))


def rate_at(place: Any) -> Floats:
    """The rate at a place of the grid, never 0 or 1."""
    return np.asarray(1.0 / (1.0 + np.exp(-place / _GRAIN)))


def remember(n: Any, x: Any, more_n: Any, more_x: Any) -> tuple[Floats, Floats]:
    """The champion's remembered counts after `more`, shrunk so that at most `MEMORY` of the rarer outcome weigh on the future.

    A rate that changes is so learned anew; the shrinking touches only which bets are made, never their validity.
    """
    n, x = n + more_n, x + more_x
    rarer = np.minimum(x, n - x)
    keep = np.minimum(1.0, MEMORY / np.maximum(rarer, 1e-12))
    return np.asarray(n * keep), np.asarray(x * keep)
