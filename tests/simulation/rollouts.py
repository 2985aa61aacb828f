"""Simulated rollouts: what the judge promises, measured, beside what other tools would have said of the same counters.

Every run is a whole rollout with a look every ten seconds, judged by the very processes that `rollout/judge.py` uses; all runs of a
cell are computed at once. `make simulate-rollouts` writes `build/simulation/rollouts.json` and docs/evidence/rollouts.md.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from tests.simulation import rollouts_page
from tests.simulation.rollouts_alternatives import ALTERNATIVES, PLUG_IN
from tests.simulation.rollouts_judge import Judge, Processes, Verdicts
from tests.simulation.rollouts_rivals import Kayenta, Rival, Thresholds, ZTest
from tests.simulation.rollouts_worlds import Cell, cells, draw

ROOT = Path(__file__).parents[2]
OURS, TOLERATED = "Trimtab", "Trimtab, harm tolerated up to the margin"
Z, FLAGGER, ARGO, KAYENTA = "z-test at each look", "fixed thresholds (Flagger)", "failureLimit (Argo Rollouts)", "Mann-Whitney (Kayenta)"


class Row(Struct, frozen=True):
    """What a method did in a cell: shares of its runs.

    `split` is the candidate's share of the traffic (of the first step, where there are several), `n_star` and `horizon` are requests,
    `median_samples` too: it is None where most runs have no verdict, as are the shares that are not of this `effect`.
    """

    method: str
    split: float
    base_rate: float
    effect: float
    reachable: bool
    false_rollback: float | None
    promoted_good: float | None
    promoted_bad: float | None
    rolled_back_bad: float | None
    inconclusive: float
    median_samples: float | None
    kind: str
    margin: str
    steps: tuple[int, ...]
    n_star: float
    horizon: int
    looks: int
    runs: int
    change: tuple[float, float] | None
    burst: int


def play(cell: Cell, runs: int, seed: int, *, alone: bool = False) -> list[Row]:
    """Play `runs` rollouts of a cell; with `alone` no other method looks on, and it ends when all have their verdict."""
    random = np.random.default_rng(seed)
    judge = Judge(cell, runs, Processes)
    methods: dict[str, Judge | Rival] = {OURS: judge}
    if cell.kind in ("one step", "bursts") and cell.effect == 1.0:
        methods[TOLERATED] = Judge(cell, runs, partial(Processes, tolerated=True))
    if not alone and (len(cell.steps) > 1 or (cell.steps[0] in (5, 50) and cell.reachable)):
        methods |= {name: Judge(cell, runs, ALTERNATIVES[name]) for name in (ALTERNATIVES if len(cell.steps) == 1 else (PLUG_IN,))}
    if not alone:
        methods |= {Z: ZTest(cell, runs), FLAGGER: Thresholds(cell, runs, flagger=True)}
        methods |= {ARGO: Thresholds(cell, runs, flagger=False), KAYENTA: Kayenta(cell, runs)}
    for number in range(cell.looks):
        look = draw(cell, number / cell.looks, judge.step.copy(), random)
        for method in methods.values():
            method.look(number, float(cell.size * (number + 1)), look)
        if all(np.all(method.verdicts.said) for method in methods.values()):
            break
    rows = [_row(cell, name, method.verdicts) for name, method in methods.items()]
    return [row for row in rows if row.runs]


def _row(cell: Cell, name: str, verdicts: Verdicts) -> Row:
    """The line of one method. Where the candidate turns bad late, rollouts that had ended before are no part of it: all, maybe."""
    part = (verdicts.look < 0) | (verdicts.look >= np.ceil(cell.late * cell.looks))
    said = verdicts.said[part]
    shares = {word: round(float(np.mean(said == word)), 6) if len(said) else 0.0 for word in (-1, 0, 1)}
    median = float(np.median(verdicts.requests[part])) if len(said) else np.inf
    good = cell.effect == 0.0
    return Row(
        method=name,
        split=cell.steps[0] / 100.0,
        base_rate=cell.base,
        effect=cell.effect,
        reachable=cell.reachable,
        false_rollback=shares[-1] if good else None,
        promoted_good=shares[1] if good else None,
        promoted_bad=None if good else shares[1],
        rolled_back_bad=None if good else shares[-1],
        inconclusive=shares[0],
        median_samples=median if np.isfinite(median) else None,
        kind=cell.kind,
        margin=cell.margin,
        steps=cell.steps,
        n_star=cell.needed,
        horizon=cell.size * cell.looks,
        looks=cell.looks,
        runs=int(np.count_nonzero(part)),
        change=cell.change,
        burst=cell.burst,
    )


def _timed(job: tuple[int, Cell, int]) -> tuple[list[Row], float]:
    number, cell, runs = job
    began = time.perf_counter()
    return play(cell, runs, number + 1), time.perf_counter() - began


def main(arguments: Sequence[str]) -> None:
    """Play every cell, in two processes, and write the numbers and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    runs = parser.parse_args(arguments).runs
    jobs = [(number, cell, runs) for number, cell in enumerate(cells())]
    rows: list[Row] = []
    began = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        for (number, cell, _), (found, took) in zip(jobs, pool.map(_timed, jobs), strict=True):
            rows += found
            named = f"{cell.kind}, rate {cell.base:g}, margin {cell.margin}, {cell.steps}%, effect {cell.effect:g}"
            print(f"{number + 1}/{len(jobs)} {named} ({took:.0f} s)", flush=True)
    out = ROOT / "build" / "simulation" / "rollouts.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    rollouts_page.write(ROOT / "docs" / "evidence", rows)
    print(f"{len(rows)} rows in {time.perf_counter() - began:.0f} s: {out.relative_to(ROOT)}, docs/evidence/rollouts.md")


if __name__ == "__main__":
    main(sys.argv[1:])
