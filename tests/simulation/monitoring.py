"""A simulated fleet: how often the monitor cries wolf, what it finds and how soon, beside other tools on the same rows.

Every window goes through the product's own functions: columns, dependence, effects, levels, persistence, performance. Run it by
`make simulate-monitoring`; it writes `build/simulation/monitoring.json` and docs/evidence/monitoring.md.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.stats import chi2_contingency

from tests.simulation.monitoring_rivals import Bootstrap, Sorted, alarms
from tests.simulation.monitoring_worlds import SCHEMA, STREAMS, Stream, Window, World
from trimtab.monitoring.columns import Column, Table, comparable
from trimtab.monitoring.comparing import seasonal, weigh
from trimtab.monitoring.deciding import ColumnTest, Drift, check, lasting, level
from trimtab.monitoring.effects import effect
from trimtab.monitoring.performance import Judgement, judge, kind, sample
from trimtab.monitoring.reference import Length, Reference
from trimtab.platforms.local.monitor_main import detector_python
from trimtab.schema import PREDICTION
from trimtab.spec import Monitoring, ReferencePolicy
from trimtab.units import margin, persistence

ROOT = Path(__file__).parents[2]
POLICY = Monitoring()
RULE = persistence(POLICY.drift.persistence)
SPAN_DAYS = 1.0
LASTED = Length(86_400.0, aligned=True)
OURS, RAW, SEASONAL = "Trimtab", "Trimtab, rows taken as independent", "Trimtab, seasonal reference"
DECLARED = 0.08
SMALL, SMALL_SEASONAL = f"{OURS}, effect {DECLARED:g}", f"{SEASONAL}, effect {DECLARED:g}"
BOOTSTRAP = "Trimtab, block bootstrap instead"
LATEST = 15


class Cell(Struct, frozen=True):
    """What is played: so many models of a stream, each so many windows of so many rows."""

    stream: Stream
    rows: int
    models: int
    windows: int


class Row(Struct, frozen=True):
    """A line of the table; power and the median delay (of the models in which it was found) are None where nothing is planted."""

    method: str
    stream: str
    effect: float
    rows: int
    models: int
    windows: int
    findings_per_1000_model_days: float
    power_5_windows: float | None
    power_15_windows: float | None
    median_delay_windows: float | None
    days_a_window: float = SPAN_DAYS


class Watch:
    """One of our policies over a model's windows: its memory of drifts, and what it told."""

    def __init__(self, effect: float = POLICY.drift.effect) -> None:
        self._effect = effect
        self._drifts: list[Drift] = []
        self._told: dict[str, int] = {}
        self.inputs_moved = False

    def look(self, columns: Sequence[Column], tests: dict[str, ColumnTest], sizes: dict[str, float]) -> int:
        """How many findings the window makes."""
        self._drifts.append(check(columns, tests, sizes, SPAN_DAYS, self._effect))
        last = self._drifts[-RULE.windows - 1 :]
        kinds = {"prediction": lasting(last, RULE, prediction=True), "covariate": lasting(last, RULE, prediction=False)}
        self.inputs_moved = bool(kinds["covariate"])
        return sum(self.tell(name) for name, found in kinds.items() if found)

    def tell(self, name: str) -> bool:
        """Whether it is news: what lasts is told again only after as many windows as persistence looks at (`checks._told`)."""
        now = len(self._drifts)
        fresh = now - self._told.get(name, -RULE.windows) >= RULE.windows
        if fresh:
            self._told[name] = now
        return fresh


def play(cell: Cell, seed: int) -> dict[str, list[int]]:
    """One model: how many findings (alarms, for the others) each method makes in each window."""
    world = World(cell.stream, seed, cell.windows)
    reference, ordered, bootstrap = world.reference, Sorted(world.reference.table), Bootstrap(world.reference)
    watches = {OURS: Watch(), RAW: Watch(), SMALL: Watch(DECLARED), BOOTSTRAP: Watch()}
    if cell.stream.days == "weekly":
        watches |= {SEASONAL: Watch(), SMALL_SEASONAL: Watch(DECLARED)}
    judged: list[Judgement] = []
    found: dict[str, list[int]] = {}
    for day in range(cell.windows):
        window = world.window(day, cell.rows)
        columns, left, right = comparable(SCHEMA, reference.table, window.table)
        tests = ordered.test(columns, left, right)
        said = dict.fromkeys(watches, tests)
        said[OURS] = said[SMALL] = weigh(reference, columns, tests, left, right, LASTED, None)[0]
        said[BOOTSTRAP] = bootstrap.weigh(columns, tests, cell.rows, LASTED)
        drawn = dict.fromkeys(watches, left)
        if SEASONAL in watches:
            drawn[SEASONAL], said[SEASONAL] = _seasonal(reference, columns, left, right, window)
            drawn[SMALL_SEASONAL], said[SMALL_SEASONAL] = drawn[SEASONAL], said[SEASONAL]
        for name, watch in watches.items():
            told = watch.look(columns, said[name], _sizes(columns, said[name], drawn[name], right))
            if name == OURS:
                told += _performance(reference, window, judged, watch, f"{seed}|{day}")
            found.setdefault(name, []).append(told)
        for name, alarm in alarms(columns, tests, ordered, right).items():
            found.setdefault(name, []).append(int(alarm))
    return found


