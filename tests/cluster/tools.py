"""What every cluster test uses: kubectl, waiting for a condition, and the reason of a skip."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[2]
needs_cluster = pytest.mark.skipif(not os.environ.get("KUBECONFIG"), reason="KUBECONFIG is not set: there is no cluster to test on")
T = TypeVar("T")


def kubectl(*arguments: str, stdin: str = "", check: bool = True) -> str:
    """What kubectl prints; fails with what it says where it refuses."""
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=180, check=False)
    if check and done.returncode:
        msg = f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}"
        raise AssertionError(msg)
    return done.stdout if check else done.stdout + done.stderr


def until(look: Callable[[], T | None], seconds: float = 60.0, said: Callable[[], object] = lambda: "") -> T:
    """As `eventually`, for a condition that names itself; `said` tells how things stand when it did not come."""
    try:
        return eventually("the condition", look, seconds)
    except AssertionError as error:
        msg = f"{error} {said()}".rstrip()
        raise AssertionError(msg) from error


def eventually(what: str, look: Callable[[], T | None], seconds: float = 60.0, pause: float = 0.2) -> T:
    """The first answer that is something; fails after `seconds`, saying what was waited for."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            msg = f"{what} did not come about within {seconds:g} s"
            raise AssertionError(msg)
        time.sleep(pause)
    return found
