"""A lineage says what a version was made from, the same each time, and nothing that is secret."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from tests.unit.training.cards import DATA, FACTS, FITTED, USED, document, lineage
from trimtab.errors import InvalidInput
from trimtab.package import BUILT_IN
from trimtab.spec import PipelineVersion, recipe
from trimtab.training.lineage import Used, decode, encode, libraries, trace, used


def test_it_is_read_back_as_it_was_written() -> None:
    assert decode(encode(lineage()), "version 1") == lineage()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        pytest.param({}, BUILT_IN, id="the one that comes with Trimtab"),
        pytest.param({"version": "1.1.0"}, PipelineVersion("tabular", "1.1.0"), id="another version of it"),
        pytest.param({"name": "shop"}, PipelineVersion("shop", "1.0.0"), id="another one"),
    ],
)
def test_a_lineage_from_before_pipelines_were_published_is_read(written: dict[str, str], meant: PipelineVersion) -> None:
    old = {**json.loads(encode(lineage())), "pipeline": written}
    assert decode(json.dumps(old).encode(), "version 1") == replace(lineage(), pipeline=meant)


def test_equal_lineages_are_equal_files_whatever_the_order_of_parameters() -> None:
    other = replace(FITTED, parameters=dict(reversed(FITTED.parameters.items())))
    assert encode(trace(FACTS, document(), USED, other, "6")) == encode(lineage())


def test_the_recipe_is_the_models_and_can_be_made_again_of_what_is_kept() -> None:
    made = lineage()
    assert made.recipe == recipe(document().spec) == recipe(made.made.spec)


def test_a_signed_address_is_kept_without_its_signature() -> None:
    made = lineage(replace(DATA, uri="https://store.example/rows.csv?X-Signature=abc#part"))
    assert made.made.data.uri == "https://store.example/rows.csv"
    assert b"abc" not in encode(made)


def test_a_version_that_nothing_of_ours_fitted_has_no_estimator() -> None:
    made = trace(FACTS, document(), USED, None, "")
    assert (made.estimator, made.parameters, made.seed, made.compared_with) == ("", {}, None, "")


def test_the_libraries_whose_numbers_end_up_in_a_model_are_named() -> None:
    assert list(libraries()) == ["python", "numpy", "scikit-learn", "xgboost"]


def test_what_is_no_lineage_is_refused_by_the_place_it_was_found_in() -> None:
    with pytest.raises(InvalidInput, match=r"lineage\.json of version 3 of 'toy' cannot be read"):
        decode(b"{}", "version 3 of 'toy'")


TIMES = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3)]


@pytest.mark.parametrize(
    ("table", "time", "expected"),
    [
        pytest.param(
            pa.table({"at": TIMES, "size": [1, 2, 3]}), "at", Used("a" * 64, 3, ("at", "size"), TIMES[0], TIMES[2]), id="rows with times"
        ),
        pytest.param(pa.table({"size": [1, 2, 3]}), None, Used("a" * 64, 3, ("size",)), id="rows without"),
        pytest.param(pa.table({"at": pa.array([], pa.timestamp("us"))}), "at", Used("a" * 64, 0, ("at",)), id="no rows"),
        pytest.param(pa.table({"at": [1, 2, 3]}), "at", Used("a" * 64, 3, ("at",)), id="a time that is none"),
    ],
)
def test_a_snapshot_is_told_by_its_ends(table: pa.Table, time: str | None, expected: Used, tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 64}.parquet"
    pq.write_table(table, path, row_group_size=2)
    assert used(path, time) == expected
