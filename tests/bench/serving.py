"""How fast a version is served, beside the servers that one would otherwise take: requests/s, latency and memory, with and without capture.

Run it as `python -m tests.bench.serving` (make bench-serving). Every server runs from the start to the end; runs of the load alternate
between them, a short one each, and a figure is the median over the rounds: what the machine does meanwhile hits all alike. What capture
costs is measured in pairs of runs, with a distribution-free interval of the median. Nothing is counted unless every server gives the
booster's own predictions and the load alone is several times faster than any of them.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xgboost
from msgspec import Struct
from scipy.stats import binom

from tests.bench.serving_page import write
from tests.bench.serving_rivals import ROOT, Rival, answered, body, rivals
from tests.bench.serving_running import Running, load, process, running
from tests.unit.serving.tiny import SECRET, call, finish, until
from trimtab.platforms.local.processes import free_port
from trimtab.schema import Feature, Schema

FEATURES, TREES, DEPTH = 30, 200, 6
ROWS, CONNECTIONS = (1, 32, 512), (1, 8, 64)
NAMES = [f"x{place}" for place in range(FEATURES)]
PAIR = (1, 8)


class Cell(Struct, frozen=True):
    """One row of `build/bench/serving.json`; `cpu_us` is the server's own time on a processor, a request."""

    server: str
    rows: int
    connections: int
    capture: bool
    rps: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    rss_mb: float
    cpu_us: float


class Cost(Struct, frozen=True):
    """What capture costs, as a share: the median over the pairs and its interval (at least 95%)."""

    of: str
    median: float
    low: float
    high: float
    pairs: int


def version(folder: Path) -> tuple[str, "np.ndarray[Any, Any]"]:
    """A version of 30 numbers and 200 trees: its digest, and 512 rows to ask it for."""
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(20_000, FEATURES)).round(4)
    label = matrix[:, 0] * matrix[:, 1] + np.sin(3 * matrix[:, 2]) + matrix[:, 3:10].sum(1) / 3 + rng.normal(size=len(matrix)) > 0
    data = xgboost.DMatrix(matrix, label)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.1, "nthread": 2}, data, TREES)
    folder.mkdir()
    booster.save_model(folder / "model.json")
    schema = Schema("binary", "y", tuple(Feature(name, "number") for name in NAMES), classes=("no", "yes"))
    frame = pd.DataFrame(matrix[:2000], columns=NAMES)
    return finish(folder, schema, frame.assign(y=label[:2000])), matrix[: max(ROWS)]


def ours(folder: Path, digest: str, secret: Path, sink: int) -> list[Rival]:
    """The predictor: as it is, capturing, asked by V1, and where it finds no compiler."""
    command = [sys.executable, "-m", "serving.predictor", "--name", "m", "--version", "1", "--folder", str(folder)]
    command += ["--digest", digest, "--port", "{port}"]
    capture = ["--capture-url", f"http://127.0.0.1:{sink}/events", "--secret-file", str(secret)]
    paths = ("/v2/models/m/ready", "/v2/models/m/infer", "named", ROOT)
    return [
        Rival("trimtab", command, *paths),
        Rival("trimtab, capture", [*command, *capture], *paths),
        Rival("trimtab, V1", command, "/v1/models/m", "/v1/models/m:predict", "objects", ROOT),
        Rival("trimtab, native booster", command, *paths, {"PATH": "/nonexistent"}),
    ]


def check(server: Running, bodies: Path, expected: Sequence[float]) -> None:
    """That the server gives the booster's own predictions; ends the bench where it does not."""
    rival = server.rival
    headers = {"content-type": "application/json"}
    status, _, content = call(server.port, "POST", rival.path, (bodies / f"{rival.form}-{max(ROWS)}.json").read_bytes(), headers)
    if status != 200 or not np.allclose(answered(rival.form, content), expected, atol=1e-5):
        msg = f"{rival.name} does not give the booster's predictions: {status} {str(content)[:300]}"
        raise SystemExit(msg)


