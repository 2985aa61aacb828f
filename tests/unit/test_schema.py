"""Rows are encoded by the version's schema: order, categories and missing values are the model's, not the caller's."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import InvalidInput
from trimtab.schema import Feature, Schema, encode, encode_columns

SCHEMA = Schema("regression", "demand", (Feature("temp", "number"), Feature("season", "category", ("spring", "winter"))))


def test_a_row_is_encoded_in_the_schema_s_order_whatever_the_caller_s() -> None:
    assert encode(SCHEMA, [{"season": "winter", "more": 1, "temp": 3}]) == [[3.0, 1.0]]


@pytest.mark.parametrize("value", [None, "autumn", float("nan")], ids=["nothing", "a category never seen", "not a number"])
def test_an_unknown_category_is_a_missing_value(value) -> None:
    assert math.isnan(encode(SCHEMA, [{"temp": None, "season": value}])[0][1])


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"temp": 1}, "row 0: the feature 'season' is missing; required are temp, season"),
        ({"temp": "warm", "season": None}, "row 0, feature 'temp': found 'warm', a number or null is allowed"),
        ({"temp": 10**400, "season": None}, "is too large for a number"),
    ],
)
def test_what_cannot_be_encoded_names_row_and_feature(row, sentence: str) -> None:
    with pytest.raises(InvalidInput) as error:
        encode(SCHEMA, [row])
    assert sentence in str(error.value)


VALUES = st.one_of(st.none(), st.floats(width=32), st.integers(-(10**6), 10**6), st.booleans())
TEXTS = st.one_of(st.none(), st.sampled_from(["fall", "spring", "winter", ""]), st.integers(0, 3), st.floats())


@given(st.lists(st.tuples(VALUES, TEXTS), min_size=1, max_size=20))
def test_rows_that_come_by_column_are_encoded_as_they_are_by_row(values: list[tuple[Any, Any]]) -> None:
    schema = Schema("regression", "y", (Feature("size", "number"), Feature("season", "category", ("fall", "spring"))))
    rows = [{"season": text, "size": value, "other": 1} for value, text in values]
    columns = {name: [row[name] for row in rows] for name in ("other", "season", "size")}
    by_column = [list(row) for row in zip(*encode_columns(schema, columns), strict=True)]
    assert repr(by_column) == repr(encode(schema, rows))


def test_a_column_that_is_missing_or_no_number_is_said() -> None:
    schema = Schema("regression", "y", (Feature("size", "number"), Feature("season", "category", ("fall",))))
    with pytest.raises(InvalidInput, match="the feature 'season' is missing; required are size, season"):
        encode_columns(schema, {"size": [1.0]})
    with pytest.raises(InvalidInput, match="row 1, feature 'size': found 'x', a number or null is allowed"):
        encode_columns(schema, {"size": [1.0, "x"], "season": ["fall", "fall"]})
