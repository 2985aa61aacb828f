"""A child process in an environment of its own, which answers JSON lines and is killed when it takes too long (design §4).

Before it answers it may ask back, as often as it likes: a line with `ask` instead of the answer.
"""

import json
import logging
import os
import selectors
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trimtab.errors import TrimtabError, Unavailable

log = logging.getLogger(__name__)
_PASSED = ("TRIMTAB_STATE",)

Asked = Callable[[Any], Any]


class Cage:
    """Starts `command` when it is first asked and again after it died; not for use from two threads at once. `name` is for its errors.

    The child gets almost no environment: no secret can leak into it. It ends by itself when this process does, because its
    input ends.
    """

    def __init__(self, name: str, command: list[str], timeout: float) -> None:
        self._name = name
        self._command = command
        self._timeout = timeout
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id while it lives."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def ask(self, request: dict[str, Any], told: Asked | None = None, within: float | None = None) -> dict[str, Any]:
        """The child's answer; raises Unavailable where it dies, answers an error, or takes longer than `timeout` (or
        `within`) seconds.

        `told` answers what the child asks back. Where it raises a TrimtabError the child learns that there is no answer, may
        finish without, and the error is raised here.
        """
        child = self._child if self.pid and self._child else self._start()
        seconds = self._timeout if within is None else within
        deadline = time.monotonic() + seconds
        refused: TrimtabError | None = None
        try:
            answer = self._exchange(child, request, deadline)
            while "ask" in answer:
                try:
                    reply = {"told": told(answer["ask"]) if told and not refused else None}
                except TrimtabError as error:
                    refused, reply = error, {"told": None}
                answer = self._exchange(child, reply, deadline)
        except (OSError, ValueError) as error:
            self.close()
            why = f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else error
            msg = f"{self._name} broke off: {why}"
            raise Unavailable(msg) from error
        if refused:
            raise refused
        if "error" in answer:
            msg = f"{self._name} failed: {answer['error']}"
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
            msg = f"{self._name} ({Path(self._command[0]).name!r}) cannot be started: {error}"
            raise Unavailable(msg) from error
        log.info("%s started, pid %d", self._name, self._child.pid)
        return self._child

    def _exchange(self, child: subprocess.Popen[bytes], said: dict[str, Any], deadline: float) -> dict[str, Any]:
        """Write a line, read one; raises OSError where either fails or the deadline passes, ValueError where it is no JSON object."""
        if child.stdin is None or child.stdout is None:
            raise BrokenPipeError("no pipe")  # noqa: EM101
        unsent = memoryview(json.dumps(said).encode() + b"\n")
        os.set_blocking(child.stdin.fileno(), False)
        received = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdin, selectors.EVENT_WRITE)
            while unsent:
                _wait(selector, deadline)
                unsent = unsent[os.write(child.stdin.fileno(), unsent) :]
            selector.unregister(child.stdin)
            selector.register(child.stdout, selectors.EVENT_READ)
            while not received.endswith(b"\n"):
                _wait(selector, deadline)
                part = os.read(child.stdout.fileno(), 65_536)
                if not part:
                    msg = f"it ended with exit code {child.wait()}"
                    raise BrokenPipeError(msg)
                received += part
        found = json.loads(received)
        if not isinstance(found, dict):
            msg = f"it answered {str(found)[:60]!r}"
            raise ValueError(msg)  # noqa: TRY004 - a line that means nothing, as one that is no JSON
        return found


def _wait(selector: selectors.BaseSelector, deadline: float) -> None:
    if not selector.select(max(0.0, deadline - time.monotonic())):
        raise TimeoutError
