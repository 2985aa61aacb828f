"""Other ways to judge under continuous looks, at the same error bounds: what the judge's E-processes were chosen over.

Each takes the place of the judge's two processes of a guard and remembers nothing that a live judge could not.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from tests.simulation.rollouts_judge import Bools
from tests.simulation.rollouts_worlds import Cell, Floats, Ints, Look
from trimtab.rollout import eprocess
from trimtab.rollout.judge import HARM_ALPHA, STEP_ALPHA

_STAKES = np.geomspace(0.002, 0.95, 12)


class Null(NamedTuple):
    """p_candidate <= a p_champion + b (>= where `sign` is -1), refuted at `alpha`; `side` numbers it."""

    side: int
    a: float
    b: float
    sign: float
    alpha: float


class _Alternative:
    """What was counted of all rollouts so far, and two nulls: no worse at all, and worse by the margin."""

    def __init__(self, cell: Cell, runs: int) -> None:
        asked = cell.asked
        margin = (asked.value, 0.0) if asked.relative else (1.0, asked.value)
        self.nulls = (Null(0, 1.0, 0.0, 1.0, HARM_ALPHA), Null(1, *margin, -1.0, STEP_ALPHA))
        self.n, self.x = np.zeros((2, runs)), np.zeros((2, runs))
        self.split = cell.steps[0] / 100.0

    def look(self, live: Ints, look: Look, bad: tuple[Ints, Ints]) -> tuple[Bools, Bools]:
        """Of the live rollouts: which say harm, which not worse, after one more block."""
        n, x = np.stack(look.n)[:, live], np.stack(bad)[:, live]
        said = [self.log_e(null, live, n, x) >= -np.log(null.alpha) for null in self.nulls]
        self.n[:, live] += n
        self.x[:, live] += x
        return said[0], said[1]

    def log_e(self, null: Null, live: Ints, n: Ints, x: Ints) -> Floats:
        """The log E-values of one null after a block of `n` requests, `x` of them bad (champion, candidate)."""
        raise NotImplementedError

    def new_step(self, moved: Bools) -> None:
        """These rollouts begin another step: of the alternatives only the safe test is played in several."""


class MixtureSprt(_Alternative):
    """A sequential probability ratio of the difference in all counts, mixed over a half-normal law as wide as the margin.

    Johari, Koomen, Pekelis and Walsh, "Always valid inference", Operations Research 2022; the variance is plugged in, so that the bound is
    an approximation for many bad answers.
    """

    def log_e(self, null: Null, live: Ints, n: Ints, x: Ints) -> Floats:
        n_s, n_c = (arm + 1.0 for arm in self.n[:, live] + n)
        x_s, x_c = (arm + 0.5 for arm in self.x[:, live] + x)
        p_s, p_c = x_s / n_s, x_c / n_c
        variance = null.a**2 * p_s * (1.0 - p_s) / n_s + p_c * (1.0 - p_c) / n_c
        margin = self.nulls[1]
        wide = ((margin.a - 1.0) * p_s + margin.b) ** 2
        off = null.sign * (p_c - null.a * p_s - null.b)
        total = variance + wide
        beyond = norm.logcdf(off * np.sqrt(wide / (variance * total)))
        return np.asarray(np.log(2.0) + beyond + 0.5 * np.log(variance / total) + 0.5 * wide * off**2 / (variance * total))


class PlugIn(_Alternative):
    """A safe 2x2 test that bets on both rates as they were learned so far, each block against the nearest point of the null.

    Turner, Ly and Gruenwald, "Generic E-variables for exact sequential k-sample tests that allow for optional stopping", 2024.
    """

    def __init__(self, cell: Cell, runs: int) -> None:
        super().__init__(cell, runs)
        self.sum = np.zeros((2, runs))

    def log_e(self, null: Null, live: Ints, n: Ints, x: Ints) -> Floats:
        q_s, q_c = (self.x[:, live] + 0.5) / (self.n[:, live] + 1.0)
        beyond = (null.sign * (q_c - null.a * q_s - null.b) > 0.0) & (self.n[0, live] > 0)
        q_s, q_c = np.where(beyond, q_s, 0.3), np.where(beyond, q_c, 0.6)
        t, c = eprocess.project(q_s, q_c, n[0], n[1], np.where(beyond, null.a, 1.0), np.where(beyond, null.b, 0.0))
        ratios = (np.log(q_s / t), np.log((1 - q_s) / (1 - t)), np.log(q_c / c), np.log((1 - q_c) / (1 - c)))
        self.sum[null.side, live] += np.where(beyond, eprocess.Stakes(*ratios).gain((n[0], x[0], n[1], x[1])), 0.0)
        return self.sum[null.side, live]

    def new_step(self, moved: Bools) -> None:
        """ "Not worse" has to be shown anew."""
        self.sum[1, moved] = 0.0


class Betting(_Alternative):
    """Constant stakes on each request, weighted by the inverse of the share that its version gets.

    Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS B 2024, over the weighted answers of Ham,
    Bojinov, Lindon and Tingley, "Design-based confidence sequences", 2022.
    """

    def __init__(self, cell: Cell, runs: int) -> None:
        super().__init__(cell, runs)
        self.sum = np.zeros((2, len(_STAKES), runs))

    def log_e(self, null: Null, live: Ints, n: Ints, x: Ints) -> Floats:
        worth = null.sign * np.array([-null.a / (1.0 - self.split) - null.b, 1.0 / self.split - null.b, -null.b])
        stakes = _STAKES[:, None] / -worth.min()
        champion, candidate, good = (np.log1p(stakes * one) for one in worth)
        self.sum[null.side][:, live] += x[0] * champion + x[1] * candidate + (n.sum(axis=0) - x.sum(axis=0)) * good
        return eprocess.log_mean(self.sum[null.side][:, live], axis=0)


PLUG_IN = "safe 2x2 test, rates plugged in"
ALTERNATIVES: dict[str, type[_Alternative]] = {"mixture SPRT": MixtureSprt, PLUG_IN: PlugIn, "betting on weighted answers": Betting}
