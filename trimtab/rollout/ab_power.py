"""What an A/B can see: how many callers it takes at the declared effect, in which time, and which improvement it would find before its end.

Three numbers are enough: how many callers come, the champion's mean, and how far callers are apart. Callers come back, so what is counted
in an A/B under way is carried on in a straight line: that is too much where all callers are there already.
"""

import math
from statistics import NormalDist

import numpy as np

from trimtab.release import Evidence, Plan, StepPlan
from trimtab.rollout.ab import BURN_IN, reach, worth
from trimtab.rollout.power import DETECTED, MOST, UNKNOWN, times
from trimtab.spec import Ab

DECIDES = 8.68
"""At which information, in units of 1 / effect^2, an improvement by the effect reaches the bound in the median."""


def plan_ab(asked: Ab, per_second: float, mean: float, deviation: float, left: float, kurtosis: float = 1.0) -> Plan:
    """What the A/B can be expected to take: `per_second` are callers with a label to both versions, `left` seconds in which these mature.

    `mean` and `deviation` are those of the champion's callers' labels; `kurtosis` says how few of them decide (`rollout/ab.py`).
    """
    effect, split = worth(asked), asked.share / 100.0
    size = abs(effect.value - 1.0) * abs(mean) if effect.relative else abs(effect.value)
    known = BURN_IN * max(kurtosis, 1.0) / min(split, 1.0 - split)
    each = deviation**2 / (split * (1.0 - split))
    if not size > 0.0 or not deviation > 0.0:
        return _whole(asked, per_second, "nothing can be told: the labels do not differ, or the effect is none of this mean", None)
    unit = each / size**2 if size**2 > 0.0 else math.inf
    median, most = max(known, DECIDES * unit), max(known, _within(2.0) * unit)
    if not max(median, most) <= MOST:
        return _whole(asked, per_second, f"out of reach: labels that differ by {deviation:.3g} do not show an effect of {size:.3g}", None)
    callers, at_most = math.ceil(median), math.ceil(most)
    seconds = callers / per_second if per_second > 0.0 else None
    fits = seconds is not None and seconds <= left
    caught = _detectable(per_second * left, known, each, size)
    sees = (
        "it sees no improvement before its end" if caught is None else f"it finds {caught:.3g} or more before its end in four of five cases"
    )
    takes = "never ends without callers" if seconds is None else f"takes about {times(seconds)}"
    parts = f"{math.ceil(callers * (1.0 - split)):,} of the champion and {math.ceil(callers * split):,} of the candidate"
    sentence = f"an improvement of {size:.3g} takes {callers:,} callers ({parts}) and {takes}; {sees}, and tells nothing of a smaller one"
    late = "" if fits else "; out of reach: the end comes first"
    step = StepPlan(asked.share, "label", fits, sentence + late, callers, seconds, at_most, caught)
    return _whole(asked, per_second, sentence + late, step)


def planned_ab(evidence: Evidence, asked: Ab, left: float) -> Plan | None:
    """The plan by what the callers brought so far; None before anything did."""
    found, since = evidence.outcomes, evidence.outcomes_since
    if found is None or since is None or found.until is None or found.until <= since or not found.champion.labels:
        return None
    callers = found.champion.callers + found.candidate.callers
    each = (found.champion.labels + found.candidate.labels) / callers
    per_second = float(f"{callers / (found.until - since).total_seconds():.2g}")
    mean, deviation = (float(f"{value:.2g}") for value in (found.champion.mean, math.sqrt(found.spread) / each))
    return plan_ab(asked, per_second, mean, deviation, left, float(f"{found.kurtosis:.2g}"))


def _whole(asked: Ab, per_second: float, sentence: str, step: StepPlan | None) -> Plan:
    steps = (step or StepPlan(asked.share, "label", fits=False, sentence=sentence),)
    return Plan(per_second, UNKNOWN, UNKNOWN, steps[0].fits, sentence, steps)


def _within(improvement: float) -> float:
    """At which information, in units of 1 / effect^2, four of five candidates that are better by so many effects reach the bound."""
    information = np.geomspace(0.1, 1000.0, 2000)
    reached = improvement - NormalDist().inv_cdf(DETECTED) / np.sqrt(information) >= np.maximum(1.0, reach(1.0 / information, 1.0))
    return float(information[np.argmax(reached)])


def _detectable(callers: float, known: float, each: float, size: float) -> float | None:
    """The smallest improvement that wins in four of five cases with so many callers; None where nothing is said of so few."""
    if callers < known:
        return None
    variance = each / callers
    return max(size, float(reach(variance, size))) + NormalDist().inv_cdf(DETECTED) * math.sqrt(variance)
