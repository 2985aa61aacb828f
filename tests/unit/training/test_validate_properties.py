"""Whatever a table holds, validation answers with checks."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from tests.unit.training.planted import champion_of_rows
from trimtab.spec import Data, Expectation, ModelSpec, Task
from trimtab.training.checks import Check, page
from trimtab.training.frame import kind_of
from trimtab.training.validate import validate

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NUMBERS = st.one_of(
    st.floats(width=64),
    st.integers(-(2**63), 2**63 - 1).map(float),
    st.sampled_from([0.0, -0.0, 1e308, -1e308, 5e-324, float("inf"), 1e-9]),
)
TEXTS = st.one_of(st.sampled_from(["a", "B ", "1", "1.0", "nan", "", "ö\x00", "'; --"]), st.text(max_size=6))
VALUES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.null(), st.none()),
    (pa.bool_(), st.booleans()),
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 3))),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), NUMBERS),
    (pa.decimal128(20, 4), st.decimals(-(10**9), 10**9, places=4, allow_nan=False)),
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.binary(), st.binary(max_size=4)),
    (pa.date32(), st.dates(date(1900, 1, 1), date(2100, 1, 1))),
    (pa.timestamp("us", "UTC"), st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001
    (pa.timestamp("ns"), st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1))),  # noqa: DTZ001
    (pa.time64("us"), st.times()),
    (pa.list_(pa.int64()), st.lists(st.integers(0, 5), max_size=3)),
    (pa.struct([("x", pa.int64())]), st.fixed_dictionaries({"x": st.integers(0, 5)})),
]
NAMES = st.one_of(
    st.sampled_from(["id", 'a"b', "a'b", "select", "Ä ö", "x;y", "rows", "at"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8),
)


@st.composite
def columns(draw: DrawFn, rows: int) -> pa.Array:
    kind, values = draw(st.sampled_from(VALUES))
    pool = draw(st.lists(st.one_of(st.none(), values), min_size=1, max_size=12))
    chosen = np.random.default_rng(draw(st.integers(0, 99))).integers(0, len(pool), rows)
    if draw(st.booleans()) and pa.types.is_integer(kind) and kind != pa.int8():
        return pa.array(np.arange(rows) + draw(st.integers(0, 1000)), kind)
    return pa.array([pool[place] for place in chosen], kind)


@st.composite
def tables(draw: DrawFn, names: list[str] | None = None) -> pa.Table:
    rows = draw(st.sampled_from([0, 1, 49, 60, 250]))
    named = names or draw(st.lists(NAMES, min_size=2, max_size=6, unique_by=lambda name: name.casefold()))
    return pa.table([draw(columns(rows)) for _ in named], names=named)


@st.composite
def asked(draw: DrawFn, names: list[str]) -> ModelSpec:
    picked = st.one_of(st.none(), st.sampled_from(names))
    label, time, key = draw(st.sampled_from(names)), draw(picked), draw(picked)
    expect = [
        Expectation(
            name,
            draw(st.sampled_from([None, "number", "category"])),
            draw(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))),
            draw(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))),
            draw(st.sampled_from([(), ("a", "1")])),
            draw(st.sampled_from([None, 0.0, 0.5])),
            draw(st.booleans()),
        )
        for name in draw(st.lists(st.sampled_from([*names, "nowhere"]), max_size=2, unique=True))
    ]
    task: Task = draw(st.sampled_from(["regression", "binary", "multiclass"]))
    return ModelSpec(task, Data("a.csv", label, time, key, label_delay="1h", expect=tuple(expect)))


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_arbitrary_table_gives_checks_and_no_error(data: st.DataObject) -> None:
    table = data.draw(tables())
    spec = data.draw(asked(table.column_names))
    before = data.draw(st.one_of(st.just(table), tables(table.column_names)))
    champion = data.draw(st.sampled_from([None, "some"]))
    labelled = before.num_rows > 0 and kind_of(before.schema.field(spec.data.label)) != "other"
    known = champion_of_rows(before, spec, 1) if champion and labelled else None
    found = validate(table, spec, 0, known, NOW + timedelta(days=1))
    assert msgspec.json.decode(msgspec.json.encode(found), type=list[Check]) == found
    assert all(check.sentence and check.check and check.rows >= 0 for check in found)
    assert page(found, table.num_rows).startswith("<!doctype html>")


def test_a_decimal_is_a_number() -> None:
    table = pa.table({"x": pa.array([Decimal(f"{value}.5") for value in range(60)]), "y": [float(value % 7) for value in range(60)]})
    assert {check.check for check in validate(table, ModelSpec("regression", Data("a.csv", "y")))} <= {"identifier"}
