"""Where the line is between a break and a world that moves: what stops, what is told, and what passes."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from tests.unit.training.planted import START, Table, World, champion_of_rows, put, world
from trimtab.training.checks import Check, sentences
from trimtab.training.validate import validate
from trimtab.training.validate_units import factor_between

Change = Callable[[Table, Any], Table]


def found(kind: str, change: Change, *, champion: bool = True, cut: int = 300, **data: Any) -> list[tuple[str, str, str]]:
    """Check, column and severity of what is found on day 300 after a change; the champion is of day 270."""
    return [(check.check, check.column, check.severity) for check in checks(kind, change, champion=champion, cut=cut, **data)]


def checks(kind: str, change: Change, *, champion: bool = True, cut: int = 300, **data: Any) -> list[Check]:
    made: World = world(kind, 4)
    spec = replace(made.spec, data=replace(made.spec.data, **data))
    rows = change(made.window(300), np.random.default_rng(8))
    return validate(rows, spec, 0, made.champion(270, 4) if champion else None, START + timedelta(days=cut))


def same(table: Table, _: Any) -> Table:
    return table


def holed(column: str, share: float, since: float = 0.0) -> Change:
    """Rows from `since` on lose a share of a column's values."""

    def change(table: Table, draw: Any) -> Table:
        late = np.arange(table.num_rows) >= since * table.num_rows
        gone = pa.array(late & (draw.random(table.num_rows) < share))
        return put(table, column, pc.if_else(gone, pa.scalar(None, table.column(column).type), table.column(column)))

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(holed("amount", 0.03), [], id="a few more are missing"),
        pytest.param(holed("amount", 0.1), [("nulls", "amount", "warn")], id="some more are told"),
        pytest.param(holed("amount", 0.3), [("nulls", "amount", "stop")], id="many more stop"),
        pytest.param(holed("amount", 0.3, since=0.9), [("nulls", "amount", "warn")], id="a third of the newest tenth is told"),
        pytest.param(holed("amount", 0.8, since=0.9), [("nulls", "amount", "stop")], id="most of the newest tenth stop"),
        pytest.param(holed("channel", 1.0), [("nulls", "channel", "stop"), ("nulls", "channel", "warn")], id="a column without any value"),
    ],
)
def test_missing_values_against_the_champions(change: Change, expected: list[Any]) -> None:
    assert sorted({*found("fraud", change)}) == sorted({*expected[:1]})


def named(table: Table, column: str, values: Any, since: float = 0.0) -> Table:
    """Rows from `since` on hold other texts."""
    old = np.array(table.column(column).to_pylist(), dtype=object)
    late = np.arange(table.num_rows) >= since * table.num_rows
    return put(table, column, pa.array(np.where(late, np.resize(values, table.num_rows), old), pa.string()))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda table, _: named(table, "channel", ["kiosk"], 0.9), [], id="a new channel in a tenth of the rows"),
        pytest.param(lambda table, _: named(table, "channel", ["kiosk"], 0.7), [("categories", "channel", "warn")], id="in a third: told"),
        pytest.param(
            lambda table, _: named(table, "channel", ["k1", "k2"], 0.2), [("categories", "channel", "stop")], id="in most: another column"
        ),
        pytest.param(
            lambda table, _: named(table, "channel", ["Web", " app", "STORE"], 0.9),
            [("categories", "channel", "stop")],
            id="another spelling",
        ),
        pytest.param(lambda table, _: named(table, "merchant", ["m1", "m2"]), [], id="known categories alone"),
    ],
)
def test_categories_against_the_champions(change: Change, expected: list[Any]) -> None:
    assert [one for one in found("fraud", change) if one[0] == "categories"] == expected


def shifted(column: str, by: float, share: float = 1.0) -> Change:
    def change(table: Table, draw: Any) -> Table:
        values = table.column(column).to_numpy(zero_copy_only=False).astype(float)
        return put(table, column, values + by * (draw.random(table.num_rows) < share))

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(shifted("temperature", 15), [], id="a hot year"),
        pytest.param(shifted("temperature", 273.15), [], id="another scale, but not ten times the width: for the declared range"),
        pytest.param(shifted("temperature", 9999, 0.02), [], id="a few wild values"),
        pytest.param(shifted("temperature", 9999, 0.1), [("range", "temperature", "stop")], id="many wild values"),
    ],
)
def test_ranges_against_the_champions(change: Change, expected: list[Any]) -> None:
    assert [one for one in found("demand", change) if one[0] == "range"] == expected


def scaled(column: str, factor: float, since: float = 0.0) -> Change:
    def change(table: Table, _: Any) -> Table:
        values = table.column(column).to_numpy(zero_copy_only=False).astype(float).copy()
        values[int(since * len(values)) :] *= factor
        return put(table, column, values)

    return change


