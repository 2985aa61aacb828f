"""Anything may be sent to a real monitor's process: it answers with a sentence, lives on, and nothing that it knows is poisoned."""

import asyncio
import contextlib
import gzip
import http.client
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.events import BATCH, FINDING, LABEL, REQUEST, RESPONSE, STRUCTURED
from trimtab.monitoring.ports import WatchedVersion

from .process import SECRET, Live
from .sending import Sending, batched, exchanges

CASES = int(os.environ.get("FUZZ_CASES", "400"))
MEMORY_MB = 900
PEAK_MB = 1200
DAY = 86_400.0
ROW = {"id": 1, "load": 1.0, "heat": 1.0, "site": "east"}
Answer = tuple[int, str]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, version: WatchedVersion) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("bad") / "m.db", version.folder, "--patience", "5") as made:
        yield made


def post(live: Live, body: bytes, media: str = STRUCTURED, path: str = "/events", **headers: str) -> Answer:
    """The status and the sentence of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=300)
    try:
        connection.putrequest("POST", path)
        given = {"authorization": f"Bearer {SECRET}", "content-type": media, "content-length": str(len(body)), **headers}
        for name, value in given.items():
            connection.putheader(name.replace("_", "-"), value.encode("utf-8", "surrogateescape"))
        connection.endheaders()
        with contextlib.suppress(OSError):  # it may be refused before it is whole
            connection.send(body)
        answer = connection.getresponse()
        content = json.loads(answer.read() or b"{}")
        return answer.status, str(content.get("error", ""))
    finally:
        connection.close()


def event(kind: str, data: Any, name: str = "e", **changes: Any) -> dict[str, Any]:
    base = {"specversion": "1.0", "id": name, "source": "/s", "type": kind, "inferenceservicename": "demand", "namespace": "default"}
    return {**base, "data": data, **changes}


def asked(*rows: Any, name: str = "e", **changes: Any) -> bytes:
    return json.dumps(event(REQUEST, {"instances": list(rows)}, name, **changes)).encode()


def label(value: Any, **changes: Any) -> bytes:
    return json.dumps(event(LABEL, {"model": "demand", "key": 1, "value": value, "time": "2026-01-01T00:00:00Z", **changes})).encode()


def bomb(megabytes: int) -> bytes:
    return gzip.compress(bytes(megabytes << 20), compresslevel=9)


BAD = [
    pytest.param(b"{garbage", STRUCTURED, {}, 400, "not JSON", id="garbage"),
    pytest.param(b"", STRUCTURED, {}, 400, "a CloudEvent is a JSON object", id="nothing at all"),
    pytest.param(b"null", BATCH, {}, 400, "a batch of CloudEvents is a JSON array", id="a batch that is none"),
    pytest.param(b"\xff\xfe\x00", STRUCTURED, {}, 400, "not JSON", id="bytes that are no UTF-8"),
    pytest.param(b'{"id": "\\ud800"}', STRUCTURED, {}, 400, "not JSON", id="half of a character"),
    pytest.param(b"[" * 500_000, STRUCTURED, {}, 400, "nested too deeply", id="half a million brackets"),
    pytest.param(
        asked({"x": "D"}).replace(b'"D"', b'{"a":' * 100_000 + b"1" + b"}" * 100_000), STRUCTURED, {}, 400, "nested", id="a deep row"
    ),
    pytest.param(asked(ROW), "text/html", {}, 400, "not a CloudEvent", id="a wrong content type"),
    pytest.param(asked(ROW), "", {}, 400, "not a CloudEvent", id="no content type"),
    pytest.param(asked(ROW), BATCH, {}, 400, "a batch of CloudEvents is a JSON array", id="a single event as a batch"),
    pytest.param(asked(ROW, specversion="0.3"), STRUCTURED, {}, 400, "Invalid enum value", id="another version of CloudEvents"),
    pytest.param(asked(ROW, name=""), STRUCTURED, {}, 400, "length >= 1", id="an empty id"),
    pytest.param(asked(ROW, name="x" * 5000), STRUCTURED, {}, 400, "length <= 1024", id="a huge id"),
    pytest.param(asked(ROW, name="\x00"), STRUCTURED, {}, 400, "none of them zero", id="a zero byte in the id"),
    pytest.param(asked(ROW, time="soon"), STRUCTURED, {}, 400, "RFC3339", id="a time that is none"),
    pytest.param(asked(ROW, time="0001-01-01T00:00:00+14:00"), STRUCTURED, {}, 400, "out of range", id="a time before the calendar"),
    pytest.param(asked(ROW, inferenceservicename="nobody"), STRUCTURED, {}, 404, "is not known here", id="a model that does not exist"),
    pytest.param(asked(ROW, inferenceservicename="../x"), STRUCTURED, {}, 400, "is no name", id="a model whose name is a path"),
    pytest.param(asked(ROW, type="dev.other"), STRUCTURED, {}, 400, "is not known; known are", id="an unknown type"),
    pytest.param(asked(1, 2), STRUCTURED, {}, 400, "a row is no object", id="rows that are numbers"),
    pytest.param(asked({"id": "k" * 2000}), STRUCTURED, {}, 400, "a row's key", id="a huge key"),
    pytest.param(asked(ROW).replace(b'1.0, "heat', b'1e999, "heat'), STRUCTURED, {}, 400, "out of range", id="a number beyond all"),
    pytest.param(asked(ROW).replace(b'1.0, "heat', b'NaN, "heat'), STRUCTURED, {}, 400, "not JSON", id="a bare NaN"),
    pytest.param(asked(*[{}] * 100_001), STRUCTURED, {}, 400, "it has 100,001 rows", id="a row too many"),
    pytest.param(asked({"pad": "x" * 100_000}), STRUCTURED, {}, 400, "row 0 has 100,010 bytes", id="a row of 100 kB"),
    pytest.param(asked({f"c{n}": n for n in range(100_000)}), STRUCTURED, {}, 413, "a single event may", id="a row of 100,000 columns"),
    pytest.param(
        asked({"id": "i", "load": 7}).replace(b": 7}", b": " + b"9" * 5000 + b"}"), STRUCTURED, {}, 400, "range", id="5,000 digits"
    ),
    pytest.param(asked({"id": 7}).replace(b": 7}", b": " + b"9" * 1001 + b"}"), STRUCTURED, {}, 400, "a row's key", id="a key of digits"),
    pytest.param(asked({"lo\ud800": 1.0}), STRUCTURED, {}, 400, "not JSON", id="half of a character as a column's name"),
    pytest.param(asked(ROW, source="y" * 10_240), STRUCTURED, {}, 400, "length <= 1024", id="a source of 10 kB"),
    pytest.param(asked(ROW, trimtabversion="v" * 10_240), STRUCTURED, {}, 400, "the version may have", id="a version of 10 kB"),
    pytest.param(label("5.0"), STRUCTURED, {}, 400, "found text", id="a label for a number that is text"),
    pytest.param(label(1e308), STRUCTURED, {}, 400, "a number of at most 1e+100", id="a label of 1e308"),
    pytest.param(label([1]), STRUCTURED, {}, 400, "not as the type asks", id="a label that is a list"),
    pytest.param(label(1.0, time="soon"), STRUCTURED, {}, 400, "RFC3339", id="a label at no time"),
    pytest.param(label(1.0, key=None), STRUCTURED, {}, 400, "not as the type asks", id="a label for nothing"),
    pytest.param(label(1.0, model="nobody"), STRUCTURED, {}, 404, "is not known here", id="a label for a model that does not exist"),
    pytest.param(b" " * (50 << 20), BATCH, {}, 413, "a batch may have at most 16,777,216 bytes", id="a batch of 50 MB"),
    pytest.param(b" " * (2 << 20), STRUCTURED, {}, 413, "a single event may have at most 1,048,576 bytes", id="an event of 2 MB"),
    pytest.param(bomb(200), BATCH, {"content_encoding": "gzip"}, 415, "may not be compressed", id="a gzip bomb"),
    pytest.param(gzip.compress(asked(ROW)), STRUCTURED, {"content_encoding": "gzip"}, 415, "send it as it is", id="an honest gzip"),
    pytest.param(asked(ROW), STRUCTURED, {"content_encoding": "x" * 500}, 415, "may not be compressed", id="an unknown encoding"),
    pytest.param(b"{}", "application/json", {"ce_id": "e"}, 400, 'the attribute "specversion" is missing', id="half of binary mode"),
    pytest.param(
        b'{"instances":[{}]}',
        "application/json",
        {"ce_id": "\udcff", "ce_source": "/s", "ce_type": REQUEST, "ce_specversion": "1.0", "ce_inferenceservicename": "demand"},
        400,
        "cannot be written in UTF-8",
        id="a header that is no UTF-8",
    ),
    pytest.param(json.dumps([event(REQUEST, None)]).encode(), BATCH, {}, 400, "event 'e' of type", id="an event without data in a batch"),
]


@pytest.mark.parametrize(("body", "media", "headers", "status", "words"), BAD)
def test_what_cannot_be_meant_is_refused_with_a_sentence(
    live: Live, body: bytes, media: str, headers: dict[str, str], status: int, words: str
) -> None:
    before = rows_of(live)
    found = post(live, body, media, **headers)
    assert (found[0], words in found[1]) == (status, True), found
    assert rows_of(live) == before
    well(live)


def rows_of(live: Live) -> float:
    return sum(value for name, value in metrics(live).items() if name.startswith("trimtab_monitor_rows{"))


def metrics(live: Live) -> dict[str, float]:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def well(live: Live) -> None:
    """The process is the same, its work does not break off, its memory is bounded, and its watermark is not in the future."""
    assert live.process.poll() is None
    found = metrics(live)
    assert found.get("trimtab_monitor_failures_total", 0) == 0
    assert found.get('trimtab_monitor_watermark_lag_seconds{model="default/demand"}', 0.0) >= 0
    assert psutil.Process(live.process.pid).memory_info().rss < MEMORY_MB << 20


def test_doubled_events_in_a_batch_are_there_once(live: Live) -> None:
    before = rows_of(live)
    one = event(REQUEST, {"instances": [ROW]}, "twice")
    assert post(live, json.dumps([one, one, {**one, "data": {"instances": [{"load": 9.0}]}}]).encode(), BATCH) == (202, "")
    assert rows_of(live) == before + 1


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(b'{"id": "twice", "load": 1.0, "load": "x", "load": [1]}', id="a column three times"),
        pytest.param(b'{"id": "digits", "at": ' + b"9" * 900 + b"}", id="a time of 900 digits"),
        pytest.param(b'{"id": "huge", "load": ' + b"9" * 4000 + b"}", id="a number of 4,000 digits"),
        pytest.param(
            b'{"id": "names", "a\\"b": 1, "a\\nb": 2, "": 3, "\\u0000": 4, "\'; --": 5}', id="names with quotes, newlines, a zero byte"
        ),
        pytest.param(b'{"id": "wide", ' + b", ".join(b'"c%d": 1' % n for n in range(7000)) + b"}", id="7,000 columns"),
    ],
)
def test_a_row_that_is_strange_is_kept_and_does_no_harm(live: Live, row: bytes) -> None:
    body = json.dumps(event(REQUEST, {"instances": ["@"]}, f"strange {row[:20]!r}")).encode().replace(b'"@"', row)
    before = rows_of(live)
    assert post(live, body) == (202, "")
    assert rows_of(live) == before + 1
    well(live)


def test_slow_senders_are_given_up_and_hold_nobody_up(live: Live) -> None:
    """Half a batch each, and more of them than large batches are held at a time; then one that goes without a word."""
    head = f"POST /events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SECRET}\r\ncontent-type: {BATCH}\r\ncontent-length: 9000000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=60)) for _ in range(9)]
        for one in slow:
            one.sendall(head.encode() + b"[" * 10)
        assert post(live, asked(ROW, name="beside slow ones")) == (202, "")
        assert all(b" 408 " in one.recv(4000).split(b"\r\n")[0] for one in slow)
    with socket.create_connection(("127.0.0.1", live.port)) as gone:
        gone.sendall(head.encode() + b"[")
    assert post(live, json.dumps([event(REQUEST, {"instances": [ROW]}, "after slow ones")]).encode() + b" " * (2 << 20), BATCH) == (202, "")
    well(live)


def test_the_largest_batches_at_once_take_bounded_memory(tmp_path: Path, version: WatchedVersion) -> None:
    """16 MiB of empty objects are half a gigabyte once read: one is at a time."""
    body = b"[" + b"{}," * ((16 << 20) // 3 - 2) + b"{}]"
    with Live(tmp_path / "m.db", version.folder) as live:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda _: post(live, body, BATCH), range(4)))
        assert {status for status, _ in found} == {400}
        assert peak_mb(live) < PEAK_MB, peak_mb(live)
        well(live)


def peak_mb(live: Live) -> float:
    """The most memory that the process ever had (VmHWM)."""
    lines = Path(f"/proc/{live.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def test_names_of_models_and_versions_make_no_metrics(live: Live) -> None:
    before = len(metrics(live))
    for number in range(50):
        assert post(live, asked(ROW, name=f"n{number}", inferenceservicename=f"m{number}"))[0] == 404
    flood = [event(REQUEST, {"instances": [{"id": f"v{n}"}]}, f"v{n}", trimtabversion=f"v{n}", source=f"/s{n}") for n in range(2000)]
    assert post(live, json.dumps(flood).encode(), BATCH) == (202, "")
    assert len(metrics(live)) <= before + 4
    well(live)


def test_a_damaged_reference_stops_its_model_alone(tmp_path: Path, version: WatchedVersion) -> None:
    """Events are taken and kept, questions are answered, the trouble is counted; with the file mended the model is watched on."""
    folder = tmp_path / "1"
    shutil.copytree(version.folder, folder)
    good = (folder / "reference.parquet").read_bytes()
    (folder / "reference.parquet").write_bytes(good[: len(good) // 2])
    with Live(tmp_path / "m.db", folder) as live:
        asyncio.run(Sending(live, batched(exchanges(250, ["demand"], time.time() - 3000), 100)).run())
        assert post(live, asked({"id": "later", "at": time.time() - 1000}, name="later"))[0] == 202
        until(lambda: metrics(live).get("trimtab_monitor_failures_total", 0) > 0)
        assert (rows_of(live), view(live, "state")["drift"]) == (251, "unknown")
        assert all(window["breaks"] is None for window in view(live, "windows"))
        (folder / "reference.parquet").write_bytes(good)
        until(lambda: all(window["drift"] for window in view(live, "windows")))


def until(told: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not told():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("skew", "counted"),
    [
        pytest.param(3 * DAY, True, id="days ahead: the row has no time"),
        pytest.param(1000 * DAY, True, id="years ahead"),
        pytest.param(-500 * DAY, True, id="more than a year behind"),
        pytest.param(-1.7e9, True, id="the clock of 1970"),
        pytest.param(3600.0, False, id="an hour ahead is believed of the row, not of the watermark"),
        pytest.param(-5 * DAY, False, id="days behind is a late row"),
    ],
)
def test_a_skewed_clock_is_counted_and_moves_nothing(live: Live, skew: float, counted: bool) -> None:
    name = 'trimtab_monitor_rows_without_time{model="default/demand",version="1"}'
    before = metrics(live).get(name, 0.0)
    body = asked({"id": skew, "at": time.time() + skew}, name=f"skew {skew}")
    assert post(live, body) == (202, "")
    assert metrics(live).get(name, 0.0) - before == counted
    well(live)


def test_a_watermark_and_a_reference_outlive_all_of_it(tmp_path: Path, version: WatchedVersion) -> None:
    """Broken rows fill windows: each is a quality finding, none is tested for drift, and good rows after them are judged as ever."""
    now = time.time() - 5000
    with Live(tmp_path / "m.db", version.folder) as live:
        for number in range(150):
            wild = {"id": f"w{number}", "at": now + number, "load": None, "heat": 1e308, "site": number}
            assert post(live, asked(wild, name=f"w{number}"))[0] == 202
        asyncio.run(Sending(live, batched(exchanges(250, ["demand"], now + 1000), 100)).run())
        assert post(live, asked({"id": "last", "at": now + 2000}, name="last"))[0] == 202
        deadline = time.monotonic() + 60
        while len(said := view(live, "windows")) < 3 or any(window["drift"] is None for window in said):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        assert [bool(window["breaks"]) for window in said[:3:2]] == [True, False]
        assert said[0]["drift"]["failed"] == "not tested: the window's data is broken"
        found = view(live, "findings")
        assert {finding["kind"] for finding in found} >= {"quality"}
        assert {item["column"] for item in found[0]["evidence"]["breaks"]} >= {"load", "heat"}
        well(live)


def view(live: Live, name: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    connection.request("GET", f"/models/default/demand/{name}", headers={"authorization": f"Bearer {SECRET}"})
    found = json.loads(connection.getresponse().read())
    connection.close()
    return found


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from([1e308, -1e308, 10**60]),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["instances", "inputs", "id", "at", "load", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
TENSOR = st.fixed_dictionaries({"name": st.text(max_size=5), "shape": st.lists(st.integers(-2, 4), max_size=3), "data": ANYTHING})
DATA = st.one_of(
    ANYTHING,
    st.fixed_dictionaries({"instances": st.lists(ANYTHING, max_size=3)}),
    st.fixed_dictionaries({"predictions": st.lists(ANYTHING, max_size=3)}),
    st.fixed_dictionaries({"inputs": st.lists(TENSOR, max_size=3)}),
    st.fixed_dictionaries({"outputs": st.lists(TENSOR, max_size=2)}),
    st.fixed_dictionaries(
        {"model": st.just("demand"), "key": LEAVES, "value": LEAVES, "time": st.datetimes().map(lambda time: f"{time.isoformat()}Z")}
    ),
)
EVENT = st.fixed_dictionaries(
    {
        "specversion": st.just("1.0"),
        "id": st.text(max_size=30) | st.sampled_from(["a", "b"]),
        "source": st.just("/fuzz"),
        "type": st.sampled_from([REQUEST, RESPONSE, LABEL, FINDING]),
        "data": DATA,
    },
    optional={
        "inferenceservicename": st.just("demand") | LEAVES,
        "namespace": st.sampled_from(["default", "", "x" * 300]),
        "time": LEAVES | st.just("2026-01-01T00:00:00Z"),
        "trimtabversion": LEAVES,
        "subject": LEAVES,
        "datacontenttype": LEAVES,
    },
)
BODY = st.one_of(
    st.binary(max_size=200),
    ANYTHING.map(lambda value: json.dumps(value).encode()),
    EVENT.map(lambda value: json.dumps(value).encode()),
    st.lists(EVENT, max_size=4).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=BODY, media=st.sampled_from([STRUCTURED, BATCH, "application/json", "x/y; charset=\x80"]), cut=st.integers(0, 40))
def test_whatever_comes_is_taken_or_refused(live: Live, body: bytes, media: str, cut: int) -> None:
    status, sentence = post(live, body[: len(body) - cut] if cut > 30 else body, media)
    assert status == 202 or (400 <= status < 500 and len(sentence) > 10), (status, sentence)
    assert live.process.poll() is None


def test_after_all_of_it_the_store_is_whole(live: Live) -> None:
    well(live)
    assert msgspec.json.encode(view(live, "state"))
    live.kill()
    live.start()
    well(live)
    assert post(live, asked(ROW, name="after all")) == (202, "")
