"""The generated examples: the same file for the same options, and in it the truths that their modules name, and no others."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from msgspec.structs import replace

from examples.stream import write
from tests.simulation.examples import EXAMPLES, WORLDS, loaded, scores, spec_of, split
from trimtab.documents import read_model
from trimtab.training.frame import read_table
from trimtab.training.gate import check_gates
from trimtab.training.ingest import read, snapshot
from trimtab.training.validate import validate

NAMES = list(WORLDS)
FRAUD, SHOP = (loaded(name) for name in NAMES)
MODULES = dict(zip(NAMES, (FRAUD, SHOP), strict=True))
ROWS = 60_000
FIRST_CHANGE = {"fraud": FRAUD.ONLINE_FROM, "recommendation": SHOP.MIX_FROM}
CONCEPT = {"fraud": FRAUD.PATTERN_FROM, "recommendation": SHOP.SEASON_FROM}
POSITIVE = {"fraud": (0.007, 0.014), "recommendation": (0.065, 0.095)}


def run(name: str, *words: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(EXAMPLES / name / "generate.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def moving() -> dict[str, pa.Table]:
    return {name: module.generate(ROWS, 1, truth=True) for name, module in MODULES.items()}


@pytest.fixture(scope="module")
def calm() -> dict[str, pa.Table]:
    return {name: module.generate(ROWS, 1, calm=True, truth=True) for name, module in MODULES.items()}


def after(name: str, table: pa.Table, begin: np.datetime64, end: str = "2026-01-01") -> pa.Table:
    at = table.column(spec_of(name).data.time).to_numpy()
    return table.filter(pa.array((at >= begin) & (at < np.datetime64(end))))


def before(name: str, table: pa.Table, end: np.datetime64) -> pa.Table:
    return after(name, table, np.datetime64("2020-01-01"), str(end))


def share(table: pa.Table, column: str, *values: str) -> float:
    return float(np.mean(pc.is_in(table.column(column), pa.array(values)).to_numpy()))


def mean(table: pa.Table, column: str) -> float:
    return float(pc.mean(table.column(column)).as_py())


@pytest.mark.parametrize("name", NAMES)
def test_equal_options_give_equal_bytes_in_any_process_and_both_formats_are_read_as_the_same_rows(name: str, tmp_path: Path) -> None:
    given = {suffix: tmp_path / f"rows.{suffix}" for suffix in ("csv", "parquet")}
    for suffix, path in given.items():
        run(name, "--rows", 3000, "--seed", 3, "--biased", "--out", path)
        for seed in (3, 4):
            write(MODULES[name].generate(3000, seed, biased=True), tmp_path / f"{seed}.{suffix}")
        assert path.read_bytes() == (tmp_path / f"3.{suffix}").read_bytes()
        assert path.read_bytes() != (tmp_path / f"4.{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 6
    data = spec_of(name).data
    text, binary = (read(replace(data, uri=str(path), exclude=()), None)[0] for path in given.values())
    assert text.equals(binary)
    assert text.drop_columns([data.time]).equals(MODULES[name].generate(3000, 3, biased=True).drop_columns([data.time]))


@pytest.mark.parametrize("name", NAMES)
def test_sixty_thousand_rows_are_made_within_three_seconds(name: str) -> None:
    begin = time.perf_counter()
    MODULES[name].generate(ROWS, 2)
    assert time.perf_counter() - begin < 3


@pytest.mark.parametrize(("rows", "months"), [(1, 1), (1000, 36), (300_000, 1)], ids=["one row", "sparse", "dense"])
@pytest.mark.parametrize("name", NAMES)
def test_times_increase_strictly_within_the_months_and_keys_are_unique(name: str, rows: int, months: int) -> None:
    data, module = spec_of(name).data, MODULES[name]
    table = module.generate(rows, 1, months=months)
    at = table.column(data.time).to_numpy()
    assert table.num_rows == rows
    assert (np.diff(at) > np.timedelta64(0)).all()
    assert at[0] >= module.START
    assert at[-1] < module.START.astype("datetime64[M]") + months
    assert len(table.column(data.key).unique()) == rows


@pytest.mark.parametrize("name", NAMES)
def test_the_share_of_positives_is_as_promised(name: str, moving: dict[str, pa.Table], calm: dict[str, pa.Table]) -> None:
    low, high = POSITIVE[name]
    for table in (moving[name], calm[name], MODULES[name].generate(ROWS, 2)):
        assert low < mean(table, MODULES[name].LABEL) < high


@pytest.mark.parametrize("name", NAMES)
def test_both_worlds_are_the_same_until_the_first_change(name: str, moving: dict[str, pa.Table], calm: dict[str, pa.Table]) -> None:
    assert before(name, moving[name], FIRST_CHANGE[name]).equals(before(name, calm[name], FIRST_CHANGE[name]))
    assert not after(name, moving[name], FIRST_CHANGE[name]).equals(after(name, calm[name], FIRST_CHANGE[name]))


def test_payments_move_online_and_to_new_categories_but_not_in_the_calm_world(
    moving: dict[str, pa.Table], calm: dict[str, pa.Table]
) -> None:
    old, new = before("fraud", moving["fraud"], FRAUD.ONLINE_FROM), after("fraud", moving["fraud"], FRAUD.ONLINE_UNTIL)
    still = after("fraud", calm["fraud"], FRAUD.ONLINE_UNTIL)
    fresh = list(FRAUD.CATEGORIES)[len(FRAUD.USED) :]
    assert [share(table, "channel", "online") for table in (old, new, still)] == pytest.approx(
        [FRAUD.ONLINE_BEFORE, FRAUD.ONLINE_AFTER, FRAUD.ONLINE_BEFORE], abs=0.02
    )
    assert [share(table, "category", *fresh) for table in (old, new, still)] == pytest.approx(
        [0.0, 2 * FRAUD.NEW_CATEGORY_SHARE, 0.0], abs=0.02
    )


def test_a_new_pattern_of_fraud_begins_and_no_other_risk_changes(moving: dict[str, pa.Table], calm: dict[str, pa.Table]) -> None:
    def rates(table: pa.Table) -> tuple[float, float]:
        """The share of fraud in the small payments by day from long known devices, and in all others."""
        column = {name: table.column(name).to_numpy(zero_copy_only=False) for name in ("device_age_days", "amount", "usual_amount", "hour")}
        day = (column["hour"] >= 6) & (column["hour"] < 23)
        hijacked = (column["device_age_days"] > 365) & (np.log(column["amount"] / column["usual_amount"]) < -0.6) & day
        chance = table.column("probability").to_numpy()
        return float(chance[hijacked].mean()), float(chance[~hijacked].mean())

    old = rates(after("fraud", moving["fraud"], FRAUD.ONLINE_UNTIL, str(FRAUD.PATTERN_FROM)))
    new, still = (rates(after("fraud", tables["fraud"], FRAUD.PATTERN_FROM)) for tables in (moving, calm))
    assert max(old[0], still[0]) < 0.01 < 0.1 < new[0]
    assert new[1] == pytest.approx(old[1], rel=0.2)


def test_summer_items_come_and_then_tastes_change_but_not_in_the_calm_world(moving: dict[str, pa.Table], calm: dict[str, pa.Table]) -> None:
    name = "recommendation"
    old, new = before(name, moving[name], SHOP.MIX_FROM), after(name, moving[name], SHOP.SEASON_FROM)
    still = after(name, calm[name], SHOP.SEASON_FROM)
    late = after(name, moving[name], SHOP.SEASON_FROM - np.timedelta64(5, "D"), str(SHOP.SEASON_FROM))
    for place, season in enumerate(SHOP.SEASONS):
        mixes = [share(table, "season", season) for table in (old, new, still)]
        assert mixes == pytest.approx([SHOP.MIX[place], SHOP.SUMMER_MIX[place], SHOP.MIX[place]], abs=0.02)

    def chance(table: pa.Table, season: str) -> float:
        return mean(table.filter(pc.equal(table.column("season"), season)), "probability")

    for season in ("summer", "winter"):
        assert [chance(table, season) for table in (late, still)] == pytest.approx([chance(old, season)] * 2, rel=0.2)
    assert chance(new, "summer") > 2 * chance(old, "summer")
    assert chance(new, "winter") < chance(old, "winter") / 2


@pytest.mark.parametrize("name", NAMES)
def test_nothing_goes_with_the_sensitive_attribute_unless_a_bias_is_planted(name: str, moving: dict[str, pa.Table]) -> None:
    module = MODULES[name]
    biased = module.generate(ROWS, 1, biased=True, truth=True)
    assert biased.drop_columns(["probability", module.LABEL]).equals(moving[name].drop_columns(["probability", module.LABEL]))

    def ratio(table: pa.Table) -> float:
        """The protected group's chance of a positive label by all others'."""
        protected = pc.equal(table.column(module.SENSITIVE), module.PROTECTED)
        return mean(table.filter(protected), "probability") / mean(table.filter(pc.invert(protected)), "probability")

    assert 0.85 < ratio(moving[name]) < 1.18
    assert ratio(biased) > 2 if name == "fraud" else ratio(biased) < 0.6
    changed = pc.not_equal(biased.column(module.LABEL), moving[name].column(module.LABEL))
    assert set(biased.filter(changed).column(module.SENSITIVE).unique().to_pylist()) == {module.PROTECTED}


@pytest.mark.parametrize("name", NAMES)
def test_the_best_possible_is_known_and_care_comes_nearer_to_it_than_the_defaults_do(name: str, moving: dict[str, pa.Table]) -> None:
    found = scores(split(moving[name], spec_of(name), WORLDS[name].cut, WORLDS[name].ends[-1]), 1)
    low, high = {"fraud": (0.88, 0.94), "recommendation": (0.77, 0.83)}[name]
    assert low < found["truth"] < high
    assert 0.58 < found["default"] < found["careful"] - 0.01 < found["truth"] - 0.05
    assert (found["default"] > found["line"] + 0.02) == (name == "fraud"), found


@pytest.mark.parametrize("name", NAMES)
def test_the_document_can_be_read_and_the_data_be_trained_on(name: str, tmp_path: Path) -> None:
    model = read_model(EXAMPLES / name / "model.yaml")
    assert model.name == name
    assert Path(model.spec.data.uri).is_relative_to(EXAMPLES.parent / "build" / name)
    run(name, "--rows", 5000, "--calm", "--out", tmp_path / "rows.parquet")
    taken = snapshot(replace(model.spec.data, uri=str(tmp_path / "rows.parquet"), history=None), None, tmp_path)
    check_gates(model.spec, read_table(taken.path))
    assert taken.rows == 5000
    assert validate(read_table(taken.path), model.spec) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        pytest.param(("--rows", 0), "--rows: found 0, allowed is 1 to 100000000", id="no rows"),
        pytest.param(("--months", 0), "--months: found 0, allowed is 1 to 120", id="no months"),
        pytest.param(("--seed", -1), "--seed: found -1, allowed is 0 to", id="a negative seed"),
        pytest.param(("--out", "rows.json"), "--out: found 'rows.json', allowed is a name that ends in .parquet or .csv", id="a suffix"),
        pytest.param(("--rows", 5, "--out", "/proc/rows.csv"), "--out: '/proc/rows.csv' cannot be written: ", id="a folder"),
    ],
)
def test_bad_options_are_told(words: tuple[object, ...], sentence: str) -> None:
    assert sentence in run("fraud", *words, code=2).stderr
