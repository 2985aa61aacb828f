"""What the generators of the examples share: arrivals, draws whose weights change with time, files, and a command line.

A generator draws the same random numbers whatever its options are, so the calm world, the biased one and the moving one are the same rows
until the first thing that was planted.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

Array = np.ndarray[Any, Any]
SUFFIXES = (".parquet", ".csv")
HOURS = np.array([3, 2, 1, 1, 1, 2, 5, 9, 12, 13, 14, 16, 18, 16, 14, 14, 15, 17, 19, 20, 18, 14, 9, 5])
"""How busy each hour of a day is."""
WEEKDAYS = np.array([1.0, 1.0, 1.0, 1.05, 1.2, 1.3, 0.9])
"""How busy each weekday is, from Monday on."""


def arrivals(draw: np.random.Generator, rows: int, start: np.datetime64, months: int) -> Array:
    """Strictly increasing times (datetime64[ms]) within `months` whole months from `start`, denser in busy hours."""
    first, end = start.astype("datetime64[h]"), (start.astype("datetime64[M]") + months).astype("datetime64[h]")
    edges = np.arange(first, end + 1)
    passed = np.concatenate([[0.0], np.cumsum(HOURS[hour(edges[:-1])] * WEEKDAYS[weekday(edges[:-1])])])
    hours = np.interp(np.sort(draw.random(rows)) * passed[-1], passed, np.arange(len(edges)))
    number = np.arange(rows)
    since = np.maximum.accumulate((hours * 3_600_000).astype(np.int64) - number) + number
    return first.astype("datetime64[ms]") + since


def hour(at: Array) -> Array:
    """The hour of the day, 0 to 23."""
    found: Array = at.astype("datetime64[h]").astype(np.int64) % 24
    return found


def weekday(at: Array) -> Array:
    """The day of the week, 0 for Monday; 1970 began on a Thursday."""
    found: Array = (at.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return found


def ramp(at: Array, begin: np.datetime64, end: np.datetime64) -> Array:
    """How much of the time from `begin` to `end` has passed: 0 before, 1 after."""
    hour = np.timedelta64(1, "h")
    return np.clip(((at - begin) / hour) / ((end - begin) / hour), 0.0, 1.0)


def zipf(levels: int, power: float) -> Array:
    """Weights of which few are large and most are small: the n-th is n^-power."""
    return np.arange(1, levels + 1) ** -power


def pick(uniform: Array, weights: Array) -> Array:
    """The place of the level that each uniform number falls on; `weights` is (levels,), or (rows, levels) where rows differ."""
    passed = np.cumsum(weights, axis=-1)
    if weights.ndim == 1:
        return np.searchsorted(passed[:-1], uniform * passed[-1], side="right")
    found: Array = (uniform[:, None] * passed[:, -1:] >= passed[:, :-1]).sum(axis=1)
    return found


def sigmoid(logit: Array) -> Array:
    """The probability that a logit stands for."""
    return 1.0 / (1.0 + np.exp(-logit))


def keys(letter: str, rows: int) -> list[str]:
    """A key for each row: the letter and the row's number."""
    return [f"{letter}{number:08}" for number in range(rows)]


def columns(found: Mapping[str, Array], levels: Mapping[str, Sequence[str]]) -> dict[str, pa.Array]:
    """Arrow columns: where there are levels, `found` holds their places; NaN becomes null."""
    return {name: _texts(levels[name], values) if name in levels else pa.array(values, from_pandas=True) for name, values in found.items()}


def _texts(levels: Sequence[str], places: Array) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(places.astype(np.int32)), pa.array(levels)).dictionary_decode()


def write(table: pa.Table, path: Path) -> None:
    """Write Parquet, or CSV where the name ends so; the file appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.tmp")
    with draft.open("wb") as stream:
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, stream)
        else:
            pyarrow.parquet.write_table(table, stream, compression="zstd")
    draft.rename(path)


def main(described: str, generate: Callable[..., pa.Table], rows: int, months: int, out: str) -> None:
    """A generator's command line; the numbers are its defaults, and the last column is the label."""
    parser = argparse.ArgumentParser(description=described.splitlines()[0])
    parser.add_argument("--rows", type=int, default=rows, help="default: %(default)s")
    parser.add_argument("--months", type=int, default=months, help="over how many months they are spread; default: %(default)s")
    parser.add_argument("--seed", type=int, default=7, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path(out), help="ends in .parquet or .csv; default: %(default)s")
    parser.add_argument("--calm", action="store_true", help="a world in which nothing changes")
    parser.add_argument("--biased", action="store_true", help="labels that are unfair to one age band")
    given = parser.parse_args()
    for name, least, most in (("rows", 1, 100_000_000), ("months", 1, 120), ("seed", 0, 2**32)):
        if not least <= getattr(given, name) <= most:
            parser.error(f"--{name}: found {getattr(given, name)}, allowed is {least} to {most}")
    if given.out.suffix not in SUFFIXES:
        parser.error(f"--out: found {str(given.out)!r}, allowed is a name that ends in {' or '.join(SUFFIXES)}")
    table = generate(given.rows, given.seed, months=given.months, calm=given.calm, biased=given.biased)
    try:
        write(table, given.out)
    except OSError as error:
        parser.error(f"--out: {str(given.out)!r} cannot be written: {error.strerror}")
    positive = np.mean(table.column(table.num_columns - 1).to_numpy())
    print(f"{given.out}: {table.num_rows} rows, {positive:.2%} of them positive")
