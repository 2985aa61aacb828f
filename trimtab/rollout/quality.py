"""Quality is judged on pairs: champion and candidate score the same rows, so what makes a row hard cancels out.

The evidence is the difference of the two losses of a row, clipped to what the reference calls ordinary; its mean is tested by
betting (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024): the capital of a
gambler who stakes a constant share on "worse than the bound" is an E-process, and so is its average over the shares `STAKES`.
It may be looked at with every row that matures.

Clipping bounds what a single row can say; where losses are beyond the clip, it is the clipped mean that is judged.

Rows that follow each other in time are alike (a rainy day is hard for hours), and a gambler who takes them as independent is
too sure. So consecutive rows are averaged until neighbours no longer correlate: in batches of 1, 4 or 24, the smallest whose
lag-1 correlation is within twice its standard error, or 0.1. That choice looks at the data: with dependent rows the bounds
are approximations, not theorems (losses that follow each other with a correlation of 0.8 stay within them, with 0.95 an equal
candidate is called harm in one of fifteen simulated bakes); with independent rows they hold as stated.
"""

import math
from typing import Literal

import numpy as np
from msgspec.structs import replace

from trimtab.errors import InvalidInput
from trimtab.release import GuardVerdict, PairedLosses
from trimtab.rollout.eprocess import Floats, log_mean
from trimtab.rollout.judge import HARM_ALPHA, STEP_ALPHA
from trimtab.rollout.sentences import compared
from trimtab.units import Margin

STAKES: Floats = np.geomspace(0.01, 0.95, 12)
_BATCHES = (1, 4, 24)
_LEAST_BATCHES = 8
_CHUNK = 16
_HALVINGS = 14
_WIDEST_RATIO = 8.0


def judge_quality(losses: PairedLosses, margin: Margin, tolerance: float = 0.0) -> GuardVerdict:
    """What the paired losses say: harm if the mean difference is above `tolerance`, not worse if it is below the margin.

    The mean candidate's loss is held against `margin.bound(champion's)`. Raises InvalidInput where the losses are no pairs
    or the clip is no positive number. A loss that is no number counts as the worst.
    """
    rows = len(losses.champion)
    if rows != len(losses.candidate) or not 0.0 < losses.clip < math.inf:
        found = f"{rows} of the champion, {len(losses.candidate)} of the candidate, clip {losses.clip!r}"
        msg = f"paired losses: {found}; they come in pairs, and the clip is a positive number"
        raise InvalidInput(msg)
    verdict = GuardVerdict("quality", "noData", "quality: no row with a label has been scored by both versions yet")
    verdict = replace(verdict, margin=margin.value, relative=margin.relative, champion_n=rows, candidate_n=rows)
    return _judge(verdict, _Pairs(losses), margin, tolerance) if rows else verdict


class _Pairs:
    """The paired losses as arrays, and how surely a line through them is refuted."""

    def __init__(self, losses: PairedLosses) -> None:
        worst = 1e12
        self.champion = np.nan_to_num(np.array(losses.champion, dtype=float), nan=worst, posinf=worst, neginf=-worst)
        candidate = np.nan_to_num(np.array(losses.candidate, dtype=float), nan=worst, posinf=worst, neginf=-worst)
        self.difference = np.clip(candidate - self.champion, -losses.clip, losses.clip)
        self.clip = losses.clip
        self.batch = _batch(self.difference)

    def refuted(self, side: float, a: float, b: float, alpha: float) -> bool:
        """Whether "mean candidate <= a * mean champion + b" (side 1; >= for side -1) is refuted at `alpha`."""
        reach = self.clip * max(1.0, a)
        beyond = np.clip(self.difference + (1.0 - a) * self.champion - b, -reach, reach) / reach
        gains = side * _means(beyond, self.batch)
        padded = np.zeros(-(-len(gains) // _CHUNK) * _CHUNK)
        padded[: len(gains)] = gains
        capital = np.prod(1.0 + STAKES[:, None, None] * padded.reshape(1, -1, _CHUNK), axis=2)
        return bool(log_mean(np.log(capital).sum(axis=1)) >= -math.log(alpha))


def _means(values: Floats, batch: int) -> Floats:
    """The means of consecutive batches; rows of an unfinished batch wait for the rest of it."""
    whole = len(values) // batch * batch
    return np.asarray(values[:whole].reshape(-1, batch).mean(axis=1))


def _batch(values: Floats) -> int:
    """The smallest batch at which neighbouring means no longer correlate, or the largest that leaves enough of them."""
    chosen = _BATCHES[0]
    for batch in _BATCHES:
        means = _means(values, batch)
        if len(means) < _LEAST_BATCHES:
            break
        chosen = batch
        off = means - means.mean()
        spread = float(off @ off)
        if spread == 0.0 or abs(float(off[1:] @ off[:-1])) / spread <= max(0.1, 2.0 / math.sqrt(len(means))):
            break
    return chosen


def _judge(verdict: GuardVerdict, pairs: _Pairs, margin: Margin, tolerance: float) -> GuardVerdict:
    harm = pairs.refuted(1.0, 1.0, tolerance, HARM_ALPHA)
    not_worse = pairs.refuted(-1.0, *_line(margin.value, margin.relative), STEP_ALPHA)
    candidate = float(np.mean(pairs.champion + pairs.difference))
    champion = float(np.mean(pairs.champion))
    difference: float | None = float(np.mean(pairs.difference))
    if margin.relative:
        difference = candidate / champion if champion > 0.0 else None
    says: Literal["harm", "notWorse", "hold"] = "harm" if harm else "notWorse" if not_worse else "hold"
    verdict = replace(
        verdict,
        says=says,
        difference=difference,
        lower=_bound(pairs, 1.0, 1.0 if margin.relative else tolerance, harm, margin.relative),
        upper=_bound(pairs, -1.0, margin.value, not_worse, margin.relative),
    )
    arms = f"mean loss of the candidate {candidate:.4g}, of the champion {champion:.4g} on the same {verdict.candidate_n:,} rows"
    return replace(verdict, sentence=f"quality: {arms}: {compared(verdict, 1.0, '')}")


def _line(value: float, relative: bool) -> tuple[float, float]:
    """The line (a, b) of candidates that are `value` times as bad, or worse by `value`."""
    return (value, 0.0) if relative else (1.0, value)


def _bound(pairs: _Pairs, side: float, decided: float, refuted: bool, relative: bool) -> float | None:
    """The furthest value that is refuted, by halving, on the side of `decided` that its own verdict says; None if there is none."""
    weakest, strongest = (1.0 / _WIDEST_RATIO, _WIDEST_RATIO) if relative else (-2.0 * pairs.clip, 2.0 * pairs.clip)
    if side < 0:
        weakest, strongest = strongest, weakest
    alpha = HARM_ALPHA if side > 0 else STEP_ALPHA
    if not refuted and not pairs.refuted(side, *_line(weakest, relative), alpha):
        return None
    known, unknown = (decided, strongest) if refuted else (weakest, decided)
    for _ in range(_HALVINGS):
        middle = math.sqrt(known * unknown) if relative else 0.5 * (known + unknown)
        if pairs.refuted(side, *_line(middle, relative), alpha):
            known = middle
        else:
            unknown = middle
    return known
