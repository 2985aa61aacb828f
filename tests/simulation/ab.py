"""Simulated A/B rollouts: how often a candidate that is as good wins under continuous looks, and how soon a better one does.

Every run is a whole A/B, looked at by the very functions of `rollout/ab.py`, beside what is usually done with the same callers; all runs
of a cell are computed at once. `make simulate-ab` writes `build/simulation/ab.json` and docs/evidence/ab.md.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from tests.simulation import ab_page
from tests.simulation.ab_worlds import Cell, Floats, Look, cells, looks
from trimtab.rollout import ab
from trimtab.spec import Ab

ROOT = Path(__file__).parents[2]
OURS, ONCE, PEEKING, ROWS, MIXTURE = "Trimtab", "z-test once", "z-test at each look", "z-test at each look, labels as units", "mSPRT"
LEAST = 100
"""How many callers of both versions together a z-test waits for."""
_ALWAYS = 0.05
_NORMAL = 1.96
_SLOW = 8
"""Worlds in which callers are drawn one by one get so many times fewer runs."""


class Row(Struct, frozen=True):
    """What a method said in a cell: shares of its runs.

    `crossed`: the interval, or the test, ever said "better" within the horizon, whatever was said before. `median_callers` is None where
    most runs have no verdict. `true` is the improvement in units of the declared `effect`; callers are of both versions together.
    """

    method: str
    kind: str
    rate: float
    share: int
    effect: str
    goal: str
    true: float
    winners: float
    losers: float
    equal: float
    undecided: float
    crossed: float
    median_callers: float | None
    n_star: float
    horizon: int
    looks: int
    runs: int


class Verdicts:
    """What a method said first in each run, and how many callers there were."""

    def __init__(self, runs: int) -> None:
        self.said: NDArray[np.int64] = np.zeros(runs, int)
        self.callers: Floats = np.full(runs, np.inf)
        self.crossed: NDArray[np.bool_] = np.zeros(runs, bool)

    def hear(self, words: NDArray[np.int64], better: NDArray[np.bool_], callers: Floats) -> None:
        """Words of one look; the first that is none of HOLD stays."""
        new = (self.said == ab.HOLD) & (words != ab.HOLD)
        self.said[new], self.callers[new] = words[new], callers[new]
        self.crossed |= better


def play(cell: Cell, runs: int, seed: int) -> list[Row]:
    """Play `runs` A/B rollouts of a cell."""
    methods = [OURS, ONCE, PEEKING, MIXTURE, *([ROWS] if cell.kind in ("returning", "once") else [])]
    verdicts = {name: Verdicts(runs) for name in methods}
    sign = 1.0 if cell.goal == "larger" else -1.0
    last = None
    for last in looks(cell, runs, np.random.default_rng(seed)):
        _look(cell, last, sign, verdicts)
    if last is not None:
        score = _score(last, sign, "variance")
        verdicts[ONCE].hear(_two_sided(score, _NORMAL), score > _NORMAL, last.champion.callers + last.candidate.callers)
    return [_row(cell, name, one) for name, one in verdicts.items()]


def _look(cell: Cell, look: Look, sign: float, verdicts: dict[str, Verdicts]) -> None:
    callers = look.champion.callers + look.candidate.callers
    words, better = _ours(cell, look, sign)
    verdicts[OURS].hear(words, better, callers)
    seen = callers >= LEAST
    for name, field in ((PEEKING, "variance"), (ROWS, "naive")):
        if name in verdicts:
            score = np.where(seen, _score(look, sign, field), 0.0)
            verdicts[name].hear(_two_sided(score, _NORMAL), score > _NORMAL, callers)
    score = np.where(seen, _score(look, sign, "variance"), 0.0)
    variance = look.champion.variance + look.candidate.variance
    ratio = variance / np.maximum(variance + cell.size**2, 1e-300)
    proof = 0.5 * np.log(np.maximum(ratio, 1e-300)) + 0.5 * score**2 * (1.0 - ratio) >= -np.log(_ALWAYS)
    verdicts[MIXTURE].hear(np.where(proof, np.where(score > 0.0, ab.WINS, ab.LOSES), ab.HOLD), proof & (score > 0.0), callers)


def _ours(cell: Cell, look: Look, sign: float) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The words of `rollout/ab.py`, and whether its interval lies on the better side of no difference."""
    effect = ab.worth(Ab(goal=cell.goal, effect=cell.effect))
    champion, candidate = look.champion, look.candidate
    known = ab.least_known(champion.callers, candidate.callers, look.kurtosis) >= ab.BURN_IN
    variances = [np.maximum(arm.variance, arm.callers * look.spread / np.maximum(arm.labels, 1.0) ** 2) for arm in (candidate, champion)]
    variances = [np.where(known, variance, 1.0) for variance in variances]
    means = [np.where(known, arm.mean, 1.0) for arm in (candidate, champion)]
    words = ab.says(means[0], means[1], variances[0], variances[1], effect, sign)
    size = abs(effect.value - 1.0) * means[1] if effect.relative else abs(effect.value)
    better = known & (sign * (means[0] - means[1]) > ab.reach(variances[0] + variances[1], size))
    return np.where(known, words, ab.HOLD), better


