from typing import Any

import msgspec
import numpy as np
import pytest

from trimtab.monitoring.performance import Judgement, Sample, kind, lasting_slice
from trimtab.monitoring.slicing import slices
from trimtab.spec import ModelSpec
from trimtab.units import persistence

RULE = persistence("2 of 3")


def spec(task: str = "regression", **more: Any) -> ModelSpec:
    return msgspec.convert({"task": task, "data": {"uri": "x.csv", "label": "y"}, **more}, ModelSpec)


def found(of: ModelSpec, column: str, known: list[Any], asked: list[Any], metric: str = "rmse") -> dict[str, tuple[int, int, float | None]]:
    """Names, rows of the window and of the hold-out, and floors of the slices."""
    left, right = (np.arange(len(side)) % 2 * 1.0 for side in (known, asked))
    rows = [{column: value} for value in asked]
    told = slices(of, metric, rows, (right, right), {column: known}, Sample(left, left))
    return {part.name: (len(part.window.truth), len(part.holdout.truth), part.floor) for part in told}


BY_SITE = spec(training={"slices": ["site"]})
SITES = ["east"] * 300 + ["west"] * 150


@pytest.mark.parametrize(
    ("of", "column", "known", "asked", "expected"),
    [
        pytest.param(BY_SITE, "site", SITES, SITES, {"site = east": (300, 300, None), "site = west": (150, 150, None)}, id="by text"),
        pytest.param(BY_SITE, "site", SITES, ["east"] * 200 + ["west"] * 99, {"site = east": (200, 300, None)}, id="99 rows are too few"),
        pytest.param(BY_SITE, "site", SITES, ["north"] * 500, {}, id="a value that the hold-out never had"),
        pytest.param(BY_SITE, "site", SITES, [None] * 500, {}, id="callers do not send it"),
        pytest.param(BY_SITE, "other", SITES, SITES, {}, id="the version did not keep the column"),
        pytest.param(spec(), "site", SITES, SITES, {}, id="nobody declared any"),
        pytest.param(
            spec(gates=[{"metric": "rmse", "slice": "site", "max": 9.0}]),
            "site",
            SITES,
            SITES,
            {"site = east": (300, 300, 9.0), "site = west": (150, 150, 9.0)},
            id="a gate's slice with what the gate asks",
        ),
        pytest.param(
            spec(training={"slices": ["age"]}),
            "age",
            list(range(400)),
            [10] * 120 + [390] * 120,
            {"age < 99.75": (120, 100, None), "age >= 299.25": (120, 100, None)},
            id="numbers by the hold-out's quarters",
        ),
        pytest.param(
            spec(training={"slices": ["day"]}), "day", [1, 2] * 200, [2] * 300, {"day = 2": (300, 200, None)}, id="few numbers by value"
        ),
    ],
)
def test_slices(of: ModelSpec, column: str, known: list[Any], asked: list[Any], expected: dict[str, Any]) -> None:
    assert found(of, column, known, asked) == expected


def test_a_binary_slice_needs_ten_rows_of_each_class() -> None:
    of, rows = spec("binary", training={"slices": ["site"]}), [{"site": "east"}] * 300
    truth = np.arange(300) % 40 == 0
    known = {"site": ["east"] * 300}
    for positives, expected in ((truth, 0), (np.arange(300) % 20 == 0, 1)):
        window = (positives.astype(float), np.linspace(0, 1, 300))
        assert len(slices(of, "roc_auc", rows, window, known, Sample(*window))) == expected


GOOD, BAD = Judgement("rmse", 1.0, 0.9, 1.1, 1.0, 1.1, 200), Judgement("rmse", 2.0, 1.8, 2.2, 1.0, 1.1, 200, past_margin=True)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        pytest.param({"a": BAD}, {"a": BAD}, "a", id="a slice is past its bound twice"),
        pytest.param({"a": BAD}, {"b": BAD}, "", id="two slices once each"),
        pytest.param({"a": BAD}, {"a": GOOD}, "", id="the newest is fine"),
        pytest.param({}, {"a": BAD}, "", id="once is not persistent"),
    ],
)
def test_a_slice_that_is_worse_for_good_is_a_performance_finding(
    before: dict[str, Judgement], now: dict[str, Judgement], expected: str
) -> None:
    history = [msgspec.structs.replace(GOOD, slices=parts) for parts in (before, now)]
    assert lasting_slice(history, RULE) == expected
    assert kind(history, RULE, inputs_moved=True) == ("performance" if expected else None)
