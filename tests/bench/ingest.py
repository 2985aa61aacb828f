"""What the first step of a run takes on many rows: seconds and peak memory of a process of its own.

Run it as `python -m tests.bench.ingest --rows 10000000` (make bench-ingest). DuckDB makes the rows, twelve columns of all kinds, in
Parquet or CSV; then `trimtab.training.steps.ingest` reads, sorts, writes and validates them in a child whose peak is the kernel's
own number (getrusage).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from trimtab.spec import Data, Metadata, Model, ModelSpec

CUT = "2030-01-01T00:00:00+00:00"
LIMIT_GB = 6.0
ROWS = """
SELECT TIMESTAMPTZ '2024-01-01 00:00:00+00' + INTERVAL (i * 3) SECOND AS "at", 'case-' || lpad(i::VARCHAR, 9, '0') AS case_id,
    round(50 + 20 * noise(i, 1), 4) AS size, exp(2 * noise(i, 2)) AS price, (hash(i, 3) % 1000)::INTEGER AS stock,
    (hash(i, 4) % 12)::INTEGER AS month,
    ['red', 'green', 'blue'][(1 + hash(i, 5) % 3)::INTEGER] AS colour, 'shop ' || hash(i, 6) % 300 AS shop,
    hash(i, 7) % 10 < 3 AS open, CASE WHEN hash(i, 8) % 20 > 0 THEN noise(i, 8) END AS score, noise(i, 9)::FLOAT AS wind,
    round(3 * noise(i, 1) + noise(i, 10), 4) AS amount
FROM range({rows}) t(i) ORDER BY hash(i, 11)
"""
NOISE = "CREATE MACRO noise(i, k) AS sqrt(-2 * ln((hash(i, k) % 999983 + 1) / 999984.0)) * cos(6.283185 * (hash(k, i) % 999979) / 999979.0)"


def make(rows: int, path: Path) -> None:
    """Write the rows, in no order."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(
            f"SET threads = 2; SET memory_limit = '4GB'; SET temp_directory = '{path.parent}'; SET enable_progress_bar = false"
        )
        connection.execute(NOISE)
        connection.execute(f"COPY ({ROWS.format(rows=rows)}) TO '{path}'")


def document(path: Path) -> str:
    """The Model as the step gets it."""
    data = Data(str(path), "amount", time="at", key="case_id")
    return msgspec.json.encode(Model("trimtab.dev/v1alpha1", "Model", Metadata("bench"), ModelSpec("regression", data))).decode()


def child(path: Path, out: Path) -> None:
    """The step itself; prints its answer, seconds and peak memory in bytes."""
    from trimtab.training import steps

    began = time.perf_counter()
    said = steps.ingest(document(path), CUT, "", "", out)
    print(said, time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def main(arguments: list[str]) -> None:
    """Print a line a format: rows, bytes, seconds, peak memory; fails where the peak is past the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--formats", nargs="+", default=["parquet", "csv"])
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        child(*given.child)
        return
    print(f"{'format':10}{'rows':>12}{'MB':>8}{'seconds':>9}{'peak GB':>9}  answer")
    for kind in given.formats:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"rows.{kind}"
            make(given.rows, path)
            command = [sys.executable, "-m", "tests.bench.ingest", "--child", str(path), str(Path(folder) / "out")]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            answer, seconds, peak = done.stdout.split()[-3:]
            peak_gb = int(peak) / 1e9
            print(f"{kind:10}{given.rows:>12,}{path.stat().st_size // 10**6:>8}{float(seconds):>9.1f}{peak_gb:>9.2f}  {answer}", flush=True)
            if answer != "valid" or peak_gb > LIMIT_GB:
                sys.exit(f"error: expected valid within {LIMIT_GB} GB; {done.stderr.strip()[-500:]}")


if __name__ == "__main__":
    main(sys.argv[1:])
