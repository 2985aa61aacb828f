"""How rows are described to MLflow, and kept there."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace

from tests.unit.training.cards import DATA, lineage
from tests.unit.training.workshop import Workshop
from trimtab.training import tracking
from trimtab.training.dataset import LARGEST_KEPT, entity, kept, types_of, worth_keeping


@pytest.mark.parametrize(
    ("uri", "kind", "source"),
    [
        ("s3://crm/rows/*.parquet", "s3", {"uri": "s3://crm/rows/*.parquet"}),
        ("gs://crm/rows.csv", "gs", {"uri": "gs://crm/rows.csv"}),
        ("https://crm.example/rows.csv?token=1", "http", {"url": "https://crm.example/rows.csv"}),
        ("/data/rows.csv", "local", {"uri": "/data/rows.csv"}),
    ],
)
def test_the_source_is_told_in_mlflows_words(uri: str, kind: str, source: dict[str, str]) -> None:
    found = entity(lineage(replace(DATA, uri=uri)), {"size": "double"})
    assert (found["source_type"], json.loads(found["source"])) == (kind, source)


def test_columns_have_mlflows_types(tmp_path: Path) -> None:
    schema = pa.schema(
        [
            *(("at", pa.timestamp("us", "UTC")), ("day", pa.date32()), ("count", pa.int64()), ("few", pa.int32()), ("size", pa.float64())),
            *(("share", pa.float32()), ("colour", pa.string()), ("long", pa.large_string()), ("open", pa.bool_())),
        ]
    )
    path = tmp_path / "rows.parquet"
    pq.write_table(schema.empty_table(), path)
    columns = json.loads(entity(lineage(), types_of(path))["schema"])["mlflow_colspec"]
    assert [column["type"] for column in columns] == [
        *("datetime", "datetime", "long", "integer", "double", "float", "string", "string", "boolean"),
    ]


def test_mlflow_itself_reads_the_schema(tmp_path: Path) -> None:
    from mlflow.types import Schema

    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"size": [1.0], "at": pa.array([0], pa.timestamp("us"))}), path)
    body = json.loads(entity(lineage(), types_of(path))["schema"])["mlflow_colspec"]
    assert Schema.from_json(json.dumps(body)).input_names() == ["size", "at"]


def test_a_file_beyond_the_limit_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with path.open("wb") as stream:
        stream.truncate(LARGEST_KEPT)
        assert worth_keeping(path)
        stream.truncate(LARGEST_KEPT + 1)
    assert not worth_keeping(path)


def test_kept_rows_come_back_and_changed_ones_do_not(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> None:
    workshop = Workshop(tmp_path_factory.mktemp("workshop"))
    version = workshop.version("uid-1")
    snapshot = next(workshop.dataset.glob("*.parquet"))
    run = tracking.client(workshop.uri).get_model_version("toy", version.version).run_id
    found = kept(workshop.uri, run, snapshot.stem, tmp_path)
    assert found == tmp_path / snapshot.name
    assert found.read_bytes() == snapshot.read_bytes()
    assert kept(workshop.uri, run, "0" * 64, tmp_path) is None
    place = next(workshop.folder.glob(f"mlartifacts/toy/{run}/artifacts/data/*.parquet"))
    place.write_bytes(place.read_bytes()[:-1])
    assert kept(workshop.uri, run, snapshot.stem, tmp_path / "again") is None, "it is not the file that was trained on"
