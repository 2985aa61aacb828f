"""What a rollout plan can see: requests and time that a step needs at the traffic there is, and which regression it would catch.

A plan that cannot decide before its deadline should say so before it starts, not after.
"""

import math
from collections.abc import Collection
from datetime import datetime
from statistics import NormalDist

import numpy as np

from trimtab.release import Evidence, Plan, StepPlan
from trimtab.rollout.eprocess import EFFECTS, project
from trimtab.rollout.judge import HARM_ALPHA, STEP_ALPHA
from trimtab.spec import Rollout
from trimtab.units import Margin, duration, margin

MEDIAN = 1.1
"""What an equal candidate takes in the median until one guard finds it not worse, in units of n*; two alike take some 1.5."""
SPREAD = 0.57
"""The standard deviation of the logarithm of what it takes."""
SPOTLESS = math.log(1.0 / STEP_ALPHA) + 1.6
"""The evidence, margin x answers, that even a candidate without a bad answer needs: log(1 / alpha), and what the mixture costs."""
WITHIN = 4.0
"""The judge's promise: at least four of five equal candidates are found not worse within this many n*."""
DETECTED = 0.8
MOST = 10**12
"""So many requests or callers are as good as never: more are said to be out of reach."""
UNKNOWN = 0.01
"""What a rate of the champion is taken to be before any of its answers was counted."""


def n_star(p: float, asked: Margin, split: float, alpha: float = 0.05, power: float = 0.9) -> int | None:
    """Requests of both versions together that a test of one fixed sample needs to show "not worse by the margin".

    Both rates are p, the candidate gets the share `split` of the requests (0 to 1); the normal approximation with the variance
    under the null hypothesis at its nearest point (Farrington and Manning 1990). None where the margin allows nothing, or so little
    that it takes more than `MOST`.
    """
    a, b = (asked.value, 0.0) if asked.relative else (1.0, asked.value)
    slack = _slack(p, asked)
    if slack <= 0.0 or not 0.0 < p < 1.0:
        return None
    null, real = _spread(p, p, split, a, b)
    z = NormalDist()
    root = (z.inv_cdf(1.0 - alpha) * null + z.inv_cdf(power) * real) / slack
    return math.ceil(root**2) if root**2 <= MOST else None


def detectable(p: float, requests: int, split: float) -> float:
    """The smallest difference that the judge calls harm in `DETECTED` of the cases within `requests`, for a champion's rate p.

    The E-process of the best of the mixture's effects has to pay for the others: log(1 / alpha) + log(effects) in all. What it
    gains are log likelihood ratios to the nearest equal rates, taken as normal; a rate below one in the champion's requests is not known.
    """
    price = math.log(1.0 / HARM_ALPHA) + math.log(len(EFFECTS))
    chance = NormalDist().inv_cdf(DETECTED)
    n_s, n_c = requests * (1.0 - split), requests * split
    p = max(p, min(1.0 / n_s, 0.5))
    low, high = 0.0, 1.0 - p
    for _ in range(40):
        middle = 0.5 * (low + high)
        t, c = (float(value) for value in project(np.float64(p), np.float64(p + middle), n_s, n_c, 1.0, 0.0))
        (gain_s, spread_s), (gain_c, spread_c) = _gain(p, t), _gain(p + middle, c)
        if n_s * gain_s + n_c * gain_c - chance * math.sqrt(n_s * spread_s + n_c * spread_c) >= price:
            high = middle
        else:
            low = middle
    return high


def _gain(q: float, q0: float) -> tuple[float, float]:
    """Mean and variance of the log likelihood ratio of q to q0 of one answer that is bad with probability q."""
    bad, good = math.log(q / q0), math.log((1.0 - q) / (1.0 - q0))
    return q * bad + (1.0 - q) * good, q * (1.0 - q) * (bad - good) ** 2


def plan(
    rollout: Rollout,
    per_second: float,
    errors: float = UNKNOWN,
    slow: float = UNKNOWN,
    *,
    step: int = -1,
    seen: int = 0,
    left: float | None = None,
) -> Plan:
    """What the steps from `step` on can be expected to take; `errors` and `slow` are the champion's rates (0 to 1).

    Before the first (`step` -1) a shadow is a step of its own, of weight 0, whose copies make two requests of one. `seen` requests were
    counted at the first of them; `left` are the seconds until the deadline: all of `max_duration` where it is not given.
    """
    left = duration(rollout.max_duration).total_seconds() if left is None else left
    steps: list[StepPlan] = []
    spent = 0.0
    shadow = (0,) if rollout.strategy == "shadow" and step < 0 else ()
    for weight in (*shadow, *rollout.steps[max(step, 0) :]):
        counted = 0 if steps else seen
        steps.append(_step(weight, rollout, per_second, {"errors": errors, "slow": slow}, left - spent, counted))
        spent += steps[-1].seconds if steps[-1].seconds is not None else math.inf
    fits = all(one.fits for one in steps)
    beyond = ", ".join(f"{one.weight}%" for one in steps if not one.fits)
    traffic = f"at {float(f'{per_second:.2g}'):,.10g} requests/s" if per_second > 0.0 else "without traffic"
    needs = f"the steps need {times(spent)} in the median" if math.isfinite(spent) else "the steps never end"
    told = f"{traffic} {needs}, and {times(max(left, 0.0))} are left"
    return Plan(per_second, errors, slow, fits, told if fits else f"{told}: out of reach before the deadline: {beyond}", tuple(steps))


