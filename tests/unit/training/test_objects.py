"""Data in object stores, on real servers: read as files are, and what a store refuses or does not say is a sentence in bounded time."""

import gc
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.data import last, rows, spec, write
from tests.unit.training.stores import BUCKET, S3, Gcs, nobody, silent
from trimtab.errors import InvalidInput, Unavailable
from trimtab.spec import Data
from trimtab.training import objects
from trimtab.training.ingest import read
from trimtab.training.remote import Changed

SERVERS: dict[str, type[S3] | type[Gcs]] = {"s3": S3, "gs": Gcs}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Any]]:
    made = {scheme: server() for scheme, server in SERVERS.items()}
    yield made
    for server in made.values():
        server.stop()


@pytest.fixture
def s3(servers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    for name, value in servers["s3"].environment().items():
        monkeypatch.setenv(name, value)
    yield servers["s3"]
    servers["s3"].forget()


@pytest.fixture(params=sorted(SERVERS))
def store(request: pytest.FixtureRequest, servers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[str, Any]:
    """A scheme and a server that speaks it, which the environment names."""
    for name, value in servers[request.param].environment().items():
        monkeypatch.setenv(name, value)
    return request.param, servers[request.param]


def test_objects_read_as_the_files_do_and_leave_nothing(store: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet as pq

    scheme, server = store
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    path = write(tmp_path / "a.csv", rows(100))
    expected, unlabelled = read(spec(path).data, last(100))
    pq.write_table(expected, tmp_path / "a.parquet")
    server.put("one/my rows.csv", path.read_bytes())
    server.put("one/a.parquet", (tmp_path / "a.parquet").read_bytes())
    by_csv = read(Data(f"{scheme}://{BUCKET}/one/my rows.csv", "amount", "at", "case_id", ("note",)), last(100))
    by_parquet = read(Data(f"{scheme}://{BUCKET}/one/a.parquet", "amount", "at", "case_id"), last(100))
    assert by_csv[0].equals(expected)
    assert by_csv[1] == unlabelled
    assert by_parquet[0].equals(expected)
    gc.collect()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param("year=*/part-*.csv", {1, 2, 3}, id="a star is any part of one folder's or file's name"),
        pytest.param("year=2024/*.csv", {1, 2, 9}, id="one partition"),
        pytest.param("**/part-?.csv", {1, 2, 3, 4}, id="two stars are any number of folders"),
        pytest.param("year=202[5-6]/*.csv", {3}, id="a range of characters"),
        pytest.param("*.csv", {0}, id="no deeper folder"),
    ],
)
def test_a_pattern_names_the_objects_that_it_would_name_as_files(
    store: tuple[str, Any], tmp_path: Path, pattern: str, expected: set[int]
) -> None:
    scheme, server = store
    keys = ("top", "year=2024/part-1", "year=2024/part-2", "year=2025/part-3", "year=2025/deep/part-4")
    for number, key in [*enumerate(keys), (9, "year=2024/other")]:
        text = f"at,amount,size\n2024-01-01,{number},1\n"
        server.put(f"many/{key}.csv", text.encode())
        (tmp_path / "many" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "many" / f"{key}.csv").write_text(text)
    found, as_files = (read(Data(f"{place}/many/{pattern}", "amount"), None)[0] for place in (f"{scheme}://{BUCKET}", tmp_path))
    assert set(found.column("amount").to_pylist()) == expected
    assert found.equals(as_files)
    assert ("year" in found.column_names) == (pattern != "*.csv")


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        pytest.param(f"{BUCKET}/nothing.csv", "no object matches '{scheme}://bucket/nothing.csv'", id="no such key"),
        pytest.param(f"{BUCKET}/nothing/*.csv", "no object matches", id="a pattern that matches nothing"),
        pytest.param("nowhere/a.csv", "no object matches .* or there is no such bucket", id="no such bucket"),
        pytest.param("nowhere/*.csv", "no object matches|NO_SUCH_BUCKET", id="a pattern in no bucket"),
        pytest.param(BUCKET, r"names no object; {scheme}://BUCKET/KEY", id="a bucket alone"),
        pytest.param(f"{BUCKET}/../../etc/passwd", "names no object", id="a key that would leave its folder"),
    ],
)
def test_what_a_person_must_mend(store: tuple[str, Any], place: str, sentence: str) -> None:
    scheme, _ = store
    with pytest.raises(InvalidInput, match=sentence.replace("{scheme}", scheme)):
        read(Data(f"{scheme}://{place}", "amount"), None)


def test_an_object_of_no_bytes_is_empty(s3: S3) -> None:
    s3.put("empty.csv", b"")
    with pytest.raises(InvalidInput, match=r"'s3://bucket/empty\.csv' is empty"):
        read(Data(f"s3://{BUCKET}/empty.csv", "amount"), None)


def test_a_store_that_refuses_says_why(s3: S3, tmp_path: Path) -> None:
    s3.put("a.csv", b"amount\n1\n")
    s3.status = 403
    with pytest.raises(InvalidInput, match=r"the store refuses \(AWS Error ACCESS_DENIED.*are bucket, key, region and credentials right"):
        objects.bring(f"s3://{BUCKET}/a.csv", tmp_path)


@pytest.mark.parametrize("scheme", sorted(SERVERS))
def test_a_store_that_is_down_is_unavailable_in_bounded_time(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = nobody()
    for name, value in {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=rf"data\.uri '{scheme}://bucket/a\.csv' could not be read: .*Could not connect"):
        objects.bring(f"{scheme}://{BUCKET}/a.csv", tmp_path, seconds=2)
    assert time.monotonic() - began < 30


@pytest.mark.usefixtures("s3")
def test_a_store_that_says_nothing_is_unavailable_in_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, url = silent()
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    began = time.monotonic()
    with server, pytest.raises(Unavailable, match=r"could not be read: AWS Error NETWORK_CONNECTION .*Timeout was reached"):
        objects.bring(f"s3://{BUCKET}/a.csv", tmp_path, seconds=1)
    assert time.monotonic() - began < 30


def test_an_object_that_is_written_while_it_is_read_is_read_once_more(s3: S3) -> None:
    s3.put("moving.csv", b"amount\n1\n")
    asked: list[str] = []

    def heard(method: str) -> None:
        asked.append(method)
        if method == "GET" and asked.count("GET") == 1:
            s3.put("moving.csv", b"amount\n2\n")

    s3.heard = heard
    assert read(Data(f"s3://{BUCKET}/moving.csv", "amount"), None)[0].column("amount").to_pylist() == [2]
    assert asked.count("GET") == 2


def test_an_object_that_is_always_written_is_never_read(s3: S3) -> None:
    s3.put("moving.csv", b"amount\n1\n")
    written: list[int] = []

    def heard(method: str) -> None:
        if method == "GET":
            written.append(len(written))
            s3.put("moving.csv", f"amount\n{len(written) + 1}\n".encode())

    s3.heard = heard
    with pytest.raises(Changed, match=r"'s3://bucket/moving\.csv' changed while it was read: let nothing write there during a run"):
        read(Data(f"s3://{BUCKET}/moving.csv", "amount"), None)
    assert len(written) == 2
