"""The shipper: a process beside the predictor that makes events of exchanges and sends them. `python -m serving.predictor.shipper JSON`.

A thread that did this in the predictor would hold its interpreter while requests wait for it. Requests also come first on a processor: this
process is nice, and its sending thread runs on an idle one as long as it keeps up. The exchanges come through a ring of shared memory with
a pipe beside it, standard input; its end, however the predictor ended, is this process's end too, after at most some seconds of sending.
Signals to the whole group (a terminal's Ctrl-C) are the predictor's business.
"""

import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path

import msgspec
from msgspec import Struct

from serving.predictor.counters import Board
from serving.predictor.delivery import Delivery
from serving.predictor.exchange import Encoder, Identity, Told
from serving.predictor.frames import READ_BYTES, Frames
from serving.predictor.ring import Reader
from serving.predictor.sender import Sender
from serving.predictor.spool import Spool

NICENESS = 10
# Between two looks into a ring that fills slowly: each wakes this process, at the cost of the predictor's processor.
PAUSE_SECONDS = 0.005


class Settings(Struct, frozen=True):
    """What is sent where.

    `bound` is how many events may wait in memory, `prefix` begins the ids that no caller gave, `seconds` is how long is sent after the end.
    """

    url: str
    secret_file: str
    who: Identity
    told: Told = Told()
    bound: int = 10_000
    spool_bytes: int = 1 << 30
    seconds: float = 2.0
    prefix: str = ""


class Orders(Struct, frozen=True):
    """What one shipper is started with: settings, file descriptors of the memory of its counters and of the ring, its part of the spool."""

    settings: Settings
    board: int
    ring: int
    spool: str | None


def main() -> None:
    """Ship until the pipe's end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    settings = orders.settings
    spool = None if orders.spool is None else Spool(Path(orders.spool), settings.spool_bytes)
    sender, encoder = Sender(settings.url, Path(settings.secret_file)), Encoder(settings.who, settings.told)
    delivery = Delivery(sender, encoder, Board(orders.board), settings.bound, spool, _only_when_idle)
    frames = Frames(Reader(orders.ring, sys.stdin.fileno()), settings.prefix)
    while (found := frames.read()) is not None:
        exchanges, arrived = found
        if exchanges:
            delivery.take(exchanges)
        if arrived < READ_BYTES:
            time.sleep(PAUSE_SECONDS)
    delivery.close(settings.seconds)


def _only_when_idle() -> None:
    """Let this thread run where a processor has nothing else to do: a request that wakes up then need not wait for its turn to end."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    main()
