"""Rows without labels: which of them a version can be asked about, and where its answers go."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from tests.unit.training.data import HEADER, document, last, rows, write
from tests.unit.training.workshop import Workshop
from trimtab.errors import InvalidInput, Unavailable
from trimtab.making import Data
from trimtab.schema import Feature, Schema
from trimtab.training import steps
from trimtab.training.score import check_place, elsewhere, unfit, unlabelled
from trimtab.training.score import write as write_table

NEW = "new.csv"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    made = Workshop(tmp_path_factory.mktemp("workshop"))
    write(made.folder / NEW, rows(60, seed=5), tuple(name for name in HEADER if name != "amount"))
    return made


@pytest.fixture(scope="module")
def champion(workshop: Workshop) -> str:
    version = workshop.version("uid-1")
    return f"mlflow://models/toy/{version.version}?sha256={version.digest}"


def ingest(workshop: Workshop, champion: str, out: Path, uri: str = NEW, **more: Any) -> str:
    place = str(workshop.folder / uri)
    return steps.ingest(document(workshop.spec), last().isoformat(), champion, workshop.uri, out, labelled=False, uri=place, **more)


def score(workshop: Workshop, champion: str, dataset: Path, out: Path, to: str = "") -> int:
    return steps.score(document(workshop.spec), champion, workshop.uri, to, dataset, out)


def test_rows_without_labels_get_a_prediction_each_by_key_and_time(workshop: Workshop, champion: str, tmp_path: Path) -> None:
    assert ingest(workshop, champion, tmp_path / "data") == "valid"
    assert score(workshop, champion, tmp_path / "data", tmp_path / "out", (tmp_path / "deep" / "scored.parquet").as_uri()) == 60
    found = pq.read_table(tmp_path / "out")
    assert found.column_names == ["case_id", "at", "__prediction", "__version"]
    assert found.equals(pq.read_table(tmp_path / "deep" / "scored.parquet"))
    truth = {row["case_id"]: float(row["amount"]) for row in rows(60, seed=5) if row["size"] != "" and row["colour"] != ""}
    said = {row["case_id"]: row["__prediction"] for row in found.to_pylist()}
    assert sum(abs(said[key] - truth[key]) for key in truth) / len(truth) < 2.0
    assert set(found.column("__version").to_pylist()) == {"1"}
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["scored.parquet"], "no draft is left"


def test_only_so_far_back_as_is_asked(workshop: Workshop, champion: str, tmp_path: Path) -> None:
    document_cut = rows(60)[-1]["at"]
    place = str(workshop.folder / NEW)
    steps.ingest(document(workshop.spec), document_cut, champion, workshop.uri, tmp_path, labelled=False, uri=place, history="5h")
    assert pq.read_table(next(tmp_path.glob("*.parquet"))).num_rows == 5


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "a feature that is missing": (
        ("at", "case_id", "colour", "open"),
        "the features 'size' are missing that the version was trained on",
    ),
    "a number that is text": (
        ("at", "case_id", "size", "colour", "open"),
        "column 'size' holds string; the version was trained on numbers there",
    ),
}


@pytest.mark.parametrize(("header", "sentence"), BAD.values(), ids=BAD.keys())
def test_rows_that_the_version_cannot_be_asked_about_are_refused(
    header: tuple[str, ...], sentence: str, workshop: Workshop, champion: str, tmp_path: Path
) -> None:
    write(workshop.folder / "bad.csv", [{**row, "size": "much"} for row in rows(60)], header)
    assert ingest(workshop, champion, tmp_path / "data", "bad.csv") == "invalid"
    with pytest.raises(InvalidInput, match=f"the rows cannot be scored: {sentence}"):
        score(workshop, champion, tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_column_without_any_value_is_missing_in_every_row(workshop: Workshop, champion: str, tmp_path: Path) -> None:
    write(workshop.folder / "empty.csv", [{**row, "size": ""} for row in rows(60)], ("at", "case_id", "size", "colour", "open"))
    assert ingest(workshop, champion, tmp_path / "data", "empty.csv") == "valid"
    assert score(workshop, champion, tmp_path / "data", tmp_path / "out") == 60


def test_no_rows_and_repeated_keys_are_told() -> None:
    data, schema = Data("a.csv", "y", key="id"), Schema("regression", "y", (Feature("x", "number"),))
    assert unfit(pa.table({"id": pa.array([], pa.string()), "x": pa.array([], pa.float64())}), data, schema) == [
        "there is no row to score up to the cut"
    ]
    assert unfit(pa.table({"id": ["a", "a", "b"], "x": [1, 2, 3]}), data, schema) == [
        "key 'id' is not unique: 1 rows repeat another row's key"
    ]


def test_something_must_be_declared_that_a_prediction_is_found_by() -> None:
    assert unlabelled(Data("a.csv", "y", time="at", label_delay="24h")) == Data("a.csv", "at", time="at")
    assert unlabelled(Data("a.csv", "y", key="id", time="at")).label == "id"
    with pytest.raises(InvalidInput, match=r"neither data\.key nor data\.time is declared"):
        unlabelled(Data("a.csv", "y"))


def test_another_place_or_history_changes_only_itself() -> None:
    data = Data("a.csv", "y", history="30d")
    assert elsewhere(data, "", "") == data
    assert elsewhere(data, "b.csv", "1d") == replace(data, uri="b.csv", history="1d")
    with pytest.raises(InvalidInput, match="history: 'a day' is not a duration"):
        elsewhere(data, "", "a day")


@pytest.mark.parametrize("to", ["scores", "https://example.com/a.parquet", "a.csv", "ftp://a/b.parquet"])
def test_a_place_that_is_none_is_refused_before_anything_is_scored(to: str, workshop: Workshop, champion: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"a file is allowed whose name ends with \.parquet"):
        score(workshop, champion, tmp_path, tmp_path / "out", to)


@pytest.mark.parametrize(
    "to", ["scores.parquet", "/data/a b.parquet", "file:///a.parquet", "s3://bucket/a.parquet", "gs://bucket/a.parquet"]
)
def test_a_place_is_a_path_or_one_of_three_schemes(to: str) -> None:
    check_place(to)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="the predictions cannot be written to"):
        write_table(pa.table({"x": [1]}), str(tmp_path / "file" / "scored.parquet"))
