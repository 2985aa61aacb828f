"""What copying requests to a candidate costs the callers: Envoy and two real predictors on loopback, with and without copies, at one load.

Requests are sent by a clock, whatever the answers do, and an answer's time counts from when its request was due. Runs alternate in pairs,
the order within a pair too; a figure is the median of the pairs' differences with its distribution-free 95% interval. `make bench-shadow`.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from msgspec import Struct

from tests.bench.serving import interval
from tests.unit.serving.tiny import ROW, answers, tiny_model, until
from trimtab.platforms.local.envoy import Envoy
from trimtab.platforms.local.processes import free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/benchmarks/shadow.md"
PLANTED = ROOT / "tests/local/planted"
PATH = "/v1/models/bike:predict"
CONNECTIONS = 64
WARM = 0.3
CANDIDATES = {"as fast as the champion": "", "stalls for 3 s a request": "stalls"}


class Run(Struct):
    """One run: percentiles in milliseconds, how many requests, and how many of them failed or were not the champion's answer."""

    p50: float
    p99: float
    requests: int
    wrong: int


class Result(Struct):
    """A candidate's pairs of runs: without copies, and with them."""

    candidate: str
    without: list[Run]
    copied: list[Run]


@contextlib.contextmanager
def predictor(folder: Path, version: str, fault: str) -> Iterator[int]:
    """A real predictor with a fault planted in it, and its port."""
    digest, port = tiny_model(folder / version), free_port()
    command = [sys.executable, "-m", "serving.predictor", "--port", str(port), "--name", "bike", "--version", version]
    command += ["--folder", str(folder / version), "--digest", digest]
    planted = {"PYTHONPATH": f"{PLANTED}{os.pathsep}{ROOT}", "PLANTED": json.dumps({version: fault} if fault else {})}
    with (folder / f"{version}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1", **planted})
    try:
        until(lambda: answers(port, "/v2/models/bike/ready"), 60)
        yield port
    finally:
        process.kill()
        process.wait()


async def ask(port: int, rate: float, seconds: float) -> Run:
    """Requests by a clock over connections that stay open; those of the first moment warm up and do not count."""
    body = json.dumps({"instances": [ROW]}).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: bike.example.com\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    times: list[float] = []
    bodies: set[bytes] = set()
    wrong = 0

    async def one(due: float, *, counts: bool) -> None:
        nonlocal wrong
        reader, writer = await free.get()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        bodies.add(await reader.readexactly(length))
        free.put_nowait((reader, writer))
        wrong += b" 200 " not in answer.split(b"\r\n")[0] + b" " or b"x-trimtab-version: 1\r\n" not in answer.lower()
        if counts:
            times.append(1000.0 * (time.perf_counter() - due))

    start = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(round((WARM + seconds) * rate)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one(due, counts=number >= WARM * rate))
    while not free.empty():
        free.get_nowait()[1].close()
    return Run(float(np.percentile(times, 50)), float(np.percentile(times, 99)), len(times), wrong + (len(bodies) - 1))


def measure(candidate: str, fault: str, pairs: int, rate: float, seconds: float) -> Result:
    """Pairs of runs, the order within a pair alternating."""
    found = Result(candidate, [], [])
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        ports = {f"bike/{version}": stack.enter_context(predictor(folder, version, fault if version == "2" else "")) for version in "12"}
        envoy = Envoy(folder / "state", free_port())
        envoy.start()
        stack.callback(envoy.close)
        confirmed(envoy.publish_clusters(ports))
        for number in range(pairs):
            for copies in (number % 2 == 0, number % 2 == 1):
                confirmed(envoy.publish_routes({"bike": {"1": 100, "2": 0}}, mirrors={"bike": "2"} if copies else {}))
                (found.copied if copies else found.without).append(asyncio.run(ask(envoy.port, rate, seconds)))
    return found


def confirmed(published: bool) -> None:
    """The gateway has taken its configuration."""
    if not published:
        msg = "the gateway did not confirm its configuration"
        raise SystemExit(msg)


def page(results: list[Result], rate: float, seconds: float) -> str:
    """The page, from what was measured."""
    pairs = len(results[0].without)
    lines = [
        "# Shadow: what copies cost the callers\n",
        "`make bench-shadow` writes this page. One Envoy, a champion and a candidate (real predictors, a tiny XGBoost model), and",
        f"the load, all on the same {os.cpu_count()} processors; {rate:g} requests a second by a clock, {pairs} alternating pairs of runs",
        f"of {seconds:g} s, without copies and with. A difference is that of the callers' answers within a pair, in ms: the median over",
        "the pairs and its distribution-free interval (at least 95%). On a cluster the candidate has processors of its own; here it takes",
        "the champion's. Absolute figures are this machine's, and of a busy one the far quantiles are its own.\n",
        "| candidate | | without copies | with copies | difference | interval |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        for figure in ("p50", "p99"):
            before, after = ([getattr(run, figure) for run in runs] for runs in (result.without, result.copied))
            middle, low, high = interval([more - less for less, more in zip(before, after, strict=True)])
            shown = f"{np.median(before):.2f} ms | {np.median(after):.2f} ms | {middle:+.2f} ms | [{low:+.2f}, {high:+.2f}]"
            lines.append(f"| {result.candidate} | {figure} | {shown} |")
    every = [run for result in results for run in (*result.without, *result.copied)]
    wrong, total = sum(run.wrong for run in every), sum(run.requests for run in every)
    lines.append(f"\nOf {total:,} answers {wrong} failed, came from the candidate, or differed from the champion's.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=1.5)
    given = parser.parse_args()
    results = [measure(name, fault, given.pairs, given.rate, given.seconds) for name, fault in CANDIDATES.items()]
    text = page(results, given.rate, given.seconds)
    print(text)
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
