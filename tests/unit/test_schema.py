"""Rows are encoded by the version's schema: order, categories and missing values are the model's, not the caller's."""

import math

import pytest

from trimtab.errors import InvalidInput
from trimtab.schema import Feature, Schema, encode

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
