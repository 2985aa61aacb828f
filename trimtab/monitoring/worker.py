"""The detector worker: runs Alibi Detect in its own environment, without the right to the network (design §4).

A request is one line of JSON {"reference": path, "window": path, "categories": [column, ...]} for two Arrow IPC files with the same
float64 columns (null = missing, left out); its answer is one line {"columns": {name: {"p", "statistic"}}} or {"error": sentence}.
They come on standard input and leave on standard output (the worker ends with its input), or, with `--listen PATH`, over a Unix
socket, one request a connection: then each test is computed in a forked child, which is killed after `--timeout` seconds.

First of all, before any library is imported, a seccomp filter refuses sockets of every family but AF_UNIX, for good and for all
children. This file imports nothing of Trimtab, whose libraries are newer than Alibi's.
"""

import argparse
import ctypes
import errno
import json
import os
import platform
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

LINE_LIMIT = 1 << 20
TIMEOUT = 120.0
READ_SECONDS = 10.0
_X32 = 0x40000000
# AUDIT_ARCH_*, the numbers of socket(2) and io_uring_setup(2), whether there are x32 calls beside the native ones
_MACHINES = {"x86_64": (0xC000003E, 41, 425, True), "aarch64": (0xC00000B7, 198, 425, False)}
_LOAD, _EQUAL, _LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def network_filter(machine: str) -> bytes:
    """The BPF program that lets everything pass but sockets beyond AF_UNIX: by socket(2), by io_uring, or by another ABI's calls.

    Offsets are those of `struct seccomp_data`: 0 the call's number, 4 the architecture, 16 the low half of the first argument.
    Raises SystemExit on a machine whose numbers are not known here.
    """
    if machine not in _MACHINES:
        msg = f"the detector worker cannot lock the network on {machine!r}; known are {', '.join(_MACHINES)}"
        raise SystemExit(msg)
    architecture, make_socket, make_ring, x32 = _MACHINES[machine]
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, 6, architecture),
        (_LOAD, 0, 0, 0),
        (_LEAST if x32 else _EQUAL, 4, 0, _X32 if x32 else make_ring),
        (_EQUAL, 3, 0, make_ring),
        (_EQUAL, 0, 3, make_socket),
        (_LOAD, 0, 0, 16),
        (_EQUAL, 1, 0, socket.AF_UNIX),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in program)


def lock_network() -> None:
    """Give the right to the network away, for this process and all that it starts; raises SystemExit where the kernel refuses."""
    code = network_filter(platform.machine())
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    nothing = ctypes.c_ulong(0)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), nothing, nothing, nothing),
        (_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program), nothing, nothing),
    ):
        if libc.prctl(*call):
            msg = f"the detector worker cannot lock the network: {os.strerror(ctypes.get_errno())}"
            raise SystemExit(msg)


def columns(path: str) -> dict[str, Any]:
    """The file's columns as float64 arrays without the missing values."""
    import numpy as np
    import pyarrow as pa

    with pa.memory_map(path) as source:
        table = pa.ipc.open_file(source).read_all()
    return {name: table.column(name).drop_null().to_numpy().astype(np.float64) for name in table.column_names}


def test(reference: dict[str, Any], window: dict[str, Any], categories: set[str]) -> dict[str, dict[str, float]]:
    """Kolmogorov-Smirnov for numbers and chi-squared for categories, by TabularDrift over columns of equal length together."""
    import numpy as np
    from alibi_detect.cd import TabularDrift

    groups: dict[tuple[int, int], list[str]] = {}
    for name in reference:
        groups.setdefault((len(reference[name]), len(window[name])), []).append(name)
    found = {}
    for names in groups.values():
        places = {place: None for place, name in enumerate(names) if name in categories}
        detector = TabularDrift(np.column_stack([reference[name] for name in names]), categories_per_feature=places or None)
        answer = detector.predict(np.column_stack([window[name] for name in names]), drift_type="feature")["data"]
        for name, p, statistic in zip(names, answer["p_val"], answer["distance"], strict=True):
            found[name] = {"p": float(p), "statistic": float(statistic)}
    return found


def answered(line: bytes | str) -> bytes:
    """The answer to a request, with its line's end."""
    try:
        request = json.loads(line)
        found: dict[str, Any] = {"columns": test(columns(request["reference"]), columns(request["window"]), set(request["categories"]))}
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
    from alibi_detect.cd import TabularDrift  # noqa: F401 - once, so that no child needs the seconds

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
    """Lock the network, then answer requests; whatever libraries print goes to standard error."""
    parser = argparse.ArgumentParser(description="Test windows for drift.")
    parser.add_argument("--listen", type=Path, help="a Unix socket's path; without it, standard input and output")
    parser.add_argument("--timeout", type=float, default=TIMEOUT, help="seconds that a test over the socket may take")
    given = parser.parse_args()
    lock_network()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    if given.listen:
        serve(given.listen, given.timeout)
    for line in sys.stdin:
        out.write(answered(line))


if __name__ == "__main__":
    main()
