"""What estimates without labels are worth, measured on the examples: `make simulate-estimates`.

A version is fitted by the project's own code on the rows before a date; later rows are scored and cut into cohorts of at least 500
positives. While only inputs move, the estimate of each cohort is held against what its labels say; after the concept changed it must
not be believed once labels are there. The regression's estimate is held against days of the hold-out that it did not learn from, and
the checks of data quality against the examples' own traffic, in which nothing is broken.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import Struct, to_builtins
from msgspec.structs import replace
from numpy.typing import NDArray

from tests.simulation.estimates_page import page
from tests.simulation.examples import EXAMPLES, loaded, spec_of
from trimtab.documents import read_model
from trimtab.monitoring.columns import Floats, Table
from trimtab.monitoring.deciding import level
from trimtab.monitoring.estimate import Estimate, Inputs, agrees, estimate, states
from trimtab.monitoring.holdout import columns, inputs
from trimtab.monitoring.metric import as_error, error, losses
from trimtab.monitoring.performance import Judgement, Sample, judge
from trimtab.monitoring.quality import breaks
from trimtab.monitoring.reference import Reference, read_reference
from trimtab.monitoring.shift import unseen, weights
from trimtab.monitoring.traffic import Span, changed, lookback
from trimtab.spec import ModelSpec
from trimtab.training.evaluate import write_metrics
from trimtab.training.evaluation.found import Evaluation
from trimtab.training.evaluation.ground import ground
from trimtab.training.evaluation.reference import write_answers, write_reference
from trimtab.training.fit import fit
from trimtab.training.frame import read_table
from trimtab.training.ingest import snapshot, told_apart
from trimtab.training.model import predict
from trimtab.units import duration, margin

ROOT = Path(__file__).parents[2]
PAGE, NUMBERS = ROOT / "docs" / "evidence" / "estimates.md", ROOT / "build" / "simulation" / "estimates.json"
POSITIVES = 500
SEED = 7
WINDOWS = (5_000, 20_000, 50_000)
MOST_WINDOWS = 8
THINNED = 400
SPLITS = range(100, 110)
SHIFTED = ("hour", "weekday", "temp", "hum", "windspeed")
BIKE_FIRST, BIKE_STEP, BIKE_WINDOW = datetime(2011, 9, 1, tzinfo=UTC), timedelta(days=45), 336


class World(Struct, frozen=True):
    """A generated example: its size, until when a version knows its rows, until when only inputs move, and its end."""

    rows: int
    months: int
    cut: str
    moving: str
    end: str


WORLDS = {
    "fraud": World(500_000, 10, "2024-07-01", "2024-09-01", "2024-11-01"),
    "recommendation": World(120_000, 6, "2024-04-01", "2024-05-01", "2024-06-01"),
}


class Part(Struct, frozen=True):
    """Consecutive rows of one version's traffic: labels, answers, inputs, and whether the concept had changed."""

    truth: Floats
    answers: Floats
    inputs: Table
    after: bool

    def taken(self, rows: NDArray[np.intp]) -> "Part":
        """Some of the rows."""
        inputs = {name: column[rows] for name, column in self.inputs.items()}
        return Part(self.truth[rows], self.answers[rows], inputs, self.after)


class Played(Struct, frozen=True):
    """A version, and the later rows before and after the concept changed."""

    reference: Reference
    held: Table
    spec: ModelSpec
    parts: tuple[Part, Part]


def version(rows: pa.Table, spec: ModelSpec, folder: Path) -> tuple[Reference, Table]:
    """A version as a run makes it, without a search and without what an evaluation tells beyond one metric; and its hold-out's inputs."""
    fit(rows, spec, folder, SEED)
    on = ground(rows, spec, folder, anew=False)
    write_reference(folder, rows, on.schema, folder, on.whole, SEED)
    write_answers(folder, rows, on.schema, on.whole)
    metric = "rmse" if spec.task == "regression" else "roc_auc"
    value = as_error(metric, error(metric, spec.task, on.mine.labels, on.mine.predictions))
    found = Evaluation(spec.task, metric, rows.num_rows, on.rows, {metric: value}, {})
    write_metrics(folder, found, losses(spec.task, on.mine.labels, on.mine.predictions))
    reference = read_reference(folder)
    kept = inputs(folder, reference.schema)
    assert kept is not None
    return reference, kept


