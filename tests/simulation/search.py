"""Whether a search is worth its time: a searched version against XGBoost's own defaults on the same rows, on the months that come after.

Each example is cut in time: what was known at the cut is searched and fitted as a run would do it, in as many processes as a run has
tasks, and scored on the rows that follow, beside XGBoost's defaults and beside a version that was not searched. Generated examples
have a world for each seed; the bike's are five cuts of one. Run it as `python -m tests.simulation.search --budget 60s`, or with a
budget in `--trials` for the same numbers on any machine; they go to build/bench/search.json.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xgboost as xgb
from msgspec import Struct
from msgspec.structs import replace

from tests.simulation.examples import EXAMPLES, loaded
from trimtab.documents import read_model
from trimtab.spec import Budget, ModelSpec
from trimtab.training.estimators.booster import feature_types
from trimtab.training.fit import derive, fit
from trimtab.training.frame import matrix, read_table, targets
from trimtab.training.ingest import read, snapshot
from trimtab.training.model import predict
from trimtab.training.scores import metrics
from trimtab.training.search import Share, search
from trimtab.training.trials import Trial

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "bench" / "search.json"
ROWS = 60_000
BIKE_CUTS = tuple(
    datetime.fromisoformat(f"{day}T00:00:00+00:00") for day in ("2011-09-01", "2011-12-01", "2012-03-01", "2012-06-01", "2012-09-01")
)
BIKE_LATER = timedelta(days=61)
LIBRARY: dict[str, dict[str, Any]] = {
    "regression": {"objective": "reg:squarederror"},
    "binary": {"objective": "binary:logistic"},
    "multiclass": {"objective": "multi:softprob"},
}
SIDES = ("library", "untried", "searched")
LIBRARY_ROUNDS = 100
"""What `xgboost.XGBRegressor()` and `XGBClassifier()` do; depth 6 and eta 0.3 are the library's defaults."""


class World(Struct, frozen=True):
    """One example at one cut, and the rows after it up to `until` on which both are scored."""

    example: str
    seed: int
    spec: ModelSpec
    cut: datetime
    until: datetime


class Result(Struct, frozen=True):
    """What came of a world: the metrics of XGBoost's defaults, of ours, and of the search, on the same later rows."""

    example: str
    seed: int
    rows: int
    later: int
    estimator: str
    trials: int
    seconds: float
    library: dict[str, float]
    untried: dict[str, float]
    searched: dict[str, float]


def bike(seeds: int, folder: Path) -> Iterator[World]:
    """The bike's months; each seed is another cut."""
    del folder
    spec = read_model(EXAMPLES / "bike-demand" / "model.yaml").spec
    for seed, cut in enumerate(BIKE_CUTS[:seeds]):
        yield World("bike-demand", seed, spec, cut, cut + BIKE_LATER)


def generated(name: str, seeds: int, folder: Path) -> Iterator[World]:
    """The example's generator, a world for each seed: cut in the middle, and scored on the quarter that follows."""
    module, spec = loaded(name), read_model(EXAMPLES / name / "model.yaml").spec
    for seed in range(seeds):
        file = folder / f"{name}-{seed}.parquet"
        pq.write_table(module.generate(ROWS, seed), file)
        world = replace(spec, data=replace(spec.data, uri=str(file)))
        times = read(world.data, None)[0].column(str(spec.data.time))
        first, span = pc.min(times).as_py(), pc.max(times).as_py() - pc.min(times).as_py()
        yield World(name, seed, world, first + span / 2, first + span * 3 / 4)


def played(world: World, budget: Budget, tasks: int, folder: Path) -> Result:
    """Search, fit and score one world."""
    asked = replace(world.spec.training.search, budget=budget)
    spec = replace(world.spec, training=replace(world.spec.training, search=asked))
    table = read_table(snapshot(spec.data, world.cut, folder).path)
    began = time.perf_counter()
    with ProcessPoolExecutor(tasks, multiprocessing.get_context("spawn")) as pool:
        shards = pool.map(searched, [(folder, spec, world.seed, Share(shard, tasks)) for shard in range(tasks)])
        trials: tuple[Trial, ...] = tuple(trial for shard in shards for trial in shard)
    took = time.perf_counter() - began
    fitted = fit(table, spec, folder / "searched", world.seed, trials)
    fit(table, spec, folder / "untried", world.seed)
    later = after(world)
    schema = derive(table, spec, known=table.num_rows)
    labels = targets(spec.task, schema.classes, later.column(spec.data.label))
    said = (library(spec, table, later), predict(folder / "untried", later), predict(folder / "searched", later))
    scores = (metrics(spec.task, labels, one) for one in said)
    return Result(world.example, world.seed, table.num_rows, later.num_rows, fitted.estimator, len(trials), round(took, 1), *scores)


