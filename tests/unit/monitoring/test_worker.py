"""The worker as a container runs it: behind a Unix socket, without the network, each test in a child of its own."""

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from trimtab import locked
from trimtab.cage import Cage
from trimtab.errors import Unavailable
from trimtab.monitoring import worker
from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.detectors.asking import beside
from trimtab.monitoring.detectors.choosing import Chosen
from trimtab.monitoring.detectors.neighbour import Neighbour
from trimtab.monitoring.detectors.tabular import TabularDrift
from trimtab.spec import Drift

from .folders import DETECTORS, ScipyDetector

NOWHERE = b'{"detector": "ks", "reference": "none", "window": "none", "categories": [], "options": {}}\n'
COLUMNS = [Column("load", "number", "load"), Column("site", "category", "site")]


def table(generator: np.random.Generator, rows: int) -> Table:
    return {"load": generator.normal(0.0, 1.0, rows), "site": generator.integers(0, 5, rows).astype(float)}


@contextmanager
def listening(path: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(DETECTORS), "-I", locked.__file__, worker.__file__, "--listen", str(path), *options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("work") / "worker.sock"
    with listening(path):
        yield path


def test_the_worker_beside_answers_as_scipy_does_and_again(place: Path, generator: np.random.Generator) -> None:
    reference, window = table(generator, 2000), table(generator, 300)
    detector = TabularDrift(beside(place), place.parent)
    expected = ScipyDetector().test(COLUMNS, reference, window)
    for _ in range(2):
        found = detector.test(COLUMNS, reference, window)
        for column in COLUMNS:
            assert found[column.name].p == pytest.approx(expected[column.name].p, rel=1e-5)
    assert [path.name for path in place.parent.iterdir()] == ["worker.sock"]


@pytest.mark.parametrize("name", ["classifier", "cvm_online", "fet_online"])
def test_detectors_that_run_threads_answer_in_a_forked_child_too(place: Path, name: str, generator: np.random.Generator) -> None:
    reference, window = table(generator, 500) | {"site": np.arange(500) % 2.0}, table(generator, 300) | {"site": np.ones(300)}
    window["load"] += 2.0
    chosen = Chosen(beside(place), place.parent)
    for _ in range(2):
        found = chosen.test(COLUMNS, reference, window, Drift(detector=name, expected_run_time=100))  # type: ignore[arg-type]
        column = found["site" if name == "fet_online" else "load"]
        assert column.alarm or column.p < 1e-9


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(b"no JSON\n", b"error", id="a line that is no request"),
        pytest.param(NOWHERE, b"FileNotFoundError", id="files that are not there"),
        pytest.param(b"", b"", id="nothing: the worker hangs up"),
    ],
)
def test_a_request_that_is_none_does_no_harm(place: Path, line: bytes, words: bytes, generator: np.random.Generator) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connect(connection, place)
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        assert words in connection.makefile("rb").read()
    assert TabularDrift(beside(place), place.parent).test(COLUMNS, table(generator, 100), table(generator, 50))


