"""What a drift check costs beside Alibi's: the same windows to both, one after the other, in one run.

`python -m tests.bench.drift` (make bench-drift) writes `build/bench/drift.json` and the table in docs/detectors.md. All times are wall
seconds of one thread, medians over the rounds. `alibi_s` is TabularDrift's `predict` alone, in its own environment: no Arrow files, no
process between. `ours_s` is `Exact.test` on a window that it never saw, its version's reference sorted before (`reference_s`, once a
version); `check_s` is that with effect, PSI and Jensen-Shannon; `caged_s` is TabularDrift as a Model gets it, through the worker.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, get_args

import msgspec
import numpy as np
import pyarrow as pa

from trimtab.monitoring.columns import Column, Table, table
from trimtab.monitoring.detectors.asking import caged
from trimtab.monitoring.detectors.choosing import Chosen
from trimtab.monitoring.detectors.exact import Exact
from trimtab.monitoring.effects import divergences, effects
from trimtab.schema import Feature, Schema
from trimtab.spec import Detector, Drift

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-detectors" / "bin" / "python"
RESULT, PAGE = ROOT / "build" / "bench" / "drift.json", ROOT / "docs" / "detectors.md"
BEGIN, END = "<!-- make bench-drift writes from here -->", "<!-- to here -->"
GOAL = 1 / 5
MOVED, SHIFT, CATEGORIES = 0.1, 0.1, 8
MOST_JSON = 1_000_000


class Size(msgspec.Struct, frozen=True):
    """A window and its reference, of as many rows; `categories` of the features are categories, the others numbers."""

    features: int
    rows: int
    categories: int = 0


COMMON = Size(50, 5_000, 10)
SIZES = (
    Size(10, 1_000),
    Size(100, 1_000),
    Size(10, 10_000),
    Size(100, 10_000),
    Size(10, 100_000),
    Size(100, 100_000),
    Size(100, 100_000, 50),
)


def columns_of(size: Size) -> list[Column]:
    kinds = ["category"] * size.categories + ["number"] * (size.features - size.categories)
    return [Column(f"c{place}", kind, f"c{place}") for place, kind in enumerate(kinds)]  # type: ignore[arg-type]


def world(size: Size, generator: np.random.Generator, shift: float) -> Table:
    """Rows of which a tenth of the columns is moved by `shift` standard deviations; every other number has two decimals, so ties."""
    found: Table = {}
    for place, column in enumerate(columns_of(size)):
        move = shift if place % round(1 / MOVED) == 0 else 0.0
        if column.kind == "category":
            found[column.name] = np.minimum(generator.geometric(0.4 / (1 + move), size.rows), CATEGORIES).astype(float)
        else:
            values = generator.normal(move, 1.0, size.rows)
            found[column.name] = values.round(2) if place % 2 else values
    return found


@contextmanager
def alibi() -> Iterator[subprocess.Popen[str]]:
    command = [str(PYTHON), str(Path(__file__).with_name("drift_alibi.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def asked(process: subprocess.Popen[str], request: dict[str, Any]) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        msg = "Alibi's side has no pipe"
        raise SystemExit(msg)
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def written(path: Path, rows: Table) -> str:
    content = pa.table({name: pa.array(values) for name, values in rows.items()})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content)
    return str(path)


def copied(rows: Table) -> Table:
    return {name: values.copy() for name, values in rows.items()}


def timed(work: Any) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def measure(size: Size, rounds: int, peer: subprocess.Popen[str], chosen: Chosen, folder: Path) -> dict[str, Any]:
    """One row of the result."""
    generator, columns, ours = np.random.default_rng(7), columns_of(size), Exact()
    reference = world(size, generator, 0.0)
    first = written(folder / "reference.arrow", reference)
    categories = [place for place, column in enumerate(columns) if column.kind == "category"]
    warm = world(size, generator, 0.0)
    cold, _ = timed(lambda: ours.test(columns, reference, copied(warm)))
    fit = asked(peer, {"reference": first, "window": written(folder / "window.arrow", warm), "categories": categories})["fit_s"]
    taken: dict[str, list[float]] = {name: [] for name in ("ours_s", "alibi_s", "check_s")}
    differences, rounded = [], []
    for _ in range(rounds):
        window = world(size, generator, SHIFT)
        path = written(folder / "window.arrow", window)
        fresh, other = copied(window), copied(window)
        seconds, tests = timed(lambda fresh=fresh: ours.test(columns, reference, fresh))
        taken["ours_s"].append(seconds)
        theirs = asked(peer, {"reference": None, "window": path, "categories": categories})
        taken["alibi_s"].append(theirs["predict_s"])
        taken["check_s"].append(timed(lambda other=other: whole(ours, columns, reference, other))[0])
        for column, p in zip(columns, theirs["p"], strict=True):
            differences.append(abs(tests[column.name].p - p))
            rounded.append(abs(float(np.float32(tests[column.name].p)) - p))
    through = [timed(lambda: chosen.test(columns, reference, window, Drift(detector="tabular")))[0] for _ in range(2)][-1]
    found = {name: median(values) for name, values in taken.items()}
    return msgspec.to_builtins(size) | {
        **{name: round(seconds, 5) for name, seconds in found.items()},
        "ratio": round(found["ours_s"] / found["alibi_s"], 4),
        "reference_s": round(cold - found["ours_s"], 5),
        "alibi_fit_s": round(fit, 5),
        "caged_s": round(through, 5),
        "rows_to_columns_s": round(from_json(size, generator), 5) if size.features * size.rows <= MOST_JSON else None,
        "max_p_difference": max(differences),
        "max_p_difference_in_32_bits": max(rounded),
        "rounds": rounds,
    }


def whole(ours: Exact, columns: list[Column], reference: Table, window: Table) -> None:
    ours.test(columns, reference, window)
    effects(columns, reference, window)
    divergences(columns, reference, window)


def from_json(size: Size, generator: np.random.Generator) -> float:
    """Seconds from the window's stored rows (JSON) to its columns."""
    columns = columns_of(size)
    kept = ["number" if column.kind == "number" else "category" for column in columns]
    names = tuple(str(float(code)) for code in range(1, CATEGORIES + 1))
    features = tuple(
        Feature(column.name, kind, names if kind == "category" else ())  # type: ignore[arg-type]
        for column, kind in zip(columns, kept, strict=True)
    )
    values = world(size, generator, 0.0)
    stored = [json.dumps(dict(zip(values, row, strict=True))) for row in zip(*(side.tolist() for side in values.values()), strict=True)]
    schema = Schema("regression", "y", features)
    return timed(lambda: table(schema, [msgspec.json.decode(row) for row in stored], [1.0] * size.rows))[0]


