"""What other tools would have said of the same counters. Each is configured as its documentation does, its bound as the margin allows.

Flagger and Argo Rollouts look at the candidate alone: their threshold is the margin's bound on the champion's rate as it was before the
rollout, which in a simulation is known exactly. Nothing here is their code.
"""

import math
from typing import Protocol

import numpy as np
from scipy.stats import mannwhitneyu, norm

from tests.simulation.rollouts_judge import Bools, Verdicts
from tests.simulation.rollouts_worlds import LOOK_SECONDS, Cell, Floats, Look

MINUTE = 60 // LOOK_SECONDS
"""Looks in the others' interval."""
CHECKS = 10
"""How many checks the others make before they promote."""
FLAGGER_THRESHOLD = 10
ARGO_FAILURE_LIMIT = 3
KAYENTA_CONFIDENCE = 0.98
KAYENTA_TOLERANCE = 0.25
KAYENTA_ANALYSES = 4
Z_LEAST_BAD = 5
_KAYENTA_TAIL = 0.5 * (1.0 - KAYENTA_CONFIDENCE)
_KAYENTA_Z = float(norm.ppf(1.0 - _KAYENTA_TAIL))
_Z_ONE_SIDED = float(norm.ppf(0.95))


class Rival(Protocol):
    """Another tool."""

    verdicts: Verdicts

    def look(self, number: int, seen: float, look: Look) -> None:
        """Look once more."""


class ZTest:
    """All counts so far, pooled: rolled back where a one-sided z-test at 5% says worse, promoted where another says within the margin.

    It keeps still while a guard has seen fewer than five bad answers, for which no textbook would use it.
    """

    def __init__(self, cell: Cell, runs: int) -> None:
        self.verdicts = Verdicts(runs)
        self._asked = cell.asked
        self._n = np.zeros((2, runs))
        self._bad = np.zeros((cell.guards, 2, runs))

    def look(self, number: int, seen: float, look: Look) -> None:
        """Look once more."""
        self._n += look.n
        said = []
        for total, bad in zip(self._bad, look.bad, strict=True):
            total += bad
            said.append(self._test(total))
        self.verdicts.decide(number, seen, np.any([harm for harm, _ in said], axis=0), np.all([passed for _, passed in said], axis=0))

    def _test(self, bad: Floats) -> tuple[Bools, Bools]:
        n_s, n_c = np.maximum(self._n, 1.0)
        p_s, p_c = bad / (n_s, n_c)
        pooled = bad.sum(axis=0) / (n_s + n_c)
        a, b = (self._asked.value, 0.0) if self._asked.relative else (1.0, self._asked.value)
        spread = np.sqrt(a * a * p_s * (1.0 - p_s) / n_s + p_c * (1.0 - p_c) / n_c)
        enough = (bad.sum(axis=0) >= Z_LEAST_BAD) & (self._n.min(axis=0) > 0)
        harm = p_c - p_s > _Z_ONE_SIDED * np.sqrt(pooled * (1.0 - pooled) * (1.0 / n_s + 1.0 / n_c))
        return enough & harm, enough & (p_c - a * p_s - b < -_Z_ONE_SIDED * spread)


class Thresholds:
    """A check of the candidate's rate in each minute: rolled back after so many failed ones, promoted after so many others.

    Flagger: a minute in which any metric is past its threshold, or has no value, fails; at `threshold` failed ones it rolls back, and
    they are not forgotten; each other minute is a step of the weight, the last promotes. Argo Rollouts: a metric fails when more
    than `failureLimit` of its measurements did, and succeeds after `count` measurements; one without a value is neither.
    """

    def __init__(self, cell: Cell, runs: int, *, flagger: bool) -> None:
        self.verdicts = Verdicts(runs)
        self._bound = cell.asked.bound(cell.base)
        self._flagger = flagger
        self._n = np.zeros(runs)
        self._bad = np.zeros((cell.guards, runs))
        self._failed, self._checks = np.zeros((cell.guards, runs)), np.zeros(runs)

    def look(self, number: int, seen: float, look: Look) -> None:
        """Look once more."""
        self._n += look.n[1]
        self._bad += [candidate for _, candidate in look.bad]
        if (number + 1) % MINUTE:
            return
        past, empty = self._bad > self._bound * self._n, self._n == 0
        if self._flagger:
            failed = np.any(past, axis=0) | empty
            self._failed[0] += failed
            self._checks += ~failed
            harm = self._failed[0] >= FLAGGER_THRESHOLD
        else:
            self._failed += past
            self._checks += ~empty
            harm = np.any(self._failed > ARGO_FAILURE_LIMIT, axis=0)
        self.verdicts.decide(number, seen, harm, self._checks >= CHECKS)
        self._n[:], self._bad[:] = 0.0, 0.0


class Kayenta:
    """Rates by the minute of candidate and champion, compared by a Mann-Whitney U test in four analyses of all minutes so far.

    A metric that must not rise is High where the 98% interval of the Hodges-Lehmann shift lies above 0.25 of the estimated shift (the
    interval by the normal approximation with ties, as in R's wilcox.test); with equal weights one High metric of two is a score of
    50, which is below the marginal score of 75: rolled back. After the last analysis it promotes.
    """

    def __init__(self, cell: Cell, runs: int) -> None:
        self.verdicts = Verdicts(runs)
        self._minutes = cell.looks // MINUTE
        self._rates = np.full((cell.guards, 2, runs, self._minutes), np.nan)
        self._n, self._bad = np.zeros((2, runs)), np.zeros((cell.guards, 2, runs))

    def look(self, number: int, seen: float, look: Look) -> None:
        """Look once more."""
        self._n += look.n
        self._bad += look.bad
        minute, rest = divmod(number + 1, MINUTE)
        if rest or minute > self._minutes:
            return
        with np.errstate(invalid="ignore", divide="ignore"):
            self._rates[:, :, :, minute - 1] = self._bad / self._n
        self._n[:], self._bad[:] = 0.0, 0.0
        if minute in {self._minutes * analysis // KAYENTA_ANALYSES for analysis in range(1, KAYENTA_ANALYSES + 1)}:
            waiting, high = self.verdicts.waiting, np.zeros(len(self.verdicts.said), dtype=bool)
            if len(waiting):
                high[waiting] = np.any([_high(*rates[:, waiting, :minute]) for rates in self._rates], axis=0)
            self.verdicts.decide(number, seen, high, np.full(len(high), minute == self._minutes))


def _high(champion: Floats, candidate: Floats) -> Bools:
    """Which rollouts' rates (rollouts, minutes) are classified as High."""
    tested = mannwhitneyu(candidate, champion, axis=1, alternative="greater", method="asymptotic", nan_policy="omit")
    high = np.asarray(tested.pvalue < _KAYENTA_TAIL)
    for run in np.flatnonzero(high):
        arms = [arm[run][~np.isnan(arm[run])] for arm in (candidate, champion)]
        m, n = map(len, arms)
        shifts = np.sort(np.subtract.outer(*arms), axis=None)
        place = int(m * n / 2 - _KAYENTA_Z * math.sqrt(m * n * (m + n + 1) / 12))
        high[run] = shifts[max(place, 0)] > KAYENTA_TOLERANCE * abs(shifts[m * n // 2])
    return high
