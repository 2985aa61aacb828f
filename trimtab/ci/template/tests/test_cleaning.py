"""What cleaning does to rows, and what it leaves alone."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steps.cleaning import capped, cleaned, write

USUAL = [float(value) for value in range(100)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(50.0, 50.0), (150.0, 150.0), (1e9, 198.0), (-1e9, -99.0), (None, None)],
    ids=["usual", "rare and possible", "absurdly high", "absurdly low", "missing"],
)
def test_only_what_is_absurd_is_moved(value: float | None, expected: float | None) -> None:
    assert capped(pa.chunked_array([[*USUAL, value]]), len(USUAL))[-1].as_py() == expected


def test_the_caps_are_learned_from_the_rows_before_the_holdout_alone() -> None:
    column = pa.chunked_array([[*USUAL, *[1e9] * 50]])
    assert capped(column, len(USUAL))[-1].as_py() == 198.0


def test_a_column_that_hardly_varies_is_left_alone() -> None:
    column = pa.chunked_array([[0.0] * 999 + [1.0]])
    assert capped(column, 1000).equals(column)


def test_rows_stay_where_they_are_and_what_is_kept_is_not_touched() -> None:
    table = pa.table({"size": [*USUAL, 1e9], "label": [*USUAL, 1e9], "kind": ["a"] * 101})
    made = cleaned(table, {"label"}, 100)
    assert made.column("size").to_pylist() == [*USUAL, 198.0]
    assert made.select(["label", "kind"]).equals(table.select(["label", "kind"]))


def test_a_snapshot_is_named_by_its_content_and_keeps_its_checks(tmp_path: Path) -> None:
    source, table = tmp_path / "in", pa.table({"size": [1.0]})
    source.mkdir()
    (source / "checks.json").write_text("[]")
    (source / "old.parquet").write_bytes(b"")
    for out in ("one", "two"):
        write(table, source, tmp_path / out)
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(path.name for path in (tmp_path / "two").iterdir())
    [file] = (tmp_path / "one").glob("*.parquet")
    assert pq.read_table(file).equals(table)
    assert (tmp_path / "one" / "checks.json").read_text() == "[]"
