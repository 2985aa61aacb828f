"""A number that became wider or narrower is told apart where Kolmogorov-Smirnov hardly sees it; the same number is not."""

from collections.abc import Callable

import numpy as np
import pytest

from trimtab.monitoring.spread import moved, scores

Drawn = Callable[[np.random.Generator, int], np.ndarray]
KINDS: dict[str, Drawn] = {
    "a normal number": lambda draw, rows: draw.standard_normal(rows),
    "one with heavy ends": lambda draw, rows: draw.standard_cauchy(rows),
    "one of ten values": lambda draw, rows: draw.integers(0, 10, rows).astype(float),
    "one that is mostly zero": lambda draw, rows: np.where(draw.random(rows) < 0.6, 0.0, draw.exponential(size=rows)),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize(("old", "new"), [(2000, 500), (200, 1000), (50, 50)])
def test_a_false_word_is_as_rare_as_it_may_be(kind: Drawn, old: int, new: int) -> None:
    draw = np.random.default_rng(3)
    found = [moved(kind(draw, old), kind(draw, new)) for _ in range(400)]
    assert 0.02 <= np.mean([one is not None and one.p < 0.05 for one in found]) <= 0.08


@pytest.mark.parametrize("scale", [1.5**0.5, 1.5**-0.5], ids=["wider", "narrower"])
def test_a_variance_half_as_large_again_is_far_beyond_chance(scale: float, generator: np.random.Generator) -> None:
    found = moved(generator.standard_normal(10_000), scale * generator.standard_normal(1000))
    assert found is not None
    assert found.p < 1e-6
    assert (found.deviate > 0) == (scale > 1)


def test_the_unit_does_not_matter(generator: np.random.Generator) -> None:
    old, new = generator.standard_normal(500), 1.3 * generator.standard_normal(400)
    assert moved(old, new) == moved(1000 * old + 7, 1000 * new + 7)


def test_missing_values_count_for_nothing(generator: np.random.Generator) -> None:
    old, new = generator.standard_normal(500), generator.standard_normal(400)
    gone = np.full(50, np.nan)
    assert moved(old, new) == moved(np.append(old, gone), np.append(gone, new))
    assert np.isnan(scores(np.append(old, gone))).sum() == 50


@pytest.mark.parametrize("values", [np.full(100, 3.0), np.tile([0.0, 1.0], 50), np.full(100, np.nan)], ids=["one", "two alike", "none"])
def test_where_all_scores_are_the_same_there_is_no_spread(values: np.ndarray) -> None:
    assert len(scores(values)) == 100
    assert np.isnan(values).all() or moved(values, values) is None
