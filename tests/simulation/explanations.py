"""How often a version is said to answer by other features, where nothing moved and where something did: `make simulate-explanations`.

A version is fitted by the project's own code on the rows before a date of a generated example; later rows are cut into windows, of which
256 rows each are explained by TreeSHAP as the predictor does it, and ranked as the monitor does it. In calm worlds nothing changes but
hours and weekdays, so windows of a few hours tell whether a day's cycle is taken for a move.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import Struct, to_builtins

from tests.simulation.examples import loaded, spec_of
from trimtab.monitoring.attributions import ROWS
from trimtab.monitoring.deciding import persistent
from trimtab.monitoring.explanation import Ranking, Sizes, ranked
from trimtab.monitoring.seasons import alike
from trimtab.schema import Schema, read_schema
from trimtab.spec import ExplanationPolicy, ModelSpec
from trimtab.training.evaluation.attribution import Explained, explain, shapley
from trimtab.training.fit import fit
from trimtab.units import duration, persistence

ROOT = Path(__file__).parents[2]
PAGE, NUMBERS = ROOT / "docs" / "evidence" / "explanations.md", ROOT / "build" / "simulation" / "explanations.json"
SEED = 7
WINDOWS, PLANTED = (100, 500, 2_000), 500
SILENT = {1: "the first feature tells nothing", 2: "the first two tell nothing", 3: "the first three tell nothing"}
MOST = 30
RULE = persistence("2 of 5")
BOUND = ExplanationPolicy().ndcg


class World(Struct, frozen=True):
    """A generated example: its rows and months, until when a version knows them, when only inputs moved, and when the concept had too."""

    rows: int
    months: int
    cut: str
    moved: tuple[str, str]
    concept: tuple[str, str]


WORLDS = {
    "fraud": World(80_000, 12, "2024-07-01", ("2024-08-01", "2024-09-01"), ("2024-10-01", "2025-01-01")),
    "recommendation": World(60_000, 6, "2024-04-01", ("2024-04-15", "2024-05-01"), ("2024-06-01", "2024-07-01")),
}


class Row(Struct, frozen=True):
    """What windows of one size in one world were told."""

    example: str
    world: str
    size: int
    windows: int
    moved: int
    findings: int
    mean: float
    least: float


class Version(Struct, frozen=True):
    """A fitted version and what it rested on in training."""

    folder: Path
    spec: ModelSpec
    schema: Schema
    known: Explained
    times: Any
    neutral: dict[str, pa.Scalar]


def seconds(table: pa.Table, spec: ModelSpec) -> Any:
    """The rows' event times in seconds since 1970."""
    return table.column(str(spec.data.time)).to_numpy().astype("datetime64[ms]").astype(float) / 1000


def version(table: pa.Table, spec: ModelSpec, cut: str, folder: Path) -> Version:
    """Fitted on the rows whose labels are known at the cut."""
    at = table.column(str(spec.data.time)).to_numpy()
    known = table.filter(pa.array(at <= np.datetime64(cut) - np.timedelta64(duration(spec.data.label_delay))))
    fit(known, spec, folder, SEED)
    sample = known.take(np.unique(np.linspace(0, known.num_rows - 1, 10_000).astype(int)))
    explained = explain(folder, sample, SEED)
    schema, told_of = read_schema(folder), sample.take(explained.rows)
    least = {name: told_of.column(name)[int(explained.sizes[:, place].argmin())] for place, name in enumerate(schema.names)}
    return Version(folder, spec, schema, explained, seconds(told_of, spec), least)


def rank(of: Version, window: pa.Table, identity: str) -> Ranking:
    """The ranking of one window."""
    chosen = np.unique(np.linspace(0, window.num_rows - 1, min(ROWS, window.num_rows)).astype(int))
    values, _ = shapley(of.folder, of.schema, window.take(chosen), SEED)
    live = np.abs(values).sum(axis=2)
    weights = alike(of.times, seconds(window, of.spec)).weights
    return ranked(of.schema.names, Sizes(of.known.sizes, weights), Sizes(live, np.ones(len(live))), window.num_rows, BOUND, identity)