def _score(look: Look, sign: float, field: str) -> Floats:
    """The difference of the means in its own standard errors, 0 where these are unknown."""
    variance = getattr(look.champion, field) + getattr(look.candidate, field)
    difference = sign * (look.candidate.mean - look.champion.mean)
    return np.divide(difference, np.sqrt(variance), out=np.zeros_like(difference), where=variance > 0.0)


def _two_sided(score: Floats, bound: float) -> NDArray[np.int64]:
    return np.select([score > bound, score < -bound], [ab.WINS, ab.LOSES], ab.HOLD)


def _row(cell: Cell, name: str, verdicts: Verdicts) -> Row:
    share = {word: round(float(np.mean(verdicts.said == word)), 6) for word in (ab.HOLD, ab.WINS, ab.LOSES, ab.EQUAL)}
    median = float(np.median(verdicts.callers))
    return Row(
        method=name,
        kind=cell.kind,
        rate=cell.rate,
        share=cell.share,
        effect=cell.effect,
        goal=cell.goal,
        true=cell.true,
        winners=share[ab.WINS],
        losers=share[ab.LOSES],
        equal=share[ab.EQUAL],
        undecided=share[ab.HOLD],
        crossed=round(float(np.mean(verdicts.crossed)), 6),
        median_callers=median if np.isfinite(median) else None,
        n_star=round(cell.needed, 1),
        horizon=cell.horizon,
        looks=cell.looks,
        runs=len(verdicts.said),
    )


def _timed(job: tuple[int, Cell, int]) -> tuple[list[Row], float]:
    number, cell, runs = job
    began = time.perf_counter()
    few = cell.kind in ("returning", "once", "revenue")
    return play(cell, max(1, runs // _SLOW) if few else runs, number + 1), time.perf_counter() - began


def main(arguments: Sequence[str]) -> None:
    """Play every cell and write the numbers and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=8000)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args(arguments)
    jobs = [(number, cell, asked.runs) for number, cell in enumerate(cells())]
    rows: list[Row] = []
    began = time.perf_counter()
    with ProcessPoolExecutor(asked.processes) as pool:
        for (number, cell, _), (found, took) in zip(jobs, pool.map(_timed, jobs), strict=True):
            rows += found
            named = f"{cell.kind}, rate {cell.rate:g}, effect {cell.effect}, {cell.share}%, true {cell.true:g}"
            print(f"{number + 1}/{len(jobs)} {named} ({took:.0f} s)", flush=True)
    out = ROOT / "build" / "simulation" / "ab.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    ab_page.write(ROOT / "docs" / "evidence", rows, LEAST)
    print(f"{len(rows)} rows in {time.perf_counter() - began:.0f} s: {out.relative_to(ROOT)}, docs/evidence/ab.md")


if __name__ == "__main__":
    main(sys.argv[1:])
