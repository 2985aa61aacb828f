"""A child process in the detectors' environment, which answers JSON lines and is killed when it takes too long (design §4)."""

import json
import logging
import os
import selectors
import subprocess
import time
from pathlib import Path
from typing import Any

from trimtab.errors import Unavailable

log = logging.getLogger(__name__)
_PASSED = ("TRIMTAB_STATE",)


class Cage:
    """Starts `command` when it is first asked and again after it died; not for use from two threads at once.

    The child gets almost no environment: no secret can leak into it. It ends by itself when this process does, because its
    input ends.
    """

    def __init__(self, command: list[str], timeout: float) -> None:
        self._command = command
        self._timeout = timeout
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it lives."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The child's answer; raises Unavailable where it dies, answers an error, or takes longer than `timeout` seconds."""
        child = self._child if self.pid and self._child else self._start()
        try:
            line = self._exchange(child, json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(line)
        except (OSError, ValueError) as error:
            self.close()
            msg = f"the detector worker broke off: {error}"
            raise Unavailable(msg) from error
        if "error" in answer:
            msg = f"the detector worker failed: {answer['error']}"
            raise Unavailable(msg)
        return answer

    def close(self) -> None:
        """Kill the child and wait for its end."""
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe:
                pipe.close()
        self._child = None

    def _start(self) -> subprocess.Popen[bytes]:
        self.close()
        environment = {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", **{name: os.environ[name] for name in _PASSED if name in os.environ}}
        try:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, bufsize=0
            )
        except OSError as error:
            msg = f"the detector worker {Path(self._command[0]).name!r} cannot be started: {error}"
            raise Unavailable(msg) from error
        log.info("detector worker started, pid %d", self._child.pid)
        return self._child

    def _exchange(self, child: subprocess.Popen[bytes], request: bytes) -> bytes:
        """Write the request, read one line within the timeout; raises OSError where either fails."""
        if child.stdin is None or child.stdout is None:
            raise BrokenPipeError("no pipe")  # noqa: EM101
        child.stdin.write(request)
        deadline = time.monotonic() + self._timeout
        received = b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while not received.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    msg = f"no answer within {self._timeout:g} s"
                    raise TimeoutError(msg)
                part = os.read(child.stdout.fileno(), 65_536)
                if not part:
                    msg = f"it ended with exit code {child.wait()}"
                    raise BrokenPipeError(msg)
                received += part
        return received