def told(of: Version, example: str, world: str, rows: pa.Table, size: int, seed: int) -> Row:
    """The windows of a stretch of rows, at most `MOST` of them in a row."""
    count = min(MOST, rows.num_rows // size)
    found = [rank(of, rows.slice(n * size, size), f"{example}|{world}|{size}|{seed}|{n}") for n in range(count)]
    moved = [one.moved for one in found]
    lasting = [persistent(moved[: place + 1], RULE) for place in range(count)]
    fresh = sum(one and not any(lasting[max(0, place - RULE.windows + 1) : place]) for place, one in enumerate(lasting))
    values = [one.ndcg for one in found if one.ndcg is not None]
    return Row(example, world, size, count, sum(moved), fresh, float(np.mean(values)), min(values))


def silent(of: Version, rows: pa.Table, count: int) -> pa.Table:
    """The rows, in which the features that training's answers rested on the most have the value that moved an answer least."""
    for place in np.argsort(-of.known.sizes.mean(axis=0))[:count]:
        name = of.schema.names[place]
        kind = rows.column(name).type
        rows = rows.set_column(rows.column_names.index(name), name, pa.repeat(of.neutral[name].cast(kind), rows.num_rows))
    return rows


def between(rows: pa.Table, spec: ModelSpec, begin: str, end: str) -> pa.Table:
    """The rows of a stretch of time."""
    at = rows.column(str(spec.data.time)).to_numpy()
    return rows.filter(pa.array((at > np.datetime64(begin)) & (at < np.datetime64(end))))


def measured(example: str, world: World, seed: int) -> list[Row]:
    """A calm world, the same where features tell nothing any more, and the world in which inputs move and then the concept."""
    spec, generate = spec_of(example), loaded(example).generate
    end = world.concept[1]
    found = []
    with tempfile.TemporaryDirectory() as name:
        calm, moving = (generate(world.rows, seed, months=world.months, calm=side) for side in (True, False))
        of = version(calm, spec, world.cut, Path(name) / "calm")
        later = between(calm, spec, world.cut, end)
        found += [told(of, example, "calm", later, size, seed) for size in WINDOWS]
        for count, world_named in SILENT.items():
            found.append(told(of, example, world_named, silent(of, later, count), PLANTED, seed))
        of = version(moving, spec, world.cut, Path(name) / "moving")
        found.append(told(of, example, "inputs moved as the example says", between(moving, spec, *world.moved), PLANTED, seed))
        found.append(told(of, example, "the concept moved too", between(moving, spec, *world.concept), PLANTED, seed))
    return found


def added(rows: list[Row]) -> list[Row]:
    """The worlds' seeds together."""
    keys = dict.fromkeys((row.world, row.example, row.size) for row in rows)
    together = []
    for world, example, size in keys:
        these = [row for row in rows if (row.world, row.example, row.size) == (world, example, size) and row.windows]
        count = sum(row.windows for row in these)
        mean = sum(row.mean * row.windows for row in these) / max(count, 1)
        sums = [sum(getattr(row, field) for row in these) for field in ("moved", "findings")]
        together.append(Row(example, world, size, count, *sums, mean, min(row.least for row in these)))
    return sorted(together, key=lambda row: (list(dict.fromkeys(one.world for one in rows)).index(row.world), row.example, row.size))


def page(rows: list[Row], seeds: int) -> str:
    """The page."""
    calm = [row for row in rows if row.world == "calm"]
    many = "one world" if seeds == 1 else f"{seeds} worlds"
    lines = [
        "# What answers rest on: the evidence",
        "",
        "Written by `make simulate-explanations`; [Performance](../performance.md) says what is measured. Every version is fitted by",
        f"the project's own code, {many} of each generated example; of each window at most {ROWS} rows are explained. The bound",
        f"is the default, NDCG {BOUND:g}; a finding needs 2 of 5 windows.",
        "",
        f"Where nothing moved: {sum(row.moved for row in calm)} of {sum(row.windows for row in calm):,} windows were said to have moved, "
        f"{sum(row.findings for row in calm)} findings. Windows of 100 rows span a few hours: a day's cycle is in them. A feature that",
        "tells nothing has, in every row, the value that moved an answer least.",
        "",
        "| world | example | rows a window | windows | moved | findings | mean NDCG | least |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.world} | {row.example} | {row.size:,} | {row.windows} | {row.moved} | {row.findings} | {row.mean:.3f} | {row.least:.3f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, and write page and numbers."""
    parser = argparse.ArgumentParser(description="Rank what answers rest on, in worlds that move and in calm ones.")
    parser.add_argument("--seeds", type=int, default=1)
    seeds = parser.parse_args().seeds
    found = [row for example, world in WORLDS.items() for seed in range(100, 100 + seeds) for row in measured(example, world, seed)]
    rows = added(found)
    NUMBERS.parent.mkdir(parents=True, exist_ok=True)
    NUMBERS.write_text(json.dumps({"rows": to_builtins(rows)}, indent=1))
    PAGE.write_text(page(rows, seeds))
    print(PAGE.read_text())
    return int(any(row.findings for row in rows if row.world == "calm"))


if __name__ == "__main__":
    sys.exit(main())
