"""The judge over thousands of rollouts at once: the same E-processes as `trimtab/rollout/judge.py`, of the two differences that decide.

Rollouts that know the same of the champion bet the same.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tests.simulation.rollouts_worlds import Cell, Floats, Ints, Look
from trimtab.rollout import eprocess
from trimtab.rollout.judge import HARM_ALPHA, STEP_ALPHA

Bools = NDArray[np.bool_]
Counts = tuple[Ints, Ints, Ints, Ints]

_PLACES = np.arange(-320, 321)
"""Every place that a champion's rate may be learned to be at: from 2e-9 up, and down from 1."""


class Verdicts:
    """What a method has said of each rollout: 1 promoted, -1 rolled back, 0 nothing yet; at which look and after how many requests."""

    def __init__(self, runs: int) -> None:
        self.said = np.zeros(runs, dtype=np.int8)
        self.look = np.full(runs, -1)
        self.requests = np.full(runs, np.inf)

    @property
    def waiting(self) -> Ints:
        """The rollouts of which nothing was said yet."""
        return np.flatnonzero(self.said == 0)

    def decide(self, number: int, seen: float, harm: Bools, passed: Bools) -> None:
        """Take note of what is said for the first time at look `number`, after `seen` requests; harm goes first."""
        waiting = self.said == 0
        for chosen, word in ((waiting & harm, -1), (waiting & passed & ~harm, 1)):
            self.said[chosen], self.look[chosen], self.requests[chosen] = word, number, seen


class Evidence(Protocol):
    """What is kept of one guard of all rollouts."""

    def look(self, live: Ints, look: Look, bad: tuple[Ints, Ints]) -> tuple[Bools, Bools]:
        """Of the live rollouts: which say harm, which not worse, after one more block."""

    def new_step(self, moved: Bools) -> None:
        """These rollouts begin another step."""


class Judge:
    """Verdicts by the evidence of the guards: harm by any, not worse by all at every step."""

    def __init__(self, cell: Cell, runs: int, evidence: Callable[[Cell, int], Evidence]) -> None:
        self.verdicts = Verdicts(runs)
        self.step = np.zeros(runs, dtype=np.int64)
        self._steps = len(cell.steps)
        self._guards = [evidence(cell, runs) for _ in range(cell.guards)]

    def look(self, number: int, seen: float, look: Look) -> None:
        """Look once more."""
        live = self.verdicts.waiting
        if not len(live):
            return
        harm, passed = np.zeros(len(self.step), dtype=bool), np.zeros(len(self.step), dtype=bool)
        said = [guard.look(live, look, bad) for guard, bad in zip(self._guards, look.bad, strict=True)]
        harm[live] = np.any([harmful for harmful, _ in said], axis=0)
        passed[live] = np.all([not_worse for _, not_worse in said], axis=0)
        last = self.step + 1 >= self._steps
        self.verdicts.decide(number, seen, harm, passed & last)
        moved = passed & ~harm & ~last
        self.step[moved] += 1
        for guard in self._guards:
            guard.new_step(moved)


class Processes:
    """Trimtab's evidence: the two processes that decide, and what is remembered of the champion.

    `tolerated`: harm is only what exceeds the margin, so that nothing but the bound on promotions stands against a candidate at it.
    """

    def __init__(self, cell: Cell, runs: int, *, tolerated: bool = False) -> None:
        asked = cell.asked
        line = (asked.value, 0.0) if asked.relative else (1.0, asked.value)
        self._bets = (_Bets(*(line if tolerated else (1.0, 0.0)), 1.0), _Bets(*line, -1.0))
        self.harm, self.step = (np.zeros((len(eprocess.EFFECTS), runs)).T for _ in range(2))
        self.n, self.x, self.seen = np.zeros(runs), np.zeros(runs), np.zeros(runs)

    def look(self, live: Ints, look: Look, bad: tuple[Ints, Ints]) -> tuple[Bools, Bools]:
        """Of the live rollouts: which say harm, which not worse, after one more block."""
        (n_s, n_c), (x_s, x_c) = ([arm[live] for arm in arms] for arms in (look.n, bad))
        n, x = self.n[live], self.x[live]
        place = eprocess.learned_place(n, x).astype(np.int64)
        known = bool(np.all(eprocess.is_known(n, x, n_s)))
        counts = n_s[:, None], x_s[:, None], n_c[:, None], x_c[:, None]
        self.seen[live] += n_s + n_c
        part = eprocess.dealt(n_s + n_c, self.seen[live])[:, None]
        total = []
        for process, bets in zip((self.harm, self.step), self._bets, strict=True):
            gain = bets.gain(counts, place, look.step[live], look) if known else bets.first((n[:, None], x[:, None]), counts)
            after = _of(process, live) + gain
            process.T[:, live] = eprocess.share(after, part).T
            total.append(eprocess.log_mean(after))
        self.n[live], self.x[live] = eprocess.remember(n, x, n_s, x_s)
        return total[0] >= -np.log(HARM_ALPHA), total[1] >= -np.log(STEP_ALPHA)

    def new_step(self, moved: Bools) -> None:
        """ "Not worse" has to be shown anew."""
        self.step[moved] = 0.0


class _Bets:
    """The bets of one process against the null p_candidate <= (>= where `sign` is -1) a p_champion + b, each worked out once."""

    def __init__(self, a: float, b: float, sign: float) -> None:
        self._lines = [np.full((1, 1), value) for value in (a, b, sign)]
        self._stakes: dict[tuple[int, int], eprocess.Stakes] = {}

    def first(self, learned: tuple[Floats, Floats], counts: Counts) -> Floats:
        """What a look gains before which little was known: (rollouts, effects)."""
        return eprocess.bet(counts, learned, counts[0], *self._lines)

    def gain(self, counts: Counts, place: Ints, step: Ints, look: Look) -> Floats:
        """What a look gains, where the champion's rate is taken to be the one at `place`: (rollouts, effects)."""
        tables = [self._table(int(n_s), int(n_c)) for n_s, n_c in zip(look.champion_n, look.candidate_n, strict=True)]
        rows = place - int(_PLACES[0]) + len(_PLACES) * step
        stakes = (np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*tables, strict=True))
        return eprocess.Stakes(*(_of(part, rows) for part in stakes)).gain(counts)

    def _table(self, n_s: int, n_c: int) -> eprocess.Stakes:
        """The stakes of a block of so many requests at every rate: (rates, effects)."""
        if (n_s, n_c) not in self._stakes:
            self._stakes[n_s, n_c] = eprocess.stakes(n_s, n_c, eprocess.rate_at(_PLACES)[:, None], *self._lines)
        return self._stakes[n_s, n_c]


def _of(values: Floats, rows: Ints) -> Floats:
    """The rows of an array whose rows are short and many: kept so that what is summed over effects runs over rollouts side by side."""
    return values.T.take(rows, axis=1).T