def planned(evidence: Evidence, rollout: Rollout, step: int, now: datetime, left: float, copies: int = 0) -> Plan | None:
    """The plan by what was counted so far, of which `copies` are no caller's requests; None before anything can have been."""
    if evidence.since is None or now <= evidence.since:
        return None
    counted = evidence.errors.champion_n + evidence.errors.candidate_n - copies
    per_second = float(f"{counted / (now - evidence.since).total_seconds():.2g}")
    errors, slow = (
        float(f"{(state.champion_x + 0.5) / (state.champion_n + 1.0):.2g}") if state.champion_n else UNKNOWN
        for state in (evidence.errors, evidence.slow)
    )
    return plan(rollout, per_second, errors, slow, step=step, seen=evidence.at_step if step >= 0 or copies else 0, left=left)


def _step(weight: int, rollout: Rollout, per_second: float, rates: dict[str, float], left: float, seen: int) -> StepPlan:
    split, each = (weight / 100.0, 1.0) if weight else (0.5, 2.0)
    name = f"step {weight}%" if weight else "shadow"
    margins = {"errors": margin(rollout.guard.errors.margin), "slow": margin(rollout.guard.slow.margin)}
    needs = {one: n_star(rates[one], margins[one], split) for one in margins}
    guard = max(needs, key=lambda one: math.inf if (found := needs[one]) is None else found)
    need = needs[guard]
    if need is None:
        room = f"at a rate of {rates[guard]:.3g} the guard {guard!r} leaves no room to show that nothing got worse"
        return StepPlan(weight, guard, fits=False, sentence=f"{name}: out of reach: {room}")
    least = max(SPOTLESS / (split * _slack(rates[one], margins[one])) for one in margins)
    requests = math.ceil(_still([MEDIAN * (found or 0) for found in needs.values()], least, seen))
    at_most = max(math.ceil(WITHIN * need) - seen, requests)
    seconds = requests / (each * per_second) if per_second > 0.0 else None
    caught = detectable(rates[guard], math.ceil(WITHIN * need), split)
    fits = seconds is not None and seconds <= left
    time = "never at no traffic" if seconds is None else f"about {times(seconds)}"
    late = "" if fits else "; out of reach: the deadline comes first"
    sentence = f"{name}: {requests:,} requests, {time}, decided by {guard!r}; catches {100.0 * caught:.2g} points of harm{late}"
    return StepPlan(weight, guard, fits, sentence, requests, seconds, at_most, caught)


def _still(medians: Collection[float], least: float, seen: int) -> float:
    """Requests still to come in the median, where each guard takes so many and all `least`, and after `seen` not all were sure."""

    def decided(requests: float) -> float:
        places = (math.log(max(requests, 1.0) / median) / SPREAD for median in medians)
        return math.prod(NormalDist().cdf(place) for place in places)

    half = min(0.5 * (1.0 + (decided(seen) if seen > least else 0.0)), 1.0 - 1e-9)
    low, high = float(seen), seen + 100.0 * max(medians)
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if decided(middle) < half else (low, middle)
    return max(high, least) - seen


def _slack(p: float, asked: Margin) -> float:
    """How far a rate of p lies below what the margin allows."""
    return asked.bound(p) - p


def times(seconds: float) -> str:
    """A time as people read it."""
    for size, unit in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _spread(champion: float, candidate: float, split: float, a: float, b: float) -> tuple[float, float]:
    """Standard deviations of (candidate - a champion), for one request in all: at the null's nearest point, and as it is."""
    t, c = (float(value) for value in project(np.float64(champion), np.float64(candidate), 1.0 - split, split, a, b))
    null = a * a * t * (1.0 - t) / (1.0 - split) + c * (1.0 - c) / split
    real = a * a * champion * (1.0 - champion) / (1.0 - split) + candidate * (1.0 - candidate) / split
    return math.sqrt(null), math.sqrt(real)