@pytest.mark.parametrize("champion", [True, False])
@pytest.mark.parametrize(
    ("kind", "column", "factor", "since"),
    [
        ("demand", "temperature", 10, 0.8),
        ("demand", "wind", 0.01, 0.5),
        ("fraud", "amount", 100, 0.9),
        ("fraud", "account_age_days", 1 / 60, 0.7),
        ("clicks", "price", 1000, 0.6),
        ("demand", "demand", 1000, 0.75),
    ],
)
def test_a_unit_that_changes_within_the_rows_is_known_with_and_without_a_champion(
    kind: str, column: str, factor: float, since: float, champion: bool
) -> None:
    (unit,) = [check for check in checks(kind, scaled(column, factor, since), champion=champion) if check.check == "unit"]
    assert (unit.column, unit.severity) == (column, "stop")
    assert unit.found == (f"{factor:g} times" if factor > 1 else f"1/{1 / factor:g} of")
    assert abs(unit.rows / world(kind, 4).window(300).num_rows - (1 - since)) < 0.05


@pytest.mark.parametrize("factor", [0.5, 1, 2, 3.3, 1.8, 30])
def test_what_is_no_unit_s_factor(factor: float) -> None:
    draw = np.random.default_rng(2)
    assert factor_between(draw.lognormal(0, 0.5, 900), factor * draw.lognormal(0, 0.5, 900)) is None


def test_a_season_that_brings_ten_times_as_much_is_told_where_the_champion_saw_another_time() -> None:
    made = world("fraud", 4)
    later = scaled("amount", 10)(made.window(330), None)
    at = later.column("at")
    later = later.filter(pc.greater(at, pa.scalar(START + timedelta(days=250))))
    champion = made.champion(240, 4)
    found = validate(later, made.spec, 0, champion, START + timedelta(days=330))
    assert [(check.check, check.severity) for check in found if check.column == "amount"] == [("unit", "warn")]


def coarse(table: Table, draw: Any) -> Table:
    """Rows of a few categories and a day: many agree by chance."""
    day = pc.floor_temporal(table.column("at"), unit="month")
    rows = table.num_rows
    return pa.table(
        {"at": day, "colour": draw.choice(["red", "blue"], rows), "open": draw.random(rows) < 0.5, "fraud": table.column("fraud")}
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(coarse, [], id="coarse rows agree by chance"),
        pytest.param(lambda table, draw: twice(table.drop_columns("key"), draw, 0.005), [], id="a handful of copies"),
        pytest.param(lambda table, draw: twice(table.drop_columns("key"), draw, 0.03), [("copies", "", "warn")], id="some copies are told"),
        pytest.param(lambda table, draw: twice(table.drop_columns("key"), draw, 0.3), [("copies", "", "stop")], id="many copies"),
    ],
)
def test_copies_are_told_from_rows_that_agree_by_chance(change: Change, expected: list[Any]) -> None:
    assert [one for one in found("fraud", change, champion=False, key=None) if one[0] == "copies"] == expected


def twice(table: Table, draw: Any, share: float) -> Table:
    again = table.take(pa.array(draw.choice(table.num_rows, int(share * table.num_rows), replace=False)))
    return pa.concat_tables([table, again]).sort_by("at")


@pytest.mark.parametrize(
    ("cut", "champion", "data", "expected"),
    [
        pytest.param(300, True, {}, [], id="rows up to the cut"),
        pytest.param(305, True, {}, [], id="a few quiet days"),
        pytest.param(315, True, {}, [("stale", "at", "warn")], id="two quiet weeks are told"),
        pytest.param(340, True, {}, [("stale", "at", "stop")], id="a sixth of the window is empty"),
        pytest.param(340, True, {"label_delay": "40d"}, [], id="labels that are not known yet are not late"),
        pytest.param(
            340, True, {"history": None}, [("stale", "at", "stop")], id="without a window: rows came after the champion's, and no more"
        ),
        pytest.param(340, False, {"history": None}, [("stale", "at", "warn")], id="without a window or a champion: a file is what it is"),
    ],
)
def test_rows_that_no_longer_come(cut: int, champion: bool, data: dict[str, Any], expected: list[Any]) -> None:
    assert [one for one in found("demand", same, champion=champion, cut=cut, **data) if one[0] == "stale"] == expected


def test_a_file_that_never_moved_is_trained_on_again() -> None:
    made = world("demand", 4)
    spec = replace(made.spec, data=replace(made.spec.data, history=None))
    rows = made.window(300)
    found = validate(rows, spec, 0, champion_of_rows(rows, spec, 4), START + timedelta(days=900))
    assert [(check.check, check.severity) for check in found] == [("stale", "warn")]


def test_rows_of_a_kind_with_keys_of_their_own_are_only_told() -> None:
    def change(table: Table, draw: Any) -> Table:
        made = twice(table, draw, 0.3)
        return put(made, "key", [f"line-{number}" for number in range(made.num_rows)])

    assert [one for one in found("fraud", change, champion=False) if one[2] == "stop" or one[0] == "copies"] == [("copies", "", "warn")]


