"""A look at a watched place: what changes its mark and what does not, on files, object stores and HTTP; and its answer as a process."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.training.stores import BUCKET, S3, Gcs, nobody
from trimtab.errors import InvalidInput, Unavailable
from trimtab.training.watching import QUESTION, Answer, Question, look


def parquet(path: Path, rows: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"x": list(range(rows))}), path)
    return path


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    for day in (1, 2):
        parquet(tmp_path / f"region=eu/dt=2026-03-0{day}/a.parquet", 10)
    return tmp_path


def of(lake: Path, by: Any) -> Answer:
    return look(Question(f"{lake}/**/*.parquet", by))


def touched(lake: Path) -> None:
    os.utime(lake / "region=eu/dt=2026-03-01/a.parquet", ns=(1, 1))


CHANGES: list[tuple[str, Callable[[Path], object], tuple[str, ...]]] = [
    ("nothing happens", lambda _: None, ()),
    ("a new partition", lambda lake: parquet(lake / "region=us/dt=2026-03-01/a.parquet", 5), ("count", "digest", "partition")),
    ("a file more in a partition", lambda lake: parquet(lake / "region=eu/dt=2026-03-02/b.parquet", 5), ("count", "digest")),
    ("a file written anew with as many rows", touched, ("digest",)),
    ("a file of no rows", lambda lake: parquet(lake / "region=eu/dt=2026-03-02/b.parquet", 0), ("digest",)),
    ("another file than the pattern's", lambda lake: (lake / "region=eu/notes.txt").write_text("x"), ()),
    ("a partition goes", lambda lake: (lake / "region=eu/dt=2026-03-02/a.parquet").unlink(), ("count", "digest", "partition")),
]


@pytest.mark.parametrize(("name", "change", "noticed"), CHANGES, ids=[case[0] for case in CHANGES])
def test_what_each_way_of_looking_notices(lake: Path, name: str, change: Callable[[Path], object], noticed: tuple[str, ...]) -> None:
    ways = ("count", "digest", "partition")
    before = {by: of(lake, by).mark for by in ways}
    change(lake)
    assert tuple(by for by in ways if of(lake, by).mark != before[by]) == noticed, name


def test_sizes_are_rows_files_and_partitions(lake: Path) -> None:
    parquet(lake / "region=eu/dt=2026-03-02/b.parquet", 5)
    assert [of(lake, by).size for by in ("count", "digest", "partition")] == [25, 3, 2]


def test_rows_of_csv_files_are_counted_by_reading_them(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    assert look(Question(str(tmp_path / "rows.csv"), "count")).size == 2
    assert look(Question(f"file://{tmp_path}/rows.csv", "count")).size == 2


def test_a_place_with_nothing_in_it_is_one(tmp_path: Path) -> None:
    assert [look(Question(f"{tmp_path}/*.parquet", by)).size for by in ("count", "digest", "partition")] == [0, 0, 0]


def test_a_file_that_is_only_half_there_is_looked_at_again_later(tmp_path: Path) -> None:
    whole = parquet(tmp_path / "a.parquet", 100).read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unavailable, match=r"'a\.parquet' is no whole Parquet file"):
        look(Question(str(tmp_path / "a.parquet"), "count"))


@pytest.fixture(params=["s3", "gs"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    server = S3() if request.param == "s3" else Gcs()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    yield request.param, server
    server.stop()


def test_objects_are_listed_and_their_footers_read(store: tuple[str, Any], tmp_path: Path) -> None:
    scheme, server = store
    whole = parquet(tmp_path / "a.parquet", 10).read_bytes()
    uri = f"{scheme}://{BUCKET}/lake/**/*.parquet"
    marks = {}
    server.put("lake/dt=1/a.parquet", whole)
    for by in ("count", "digest", "partition"):
        marks[by] = look(Question(uri, by))  # type: ignore[arg-type]
    server.put("lake/dt=2/a.parquet", whole)
    server.put("lake/dt=2/notes.txt", b"x")
    after = {by: look(Question(uri, by)) for by in marks}  # type: ignore[arg-type]
    assert [(marks[by].size, after[by].size) for by in marks] == [(10, 20), (1, 2), (1, 2)]
    assert all(marks[by].mark != after[by].mark for by in marks)


def test_a_file_behind_http_is_known_by_what_its_server_tells(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a\n1\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        asked = Question(f"http://127.0.0.1:{server.server_address[1]}/rows.csv?sig=secret", "digest")
        first, again = look(asked), look(asked)
        path.write_text("a\n1\n2\n")
        assert first == again != look(asked)
        with pytest.raises(InvalidInput, match="404") as refused:
            look(Question(asked.uri.replace("rows", "none"), "digest"))
        assert "secret" not in str(refused.value)
    finally:
        server.shutdown()
        server.server_close()


def test_what_cannot_be_looked_at_gets_a_sentence() -> None:
    with pytest.raises(Unavailable, match="could not be read"):
        look(Question(f"{nobody()}/rows.csv", "digest"))
    with pytest.raises(InvalidInput, match="is a single file and has no partitions"):
        look(Question(f"{nobody()}/rows.csv", "partition"))


@pytest.mark.parametrize(
    ("asked", "fault", "mend"),
    [
        ("{}", "TRIMTAB_WATCH does not hold what is asked", True),
        ('{"uri": "s3://only-a-bucket", "by": "digest"}', "names no object", True),
        ('{"uri": "/nowhere/*.csv", "by": "digest"}', "", False),
    ],
)
def test_the_process_answers_in_one_line_whatever_happens(asked: str, fault: str, mend: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trimtab.training.watching"], env={**os.environ, QUESTION: asked}, capture_output=True, text=True, check=True
    )
    answer = msgspec.json.decode(done.stdout, type=Answer)
    assert (fault in answer.fault, bool(answer.fault), answer.mend) == (True, bool(fault), mend)
