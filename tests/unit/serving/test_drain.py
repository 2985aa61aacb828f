"""When a signal ends the predictor. How it answers meanwhile is in test_predictor, on the real process."""

import asyncio
import signal
import subprocess
import sys

import pytest

from serving.predictor.drain import Draining, exit_after


async def front(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})


SIGNALS = [
    ("SIGTERM waits", 60, [signal.SIGTERM], True, []),
    ("a second SIGTERM does not", 60, [signal.SIGTERM, signal.SIGTERM], True, [signal.SIGTERM]),
    ("a person's SIGINT does not", 60, [signal.SIGINT], False, [signal.SIGINT]),
    ("without seconds nothing waits", 0, [signal.SIGTERM], False, [signal.SIGTERM]),
]


@pytest.mark.parametrize(("seconds", "signals", "leaving", "left"), [case[1:] for case in SIGNALS], ids=[case[0] for case in SIGNALS])
def test_what_a_signal_does(seconds, signals, leaving, left):
    found = []

    async def run():
        draining = Draining(front, "bike", "3")
        handle = exit_after(seconds, draining, lambda number, _: found.append(number))
        for number in signals:
            handle(number, None)
        await asyncio.sleep(0)
        assert draining.leaving is leaving

    asyncio.run(run())
    assert found == left


def test_the_draining_ends_by_itself():
    async def run():
        left = asyncio.Event()
        exit_after(0.01, Draining(front, "bike", "3"), lambda *_: left.set())(signal.SIGTERM, None)
        await asyncio.wait_for(left.wait(), 10)

    asyncio.run(run())


def test_before_anything_is_served_sigterm_ends_the_process_cleanly():
    code = "import signal, serving.predictor.drain as d; d.answer_sigterm_before_serving(); signal.raise_signal(15); raise SystemExit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
