"""Slices: how rows are told apart, that a planted one is found and none where there is none, and where a champion is better."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from trimtab.training.evaluation.slices import grouping, harm, inflation, worst

ROWS = 2000


def table(seed: int = 1) -> tuple[pa.Table, Any]:
    """A region, an age and noise; and losses that have nothing to do with them."""
    draw = np.random.default_rng(seed)
    columns = {"region": draw.choice(["east", "north", "west"], ROWS), "age": draw.normal(40, 10, ROWS), "noise": draw.random(ROWS)}
    return pa.table(columns), draw.gamma(2.0, 1.0, ROWS)


def groups(found: pa.Table) -> list[Any]:
    return [grouping(found, name) for name in found.column_names]


GROUPINGS = [
    ("texts, the most frequent first", ["b", "a", "b", None], ["x = b", "x = a"], [0, 1, 0, 2]),
    ("few numbers, each its own", [3, 1, 3, None], ["x = 1", "x = 3"], [1, 0, 1, 2]),
    ("truth values", [True, False, True, True], ["x = 0", "x = 1"], [1, 0, 1, 1]),
    (
        "many numbers, by quartiles",
        [float(n) for n in range(12)],
        ["x < 2.75", "x 2.75 to 5.5", "x 5.5 to 8.25", "x >= 8.25"],
        [n // 3 for n in range(12)],
    ),
]


@pytest.mark.parametrize(("values", "names", "codes"), [case[1:] for case in GROUPINGS], ids=[case[0] for case in GROUPINGS])
def test_a_column_is_told_by_its_values_or_quartiles(values: list[Any], names: list[str], codes: list[int]) -> None:
    found = grouping(pa.table({"x": values}), "x")
    assert found.names == (*names, "x missing")
    assert found.codes.tolist() == codes


def test_of_many_texts_the_20_most_frequent_are_told() -> None:
    values = [f"v{n:02}" for n in range(30) for _ in range(40 - n)]
    found = grouping(pa.table({"x": values}), "x")
    assert found.names[:2] == ("x = v00", "x = v01")
    assert (len(found.names), found.codes.min()) == (21, -1)


def test_no_slice_is_found_where_none_is_worse() -> None:
    names = [name.name for seed in range(20) for rows, losses in [table(seed)] for name in worst(groups(rows), losses)]
    assert len(names) <= 1, names


@pytest.mark.parametrize(
    ("planted", "name"),
    [
        pytest.param(lambda rows: rows["region"] == "north", "region = north", id="one condition"),
        pytest.param(
            lambda rows: (rows["region"] == "north") & (rows["age"] >= np.quantile(rows["age"], 0.75)),
            "region = north and age >= ",
            id="two",
        ),
    ],
)
def test_a_planted_slice_is_found_by_its_own_conditions(planted: Any, name: str) -> None:
    rows, losses = table()
    inside = planted({column: rows.column(column).to_numpy(zero_copy_only=False) for column in rows.column_names})
    found = worst(groups(rows), losses + 2.0 * inside)
    assert found[0].name.startswith(name)
    assert (found[0].rows == inside).mean() > 0.99
    assert found[0].p_value < 1e-6


def test_a_slice_needs_fifty_rows() -> None:
    rows, losses = table()
    rare = np.arange(ROWS) < 45
    rows = rows.append_column("rare", pa.array(rare))
    assert [found.name for found in worst(groups(rows), losses + 10.0 * rare)] == []


def test_harm_is_where_the_candidate_alone_is_worse() -> None:
    rows, losses = table()
    north = rows.column("region").to_numpy(zero_copy_only=False) == "north"
    noise = np.random.default_rng(2).gamma(50, 1 / 50, ROWS)
    found = harm(groups(rows), losses * noise * (1 + north), losses)
    assert found is not None
    assert found.slice.startswith("region = north")
    assert 1.85 < found.lower < found.ratio < 2.1


def test_harm_is_not_claimed_where_both_are_equally_good() -> None:
    for seed in range(20):
        rows, losses = table(seed)
        noise = np.random.default_rng(seed).gamma(20, 1 / 20, ROWS)
        found = harm(groups(rows), losses * noise, losses)
        assert found is not None
        assert found.lower < 1.1


def test_there_is_no_harm_without_slices() -> None:
    rows, losses = table()
    assert harm(groups(rows.slice(0, 60)), losses[:60], losses[:60]) is None


def test_neighbours_that_are_alike_widen_the_variance() -> None:
    draw = np.random.default_rng(1)
    assert inflation(draw.normal(size=5000)) == pytest.approx(1, abs=0.2)
    assert inflation(np.repeat(draw.normal(size=500), 10)) > 5
