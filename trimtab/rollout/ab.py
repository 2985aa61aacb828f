"""The verdict of an A/B rollout: which version's callers have the better labels, looked at as often as one likes.

The unit is the *caller*: callers are assigned to versions at random, and the labels of one caller depend on each other. What is compared
is the mean of all labels of a version, a ratio of two sums over its callers, with the delta method's variance (Deng, Knoblich and Lu,
"Applying the delta method in metric analytics", KDD 2018). The interval is an asymptotic confidence sequence (Waudby-Smith, Arbour,
Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 2024), each side
by the one-sided normal mixture of Howard, Ramdas, McAuliffe and Sekhon ("Time-uniform, nonparametric, nonasymptotic confidence sequences",
Annals of Statistics 2021), with the information 1 / variance in the place of time. It needs no more than means and variances, so
nothing has to be remembered between two looks.

Callers come back, and their sums grow after others were counted. Where what a caller brings later goes the same way as what it brought
before, the process at two times is correlated more than a Brownian motion at the same variances, and by Slepian's inequality it then
crosses a boundary less often: the bound stays valid.

What is asymptotic is the variance. It is wrong where few callers decide it: one in a thousand buys, one in ten thousand for a thousand
times as much. So each version's variance is never taken to be smaller than what all callers' spread makes of it, and nothing is said
before both versions have as many callers as tell what `BURN_IN` equal ones would: their number divided by the kurtosis of what they
bring. `docs/evidence/ab.md` measures how often a candidate that is as good wins all the same.

The share of callers is constant during one A/B, and of both versions the same span of event time is looked at, at whose end labels had
time to come: what changes over time changes for both alike, and faster labels are no advantage.
"""

import math
from collections.abc import Callable
from itertools import takewhile
from typing import Any

import numpy as np
from msgspec.structs import replace

from trimtab.release import ArmOutcomes, GuardVerdict, Outcomes, Says, Verdict
from trimtab.rollout.judge import DESIGN
from trimtab.spec import Ab
from trimtab.units import Margin, margin

ALPHA = DESIGN * 0.05
"""The chance that one side of the interval ever misses the difference."""
BURN_IN = 10.0
"""How many equal callers' worth both versions must have before anything is said."""
FOCUS = 2.0
"""The mixture's precision in units of 1 / effect^2: the interval is narrowest about when it decides on a difference of the effect."""
HOLD, WINS, LOSES, EQUAL = 0, 1, 2, 3
_WORDS: tuple[Says, ...] = ("hold", "wins", "loses", "equal")
_RATIOS = np.geomspace(1e-3, 1e3, 61).tolist()
_HALVINGS = 40
_LEAST_MEAN = 1e-100


def judge_outcomes(found: Outcomes, asked: Ab) -> GuardVerdict:
    """What the labels say: wins, loses, equal (no difference that is worth a new version), hold, or noData before the first of them.

    wins: surely better than the champion, and by the effect as far as can be told. The bounds are those of candidate - champion, or of
    candidate / champion where the effect is relative.
    """
    effect, sign = worth(asked), direction(asked)
    verdict = GuardVerdict("label", "noData", "", margin=effect.value, relative=effect.relative)
    verdict = replace(verdict, champion_n=found.champion.callers, candidate_n=found.candidate.callers)
    if not found.champion.callers or not found.candidate.callers:
        return replace(verdict, sentence=f"label: no caller of the {_lacking(found)} has a matured label yet")
    verdict = replace(verdict, says="hold", difference=_estimate(found, effect))
    arms = f"label: candidate {_arm(found.candidate)}, champion {_arm(found.champion)}"
    known = float(least_known(found.champion.callers, found.candidate.callers, found.kurtosis))
    if known < BURN_IN:
        return replace(verdict, sentence=f"{arms}: too few yet ({known:.3g} of the {BURN_IN:g} equal callers that it takes)")
    if verdict.difference is None:
        return replace(verdict, sentence=f"{arms}: a relative effect needs a champion's mean above zero")
    variances = _variance(found.candidate, found.spread), _variance(found.champion, found.spread)
    word = says(found.candidate.mean, found.champion.mean, *variances, effect, sign)
    lower, upper = _interval(found.candidate.mean, found.champion.mean, *variances, effect, sign)
    verdict = replace(verdict, says=_WORDS[int(word)], lower=lower, upper=upper)
    return replace(verdict, sentence=f"{arms}: {_told(verdict, sign)}")


def joined(traffic: Verdict, label: GuardVerdict) -> Verdict:
    """What an A/B comes to: harm that the requests show is harm, requests that nobody counts hold, and else the labels decide."""
    guards = (*traffic.guards, label)
    if traffic.says in ("harm", "noData"):
        return replace(traffic, guards=guards)
    return Verdict("hold" if label.says == "noData" else label.says, label.sentence, guards)


def worth(asked: Ab) -> Margin:
    """The effect that is worth a new version, as what candidate - champion (or candidate / champion) must be; its sign is the goal's."""
    effect = margin(asked.effect)
    return effect if effect.relative else Margin(direction(asked) * abs(effect.value), relative=False)


