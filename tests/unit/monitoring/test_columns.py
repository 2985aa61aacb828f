import math

import numpy as np
import pytest

from trimtab.monitoring.columns import comparable, labelled, predicted, table
from trimtab.schema import PREDICTION, Feature, Schema

SCHEMA = Schema("regression", "y", (Feature("load", "number"), Feature("site", "category", ("east", "west"))))
MANY = Schema("multiclass", "y", SCHEMA.features, classes=("a", "b", "c"))
TWO = Schema("binary", "y", SCHEMA.features, classes=("no", "yes"))


@pytest.mark.parametrize(
    ("row", "load", "site"),
    [
        pytest.param({"load": 1, "site": "west"}, 1.0, 1.0, id="a number is itself, a category its place"),
        pytest.param({"load": None, "site": None}, math.nan, math.nan, id="null is missing"),
        pytest.param({}, math.nan, math.nan, id="a column that is not there is missing"),
        pytest.param({"load": "5.3", "site": "moon"}, math.nan, 2.0, id="text is no number, an unseen category has its own code"),
        pytest.param({"load": 10**400, "site": 3}, math.nan, 2.0, id="what is beyond a float is missing"),
    ],
)
def test_rows_become_numbers(row: dict[str, object], load: float, site: float) -> None:
    found = table(SCHEMA, [row], [4.5])
    np.testing.assert_equal([found["load"][0], found["site"][0], found[PREDICTION][0]], [load, site, 4.5])


@pytest.mark.parametrize(
    ("schema", "label", "expected"),
    [
        pytest.param(SCHEMA, 3, 3.0, id="a regression's label is the number"),
        pytest.param(SCHEMA, "much", math.nan, id="text is no number"),
        pytest.param(TWO, "yes", 1.0, id="a class is its place"),
        pytest.param(TWO, "perhaps", math.nan, id="an unknown class is none"),
        pytest.param(Schema("binary", "y", (), classes=("0", "1")), True, 1.0, id="true is class 1"),
        pytest.param(Schema("binary", "y", (), classes=("False", "True")), True, 1.0, id="true is class True"),
        pytest.param(Schema("binary", "y", (), classes=("0", "1")), 1.0, 1.0, id="1.0 is class 1"),
        pytest.param(Schema("binary", "y", (), classes=("0.0", "1.0")), 1, 1.0, id="1 is class 1.0"),
        pytest.param(TWO, None, math.nan, id="null is none"),
    ],
)
def test_labels(schema: Schema, label: object, expected: float) -> None:
    np.testing.assert_equal(labelled(schema, [label]), [expected])


def test_predictions_of_each_task() -> None:
    np.testing.assert_equal(predicted(TWO, [0.3, [0.9, 0.1], None, "x"]), [0.3, 0.1, math.nan, math.nan])
    np.testing.assert_equal(predicted(MANY, [[0.1, 0.2, 0.7], [1.0]]), [[0.1, 0.2, 0.7], [math.nan] * 3])
    np.testing.assert_equal(table(MANY, [{}, {}], [[0.1, 0.2, 0.7], None])[PREDICTION], [2.0, math.nan])


def test_missing_numbers_are_a_column_of_their_own_and_missing_categories_a_category() -> None:
    rows = [{"load": float(n) if n % 2 else None, "site": "east" if n % 3 else None} for n in range(100)]
    whole = [{"load": float(n), "site": "west"} for n in range(100)]
    columns, left, right = comparable(SCHEMA, table(SCHEMA, whole, [1.0] * 100), table(SCHEMA, rows, [1.0] * 100))
    assert [(column.name, column.kind, column.of) for column in columns] == [
        ("load", "number", "load"),
        ("missing(load)", "category", "load"),
        ("site", "category", "site"),
        (PREDICTION, "number", PREDICTION),
    ]
    assert (left["missing(load)"].sum(), right["missing(load)"].sum()) == (0, 50)
    assert set(right["site"]) == {0.0, 3.0}


def test_a_number_with_fewer_than_30_values_is_not_tested() -> None:
    rows = [{"load": 1.0 if n < 29 else None, "site": "east"} for n in range(100)]
    whole = [{"load": float(n), "site": "east"} for n in range(100)]
    columns, _, _ = comparable(SCHEMA, table(SCHEMA, whole, [1.0] * 100), table(SCHEMA, rows, [1.0] * 100))
    assert [column.name for column in columns] == ["missing(load)", "site", PREDICTION]
