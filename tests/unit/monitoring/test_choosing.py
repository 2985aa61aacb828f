"""Every detector that a Model can ask for, each of Alibi's in the real worker: it sees what it is for, and names the column."""

from typing import get_args

import numpy as np
import pytest
from scipy.stats import chi2_contingency, cramervonmises_2samp, fisher_exact, ks_2samp

from trimtab.cage import Cage
from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest, check
from trimtab.monitoring.detectors.choosing import Chosen
from trimtab.monitoring.detectors.exact import Exact
from trimtab.monitoring.effects import effects
from trimtab.schema import PREDICTION
from trimtab.spec import Detector, Drift

COLUMNS = [
    Column("load", "number", "load"),
    Column("heat", "number", "heat"),
    Column("flag", "category", "flag"),
    Column("site", "category", "site"),
    Column("missing(heat)", "category", "heat"),
    Column(PREDICTION, "number", PREDICTION),
]


def tables(seed: int = 1, rows: int = 1500, others: int = 400) -> tuple[Table, Table]:
    """Two samples of one distribution; `heat` has gaps."""
    generator = np.random.default_rng(seed)
    found = []
    for count in (rows, others):
        heat = np.where(generator.random(count) < 0.1, np.nan, generator.gamma(2.0, 1.0, count))
        found.append(
            {
                "load": generator.normal(0.0, 1.0, count),
                "heat": heat,
                "flag": (generator.random(count) < 0.3).astype(float),
                "site": generator.integers(0, 4, count).astype(float),
                "missing(heat)": np.isnan(heat).astype(float),
                PREDICTION: generator.normal(0.0, 1.0, count),
            }
        )
    return found[0], found[1]


@pytest.fixture(scope="module")
def chosen(cage: Cage) -> Chosen:
    return Chosen(cage)


def asked(chosen: Chosen, name: str, window: Table, reference: Table | None = None) -> dict[str, ColumnTest]:
    drift = Drift(detector=name, expected_run_time=100)  # type: ignore[arg-type]
    return chosen.test(COLUMNS, reference or tables()[0], window, drift)


def moved(tests: dict[str, ColumnTest], window: Table, effect: float = 0.2) -> set[str]:
    drift = check(COLUMNS, tests, effects(COLUMNS, tables()[0], window), span_days=1.0, effect=effect)
    return {name for name, column in drift.columns.items() if column.moved}


def test_all_names_of_the_document_are_known(chosen: Chosen) -> None:
    assert tuple(chosen.by_name) == get_args(Detector)


def test_what_a_model_asks_for_by_default_needs_no_worker() -> None:
    assert Chosen(Cage("the worker", ["/none"], 1.0)).test(COLUMNS, *tables()) == Exact().test(COLUMNS, *tables())


@pytest.mark.parametrize("name", get_args(Detector))
def test_each_names_the_columns_that_moved_and_no_other(chosen: Chosen, name: str) -> None:
    calm, window = tables()[1], tables()[1]
    assert moved(asked(chosen, name, calm), calm) == set()
    window["load"] = window["load"] + 1.0
    window["flag"] = np.where(np.arange(400) % 3 > 0, 1.0, window["flag"])
    expected = {"load", "flag"}
    assert moved(asked(chosen, name, window), window, 0.1) == expected


ONLY = [
    pytest.param("ks", {"load", "heat", PREDICTION}, id="ks: numbers"),
    pytest.param("cvm", {"load", "heat", PREDICTION}, id="cvm: numbers"),
    pytest.param("fet", {"flag", "missing(heat)"}, id="fet: columns of two values"),
    pytest.param("chi2", {column.name for column in COLUMNS}, id="chi2: all, numbers by their tenths"),
]


def scipys(name: str, old: np.ndarray, new: np.ndarray, kind: str) -> float:
    """The test's p-value by SciPy's own function, over the values that are there."""
    old, new = old[~np.isnan(old)], new[~np.isnan(new)]
    if name == "ks":
        return float(ks_2samp(old, new, method="asymp").pvalue)
    if name == "cvm":
        return float(cramervonmises_2samp(old, new).pvalue)
    if name == "fet":
        counts = [[(side == value).sum() for side in (new, old)] for value in (1.0, 0.0)]
        return float(fisher_exact(counts).pvalue)
    if kind == "number":
        edges = np.sort(old)[np.arange(1, 10) * len(old) // 10 - 1]
        old, new = np.searchsorted(edges, old), np.searchsorted(edges, new)
    values = np.union1d(old, new)
    return float(chi2_contingency([[(side == value).sum() for value in values] for side in (old, new)]).pvalue)


@pytest.mark.parametrize(("name", "fitting"), ONLY)
def test_p_values_are_scipys_and_columns_that_do_not_fit_are_tested_by_ours(chosen: Chosen, name: str, fitting: set[str]) -> None:
    reference, window = tables(others=300)
    found, ours = asked(chosen, name, window), Exact().test(COLUMNS, reference, window)
    for column in COLUMNS:
        if column.name in fitting:
            expected = scipys(name, reference[column.name], window[column.name], column.kind)
            assert found[column.name].p == pytest.approx(expected, rel=1e-5)
        else:
            assert found[column.name] == ours[column.name]


def test_fishers_test_leaves_a_column_with_an_unseen_value_to_ours(chosen: Chosen) -> None:
    reference, window = tables()
    window["flag"][:9] = 2.0
    assert asked(chosen, "fet", window)["flag"] == Exact().test(COLUMNS, reference, window)["flag"]


def test_fishers_odds_stay_numbers_where_one_value_is_gone(chosen: Chosen) -> None:
    window = tables()[1] | {"flag": np.ones(400)}
    found = asked(chosen, "fet", window)["flag"]
    assert found.p < 1e-9
    assert np.isfinite(found.statistic)


def test_the_classifier_sees_what_no_single_column_shows_and_names_the_pair(chosen: Chosen) -> None:
    reference, window = tables(rows=3000, others=1500)
    window[PREDICTION] = window[PREDICTION] + 1.0
    window["load"] = np.where(window["flag"] > 0, np.abs(window["load"]), -np.abs(window["load"]))
    window["load"] = np.quantile(reference["load"], np.argsort(np.argsort(window["load"])) / 1499)
    together = asked(chosen, "classifier", window, reference)
    singly = asked(chosen, "exact", window, reference)
    assert min(singly[name].p for name in ("load", "flag")) > 0.001, "each alone is as it was"
    sizes = {name: test.effect for name, test in together.items() if test.effect is not None}
    assert {name for name, size in sizes.items() if size >= 0.1} == {"load", "flag", PREDICTION}
    assert {test.joint for test in together.values()} == {True}
    assert together["site"].p == together["load"].p < 1e-20
    assert together[PREDICTION].p < 1e-20, "a test of its own: the inputs cannot hide it, nor it them"


@pytest.mark.parametrize("name", ["cvm_online", "fet_online"])
def test_an_online_detector_says_the_same_again_and_says_how_rare_its_alarm_is(chosen: Chosen, name: str) -> None:
    window = tables()[1]
    window["load"][300:] += 3.0
    window["flag"][300:] = 1.0
    first, again = (asked(chosen, name, window) for _ in range(2))
    assert first == again
    column = first["load" if name == "cvm_online" else "flag"]
    assert (column.alarm, round(column.p, 3)) == (True, round(1 - 0.99**400, 3))
    assert first["site"].alarm is None, "tested by ours"
