"""What a run may know at its cut."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.training.data import START, last, rows, spec, write
from trimtab.errors import InvalidInput
from trimtab.manifest import sha256
from trimtab.spec import Data
from trimtab.training.ingest import read, snapshot


def hours(path: Path, hour: int, **data: Any) -> list[int]:
    """The hours since the start of the rows that a run with its cut at `hour` sees."""
    table, _ = read(spec(path, **data).data, START + timedelta(hours=hour))
    return [round((at - START) / timedelta(hours=1)) for at in table.column("at").to_pylist()]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param({}, list(range(101)), id="the row at the cut is known, the row after it is not"),
        pytest.param({"label_delay": "24h"}, list(range(77)), id="a row whose label comes after the cut is not trained on"),
        pytest.param({"history": "10h"}, list(range(91, 101)), id="history reaches back from the cut and no further"),
        pytest.param(
            {"history": "10h", "label_delay": "3h"}, list(range(91, 98)), id="history counts from the cut, not from the newest label"
        ),
        pytest.param({"history": "10h", "label_delay": "20h"}, [], id="no label of the history is known yet"),
    ],
)
def test_rows_known_at_the_cut(tmp_path: Path, data: dict[str, Any], expected: list[int]) -> None:
    assert hours(write(tmp_path / "a.csv", rows(200)), 100, **data) == expected


def test_a_later_row_that_was_planted_is_not_seen(tmp_path: Path) -> None:
    found = rows(120)
    found[110]["amount"] = 987654
    table, unlabelled = read(spec(write(tmp_path / "a.csv", found), label_delay="5h").data, START + timedelta(hours=112))
    assert 987654 not in table.column("amount").to_pylist()
    assert unlabelled == 5


def test_rows_without_label_or_time_are_left_out_and_counted(tmp_path: Path) -> None:
    found = rows(100)
    found[3]["amount"] = ""
    found[4]["at"] = ""
    table, unlabelled = read(spec(write(tmp_path / "a.csv", found)).data, last(100))
    assert (table.num_rows, unlabelled) == (98, 2)


def test_equal_rows_give_equal_bytes_in_whatever_order_they_come(tmp_path: Path) -> None:
    found = rows(300)
    first = snapshot(spec(write(tmp_path / "a.csv", found)).data, last(300), tmp_path / "one")
    second = snapshot(spec(write(tmp_path / "b.csv", found[::-1])).data, last(300), tmp_path / "two")
    assert first.digest == second.digest == sha256(second.path)
    assert first.path.name == f"{first.digest}.parquet"
    found[8]["amount"] += 1
    assert snapshot(spec(write(tmp_path / "c.csv", found)).data, last(300), tmp_path / "three").digest != first.digest


def test_many_rows_give_equal_bytes_from_one_file_or_from_many(tmp_path: Path) -> None:
    count = 150_000
    draw = np.random.default_rng(1)
    columns = {"at": pa.array(draw.integers(1_700_000_000, 1_700_050_000, count) * 10**6, pa.timestamp("us", "UTC"))}
    table = pa.table({**columns, "size": draw.normal(size=count), "amount": draw.integers(0, 9, count)})
    pq.write_table(table, tmp_path / "all.parquet")
    shuffled = table.take(pa.array(draw.permutation(count)))
    (tmp_path / "parts").mkdir()
    for part in range(3):
        pq.write_table(shuffled.slice(part * 50_000, 50_000), tmp_path / "parts" / f"{part}.parquet", row_group_size=7000)
    taken = [snapshot(Data(str(tmp_path / name), "amount", "at"), None, tmp_path / "out") for name in ("all.parquet", "parts/*.parquet")]
    assert taken[0] == taken[1]
    groups = pq.read_metadata(taken[0].path)
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [65_536, 65_536, 18_928]
    times = pq.read_table(taken[0].path).column("at").to_numpy()
    assert (times[1:] >= times[:-1]).all()


def test_labels_that_are_not_a_number_are_not_known(tmp_path: Path) -> None:
    pq.write_table(pa.table({"size": [1.0, 2.0, 3.0], "amount": [1.0, float("nan"), 3.0]}), tmp_path / "a.parquet")
    table, unlabelled = read(Data(str(tmp_path / "a.parquet"), "amount"), None)
    assert (sorted(table.column("amount").to_pylist()), unlabelled) == ([1.0, 3.0], 1)


def test_excluded_columns_never_reach_the_snapshot(tmp_path: Path) -> None:
    taken = snapshot(spec(write(tmp_path / "a.csv", rows(100))).data, last(100), tmp_path)
    assert pq.read_schema(taken.path).names == ["at", "case_id", "size", "colour", "open", "amount"]


def test_without_a_time_column_all_rows_come_in_an_order_that_is_random_and_the_same_again(tmp_path: Path) -> None:
    found = rows(200)
    data = Data(str(write(tmp_path / "a.csv", found)), "amount", key="case_id")
    grown = Data(str(write(tmp_path / "b.csv", [*found, *rows(210)[200:]])), "amount", key="case_id")
    keys = read(data, None)[0].column("case_id").to_pylist()
    assert sorted(keys) == [row["case_id"] for row in found] != keys
    again = [key for key in read(grown, None)[0].column("case_id").to_pylist() if key in set(keys)]
    assert again == keys


def test_parquet_and_file_uris_read_as_the_csv_does(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", rows(100))
    table, _ = read(spec(path).data, last(100))
    pq.write_table(table, tmp_path / "a b.parquet")
    again, _ = read(spec(tmp_path / "a b.parquet", exclude=()).data, last(100))
    by_uri, _ = read(Data((tmp_path / "a b.parquet").as_uri(), "amount", "at", "case_id"), last(100))
    assert again.equals(table)
    assert by_uri.equals(table)


@pytest.mark.parametrize(
    ("text", "data", "sentence"),
    [
        pytest.param(None, {}, r"no file matches '.*a\.csv'", id="no such file"),
        pytest.param("", {}, r"'.*a\.csv' is empty", id="a file of no bytes"),
        pytest.param("\x00\x01\x02 \xff" * 50, {}, r"there is no column|is not a table", id="bytes that are no table"),
        pytest.param(
            "at,size,amount\n2024-01-01,1,2\n",
            {"label": "price", "key": None, "exclude": ()},
            r"data\.label: there is no column 'price' in .*; its columns are 'at', 'size', 'amount'",
            id="no label column: the columns are named",
        ),
        pytest.param(
            "at,size,amount\n2024-01-01,1,2\n",
            {"key": None},
            r"data\.exclude\[0\]: there is no column 'note'",
            id="an excluded column that does not exist",
        ),
        pytest.param(
            "at,size,amount\n17,1,2\n18,1,3\n",
            {"key": None, "exclude": ()},
            r"data\.time: column 'at' holds BIGINT, a date, a time stamp or an ISO 8601 text is allowed",
            id="a time column of plain numbers",
        ),
    ],
)
def test_data_that_cannot_be_used(tmp_path: Path, text: str | None, data: dict[str, Any], sentence: str) -> None:
    path = tmp_path / "a.csv"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(InvalidInput, match=sentence):
        read(spec(path, **data).data, last())
