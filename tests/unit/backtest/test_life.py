"""A life over a small history: what it knows when, who answers, and what is done about what is found."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from msgspec.structs import replace

from tests.unit.monitoring.folders import ScipyDetector
from trimtab.backtest.history import read_history
from trimtab.backtest.life import Life, Lived
from trimtab.backtest.policies import freely, offline
from trimtab.backtest.workshop import Workshop
from trimtab.errors import InvalidInput
from trimtab.release import Phase
from trimtab.spec import Model, PipelineRef, Schedule
from trimtab.training.model import predict

from .worlds import CHANGE, FIRST, HOUR, ROWS, START, model, table, write

Live = Callable[..., Lived]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Live:
    kept = tmp_path_factory.mktemp("kept")

    def work(given: Model, asks: tuple[datetime, ...] = (), start: datetime = FIRST) -> Lived:
        given = offline(given, 1)
        history = read_history(given.spec.data)
        return Life(history, given, Workshop(given, kept), ScipyDetector(), tmp_path_factory.mktemp("life"), start, asks).live()

    return work


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(table(), tmp_path_factory.mktemp("data") / "rows.parquet")


@pytest.fixture(scope="module")
def lived(live: Live, rows: Path) -> Lived:
    return live(model(rows))


def test_a_change_is_found_retrained_on_and_cured(lived: Lived) -> None:
    assert {finding.kind for finding in lived.findings} & {"performance", "concept"}
    assert [retrain.trigger for retrain in lived.retrains] != []
    assert all(retrain.cut > START + CHANGE * HOUR for retrain in lived.retrains), "nothing is retrained before the change"
    truth = table().column("y").to_numpy()[lived.first :]
    errors = np.abs(lived.said - truth)
    before, hurt, cured = (errors[start - lived.first :][:60].mean() for start in (CHANGE - 60, CHANGE, CHANGE + 390))
    assert before < hurt / 2
    assert cured < hurt / 2


def test_rows_are_answered_by_the_champion_of_their_time(live: Live, rows: Path) -> None:
    asks = (START + 700 * HOUR, START + 1000 * HOUR)
    free = freely(model(rows), "schedule")
    never_comes = replace(free.spec.retraining, schedule=Schedule("0 0 29 2 *"))
    lived = live(replace(free, spec=replace(free.spec, retraining=never_comes)), asks)
    assert [retrain.cut for retrain in lived.retrains] == list(asks)
    assert [retrain.phase for retrain in lived.retrains] == [Phase.PROMOTED, Phase.PROMOTED]
    folders = [folder for _, folder in sorted(lived.fits)]
    bounds = [lived.first, *(round((retrain.since - START) / HOUR) + 1 for retrain in lived.retrains if retrain.since), ROWS]
    assert bounds == [501, 703, 1003, ROWS], "a version takes over two hours (rollout.maxDuration) after its cut"
    for folder, start, stop in zip(folders, bounds[:-1], bounds[1:], strict=True):
        expected = predict(folder, table().slice(start, stop - start))
        np.testing.assert_array_equal(lived.said[start - lived.first : stop - lived.first], expected)


@pytest.mark.parametrize("seen", [pytest.param(600, marks=pytest.mark.long), 900, pytest.param(1150, marks=pytest.mark.long)])
def test_what_is_later_changes_nothing_that_was_before(live: Live, lived: Lived, tmp_path: Path, seen: int) -> None:
    """Rows after `seen`, and labels that were not known then, are replaced by nonsense: until then all is the same."""
    honest = table()
    y, load = honest.column("y").to_numpy().copy(), honest.column("load").to_numpy().copy()
    y[seen - 24 :], load[seen:] = 1e6, -1e6
    poisoned = honest.set_column(6, "y", pa.array(y)).set_column(2, "load", pa.array(load)).set_column(5, "hint", pa.array(y))
    other = live(model(write(poisoned, tmp_path / "rows.parquet")))
    until = START + (seen - 1) * HOUR
    np.testing.assert_array_equal(other.said[: seen - other.first], lived.said[: seen - lived.first])
    assert [one for one in other.findings if one.cut < until] == [one for one in lived.findings if one.cut < until]
    assert [one.cut for one in other.retrains if one.cut < until] == [one.cut for one in lived.retrains if one.cut < until]


def test_a_label_is_known_its_delay_after_its_row_and_not_before(rows: Path) -> None:
    history = read_history(model(rows).spec.data)
    row = history.times[100]
    assert history.after(row) == 101
    assert history.known(row) == 77
    assert b"hint" not in bytes(history.instances[0])
    assert b'"y"' not in bytes(history.instances[0])


@pytest.mark.parametrize(
    "ref",
    [
        pytest.param(PipelineRef("churn", channel="stable"), id="a channel"),
        pytest.param(PipelineRef("churn", "1.4.0"), id="a version", marks=pytest.mark.long),
    ],
)
def test_a_model_on_a_package_lives_with_the_pipeline_that_comes_with_trimtab(
    live: Live, lived: Lived, rows: Path, ref: PipelineRef
) -> None:
    given = model(rows)
    other = live(replace(given, spec=replace(given.spec, training=replace(given.spec.training, pipeline=ref))))
    np.testing.assert_array_equal(other.said, lived.said)
    assert other.retrains == lived.retrains
    assert other.fits == lived.fits, "what was made for the one is taken for the other: their recipe is the same"


def test_the_governor_holds_a_policy_to_its_cooldown(live: Live, rows: Path) -> None:
    cuts = [retrain.cut for retrain in live(model(rows, cooldown="14d")).retrains]
    assert all(later - earlier >= timedelta(days=14) for earlier, later in pairwise(cuts))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param({"key": None}, "spec.data.key", id="no key"),
        pytest.param({"time": None}, "spec.data.time", id="no time"),
        pytest.param({"label": "price"}, "there is no column 'price'", id="no such label"),
        pytest.param({"key": "site"}, "repeat another row's 'site'", id="a key that repeats"),
        pytest.param({"uri": "/nowhere/rows.parquet"}, "no file matches", id="no file"),
    ],
)
def test_what_cannot_be_played_is_a_sentence(rows: Path, change: dict[str, str | None], sentence: str) -> None:
    data = replace(model(rows).spec.data, **change)
    with pytest.raises(InvalidInput, match=sentence):
        read_history(data)


def test_rows_in_any_order_are_played_in_the_order_of_time_and_those_without_one_are_counted(tmp_path: Path) -> None:
    made = table(100)
    times = made.column("at").to_pylist()
    times[10:13] = [None] * 3
    shuffled = made.set_column(1, "at", pa.array(times, made.column("at").type)).take(np.random.default_rng(1).permutation(100))
    found = read_history(model(write(shuffled, tmp_path / "rows.parquet")).spec.data)
    assert (len(found), found.left_out) == (97, 3)
    assert (np.diff(found.times) > 0).all()
    assert found.keys == [f"r{n}" for n in range(100) if n not in (10, 11, 12)]


ODD = {
    "few labels": ("y", [None if n % 40 else float(n) for n in range(ROWS)], "rows have a label"),
    "no labels": ("y", [None] * ROWS, "only 0 rows have a label"),
    "one value": ("y", [1.0] * ROWS, "has one value only"),
    "text": ("y", ["high", "low"] * (ROWS // 2), "must be a number in a regression"),
}


@pytest.mark.parametrize(("column", "values", "sentence"), ODD.values(), ids=ODD.keys())
def test_a_history_that_no_version_can_be_made_of_says_why_and_what_to_do(
    live: Live, tmp_path: Path, column: str, values: list[object], sentence: str
) -> None:
    made = table()
    odd = made.set_column(made.column_names.index(column), column, pa.array(values))
    with pytest.raises(InvalidInput, match=rf"(?s)there is no first version at .*{sentence}.*At a later --from more is known"):
        live(model(write(odd, tmp_path / "rows.parquet")))


def test_no_first_version_is_a_sentence(live: Live, rows: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no first version at 2026-01-02"):
        live(model(rows), start=START + 30 * HOUR)
