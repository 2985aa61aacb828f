"""Files as they are read: whole or not at all, and one kind of them."""

import contextlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trimtab.errors import InvalidInput, Unavailable
from trimtab.training.source import reading


def values(_: Any, found: Any) -> list[Any]:
    """The first column's values."""
    return [row[0] for row in found.order("1").fetchall()]


def test_a_file_that_is_written_while_it_is_read_is_read_once_more(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n3,4\n")
    seen: list[list[Any]] = []

    def work(connection: Any, found: Any) -> list[Any]:
        seen.append(values(connection, found))
        if len(seen) == 1:
            path.write_text("x,y\n5,6\n7,8\n")
        return seen[-1]

    assert reading(str(path), work) == [5, 7]
    assert seen == [[1, 3], [5, 7]]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda path, number: path.write_text(f"x,y\n{number},2\n"), id="written in place"),
        pytest.param(lambda path, number: (path.unlink(), path.write_text(f"x,y\n{number},2\n")), id="replaced by another file"),
        pytest.param(lambda path, number: path.write_text(f"{path.read_text()}9,{number}\n"), id="appended to"),
    ],
)
def test_a_file_that_is_always_written_is_never_read(tmp_path: Path, change: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n")
    numbers = iter(range(2, 9))
    with pytest.raises(Unavailable, match=r"a\.csv' changed while it was read: let nothing write there during a run"):
        reading(str(path), lambda connection, found: (values(connection, found), change(path, next(numbers))))
    assert next(numbers) == 4


def test_an_error_because_a_file_was_cut_short_is_no_error_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n1,2\n")

    def work(connection: Any, found: Any) -> list[Any]:
        if path.stat().st_size < 20:
            path.write_text("x,y\n1,2\n3,4\n5,6\n7,8\n")
            msg = "half a row"
            raise InvalidInput(msg)
        return values(connection, found)

    assert reading(str(path), work) == [1, 3, 5, 7]


def parquet(path: Path, **options: Any) -> bytearray:
    draw = np.random.default_rng(3)
    table = pa.table({"x": draw.normal(size=5000), "c": draw.choice(["red", "green", "blue"], 5000)})
    pq.write_table(table, path, row_group_size=1000, **options)
    return bytearray(path.read_bytes())


@pytest.mark.parametrize("place", [40_00, 15_000, 30_000])
def test_a_page_that_is_not_what_its_checksum_says_is_corrupt(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.parquet"
    content = parquet(path, write_page_checksum=True, compression="none", use_dictionary=["c"])
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"a\.parquet' has a corrupt page in row group [1-5] of 5: write the file anew"):
        reading(str(path), values)


def test_a_broken_file_is_named_among_its_neighbours(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet")
    content = parquet(tmp_path / "b.parquet", write_page_checksum=True)
    content[5000] ^= 255
    (tmp_path / "b.parquet").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"'b\.parquet' of '.*/\*\.parquet' has a corrupt page in row group 1 of 5"):
        reading(str(tmp_path / "*.parquet"), values)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_broken_in_a_parquet_file_is_a_sentence_or_reads(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311
    path = tmp_path / "a.parquet"
    kinds = [(compression, dictionary) for compression in ("none", "snappy", "zstd", "gzip") for dictionary in (True, False)]
    for compression, dictionary in kinds:
        content = parquet(path, compression=compression, use_dictionary=dictionary)
        start = draw.randrange(len(content) - 100)
        content[start : start + draw.choice([1, 10, 90])] = draw.randbytes(draw.choice([1, 10, 90]))
        path.write_bytes(content)
        with contextlib.suppress(InvalidInput):
            reading(str(path), values)


@pytest.mark.parametrize(
    ("names", "uri", "sentence"),
    [
        pytest.param(["a.csv", "b.parquet"], "*", "matches 1 Parquet files and 1 others; one kind is allowed", id="two kinds of files"),
        pytest.param([], "*.csv", r"no file matches '.*/\*\.csv'", id="no file"),
        pytest.param(
            ["a.csv"], "ftp://host/a.csv", r"ftp:// is not read; allowed are a path, file://, s3://", id="a scheme that is not read"
        ),
        pytest.param(["a.csv"], "a.csv/b.csv", "no file matches", id="a file as a folder"),
    ],
)
def test_places_that_cannot_be_read(tmp_path: Path, names: list[str], uri: str, sentence: str) -> None:
    for name in names:
        if name.endswith("csv"):
            (tmp_path / name).write_text("x,y\n1,2\n")
        else:
            parquet(tmp_path / name)
    with pytest.raises(InvalidInput, match=sentence):
        reading(uri if "://" in uri else str(tmp_path / uri), values)


def test_partitions_are_columns_and_a_pattern_reads_all_its_files(tmp_path: Path) -> None:
    for year in (2024, 2025):
        (tmp_path / f"year={year}").mkdir()
        (tmp_path / f"year={year}" / "a.csv").write_text(f"x,y\n{year - 2000},2\n")
    found = reading(str(tmp_path / "*" / "*.csv"), lambda _, rows: (rows.columns, sorted(rows.fetchall())))
    assert found == (["x", "y", "year"], [(24, 2, 2024), (25, 2, 2025)])
