"""Predictors that are ready in a tenth of a second: the real program, forked from a process in which its modules are loaded already.

A test that starts hundreds of predictors spends its time on imports otherwise. `Nursery.python` stands in for the interpreter in
`Launch`: a small program that hands its arguments, environment and listening socket to the nursery, passes SIGTERM on, ends with the
predictor's exit code, and takes the predictor with it where it is killed.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from tests.unit.serving.tiny import until
from trimtab.platforms.local import processes

_PYTHON = """#!{python} -IS
import json, os, signal, socket, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
line.connect({address!r})
given = sys.argv[3:]
listening = int(given[given.index("--listen-fd") + 1])
socket.send_fds(line, [json.dumps([given, dict(os.environ)]).encode()], [listening, 1])
child = int(line.recv(100) or 0)
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
sys.exit(int(line.recv(100) or 1))
"""


class Nursery:
    """The process that predictors are forked from; `python` is what starts one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        address = folder / "nursery.sock"
        self.python = str(folder / "python")
        Path(self.python).write_text(_PYTHON.format(python=sys.executable, address=str(address)))
        Path(self.python).chmod(0o755)
        self._process = processes.start([sys.executable, "-m", __name__, str(address)], folder / "nursery.log", {})
        until(lambda: address.exists() or self._process.poll() is not None, 60)
        assert self._process.poll() is None, "the nursery did not start"

    def close(self) -> None:
        """End it."""
        processes.stop(self._process, grace=3.0)


def _serve(address: str) -> None:
    """Load what a predictor loads, then fork one whenever somebody asks, and tell who asked its pid and how it ended."""
    from serving.predictor import __main__ as program
    from serving.predictor import explain, limits, server
    from serving.predictor.lean import kserve
    from serving.predictor.native import library

    assert explain, limits
    assert server, program
    kserve("model_server")
    library()
    lines: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as waiting:
        waiting.bind(f"{address}.new")
        waiting.listen(64)
        waiting.settimeout(0.02)
        Path(f"{address}.new").rename(address)
        while True:
            with contextlib.suppress(TimeoutError):
                line, _ = waiting.accept()
                line.settimeout(None)
                asked, sockets, *_ = socket.recv_fds(line, 1 << 17, 2)
                child = os.fork()
                if child == 0:
                    waiting.close()
                    _born(line, json.loads(asked), sockets)
                for one in sockets:
                    os.close(one)
                lines[child] = line
                _tell(line, child)
            _bury(lines)


def _bury(lines: dict[int, socket.socket]) -> None:
    while lines:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child == 0:
            return
        line = lines.pop(child)
        _tell(line, os.waitstatus_to_exitcode(status) % 256)
        line.close()


def _tell(line: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):
        line.send(str(number).encode())


def _born(line: socket.socket, asked: tuple[list[str], dict[str, str]], sockets: list[int]) -> None:
    """Be the predictor: its arguments, environment, socket and log are those that were asked for; end where who asked was killed."""
    from serving.predictor.__main__ import main

    arguments, environment = asked
    listening = int(arguments[arguments.index("--listen-fd") + 1])
    safe = [os.dup2(one, 900 + place) for place, one in enumerate(sockets)]
    held = line.detach()
    kept = os.dup2(held, 910)
    os.closerange(3, 900)
    for target, source in ((listening, safe[0]), (1, safe[1]), (2, safe[1])):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["serving.predictor", *arguments]

    def end_with_who_asked() -> None:
        if not os.read(kept, 1):
            os._exit(128 + signal.SIGKILL)

    threading.Thread(target=end_with_who_asked, daemon=True).start()
    code = 1
    try:
        code = main()
    except SystemExit as error:
        code = int(error.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(sys.argv[1])