def searched(asked: tuple[Path, ModelSpec, int, Share]) -> list[Trial]:
    """One task's share of the search."""
    folder, spec, seed, share = asked
    return search(read_table(folder), spec, seed, share)


def after(world: World) -> pa.Table:
    """The rows after the cut."""
    table = read(replace(world.spec.data, history=None, label_delay="0s"), world.until)[0]
    return table.filter(pc.greater(table.column(str(world.spec.data.time)), pa.scalar(world.cut)))


def library(spec: ModelSpec, table: pa.Table, later: pa.Table) -> Any:
    """What XGBoost's defaults say of the later rows, learned from all rows before."""
    schema = derive(table, spec, known=table.num_rows)
    classes = {"num_class": len(schema.classes)} if spec.task == "multiclass" else {}
    rows = {"feature_types": feature_types(schema), "enable_categorical": True}
    known = xgb.DMatrix(matrix(schema, table), targets(spec.task, schema.classes, table.column(schema.label)), **rows)
    booster = xgb.train({**LIBRARY[spec.task], **classes, "nthread": 2}, known, LIBRARY_ROUNDS)
    return booster.predict(xgb.DMatrix(matrix(schema, later), **rows))


def summary(results: list[Result]) -> dict[str, dict[str, float]]:
    """For each example the mean of each metric of each side."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(result.example for result in results):
        mine = [result for result in results if result.example == name]
        for side in SIDES:
            for metric in mine[0].library:
                found.setdefault(name, {})[f"{side} {metric}"] = sum(getattr(one, side)[metric] for one in mine) / len(mine)
    return found


def examples() -> dict[str, Callable[[int, Path], Iterator[World]]]:
    """The examples, each as what makes its worlds."""
    return {"bike-demand": bike, **{name: partial(generated, name) for name in ("fraud", "recommendation")}}


def main(arguments: list[str]) -> int:
    """Print a line a world, and the means. Exit code 1 where XGBoost's defaults are better in the loss that was searched for."""
    known = examples()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", nargs="*", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--budget", default="60s", help="time of each search")
    parser.add_argument("--trials", type=int, default=10_000, help="trials of each search")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=2, help="how many processes search at once")
    given = parser.parse_args(arguments)
    results: list[Result] = []
    print(f"{'example':16}{'seed':>5}{'rows':>8}{'later':>7}  {'loss':8}{''.join(f'{side:>11}' for side in SIDES)}  estimator (trials)")
    with tempfile.TemporaryDirectory() as scratch:
        for name in given.examples or known:
            for world in known[name](given.seeds, Path(scratch)):
                folder = Path(scratch) / f"{name}-{world.seed}"
                results.append(one := played(world, Budget(given.trials, given.budget), given.tasks, folder))
                print(line(one), flush=True)
    means = summary(results)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    body = {"budget": given.budget, "trials": given.trials, "tasks": given.tasks, "means": means, "results": results}
    OUT.write_bytes(msgspec.json.format(msgspec.json.encode(body), indent=1))
    losses = {result.example: loss_of(result) for result in results}
    for name, loss in losses.items():
        print(f"{name}, mean {loss}: " + ", ".join(f"{side} {means[name][f'{side} {loss}']:.5g}" for side in SIDES))
    return int(any(means[name][f"searched {loss}"] >= means[name][f"library {loss}"] for name, loss in losses.items()))


def loss_of(result: Result) -> str:
    """What the search makes small: RMSE in a regression, else log loss."""
    return "rmse" if "rmse" in result.library else "log_loss"


def line(one: Result) -> str:
    """A world as a line of the table."""
    loss = loss_of(one)
    values = "".join(f"{getattr(one, side)[loss]:>11.5g}" for side in SIDES)
    return f"{one.example:16}{one.seed:>5}{one.rows:>8}{one.later:>7}  {loss:8}{values}  {one.estimator} ({one.trials})"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