def sweep(servers: list[Running], bodies: Path, cells: list[tuple[int, int]], rounds: int, seconds: float) -> list[Cell]:
    """Every server at every cell, the servers alternating, the median over the rounds."""
    found = []
    for rows, connections in cells:
        runs: dict[str, list[dict[str, float]]] = {server.rival.name: [] for server in servers}
        for _ in range(rounds):
            for server in servers:
                runs[server.rival.name].append(server.ask(bodies, rows, connections, seconds))
        for server in servers:
            name = server.rival.name
            middle = {figure: round(median(run[figure] for run in runs[name]), 3) for figure in runs[name][0]}
            found.append(Cell(name, rows, connections, "capture" in name, **middle, rss_mb=round(server.rss(), 1)))
            print(f"{rows:4} rows, {connections:2} connections, {name:24} {middle}", flush=True)
    return found


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and the narrowest pair of order statistics that holds it with 95% (by the binomial, whatever the distribution)."""
    ordered, n = sorted(values), len(values)
    below = max(int(binom.ppf(0.025, n, 0.5)) - 1, 0)
    return median(ordered), ordered[below], ordered[n - 1 - below]


def cost(off: Running, on: Running, bodies: Path, pairs: int, seconds: float) -> list[Cost]:
    """What capture costs of p99 and of throughput, over alternating pairs, each begun by the other one than the last."""
    slower, fewer = [], []
    for pair in range(pairs):
        order = (off, on) if pair % 2 else (on, off)
        runs = {server.rival.name: server.ask(bodies, *PAIR, seconds) for server in order}
        without, having = runs[off.rival.name], runs[on.rival.name]
        slower.append(having["p99_ms"] / without["p99_ms"] - 1)
        fewer.append(1 - having["rps"] / without["rps"])
    protocol = "V1" if off.rival.form == "objects" else "V2"
    return [Cost(f"p99, {protocol}", *interval(slower), pairs), Cost(f"throughput, {protocol}", *interval(fewer), pairs)]


def by_v1(server: Running, v1: Rival) -> Running:
    """The same server, asked as `v1` is."""
    return msgspec.structs.replace(server, rival=msgspec.structs.replace(v1, name=f"{v1.name}, capture"))


def main(arguments: list[str]) -> int:
    """Measure, print, write; `--quick` takes seconds and writes nothing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one short run beside one rival at two cells: does the bench work?")
    parser.add_argument("--only", help="take only the rivals whose name has this in it, and write nothing")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one run")
    parser.add_argument("--pairs", type=int, default=21, help="of runs with and without capture")
    given = parser.parse_args(arguments)
    if given.quick:
        given.rounds, given.seconds, given.pairs, given.only = 1, 0.3, 3, given.only or "fastapi"
    cells = [(1, 8), (32, 8)] if given.quick else [(rows, connections) for rows in ROWS for connections in CONNECTIONS]
    with tempfile.TemporaryDirectory() as name:
        cells_found, costs, bare = _measure(Path(name), given, cells)
    print(f"the load against a bare socket server: {bare['rps']:.0f} requests/s, p99 {bare['p99_ms']:.2f} ms")
    for found in costs:
        print(f"capture costs {found.median:+.1%} of {found.of} [{found.low:+.1%}, {found.high:+.1%}], {found.pairs} pairs")
    if not given.quick and not given.only:
        target = ROOT / "build" / "bench" / "serving.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(msgspec.json.format(msgspec.json.encode(cells_found)))
        write(ROOT / "docs" / "benchmarks", cells_found, costs, bare)
    return 0


def _measure(scratch: Path, given: argparse.Namespace, cells: list[tuple[int, int]]) -> tuple[list[Cell], list[Cost], dict[str, float]]:
    digest, rows = version(scratch / "v")
    expected = xgboost.Booster(model_file=scratch / "v" / "model.json").inplace_predict(rows, validate_features=False)
    bodies = scratch / "bodies"
    bodies.mkdir()
    for form in ("named", "objects", "tensor", "instances", "inputs"):
        for count in ROWS:
            (bodies / f"{form}-{count}.json").write_bytes(body(form, rows[:count], NAMES))
    (scratch / "secret").write_text(SECRET)
    bare_port, sink = free_port(), free_port()
    loader = [sys.executable, "-m", "tests.bench.serving_load"]
    with ExitStack() as stack:
        with process([*loader, "answer", str(bare_port)], scratch / "bare.log"):
            until(lambda: _accepts(bare_port), 20)
            bare = load(bare_port, "/", bodies / "named-1.json", PAIR[1], given.seconds)
        stack.enter_context(process(["nice", "-n", "19", *loader, "swallow", str(sink)], scratch / "sink.log"))
        until(lambda: _accepts(sink), 20)
        wanted = ours(scratch / "v", digest, scratch / "secret", sink)[: 2 if given.quick else None]
        wanted += rivals(scratch / "v", scratch, ROOT / ".tools" / "bin" / "uv", given.only or "")
        servers = [stack.enter_context(running(rival, scratch / f"{rival.name}.log")) for rival in wanted]
        for server in servers:
            check(server, bodies, expected)
        swept = sweep(servers, bodies, cells, given.rounds, given.seconds)
        off, on, *others = servers
        costs = cost(off, on, bodies, given.pairs, given.seconds)
        if not given.quick:
            costs += cost(others[0], by_v1(on, others[0].rival), bodies, given.pairs, given.seconds)
        return swept, costs, bare


def _accepts(port: int) -> bool:
    try:
        return call(port, "POST", "/", b"{}")[0] == 202
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
