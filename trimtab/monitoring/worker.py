"""The detector worker: runs Alibi Detect in its own environment, without the right to the network (design §4).

A request is one line of JSON {"detector": name, "reference": path, "window": path, "categories": [column, ...], "options": {...}} for
two Arrow IPC files with the same float64 columns (null = missing, left out); its answer is one line {"columns": {name: {"p", "statistic",
...}}, "kept": what may come with the next request as an option} or {"error": sentence}. What is computed is in `alibi_tests.py`.
They come on standard input and leave on standard output (the worker ends with its input), or, with `--listen PATH`, over a Unix
socket, one request a connection: then each test is computed in a forked child, which is killed after `--timeout` seconds.

It is started by `trimtab/locked.py`, which has taken the network from it before any library is imported, and works in no other way.
Nothing here imports anything of Trimtab, whose libraries are newer than Alibi's.
"""

import argparse
import errno
import importlib.util
import json
import logging
import os
import select
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

LINE_LIMIT = 1 << 20
TIMEOUT = 120.0
READ_SECONDS = 10.0


def without_network() -> None:
    """Raises SystemExit where this process has the network: it was not started by `locked.py`."""
    try:
        socket.socket().close()
    except PermissionError:
        return
    msg = "the detector worker has the right to the network: start it by locked.py"
    raise SystemExit(msg)


def columns(path: str) -> dict[str, Any]:
    """The file's columns as float64 arrays without the missing values."""
    import numpy as np
    import pyarrow as pa

    with pa.memory_map(path) as source:
        table = pa.ipc.open_file(source).read_all()
    return {name: table.column(name).drop_null().to_numpy().astype(np.float64) for name in table.column_names}


def detectors() -> dict[str, Callable[..., dict[str, dict[str, Any]]]]:
    """What can be asked for, by name; imports Alibi, some seconds the first time."""
    if "alibi_tests" not in sys.modules:
        place = importlib.util.spec_from_file_location("alibi_tests", Path(__file__).with_name("alibi_tests.py"))
        if place is None or place.loader is None:
            msg = "alibi_tests.py is not beside worker.py"
            raise ImportError(msg)
        sys.modules["alibi_tests"] = importlib.util.module_from_spec(place)
        place.loader.exec_module(sys.modules["alibi_tests"])
        logging.getLogger("alibi_detect").setLevel(logging.ERROR)
        warnings.simplefilter("ignore")
    found: dict[str, Callable[..., dict[str, dict[str, Any]]]] = sys.modules["alibi_tests"].DETECTORS
    return found


def answered(line: bytes | str) -> bytes:
    """The answer to a request, with its line's end."""
    try:
        request = json.loads(line)
        options = request["options"]
        sides = [columns(request[side]) for side in ("reference", "window")]
        found: dict[str, Any] = {"columns": detectors()[request["detector"]](*sides, set(request["categories"]), options)}
        found["kept"] = options.get("kept")
    except Exception as error:  # whoever asks must learn of any failure, whatever Alibi raised
        found = {"error": f"{type(error).__name__}: {error}"[:300]}
    return json.dumps(found).encode() + b"\n"


def forked(line: bytes, timeout: float) -> bytes:
    """The answer to a request, computed in a child that is killed after `timeout` seconds."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(send, "wb") as pipe:
                pipe.write(answered(line))
        finally:
            os._exit(0)
    os.close(send)
    try:
        with os.fdopen(receive, "rb") as pipe:
            ready = select.select([pipe], [], [], timeout)[0]
            found = pipe.readline() if ready else b""
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if found:
        return found
    sentence = "the test broke off" if ready else f"no answer within {timeout:g} s"
    return json.dumps({"error": sentence}).encode() + b"\n"


def serve(path: Path, timeout: float) -> None:
    """Answer one connection after another, for ever; whoever hangs up or sends no line in time is left."""
    detectors()  # once, so that no child needs the seconds
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        os.umask(0o077)
        listener.bind(str(path))
        listener.listen(8)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(READ_SECONDS)
                try:
                    connection.sendall(forked(_line(connection), timeout))
                except OSError as error:
                    sys.stderr.write(f"a request was left: {error}\n")


def _line(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(65_536)
        if not part or len(received) > LINE_LIMIT:
            raise ConnectionError(errno.EPROTO, "no line")
        received += part
    return received


def main() -> None:
    """Answer requests; whatever libraries print goes to standard error."""
    parser = argparse.ArgumentParser(description="Test windows for drift.")
    parser.add_argument("--listen", type=Path, help="a Unix socket's path; without it, standard input and output")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds that a test over the socket may take")
    given = parser.parse_args()
    without_network()
    # Read when a library is imported; threads that wait for each other cost more than they bring.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    if given.listen:
        serve(given.listen, given.timeout)
    for line in sys.stdin:
        out.write(answered(line))


if __name__ == "__main__":
    main()