def test_a_file_is_looked_at_as_its_table_is(tmp_path: Path) -> None:
    made = world("fraud", 4)
    rows = holed("amount", 0.3)(made.window(300), np.random.default_rng(8))
    rows = put(rows, "rate", np.where(np.arange(rows.num_rows) % 3 > 0, 1.5, np.nan))
    pq.write_table(rows, tmp_path / "a.parquet", row_group_size=1000)
    champion, at = made.champion(270, 4), START + timedelta(days=300)
    by_file = validate(tmp_path / "a.parquet", made.spec, 0, champion, at)
    assert by_file == validate(rows, made.spec, 0, champion, at)
    assert {("nulls", "amount")} <= {(check.check, check.column) for check in by_file}


def relabelled(table: Table, draw: Any) -> Table:
    """Frauds that were found late: a tenth of a percent of the rows more."""
    labels = table.column("fraud").to_numpy() | (draw.random(table.num_rows) < 0.001)
    return put(table, "fraud", labels.astype(int))


@pytest.mark.parametrize(
    ("kind", "change", "expected"),
    [
        pytest.param("fraud", relabelled, [], id="labels that were corrected"),
        pytest.param("demand", scaled("demand", 1.3), [], id="a third more"),
        pytest.param(
            "fraud", lambda table, _: put(table, "fraud", pc.subtract(1, table.column("fraud"))), ["stop"], id="classes the wrong way round"
        ),
        pytest.param(
            "clicks",
            lambda table, _: put(table, "clicked", pc.utf8_upper(table.column("clicked"))),
            ["stop"],
            id="classes with other names",
        ),
        pytest.param(
            "demand",
            lambda table, _: put(table, "demand", [float("inf"), *table.column("demand").to_pylist()[1:]]),
            ["stop"],
            id="infinite",
        ),
    ],
)
def test_labels_against_the_champions(kind: str, change: Change, expected: list[str]) -> None:
    assert [one[2] for one in found(kind, change) if one[0] == "label"] == expected


def test_amounts_that_are_mostly_zero_and_the_same_are_the_same() -> None:
    made = world("demand", 4)
    rows = made.window(300)
    rare = np.where(np.arange(rows.num_rows) % 20 == 3, rows.column("demand").to_numpy(), 0)
    rows = put(rows, "demand", rare)
    assert sentences(validate(rows, made.spec, 0, champion_of_rows(rows, made.spec, 4), START + timedelta(days=300))) == ()


def test_shuffled_labels_are_known_without_a_key_by_the_features_that_tell_nothing_any_more() -> None:
    def shuffled(table: Table, draw: Any) -> Table:
        shuffled = table.column("demand").take(pa.array(draw.permutation(table.num_rows)))
        return put(table.drop_columns("key"), "demand", shuffled)

    (said,) = sentences(checks("demand", shuffled, key=None))
    assert "the features tell nothing of label 'demand' any more in all rows; they told 0." in said
    assert said.endswith("of it for the champion: shuffled, or joined wrongly?")


def test_a_newest_part_with_shuffled_labels_is_told() -> None:
    def shuffled(table: Table, draw: Any) -> Table:
        places = np.arange(table.num_rows)
        start = int(0.8 * table.num_rows)
        places[start:] = draw.permutation(places[start:])
        return put(table, "demand", table.column("demand").take(pa.array(places)))

    assert [one for one in found("demand", shuffled, champion=False) if one[0] == "label"] == [("label", "demand", "warn")]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        pytest.param(
            "invoice_id", lambda rows, draw: draw.integers(10**8, 10**9, rows), [("identifier", "stop")], id="random whole numbers named id"
        ),
        pytest.param("price_cents", lambda rows, draw: draw.integers(10**8, 10**9, rows), [], id="amounts that are all different"),
        pytest.param(
            "customerId", lambda rows, draw: draw.integers(0, 3000, rows), [("identifier", "warn")], id="an identifier of customers"
        ),
        pytest.param("bid", lambda rows, draw: draw.integers(0, 3000, rows), [], id="a name that only ends like one"),
        pytest.param("odometer", lambda rows, draw: np.cumsum(draw.random(rows)), [("timestamp", "warn")], id="what only grows"),
        pytest.param("year", lambda rows, _: 2020 + np.arange(rows) // 5000, [], id="years"),
        pytest.param(
            "day",
            lambda rows, _: np.array([20240101 + 100 * (place * 12 // rows) for place in range(rows)]),
            [("timestamp", "stop")],
            id="dates as numbers",
        ),
        pytest.param("reading", lambda rows, draw: draw.normal(size=rows), [], id="measured values, all different"),
        pytest.param("same", lambda rows, _: np.ones(rows), [("constant", "warn")], id="one value"),
        pytest.param("broken", lambda rows, _: np.where(np.arange(rows) == 7, np.inf, 1.0), [("infinite", "stop")], id="an infinite value"),
    ],
)
def test_features_that_name_a_row_or_its_time(column: str, values: Any, expected: list[Any]) -> None:
    said = found("fraud", lambda table, draw: put(table, column, values(table.num_rows, draw)), champion=False)
    assert [(check, severity) for check, name, severity in said if name == column] == expected