def connect(connection: socket.socket, path: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            return connection.connect(str(path))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_a_test_that_takes_too_long_is_killed_and_the_worker_lives(tmp_path: Path, generator: np.random.Generator) -> None:
    with listening(tmp_path / "w.sock", "--timeout", "0.001") as process:
        detector = TabularDrift(beside(tmp_path / "w.sock"), tmp_path)
        for _ in range(2):
            with pytest.raises(Unavailable, match=r"the detector worker failed: no answer within 0\.001 s"):
                detector.test(COLUMNS, table(generator, 100_000), table(generator, 5000))
        assert process.poll() is None


def test_a_worker_that_was_started_again_is_found(tmp_path: Path, generator: np.random.Generator) -> None:
    detector = TabularDrift(beside(tmp_path / "w.sock"), tmp_path)
    for _ in range(2):
        with listening(tmp_path / "w.sock"):
            assert detector.test(COLUMNS, table(generator, 100), table(generator, 50))


@contextmanager
def silent(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield


def test_a_worker_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"the detector worker at .*w\.sock broke off: .*No such file"):
        Neighbour(tmp_path / "w.sock", 1.0, start=0.3).ask({})


def test_a_worker_that_hangs_is_a_sentence(tmp_path: Path) -> None:
    with silent(tmp_path / "w.sock"), pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
        Neighbour(tmp_path / "w.sock", 0.2).ask({})


@pytest.mark.parametrize("there", [True, False])
def test_closing_ends_a_request_that_is_under_way(tmp_path: Path, there: bool) -> None:
    asked = Neighbour(tmp_path / "w.sock", 60.0)
    said: list[str] = []

    def ask() -> None:
        try:
            asked.ask({})
        except Unavailable as error:
            said.append(str(error))

    def run() -> None:
        thread = threading.Thread(target=ask)
        thread.start()
        deadline = time.monotonic() + 20
        while thread.is_alive() and time.monotonic() < deadline:
            asked.close()
            thread.join(0.05)

    if there:
        with silent(tmp_path / "w.sock"):
            run()
    else:
        run()
    assert "broke off" in said[0]


# --- the network

PROBE = """
import ctypes, importlib.util, os, socket, sys
spec = importlib.util.spec_from_file_location("locked", sys.argv[1])
locked = importlib.util.module_from_spec(spec)
spec.loader.exec_module(locked)
def tried(make):
    try:
        make().close()
        return "made"
    except OSError as error:
        return error.strerror
def all_of_it():
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_UNIX):
        print(family.name, tried(lambda: socket.socket(family, socket.SOCK_RAW if family == socket.AF_NETLINK else socket.SOCK_STREAM)))
libc = ctypes.CDLL(None, use_errno=True)
all_of_it()
locked.lock_network()
all_of_it()
ring = libc.syscall(425, 8, ctypes.create_string_buffer(256))
print("io_uring", ring, ctypes.get_errno())
sys.stdout.flush()
if os.fork() == 0:
    all_of_it()
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[2]])
os.wait()
"""
AFTER = "import socket\ntry: socket.socket()\nexcept OSError as error: print('after exec', error.strerror)"


def test_the_locked_process_its_children_and_what_they_start_have_no_network() -> None:
    done = subprocess.run([sys.executable, "-I", "-c", PROBE, locked.__file__, AFTER], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    refused = [f"{family} Operation not permitted" for family in ("AF_INET", "AF_INET6", "AF_NETLINK")]
    before, after, child = lines[:4], lines[4:8], lines[9:13]
    assert before[0] == "AF_INET made", "the test shows nothing where there was no network before"
    assert after == child == [*refused, "AF_UNIX made"]
    assert lines[8] == "io_uring -1 1"
    assert lines[13] == "after exec Operation not permitted"


def is_locked(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return "Seccomp:\t2\n" in status and "NoNewPrivs:\t1\n" in status


def test_the_real_worker_is_locked_in_the_container_and_on_the_laptop(
    cage: Cage, detector: TabularDrift, generator: np.random.Generator, tmp_path: Path
) -> None:
    assert detector.test(COLUMNS, table(generator, 100), table(generator, 50))
    assert cage.pid is not None
    assert is_locked(cage.pid)
    with listening(tmp_path / "w.sock") as process:
        assert TabularDrift(beside(tmp_path / "w.sock"), tmp_path).test(COLUMNS, table(generator, 100), table(generator, 50))
        assert is_locked(process.pid)


def test_the_worker_does_not_work_where_it_has_the_network() -> None:
    done = subprocess.run([str(DETECTORS), "-I", worker.__file__], input=b"", capture_output=True, check=False)
    assert done.returncode == 1
    assert b"start it by locked.py" in done.stderr


def evaluate(program: bytes, number: int, architecture: int, argument: int) -> int:
    """What a kernel makes of the program: just the instructions that it uses."""
    steps = [struct.unpack("HBBI", program[place : place + 8]) for place in range(0, len(program), 8)]
    data = {0: number, 4: architecture, 16: argument}
    place, register = 0, 0
    while True:
        code, yes, no, value = steps[place]
        place += 1
        if code == 0x20:
            register = data[value]
        elif code == 0x06:
            return value
        else:
            place += yes if (register == value if code == 0x15 else register >= value) else no


REFUSED, ALLOWED = 0x00050001, 0x7FFF0000


@pytest.mark.parametrize(
    ("machine", "number", "architecture", "argument", "expected"),
    [
        pytest.param("x86_64", 41, 0xC000003E, 2, REFUSED, id="x86_64: socket(AF_INET)"),
        pytest.param("x86_64", 41, 0xC000003E, 1, ALLOWED, id="x86_64: socket(AF_UNIX)"),
        pytest.param("x86_64", 42, 0xC000003E, 2, ALLOWED, id="x86_64: another call"),
        pytest.param("x86_64", 425, 0xC000003E, 1, REFUSED, id="x86_64: io_uring_setup"),
        pytest.param("x86_64", 0x40000029, 0xC000003E, 2, REFUSED, id="x86_64: socket of the x32 ABI"),
        pytest.param("x86_64", 102, 0x40000003, 1, REFUSED, id="x86_64: anything of the 32-bit ABI"),
        pytest.param("aarch64", 198, 0xC00000B7, 10, REFUSED, id="aarch64: socket(AF_INET6)"),
        pytest.param("aarch64", 198, 0xC00000B7, 1, ALLOWED, id="aarch64: socket(AF_UNIX)"),
        pytest.param("aarch64", 425, 0xC00000B7, 1, REFUSED, id="aarch64: io_uring_setup"),
        pytest.param("aarch64", 41, 0xC00000B7, 2, ALLOWED, id="aarch64: what is socket elsewhere"),
        pytest.param("aarch64", 198, 0x40000028, 1, REFUSED, id="aarch64: anything of the 32-bit ABI"),
    ],
)
def test_the_filter_of_each_machine(machine: str, number: int, architecture: int, argument: int, expected: int) -> None:
    assert evaluate(locked.network_filter(machine), number, architecture, argument) == expected


def test_a_machine_whose_calls_are_not_known_does_not_start() -> None:
    with pytest.raises(SystemExit, match="cannot lock the network on 'riscv64'; known are x86_64, aarch64"):
        locked.network_filter("riscv64")
