"""The bootstrap against known spreads."""

from typing import Any

import numpy as np
import pytest

from trimtab.training.evaluation.bootstrap import MOST_ROWS, block, spread, stripes, weights
from trimtab.training.scores import scorer

RANDOM = np.random.default_rng(3)


def mean_of(values: Any) -> Any:
    return lambda chosen: lambda of_rows: {"mean": values[chosen] @ of_rows / of_rows.sum(axis=0)}


def test_it_knows_the_spread_of_a_mean() -> None:
    values = RANDOM.normal(size=2000)
    low, high = spread(mean_of(values), 2000, 1).interval("mean", 5.0) or (0, 0)
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(2000), rel=0.15)
    assert low < 5.0 < high


def test_it_is_wider_where_neighbours_are_alike() -> None:
    values = np.repeat(RANDOM.normal(size=200), 10)
    low, high = spread(mean_of(values), 2000, 1).interval("mean", 0.0) or (0, 0)
    assert high - low > 1.7 * (2 * 1.96 * values.std() / np.sqrt(2000))


@pytest.mark.parametrize("rows", [200_000, 1_000_003])
def test_of_many_rows_a_part_is_looked_at_and_the_interval_is_that_of_all(rows: int) -> None:
    values = RANDOM.normal(size=rows)
    looked: list[int] = []

    def build(chosen: Any) -> Any:
        looked.append(len(chosen))
        return mean_of(values)(chosen)

    low, high = spread(build, rows, 1).interval("mean", 0.0) or (0, 0)
    assert looked == [pytest.approx(MOST_ROWS, rel=0.05)]
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(rows), rel=0.25)


def test_one_sided_bounds_are_within_the_interval_and_seeds_repeat() -> None:
    values = RANDOM.normal(size=500)
    one, two = (spread(mean_of(values), 500, seed).difference("mean", 0.0) for seed in (4, 4))
    assert one == two
    assert one is not None
    assert one.interval[0] < one.lower < 0 < one.upper < one.interval[1]


def test_the_bias_of_a_statistic_is_not_counted_twice() -> None:
    given = RANDOM.random(1000)
    labels = (RANDOM.random(1000) < given).astype(float)
    value = float(scorer("binary", labels, given)(np.ones((1000, 1)))["ece"][0])
    low, high = spread(lambda chosen: scorer("binary", labels[chosen], given[chosen]), 1000, 1).interval("ece", value) or (0, 0)
    assert (low + high) / 2 == pytest.approx(value, abs=0.25 * (high - low))


def test_what_is_never_defined_has_no_interval() -> None:
    found = spread(lambda _: lambda of_rows: {"mape": np.full(of_rows.shape[1], np.nan)}, 20, 1)
    assert (found.interval("mape", 1.0), found.difference("mape", 1.0), spread(mean_of([]), 0, 1).deviations) == (None, None, {})


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 1001])
def test_a_resample_is_whole_blocks_on_a_circle(rows: int) -> None:
    found = weights(rows, block(rows), 50, np.random.default_rng(1))
    assert found.shape == (rows, 50)
    assert set(found.sum(axis=0)) == {-(-rows // block(rows)) * block(rows)}
    assert found.min() >= 0


@pytest.mark.parametrize("rows", [10, MOST_ROWS, 123_457])
def test_stripes_are_ascending_rows_without_repetition(rows: int) -> None:
    found = stripes(rows)
    assert len(found) == (rows if rows <= MOST_ROWS else pytest.approx(MOST_ROWS, rel=0.05))
    assert (np.diff(found) > 0).all()
    assert (found[0], found[-1]) == (0, rows - 1)
