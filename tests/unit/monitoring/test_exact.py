"""Trimtab's own detector against the real Alibi's TabularDrift in its cage, and against SciPy's functions."""

import gc
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp, kstwo

from trimtab.errors import Unavailable
from trimtab.monitoring import ordered as remembered
from trimtab.monitoring.columns import Column, Floats, Table
from trimtab.monitoring.detectors.exact import Exact, Stream
from trimtab.monitoring.detectors.kolmogorov import p_value, smirnov
from trimtab.monitoring.detectors.tabular import TabularDrift
from trimtab.monitoring.ordered import ordered

from .folders import ScipyDetector

NUMBER, CATEGORY = Column("load", "number", "load"), Column("site", "category", "site")


def normal(seed: int, rows: int, shift: float = 0.0) -> Floats:
    return np.random.default_rng(seed).normal(shift, 1.0, rows)


def codes(seed: int, rows: int, values: int, first: int = 0) -> Floats:
    return np.random.default_rng(seed).integers(first, values, rows).astype(float)


def gaps(values: Floats, every: int) -> Floats:
    return np.where(np.arange(len(values)) % every == 0, np.nan, values)


CASES = [
    pytest.param(NUMBER, normal(1, 2000), normal(2, 500), id="no drift, unequal sizes"),
    pytest.param(NUMBER, normal(1, 2000), normal(2, 500, 0.2), id="a small shift"),
    pytest.param(NUMBER, normal(1, 2000), normal(2, 2000, 0.4), id="a large one: a p-value that 32 bits just hold"),
    pytest.param(NUMBER, normal(1, 20_000), normal(2, 5000, 0.03), id="thousands of rows"),
    pytest.param(NUMBER, normal(1, 2000).round(1), normal(2, 900, 0.1).round(1), id="many ties, within and between"),
    pytest.param(NUMBER, codes(1, 3000, 2), codes(2, 700, 2), id="a number of two values"),
    pytest.param(NUMBER, normal(1, 500), normal(1, 500), id="the very same values"),
    pytest.param(NUMBER, normal(1, 500), normal(1, 500) + 1e9, id="no overlap at all"),
    pytest.param(NUMBER, np.zeros(100), np.zeros(70), id="one constant"),
    pytest.param(NUMBER, np.zeros(100), np.ones(70), id="another constant"),
    pytest.param(NUMBER, gaps(normal(1, 2000), 3), gaps(normal(2, 800), 5), id="missing values are left out"),
    pytest.param(NUMBER, normal(1, 7), normal(2, 5, 1.0), id="tiny samples"),
    pytest.param(NUMBER, normal(1, 30), normal(2, 30, 0.5), id="samples where SciPy's `auto` would be exact and Alibi is not"),
    pytest.param(NUMBER, normal(1, 2), normal(2, 2), id="two rows each"),
    pytest.param(NUMBER, normal(1, 400) * 1e300, normal(2, 300) * 1e300, id="numbers as large as floats go"),
    pytest.param(CATEGORY, codes(1, 2000, 5), codes(2, 400, 5), id="categories"),
    pytest.param(CATEGORY, codes(1, 2000, 5), codes(2, 400, 9, first=3), id="categories that the reference never saw, others gone"),
    pytest.param(CATEGORY, codes(1, 900, 2), codes(2, 40, 2), id="two categories: with Yates' correction"),
    pytest.param(CATEGORY, codes(1, 9, 4), codes(2, 6, 4), id="a handful of rows"),
    pytest.param(CATEGORY, np.zeros(50), np.zeros(40), id="one category"),
    pytest.param(CATEGORY, np.zeros(50), np.ones(40), id="another one"),
    pytest.param(CATEGORY, codes(1, 5000, 300), codes(2, 5000, 320), id="hundreds of categories"),
]


@pytest.mark.parametrize(("column", "reference", "window"), CASES)
def test_p_values_and_statistics_are_alibis(detector: TabularDrift, column: Column, reference: Floats, window: Floats) -> None:
    """Alibi keeps both in 32 bits: they are equal when ours are rounded to as many."""
    sides = {column.name: reference}, {column.name: window}
    ours, theirs = (each.test([column], *sides)[column.name] for each in (Exact(), detector))
    assert ours.p == pytest.approx(theirs.p, rel=2e-7, abs=1e-44)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=2e-7, abs=1e-44)


