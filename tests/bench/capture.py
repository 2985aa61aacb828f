"""Whether a predictor's memory stays flat while its monitor is dead: a million requests to a real process, and every loss counted.

Run it as `python -m tests.bench.capture --requests 1000000` (make bench-capture). Keep-alive connections send a request of one row again
and again; the memory of the process and of its shipper is read while they do, and the counters at the end.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.unit.serving.test_predictor import start
from tests.unit.serving.tiny import SECRET, answers, call, tiny_model, until

BODY = b'{"instances": [{"hour": 7, "temp": 21.5, "season": "summer"}]}'
REQUEST = b"POST /v1/models/bike:predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
CONNECTIONS = 8
LIMIT_MB = 24.0
"""How much more memory than after the first tenth of the requests a flat process may take."""


async def ask(port: int, requests: int) -> int:
    """Send `requests` one after another on one connection; returns how many were answered with 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    good = 0
    for _ in range(requests):
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        good += head.startswith(b"HTTP/1.1 200")
    writer.close()
    return good


async def load(port: int, requests: int) -> int:
    """The same over all connections."""
    return sum(await asyncio.gather(*(ask(port, requests // CONNECTIONS) for _ in range(CONNECTIONS))))


def counters(port: int) -> dict[str, float]:
    """The capture's counters."""
    lines = call(port, "GET", "/metrics")[2].splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("trimtab_capture_")}


def main(arguments: list[str]) -> int:
    """Print memory and counters; exit code 1 where memory grows, an answer is missing, or the counters do not add up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--spool", action="store_true", help="with a spool of 64 MiB")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digest = tiny_model(folder / "v")
        (folder / "secret").write_text(SECRET)
        spool = ("--capture-spool", folder / "spool", "--capture-spool-mib", "64") if given.spool else ()
        dead = ("--capture-url", "http://127.0.0.1:9/events", "--secret-file", folder / "secret", *spool)
        process, port = start(folder / "v", digest, folder / "log", *dead)
        until(lambda: answers(port, "/v2/health/ready"), 60)
        memory, began, good = [], time.perf_counter(), 0
        for _ in range(10):
            good += asyncio.run(load(port, given.requests // 10))
            both = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
            memory.append([one.memory_info().rss / 1e6 for one in both])
            print(f"{good:>9,} answered, {memory[-1][0]:.0f} MB and {memory[-1][1]:.0f} MB in the shipper", flush=True)
        found, seconds = counters(port), time.perf_counter() - began
        process.terminate()
        process.wait(20)
    print("\n".join(f"{name} {value:,.0f}" for name, value in found.items() if "_created" not in name))
    dropped = sum(value for name, value in found.items() if name.startswith("trimtab_capture_dropped_total"))
    captured = found["trimtab_capture_captured_total"]
    whole = captured == found["trimtab_capture_delivered_total"] + dropped + found["trimtab_capture_queued"] == 2 * good
    grown = max(last - first for first, last in zip(memory[0], memory[-1], strict=True))
    print(f"{good / seconds:,.0f} requests/s; memory grew by {grown:.1f} MB after the first tenth; every event is accounted for: {whole}")
    return int(grown > LIMIT_MB or not whole or good < given.requests // 10 * 10)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
