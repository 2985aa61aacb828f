"""Data behind http://, on a real server: read as a file is, and every refusal is a sentence without the URI's secrets."""

import gc
import tempfile
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training.data import last, rows, spec, write
from trimtab.errors import InvalidInput, Unavailable
from trimtab.spec import Data
from trimtab.training import remote
from trimtab.training.ingest import read


class Shelf:
    """An HTTP server over files in memory; `faults` are taken first, one a request: a status, or `cut` for half of an answer.

    With `tagged` it gives each file an ETag; `heard` is called when an answer's content is settled, before its last byte goes out.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.tagged = False
        self.heard: Callable[[], None] = lambda: None
        self.faults: list[int | str] = []
        self.asked = 0
        shelf = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shelf.asked += 1
                body = shelf.files.get(self.path.split("?")[0])
                fault = shelf.faults.pop(0) if shelf.faults else None
                status = fault if isinstance(fault, int) else 404 if body is None else 200
                content = body if status == 200 and body is not None else b"no"
                self.send_response(status)
                if fault != "unknown":
                    self.send_header("Content-Length", str(len(content)))
                if shelf.tagged:
                    self.send_header("ETag", f'"{sha256(content).hexdigest()}"')
                self.end_headers()
                shelf.heard()
                self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_csv_and_parquet_over_http_read_as_the_file_does_and_leave_nothing(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq

    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    path = write(tmp_path / "a.csv", rows(100))
    expected, unlabelled = read(spec(path).data, last(100))
    pq.write_table(expected, tmp_path / "a.parquet")
    shelf.files = {"/data/my%20rows.csv": path.read_bytes(), "/a.parquet": (tmp_path / "a.parquet").read_bytes()}
    by_csv = read(Data(f"{shelf.url}/data/my%20rows.csv?sig=s3cret", "amount", "at", "case_id", ("note",)), last(100))
    by_parquet = read(Data(f"{shelf.url}/a.parquet", "amount", "at", "case_id"), last(100))
    assert by_csv[0].equals(expected)
    assert by_csv[1] == unlabelled
    assert by_parquet[0].equals(expected)
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_faults_that_pass_are_tried_again(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["/a.csv"] = b"x,y\n1,2\n"
    shelf.faults = [503, "cut", 429]
    assert remote.download(f"{shelf.url}/a.csv", tmp_path, pauses=(0.01,) * 3).read_bytes() == b"x,y\n1,2\n"
    assert shelf.asked == 4


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        pytest.param(500, "the server answers 500 Internal Server Error", id="a server that fails"),
        pytest.param("cut", "no whole answer: 4 of 8 bytes came", id="an answer that breaks off"),
        pytest.param("unknown", "does not say how long it is", id="an answer whose end cannot be known"),
    ],
)
def test_faults_that_stay_are_unavailable(shelf: Shelf, tmp_path: Path, fault: Any, sentence: str) -> None:
    shelf.files["/a.csv"] = b"x,y\n1,2\n"
    shelf.faults = [fault] * 3
    with pytest.raises(Unavailable, match=sentence):
        remote.download(f"{shelf.url}/a.csv", tmp_path, pauses=(0.01, 0.01))
    assert shelf.asked == 3


def test_nobody_who_answers_is_unavailable(shelf: Shelf, tmp_path: Path) -> None:
    shelf.server.shutdown()
    shelf.server.server_close()
    with pytest.raises(Unavailable, match=r"could not be read: no whole answer: \[Errno 111\]"):
        remote.download(f"{shelf.url}/a.csv", tmp_path, pauses=(0.01,))


@pytest.mark.parametrize(
    ("path", "fault", "sentence"),
    [
        pytest.param("/a.csv?sig=s3cret", 403, r"/a\.csv': the server answers 403 Forbidden", id="forbidden"),
        pytest.param("/b.csv?sig=s3cret", None, r"/b\.csv': the server answers 404 Not Found", id="not there"),
        pytest.param("/*.csv", None, "a pattern cannot be listed over HTTP", id="a pattern"),
        pytest.param("/large.csv", None, "is larger than 100 bytes", id="too large"),
        pytest.param("/user.csv", None, "names a user", id="a user and password in the URI"),
    ],
)
def test_what_a_person_must_mend_is_asked_once(shelf: Shelf, tmp_path: Path, path: str, fault: Any, sentence: str) -> None:
    shelf.files |= {"/a.csv": b"x,y\n1,2\n", "/large.csv": b"x" * 101}
    shelf.faults = [fault] if fault else []
    with pytest.raises(InvalidInput, match=sentence) as caught:
        remote.download(f"{shelf.url.replace('//', '//me:s3cret@') if 'user' in path else shelf.url}{path}", tmp_path, 100, (5.0,))
    assert shelf.asked <= 1
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_written_while_it_comes_is_brought_once_more(shelf: Shelf) -> None:
    shelf.tagged = True
    shelf.files["/a.csv"] = b"amount\n1\n"
    shelf.heard = lambda: shelf.files.update({"/a.csv": b"amount\n2\n"})
    assert read(Data(f"{shelf.url}/a.csv", "amount"), None)[0].column("amount").to_pylist() == [2]
    assert shelf.asked == 4


def test_a_file_that_is_always_written_is_never_read(shelf: Shelf) -> None:
    shelf.tagged = True
    shelf.files["/a.csv"] = b"amount\n1\n"
    shelf.heard = lambda: shelf.files.update({"/a.csv": b"amount\n%d\n" % (shelf.asked + 1)})
    with pytest.raises(Unavailable, match=r"/a\.csv' changed while it was read") as caught:
        read(Data(f"{shelf.url}/a.csv?sig=s3cret", "amount"), None)
    assert shelf.asked == 4
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", r"data\.uri: 'http://.*/a\.csv' is empty", id="a file of no bytes"),
        pytest.param(b"size,amount\n1,2\n", r"no column 'at' in 'http://127\.0\.0\.1:\d+/a\.csv'; its columns", id="without a column"),
    ],
)
def test_content_that_cannot_be_used_is_named_by_its_url(shelf: Shelf, content: bytes, sentence: str) -> None:
    shelf.files["/a.csv"] = content
    with pytest.raises(InvalidInput, match=sentence):
        read(Data(f"{shelf.url}/a.csv?sig=s3cret", "amount", "at"), last())