@pytest.mark.parametrize(("column", "reference", "window"), CASES)
def test_p_values_and_statistics_are_scipys_to_ten_digits(column: Column, reference: Floats, window: Floats) -> None:
    sides = {column.name: reference}, {column.name: window}
    ours, theirs = (each.test([column], *sides)[column.name] for each in (Exact(), ScipyDetector()))
    assert ours.p == pytest.approx(theirs.p, rel=1e-10, abs=1e-290)
    assert ours.statistic == pytest.approx(theirs.statistic, rel=1e-12)


ODD = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 1e-300, 1e300, float("nan")])
values = st.lists(ODD | st.floats(-5, 5), min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(values, values, st.integers(1, 7))
def test_rows_may_come_in_any_parts(left: list[float], right: list[float], size: int) -> None:
    reference, window = np.array([*left, 0.3, 0.4]), np.array([*right, 0.3, 0.4])
    for column in (NUMBER, CATEGORY):
        stream = Stream([column], {column.name: reference})
        for first in range(0, len(window), size):
            stream.add({column.name: window[first : first + size]})
        whole = Exact().test([column], {column.name: reference}, {column.name: window})
        assert stream.tests() == whole
        if column is NUMBER:
            expected = ks_2samp(reference[~np.isnan(reference)], window[~np.isnan(window)], method="asymp")
            assert whole[column.name].statistic == expected.statistic
            assert whole[column.name].p == pytest.approx(expected.pvalue, rel=1e-10)


@pytest.mark.parametrize("side", ["reference", "window"])
def test_a_column_without_values_is_a_sentence(side: str) -> None:
    tables: dict[str, Table] = {"reference": {"load": normal(1, 9)}, "window": {"load": normal(2, 9)}}
    tables[side] = {"load": np.full(9, np.nan)}
    with pytest.raises(Unavailable, match=f"the column 'load' has no values in the {side}"):
        Exact().test([NUMBER], **tables)


@pytest.mark.parametrize("rows", [141, 200, 1000, 4999, 20_000])
def test_the_distribution_is_scipys(rows: int) -> None:
    """Over all of SciPy's borders between one way to compute it and another."""
    for scaled in [0.01, 0.2, 0.21, 0.3, 0.5, 1.0, 1.36, 1.48, 1.49, 2.0, 3.0, 5.0, 8.0, 11.0, 12.5, 18.0, 19.2, 19.3]:
        statistic = min(scaled / np.sqrt(rows), 1.0)
        expected = float(np.clip(kstwo.sf(statistic, rows), 0.0, 1.0))
        assert p_value(statistic, 2 * rows, 2 * rows) == pytest.approx(expected, rel=1e-10, abs=1e-290), (rows, scaled)


def test_smirnovs_series_is_a_probability_that_falls() -> None:
    found = [smirnov(500, x) for x in np.linspace(0.001, 0.999, 300)]
    assert all(1.0 >= left > right >= 0.0 or left == right == 0.0 for left, right in pairwise(found))
    assert smirnov(1, 0.3) == pytest.approx(0.7)


def test_an_array_is_sorted_once_in_its_life_and_then_forgotten() -> None:
    gc.collect()
    before, values = len(remembered._KNOWN), normal(1, 50)
    assert ordered(values) is ordered(values)
    assert ordered(values.copy()) is not ordered(values)
    assert len(remembered._KNOWN) == before + 1
    del values
    gc.collect()
    assert len(remembered._KNOWN) == before


def test_a_moved_column_costs_no_more_than_a_calm_one() -> None:
    """SciPy takes some 50 ms for the p-value of each column that moved, at 100,000 rows; a whole check of a column takes a tenth."""
    columns = [Column(f"c{n}", "number", f"c{n}") for n in range(10)]
    reference = {column.name: normal(n, 50_000) for n, column in enumerate(columns)}
    Exact().test(columns, reference, {column.name: normal(50, 50_000) for column in columns})
    seconds = []
    for shift in (0.0, 0.1):
        window = {column.name: normal(100 + n, 50_000, shift) for n, column in enumerate(columns)}
        began = time.process_time()
        Exact().test(columns, reference, window)
        seconds.append(time.process_time() - began)
    assert seconds[1] < 5 * seconds[0]