def cost(name: str, chosen: Chosen) -> dict[str, Any]:
    """Seconds of the detector's first check of a common window, and of the second: 10,000 rows of reference, 5,000 of the window."""
    columns = columns_of(COMMON)[COMMON.categories :]
    columns += [Column(f"site{place}", "category", f"site{place}") for place in range(5)]
    columns += [Column(f"flag{place}", "category", f"flag{place}") for place in range(5)]
    generator, drift, seconds = np.random.default_rng(7), Drift(detector=name), []  # type: ignore[arg-type]
    sides = []
    for rows in (10_000, 5_000, 5_000):
        side = {column.name: generator.normal(0.0, 1.0, rows) for column in columns if column.kind == "number"}
        side |= {column.name: generator.integers(0, 8, rows).astype(float) for column in columns if column.name.startswith("site")}
        side |= {column.name: (generator.random(rows) < 0.3).astype(float) for column in columns if column.name.startswith("flag")}
        sides.append(side)
    for window in sides[1:]:
        seconds.append(round(timed(lambda window=window: chosen.test(columns, sides[0], window, drift))[0], 4))
    return {"detector": name, "features": len(columns), "first_s": seconds[0], "next_s": seconds[1]}


def page(rows: list[dict[str, Any]], costs: list[dict[str, Any]]) -> str:
    """The tables of the page."""
    heads = (
        "features",
        "categories",
        "rows",
        "`exact`",
        "Alibi's predict",
        "ratio",
        "`exact` with effects",
        "`tabular`",
        "JSON to columns",
    )
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        parsed = "" if row["rows_to_columns_s"] is None else f"{row['rows_to_columns_s']:.3f} s"
        times = [f"{row[name]:.4f} s" for name in ("ours_s", "alibi_s")]
        cells = [str(row["features"]), str(row["categories"]), f"{row['rows']:,}", *times, f"{row['ratio']:.3f}"]
        cells += [f"{row['check_s']:.4f} s", f"{row['caged_s']:.3f} s", parsed]
        lines.append(f"| {' | '.join(cells)} |")
    worst = max(row["max_p_difference"] for row in rows), max(row["max_p_difference_in_32_bits"] for row in rows)
    lines.append("")
    lines.append(f"The largest difference of a p-value was {worst[0]:.1e}; Alibi keeps 32 bits, and in 32 bits it was {worst[1]:.1e}.")
    lines += ["", "| detector | first check | next check |", "|---|---|---|"]
    lines += [f"| `{each['detector']}` | {each['first_s']:.2f} s | {each['next_s']:.2f} s |" for each in costs]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Exit code 1 where the largest size misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--most", type=int, default=10**9, help="leave out sizes of more values than this, and write nothing")
    given = parser.parse_args(arguments)
    rows = []
    chosen = Chosen(caged(PYTHON))
    with alibi() as peer, tempfile.TemporaryDirectory() as folder:
        for size in itertools.takewhile(lambda size: size.features * size.rows <= given.most, SIZES):
            rows.append(measure(size, given.rounds, peer, chosen, Path(folder)))
            print(json.dumps(rows[-1]), flush=True)
    if len(rows) < len(SIZES):
        return 0
    costs = [cost(name, chosen) for name in get_args(Detector)]
    chosen.close()
    print(json.dumps(costs, indent=1))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=1) + "\n")
    RESULT.with_name("detectors.json").write_text(json.dumps(costs, indent=1) + "\n")
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{page(rows, costs)}\n{END}{rest.partition(END)[2]}")
    return int(any(row["ratio"] > GOAL for row in rows if row["features"] * row["rows"] == max(s.features * s.rows for s in SIZES)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
