"""The oracle against trying everything."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trimtab.backtest.oracle import Reign, best

CUT = datetime(2026, 1, 1, tzinfo=UTC)


def cost(reigns: list[Reign], sums: np.ndarray, path: list[int]) -> float:
    stops = [*(reigns[number].start for number in path[1:]), sums.shape[1] - 1]
    return float(sum(sums[one, stop] - sums[one, reigns[one].start] for one, stop in zip(path, stops, strict=True)))


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(0, 4))
def test_nothing_that_may_be_chosen_is_better(seed: int, size: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    rows = 20
    starts = [0, *sorted(draw.integers(0, rows, size - 1).tolist())]
    reigns = [Reign(Path(str(number)), start, CUT) for number, start in enumerate(starts)]
    sums = np.concatenate([np.zeros((size, 1)), np.cumsum(draw.random((size, rows)), axis=1)], axis=1)
    chosen = best(reigns, sums, count)
    assert chosen[0] == 0
    assert len(chosen) <= count + 1
    every = (
        [0, *others]
        for length in range(count + 1)
        for others in itertools.combinations(range(1, size), length)
        if all(starts[one] < starts[other] for one, other in itertools.pairwise([0, *others]))
    )
    assert cost(reigns, sums, chosen) <= min(cost(reigns, sums, path) for path in every) + 1e-9
