"""Simulated rollouts: what the judge promises, measured.

Every run is a whole rollout with a look after each block, judged by the very processes that `rollout/judge.py` uses; all runs
of a cell are computed at once. Run it as `python -m tests.simulation.judge --runs 2000` for the table.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from msgspec import Struct

from trimtab.rollout import eprocess
from trimtab.rollout.judge import HARM_ALPHA, STEP_ALPHA
from trimtab.rollout.power import n_star
from trimtab.units import Margin, margin


class Cell(Struct, frozen=True):
    """One kind of rollout. `effect` is how much worse the candidate is, in units of the margin.

    `horizon` is in units of the sum of the steps' n*, and is seen in `looks` looks. `change` multiplies both rates from that
    share of the horizon on: a common cause. `tolerated`: harm is only what exceeds the margin, so that nothing but the bound
    on promotions stands against a candidate at the margin. `late`: it is as good as the champion until then. All `guards`
    have the same rates.
    """

    base: float
    margin: str
    effect: float
    steps: tuple[int, ...]
    horizon: float = 4.0
    looks: int = 80
    change: tuple[float, float] | None = None
    tolerated: bool = False
    late: float = 0.0
    guards: int = 2

    @property
    def asked(self) -> Margin:
        return margin(self.margin)

    @property
    def needed(self) -> float:
        return float(sum(n_star(self.base, self.asked, step / 100.0) or 0 for step in self.steps))

    def rates(self, at: float) -> tuple[float, float]:
        """The champion's and the candidate's rate at a share of the horizon."""
        champion = self.base * (self.change[1] if self.change and at >= self.change[0] else 1.0)
        effect = self.effect if at >= self.late else 0.0
        return champion, min(1.0, champion + effect * (self.asked.bound(champion) - champion))


class Result(Struct, frozen=True):
    """Shares of the runs, and the median of the requests to the verdict in units of n* (infinite where most have none)."""

    rolled_back: float
    promoted: float
    median: float


def simulate(cell: Cell, runs: int, seed: int = 1) -> Result:
    """Play `runs` rollouts."""
    draw = np.random.default_rng(seed)
    size = max(2, round(cell.horizon * cell.needed / cell.looks))
    step, seen = np.zeros(runs, dtype=int), np.zeros(runs)
    verdict = np.zeros(runs, dtype=int)
    guards = [_Guard(cell, runs) for _ in range(cell.guards)]
    for look in range(cell.looks):
        champion, candidate = cell.rates(look / cell.looks)
        split = np.array(cell.steps)[np.minimum(step, len(cell.steps) - 1)] / 100.0
        n_c = draw.binomial(size, split)
        n_s = size - n_c
        seen += np.where(verdict == 0, size, 0)
        said = [guard.look(n_s, draw.binomial(n_s, champion), n_c, draw.binomial(n_c, candidate)) for guard in guards]
        harm = np.any([harmful for harmful, _ in said], axis=0)
        passed = np.all([not_worse for _, not_worse in said], axis=0) & ~harm
        verdict[(verdict == 0) & harm] = -1
        step[passed] += 1
        verdict[(verdict == 0) & (step >= len(cell.steps))] = 1
        for guard in guards:
            guard.step[passed] = 0.0
    decided = np.where(verdict != 0, seen, np.inf)
    return Result(float(np.mean(verdict < 0)), float(np.mean(verdict > 0)), float(np.median(decided)) / cell.needed)


class _Guard:
    """One guard of all runs at once: the two processes that decide."""

    def __init__(self, cell: Cell, runs: int) -> None:
        asked = cell.asked
        self.line = (asked.value, 0.0) if asked.relative else (1.0, asked.value)
        self.tolerance = self.line if cell.tolerated else (1.0, 0.0)
        self.harm, self.step = np.zeros((runs, len(eprocess.EFFECTS))), np.zeros((runs, len(eprocess.EFFECTS)))
        self.n, self.x = np.zeros((runs, 1)), np.zeros((runs, 1))

    def look(self, n_s: Any, x_s: Any, n_c: Any, x_c: Any) -> tuple[Any, Any]:
        """Which runs say harm, which not worse, after one more block."""
        counts = (n_s[:, None], x_s[:, None], n_c[:, None], x_c[:, None])
        for name, (a, b), sign in (("harm", self.tolerance, 1.0), ("step", self.line, -1.0)):
            lines = [np.full((1, 1), value) for value in (a, b, sign)]
            gained = eprocess.bet(counts, (self.n, self.x), counts[0], *lines)
            setattr(self, name, eprocess.share(getattr(self, name) + gained))
        self.n, self.x = eprocess.remember(self.n, self.x, counts[0], counts[1])
        return eprocess.log_mean(self.harm) >= -np.log(HARM_ALPHA), eprocess.log_mean(self.step) >= -np.log(STEP_ALPHA)


def cells() -> Iterator[tuple[str, Cell]]:
    """The cells of the table: every rate, margin, split and effect; common causes; a candidate that goes bad late."""
    margins = ((1e-4, "+0.01"), (1e-3, "+0.01"), (0.01, "+0.01"), (0.1, "+0.02"), (0.5, "+0.05"))
    ratios = ((1e-4, "x1.5"), (1e-3, "x1.5"), (0.01, "x1.5"), (0.1, "x1.5"), (0.5, "x1.1"))
    for base, text in (*margins, *ratios):
        for split in (1, 5, 25, 50):
            for effect in (0.0, 1.0, 2.0):
                yield "one step", Cell(base, text, effect, (split,))
            yield "harm tolerated", Cell(base, text, 1.0, (split,), tolerated=True, guards=1)
    for base, text, change in ((0.01, "+0.02", 5.0), (0.05, "+0.02", 0.2), (0.02, "x1.5", 10.0), (0.2, "x1.5", 0.1)):
        for share in (0.05, 0.15, 0.3):
            for effect in (0.0, 1.0, 2.0):
                yield "common cause", Cell(base, text, effect, (5, 25, 50), horizon=6.0, looks=200, change=(share, change))
    for effect in (0.0, 1.0, 2.0):
        yield "1,000 looks", Cell(0.01, "+0.01", effect, (5, 25, 50), looks=1000)
    yield "bad late", Cell(0.01, "+0.01", 2.0, (50,), horizon=8.0, looks=160, late=0.05)


def main(arguments: list[str]) -> None:
    """Print the table; one line a cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    runs = parser.parse_args(arguments).runs
    print(f"{'kind':15}{'base':>8}{'margin':>8}{'effect':>7} {'steps':12}{'n*':>12}{'rolled back':>12}{'promoted':>10}{'median n*':>10}  s")
    for number, (kind, cell) in enumerate(cells()):
        began = time.perf_counter()
        result = simulate(cell, runs, seed=number)
        steps = "/".join(str(step) for step in cell.steps) + (f" x{cell.change[1]:g}@{cell.change[0]:g}" if cell.change else "")
        numbers = f"{result.rolled_back:>12.4f}{result.promoted:>10.4f}{result.median:>10.2f}"
        took = time.perf_counter() - began
        print(f"{kind:15}{cell.base:>8g}{cell.margin:>8}{cell.effect:>7g} {steps:12}{cell.needed:>12,.0f}{numbers}{took:5.1f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