def _seasonal(
    reference: Reference, columns: list[Column], left: Table, right: Table, window: Window
) -> tuple[Table, dict[str, ColumnTest]]:
    like = seasonal(reference, window.times, Monitoring(reference=ReferencePolicy(seasonal=True)))
    assert like is not None
    drawn = {name: values[like.places] for name, values in left.items()}
    return drawn, weigh(reference, columns, Sorted(drawn).test(columns, drawn, right), left, right, LASTED, like)[0]


def _sizes(columns: Sequence[Column], tests: dict[str, ColumnTest], left: Table, right: Table) -> dict[str, float]:
    """The effects of the columns that are significant; of the others none is asked."""
    asked = {column.name for column in columns if tests[column.name].deciding < level(SPAN_DAYS)}
    return {column.name: effect(column, left[column.name], right[column.name]) if column.name in asked else 0.0 for column in columns}


def _performance(reference: Reference, window: Window, judged: list[Judgement], watch: Watch, identity: str) -> int:
    metrics, asked = reference.metrics, POLICY.performance
    said = judge(
        "rmse",
        "regression",
        sample(window.truth, window.table[PREDICTION]),
        sample(reference.truth, reference.answers),
        metrics.metrics["rmse"],
        metrics.holdout_rows,
        margin(asked.margin),
        asked.floor,
        level(SPAN_DAYS),
        identity,
    )
    assert said is not None
    judged.append(said)
    named = kind(judged[-RULE.windows :], RULE, inputs_moved=watch.inputs_moved)
    return int(named is not None and watch.tell(named))


def summed(cell: Cell, played: Sequence[dict[str, list[int]]]) -> list[Row]:
    """The cell's lines, one a method."""
    stream = cell.stream
    return [
        line(method, stream.name, stream.effect, np.array([one[method] for one in played]), cell.rows, drifts=stream.drifts)
        for method in played[0]
    ]


def line(method: str, stream: str, effect: float, found: NDArray[np.int_], rows: int, *, drifts: bool, days: float = SPAN_DAYS) -> Row:
    """A line of what was found, shape (models, windows); a window has `rows` rows and spans so many days."""
    first = np.where(found.any(axis=1), (found > 0).argmax(axis=1) + 1, np.inf)
    hit = first[np.isfinite(first)]
    return Row(
        method,
        stream,
        effect,
        rows,
        *found.shape,
        float(found.sum() / found.size / days * 1000),
        float((first <= 5).mean()) if drifts else None,
        float((first <= LATEST).mean()) if drifts else None,
        float(np.median(hit)) if drifts and len(hit) else None,
        days,
    )


def cells(models: int) -> list[Cell]:
    """The table's cells; `models` is the size of the fleet, other cells have a part of it."""
    found = []
    for stream in STREAMS:
        for rows in (1000, 5000, 20_000):
            usual = rows == POLICY.window.rows
            if stream.drifts:
                found.append(Cell(stream, rows, models // 10 if usual else models // 40 + 1, LATEST))
            else:
                fleet = models if stream is STREAMS[0] else models // 5
                found.append(Cell(stream, rows, fleet if usual else models // 40 + 1, 30))
    return found


def _part(given: tuple[Cell, int, int]) -> list[dict[str, list[int]]]:
    cell, first, last = given
    return [play(cell, seed) for seed in range(first, last)]


def agreement() -> float:
    """The largest difference of our p-values to scipy's own tests, which Alibi's TabularDrift calls, over 20 windows."""
    from scipy.stats import ks_2samp

    worst = 0.0
    for seed in range(20):
        world = World(STREAMS[0], seed, 1)
        right = world.window(0, 5000).table
        columns, left, _ = comparable(SCHEMA, world.reference.table, right)
        tests = Sorted(left).test(columns, left, right)
        for column in columns:
            old, new = left[column.name], right[column.name]
            if column.kind == "number":
                p = float(ks_2samp(old, new, mode="asymp").pvalue)
            else:
                p = float(chi2_contingency([[(side == value).sum() for value in np.unique(old)] for side in (old, new)]).pvalue)
            worst = max(worst, abs(p - tests[column.name].p))
    return worst


def main(arguments: list[str]) -> None:
    """Play all cells on two processes, write numbers, page and plot."""
    from tests.simulation import monitoring_caged, monitoring_offset, monitoring_page

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    began = time.perf_counter()
    with ProcessPoolExecutor(given.processes) as pool:
        asked = [pool.submit(monitoring_caged.classifier, detector_python()), pool.submit(monitoring_caged.online, detector_python())]
        parts_of = monitoring_offset.streams()
        residuals = [pool.submit(monitoring_offset.play, one, given.models // (10 if one.shift else 5)) for one in parts_of]
        for cell in cells(given.models):
            parts = [(cell, first, min(first + 10, cell.models)) for first in range(0, cell.models, 10)]
            rows += summed(cell, [one for part in pool.map(_part, parts) for one in part])
            print(f"{time.perf_counter() - began:6.0f} s  {cell.stream.name}, {cell.rows} rows", flush=True)
        joint, alarms, offsets = asked[0].result(), asked[1].result(), [row for one in residuals for row in one.result()]
    out = ROOT / "build" / "simulation"
    out.mkdir(parents=True, exist_ok=True)
    numbers = monitoring_caged.Numbers(rows, joint, offsets, alarms)
    (out / "monitoring.json").write_text(json.dumps(msgspec.to_builtins(numbers), indent=1))
    monitoring_page.write(ROOT / "docs" / "evidence", numbers, given.models, agreement())


if __name__ == "__main__":
    main(sys.argv[1:])