def played(example: str, seed: int, world: World) -> Played:
    """The version that knows the rows up to the world's cut, asked about those after it."""
    spec = spec_of(example)
    table = loaded(example).generate(world.rows, seed, months=world.months)
    at = table.column(str(spec.data.time)).to_numpy()
    cut = np.datetime64(world.cut)
    oldest = cut - np.timedelta64(duration(spec.data.history)) if spec.data.history else at[0]
    known = (at <= cut - np.timedelta64(duration(spec.data.label_delay))) & (at >= oldest)
    later = (at > cut) & (at < np.datetime64(world.end))
    with tempfile.TemporaryDirectory() as name:
        reference, held = version(table.filter(pa.array(known)), spec, Path(name))
        asked = table.filter(pa.array(later))
        answers = np.asarray(predict(Path(name), asked), dtype=float)
    whole = Part(asked.column(spec.data.label).to_numpy().astype(float), answers, columns(reference.schema, asked), after=False)
    moved = at[later] >= np.datetime64(world.moving)
    before, after = (replace(whole.taken(np.flatnonzero(moved == side)), after=side) for side in (False, True))
    return Played(reference, held, spec, (before, after))


def cohorts(part: Part) -> list[Part]:
    """The part in cohorts of equally many positives, at least 500."""
    passed, many = np.cumsum(part.truth), max(1, int(part.truth.sum()) // POSITIVES)
    ends = np.searchsorted(passed, passed[-1] * np.arange(1, many) / many, side="left") + 1
    rows = np.split(np.arange(len(part.truth)), ends)
    return [part.taken(one) for one in rows if part.truth[one].sum() >= POSITIVES]


def windows(part: Part, rows: int) -> list[Part]:
    """The part in windows of so many rows, at most eight, the rest left out."""
    places = range(0, len(part.truth) - rows + 1, rows)[:MOST_WINDOWS]
    return [part.taken(np.arange(first, first + rows)) for first in places]


def estimated(of: Played, part: Part, name: str) -> Estimate:
    """What the monitor estimates of these rows."""
    metrics = of.reference.metrics
    known = Sample(of.reference.truth, of.reference.answers)
    features = of.reference.schema.features
    more = Inputs(weights(features, of.held, part.inputs), unseen(features, part.inputs))
    value = metrics.metrics[metrics.primary]
    return estimate(metrics.primary, of.spec.task, part.answers, known, metrics.holdout_rows, value, name, more)


def realised(of: Played, part: Part) -> Judgement:
    """What labels say of them, without an interval: what an estimate is held against."""
    metric = of.reference.metrics.primary
    value = as_error(metric, error(metric, of.spec.task, part.truth, part.answers))
    return Judgement(metric, value, value, value, None, None, len(part.truth))


def judged(of: Played, part: Part, name: str, kept: int | None = None) -> Judgement:
    """What the monitor says of them once labels are there; the hold-out thinned to `kept` rows."""
    metrics = of.reference.metrics
    few = np.linspace(0, len(of.reference.truth) - 1, kept or len(of.reference.truth)).astype(int)
    found = judge(
        metrics.primary,
        of.spec.task,
        Sample(part.truth, part.answers),
        Sample(of.reference.truth[few], of.reference.answers[few]),
        metrics.metrics[metrics.primary],
        metrics.holdout_rows,
        margin("x1.1"),
        None,
        level(30.0),
        name,
    )
    assert found is not None
    return found


class Row(Struct, frozen=True, rename="camel"):
    """One cohort of one world: `value` with its interval was estimated, `realised` was so; `state` once its labels are there."""

    example: str
    seed: int
    cohort: int
    concept: bool
    rows: int
    positives: int
    value: float
    low: float
    high: float
    realised: float
    state: str


def rows_of(example: str, seed: int, of: Played) -> list[Row]:
    """Every cohort of one world in the order of time."""
    parts = [cohort for part in of.parts for cohort in cohorts(part)]
    told = [estimated(of, part, f"{example}|{seed}|{number}") for number, part in enumerate(parts)]
    said = [realised(of, part) for part in parts]
    found = []
    for number, (part, guess, real, state) in enumerate(zip(parts, told, said, states(list(zip(told, said, strict=True))), strict=True)):
        assert guess.value is not None
        assert guess.low is not None
        assert guess.high is not None
        counted = (len(part.truth), int(part.truth.sum()))
        found.append(Row(example, seed, number, part.after, *counted, guess.value, guess.low, guess.high, real.value, state))
    return found


class Power(Struct, frozen=True, rename="camel"):
    """What labels alone find in windows of so many rows, with so many rows kept of the hold-out (0: all): shares of windows."""

    example: str
    rows: int
    kept: int
    windows: int
    width: float
    rose_before: float
    rose_after: float


def power(example: str, worlds: Sequence[Played]) -> Iterator[Power]:
    """How often a rise is found before and after the concept changed."""
    for rows in WINDOWS:
        for kept in (THINNED, 0):
            sides: list[list[Judgement]] = [[], []]
            for seed, of in enumerate(worlds):
                for side, part in zip(sides, of.parts, strict=True):
                    side += [judged(of, one, f"{seed}|{number}", kept or None) for number, one in enumerate(windows(part, rows))]
            if all(sides):
                before, after = sides
                width = float(np.mean([one.high - one.low for one in before]))
                shares = (float(np.mean([one.rose for one in side])) for side in (before, after))
                yield Power(example, rows, kept, len(before) + len(after), width, *shares)


class Loss(Struct, frozen=True, rename="camel"):
    """The regression's estimate on rows with other inputs: the mean |estimate / realised - 1|, beside that of the hold-out's own RMSE."""

    tests: int
    splits: int
    gap: float
    plain_gap: float
    coverage: float


def bikes(folder: Path) -> Iterator[Played]:
    """Versions of bike-demand at eight cuts, with their hold-out as the part `before` and the ninety days after as `after`."""
    spec = read_model(EXAMPLES / "bike-demand" / "model.yaml").spec
    everything = replace(spec.data, history=None)
    whole = read_table(snapshot(everything, datetime(2013, 1, 5, tzinfo=UTC), folder / "whole", told_apart(spec)).path)
    at = whole.column(str(spec.data.time)).to_numpy()
    for number in range(8):
        cut = BIKE_FIRST + number * BIKE_STEP
        table = read_table(snapshot(spec.data, cut, folder / f"{number}", told_apart(spec)).path)
        made = folder / f"version{number}"
        reference, inside = version(table, spec, made)
        first, last = (np.datetime64(time.replace(tzinfo=None)) for time in (cut, cut + 2 * BIKE_STEP))
        later = whole.filter(pa.array((at > first) & (at <= last)))
        said = np.asarray(predict(made, later), dtype=float)
        after = Part(later.column(spec.data.label).to_numpy().astype(float), said, columns(reference.schema, later), after=True)
        before = Part(reference.truth, reference.answers, inside, after=False)
        yield Played(reference, inside, spec, (before, after))


def loss_of(worlds: Sequence[Played]) -> Loss:
    """Half of the hold-out's days are learned from; of the others, the hours with the largest or least values of one input are asked."""
    gaps: list[float] = []
    plain, inside = [], []
    for draw in map(np.random.default_rng, SPLITS):
        for of in worlds:
            whole = Part(of.reference.truth, of.reference.answers, of.held, after=False)
            day = np.arange(len(whole.truth)) // 24
            learned = np.isin(day, draw.permutation(day.max() + 1)[: (day.max() + 1) // 2])
            half = whole.taken(np.flatnonzero(learned))
            usual = error("rmse", "regression", half.truth, half.answers)
            for column in (of.held[name] for name in SHIFTED):
                for chosen in (column >= np.quantile(column, 0.6), column <= np.quantile(column, 0.4)):
                    asked = whole.taken(np.flatnonzero(chosen & ~learned))
                    if len(asked.truth) < 100:
                        continue
                    truly = realised(of, asked).value
                    told = _told_from(of, half, asked, f"{len(gaps)}")
                    assert told.value is not None
                    assert told.low is not None
                    assert told.high is not None
                    gaps.append(abs(told.value / truly - 1))
                    plain.append(abs(usual / truly - 1))
                    inside.append(told.low <= truly <= told.high)
    return Loss(len(gaps), len(SPLITS), float(np.mean(gaps)), float(np.mean(plain)), float(np.mean(inside)))


def _told_from(of: Played, half: Part, asked: Part, name: str) -> Estimate:
    features = of.reference.schema.features
    more = Inputs(weights(features, half.inputs, asked.inputs), unseen(features, asked.inputs))
    known = Sample(half.truth, half.answers)
    return estimate("rmse", "regression", asked.answers, known, len(known.truth), None, name, more)


class Later(Struct, frozen=True, rename="camel"):
    """The regression's estimate in the order of time, where demand grows: how many windows hold, and how many are not believed."""

    windows: int
    inside: float
    unverified: float


def later_of(worlds: Sequence[Played]) -> Later:
    """Windows of two weeks after each version's cut."""
    agreed, relied = [], []
    for of in worlds:
        parts = windows(of.parts[1], BIKE_WINDOW)
        told = [estimated(of, part, f"{number}") for number, part in enumerate(parts)]
        said = [realised(of, part) for part in parts]
        agreed += [bool(agrees(*pair)) for pair in zip(told, said, strict=True)]
        relied += states(list(zip(told, said, strict=True)))
    return Later(len(agreed), float(np.mean(agreed)), float(np.mean([state == "unverified" for state in relied])))


class Quiet(Struct, frozen=True, rename="camel"):
    """The checks of data quality on an example's own traffic: windows, and what was found in them."""

    example: str
    windows: int
    found: tuple[str, ...]


def quiet(example: str, table: pa.Table, reference: Reference, rows: int) -> Quiet:
    """All windows of the table's rows, which nobody broke, by data time."""
    spans: list[Span] = []
    found: list[str] = []
    seconds = table.column(str(reference.schema.time)).cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy() / 1e6
    for first in range(0, table.num_rows - rows + 1, rows):
        window = table.slice(first, rows).to_pylist()
        start, end = float(seconds[first]), float(seconds[first + rows - 1])
        spans.append(Span(start, end, rows))
        share = (end - start) / 86_400 / reference.span_days
        traffic = changed([span for span in spans if span.end > end - lookback(end - start)])
        broken = breaks(reference.schema, reference.table, window, share)
        found += [item.sentence for item in (*broken, *((traffic,) if traffic else ()))]
    return Quiet(example, len(spans), tuple(found))


def quiet_generated(example: str, seed: int, cut: str) -> Quiet:
    """The example as it comes: 60,000 rows, windows of 5,000."""
    spec = spec_of(example)
    table = loaded(example).generate(60_000, seed)
    at = table.column(str(spec.data.time)).to_numpy()
    with tempfile.TemporaryDirectory() as name:
        reference = version(table.filter(pa.array(at <= np.datetime64(cut))), spec, Path(name))[0]
    return quiet(example, table.filter(pa.array(at > np.datetime64(cut))), reference, 1000)


class Found(Struct, frozen=True, rename="camel"):
    """Everything that was measured."""

    rows: list[Row]
    power: list[Power]
    loss: Loss
    later: Later
    quiet: list[Quiet]


def measured(seeds: int, first: int) -> Found:
    """All of it, over so many worlds of each generated example, from the seed `first` on."""
    rows, powers, still = [], [], []
    for example, world in WORLDS.items():
        worlds: list[Played] = []
        for seed in range(first, first + seeds):
            of = played(example, seed, world)
            worlds += [] if worlds else [of]
            rows += rows_of(example, seed, of)
            print(f"{example} {seed}: {len(rows)} cohorts", file=sys.stderr, flush=True)
        powers += list(power(example, worlds))
        still.append(quiet_generated(example, 0, world.cut))
    with tempfile.TemporaryDirectory() as name:
        fleet = list(bikes(Path(name)))
        table = read_table(snapshot(fleet[0].spec.data, datetime(2013, 1, 5, tzinfo=UTC), Path(name) / "all", ()).path)
        still.append(quiet("bike-demand", table, fleet[-1].reference, BIKE_WINDOW))
        return Found(rows, powers, loss_of(fleet), later_of(fleet), still)


def joined(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What was found, with the cohorts of the worlds that were played before and are others."""
    seeds = {row["seed"] for row in found["rows"]}
    rows = [row for row in before["rows"] if row["seed"] not in seeds] + found["rows"]
    return found | {"rows": sorted(rows, key=lambda row: list(WORLDS).index(row["example"]))}


def main() -> int:
    """Measure, write the page and the numbers; exit code 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="worlds of each generated example")
    parser.add_argument(
        "--first", type=int, default=200, help="the first one's seed; those below 200 were looked at while the method was made"
    )
    parser.add_argument("--keep", action="store_true", help="show the worlds of the numbers that are there as well")
    given = parser.parse_args()
    found = to_builtins(measured(given.seeds, given.first))
    if given.keep:
        found = joined(json.loads(NUMBERS.read_text()), found)
    NUMBERS.parent.mkdir(parents=True, exist_ok=True)
    NUMBERS.write_text(json.dumps(found, indent=1))
    text, kept = page(found)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    print(text)
    return int(not kept)


if __name__ == "__main__":
    sys.exit(main())