def direction(asked: Ab) -> float:
    """1 where a larger mean is better, -1 where a smaller one is."""
    return 1.0 if asked.goal == "larger" else -1.0


def least_known(champion: Any, candidate: Any, kurtosis: Any) -> Any:
    """How many equal callers' worth the version has that has fewer callers; 0 while all callers' labels are the same. Broadcasts."""
    return np.minimum(champion, candidate) / np.where(kurtosis > 0.0, kurtosis, np.inf)


def says(candidate: Any, champion: Any, candidate_variance: Any, champion_variance: Any, effect: Margin, sign: float) -> Any:
    """WINS, LOSES, EQUAL or HOLD by the two means and their variances; all broadcast."""
    size = abs(effect.value - 1.0) * champion if effect.relative else abs(effect.value)
    a, b = (effect.value, 0.0) if effect.relative else (1.0, effect.value)
    ahead, far = sign * (candidate - champion), reach(candidate_variance + champion_variance, size)
    beyond, further = sign * (candidate - a * champion - b), reach(candidate_variance + a * a * champion_variance, size)
    return np.select([ahead < -far, beyond < -further, (ahead > far) & (beyond >= 0.0)], [LOSES, EQUAL, WINS], HOLD)


def reach(variance: Any, effect: Any) -> Any:
    """How far an estimate of this variance is from the truth at most, on one side and at any time of looking, but for `ALPHA`."""
    information, precision = 1.0 / variance, FOCUS / effect**2
    total = information + precision
    return np.sqrt(2.0 * total * np.log1p(np.sqrt(total / precision) / (2.0 * ALPHA))) / information


def _estimate(found: Outcomes, effect: Margin) -> float | None:
    candidate, champion = found.candidate.mean, found.champion.mean
    if not effect.relative:
        return candidate - champion
    return candidate / champion if champion > _LEAST_MEAN else None


def _interval(
    candidate: float, champion: float, candidate_variance: float, champion_variance: float, effect: Margin, sign: float
) -> tuple[float | None, float | None]:
    """The interval of the difference; of a ratio by which lines candidate = ratio * champion are refuted (Fieller), None: not bounded.

    While the champion's mean is hardly known a line near by may be refuted and one further up not: a bound is beyond every line that
    the verdict holds on to.
    """
    if not effect.relative:
        far = float(reach(candidate_variance + champion_variance, effect.value))
        return candidate - champion - far, candidate - champion + far
    size = abs(effect.value - 1.0) * champion

    def refuted(ratio: float) -> bool:
        return bool(abs(candidate - ratio * champion) > reach(candidate_variance + ratio**2 * champion_variance, size))

    inside = candidate / champion
    places = sorted({1.0, effect.value, *_RATIOS})
    lower, upper = ({1.0}, {1.0, effect.value}) if sign > 0 else ({1.0, effect.value}, {1.0})
    return (
        _first([place for place in reversed(places) if place < inside], lower, inside, refuted),
        _first([place for place in places if place > inside], upper, inside, refuted),
    )


def _first(places: list[float], lines: set[float], inside: float, refuted: Callable[[float], bool]) -> float | None:
    """Where the ratios begin that are refuted, walking away from `inside` over `places`, and then by halving; None where none is.

    The walk begins at the last of `lines` before the first one that is refuted.
    """
    held = [*takewhile(lambda line: not refuted(line), (place for place in places if place in lines))]
    following = places[places.index(held[-1]) + 1 :] if held else places
    inside = held[-1] if held and inside > 0.0 else inside
    for place in following if inside > 0.0 else ():
        if refuted(place):
            for _ in range(_HALVINGS):
                middle = math.sqrt(inside * place)
                inside, place = (inside, middle) if refuted(middle) else (middle, place)
            return place
        inside = place
    return None


def _variance(arm: ArmOutcomes, spread: float) -> float:
    """The variance of the version's mean: its callers' own, or what all callers' spread makes of it, whichever is larger."""
    return max(arm.variance, arm.callers * spread / arm.labels**2)


def _lacking(found: Outcomes) -> str:
    return "champion" if found.candidate.callers else "candidate"


def _arm(arm: ArmOutcomes) -> str:
    return f"{arm.mean:.4g} ({arm.callers:,} callers)"


def _told(verdict: GuardVerdict, sign: float) -> str:
    heads = {"wins": "better", "loses": "worse", "equal": "no difference that is worth a new version", "hold": "too early to say"}
    written = "x{:.4g}" if verdict.relative else "{:+.3g}"
    amount, wanted = written.format(verdict.difference), written.format(verdict.margin)
    bounds = ", ".join("?" if bound is None else f"{bound:.4g}" for bound in (verdict.lower, verdict.upper))
    return f"{heads[verdict.says]}: {amount} [{bounds}], {'at least' if sign > 0 else 'at most'} {wanted} is worth it"
