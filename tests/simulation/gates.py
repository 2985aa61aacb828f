"""How often the default gates against the champion err, measured with real fits.

Equal: champion and candidate are fitted on the same rows with the same settings and different seeds. Worse: noise is added to the
candidate's predictions until its primary metric is 10% worse on the holdout. `python -m tests.simulation.gates` prints the table.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import Struct

from tests.unit.training.defects import world
from trimtab.measures import PRIMARY
from trimtab.spec import Data, ModelSpec, Task
from trimtab.training.evaluation.found import Evaluation
from trimtab.training.evaluation.measured import Judged, Opponent, measure
from trimtab.training.fit import derive
from trimtab.training.frame import holdout, matrix, targets
from trimtab.training.gate import GateResult, judge
from trimtab.training.ingest import read
from trimtab.training.lean import xgboost
from trimtab.training.scores import metrics, threshold

BIKES = Path("build/bike-demand/bike.csv")
WORSE = 0.1
_SETTINGS: dict[Task, dict[str, Any]] = {
    "regression": {"objective": "reg:squarederror", "rounds": 200},
    "binary": {"objective": "binary:logistic", "rounds": 80},
    "multiclass": {"objective": "multi:softprob", "num_class": 3, "rounds": 80},
}


class Pair(Struct, frozen=True):
    """A champion and a candidate on the same holdout."""

    champion: Judged
    candidate: Judged

    def against(self) -> tuple[GateResult, ...]:
        """What the default gates against the champion find."""
        return tuple(result for result in judge((), self.evaluation()) if "champion's" in result.gate)

    def evaluation(self) -> Evaluation:
        """The candidate beside the champion on all rows."""
        mine, rows = self.candidate, np.arange(len(self.candidate.labels))
        found = measure(mine, rows, Opponent(np.ones(len(rows), bool), self.champion, "twin"), 7)
        return Evaluation(
            task=mine.task,
            primary=PRIMARY[mine.task],
            rows=len(rows),
            holdout_rows=len(rows),
            candidate=found.metrics,
            baseline=found.champion or {},
            champion=found.champion,
            compared_with="1",
            compared_rows=len(rows),
            difference=found.difference,
        )


def pairs(table: pa.Table, spec: ModelSpec, seed: int, worse: tuple[float, ...] = (WORSE,)) -> tuple[Pair, ...]:
    """An equal candidate, and one that is worse by each of these shares."""
    schema, fold = derive(table, spec), holdout(table, spec.data)[0]
    features, labels = matrix(schema, table), targets(spec.task, schema.classes, table.column(spec.data.label))
    first, second = (_fitted(spec.task, schema, features, labels, fold.trained, fold.start, 2 * seed + part) for part in (0, 1))
    truth, known = labels[fold.start :], labels[: fold.trained]

    def judged(said: Any) -> Judged:
        return Judged(spec.task, truth, said, threshold(known, said) if spec.task == "binary" else None)

    bad = (_worsened(spec.task, truth, first, np.random.default_rng(seed), share) for share in worse)
    return Pair(judged(second), judged(first)), *(Pair(judged(second), judged(one)) for one in bad)


def _fitted(task: Task, schema: Any, features: Any, labels: Any, trained: int, start: int, seed: int) -> Any:
    xgb = xgboost()
    kinds = ["q" if feature.kind == "number" else "c" for feature in schema.features]
    given = dict(_SETTINGS[task])
    rounds = given.pop("rounds")
    given |= {"eta": 0.05, "max_depth": 5, "subsample": 0.8, "colsample_bytree": 0.8, "min_child_weight": 5, "seed": seed, "nthread": 1}
    rows = xgb.DMatrix(features[:trained], labels[:trained], feature_types=kinds, enable_categorical=True)
    later = xgb.DMatrix(features[start:], feature_types=kinds, enable_categorical=True)
    return np.asarray(xgb.train(given, rows, rounds).predict(later), dtype=float)


def _worsened(task: Task, truth: Any, said: Any, draw: np.random.Generator, share: float) -> Any:
    primary, noise = PRIMARY[task], draw.normal(size=said.shape)
    at = metrics(task, truth, said)[primary]
    aim = at * (1 - share) if primary == "roc_auc" else at * (1 + share)
    low, high = 0.0, 10.0
    for _ in range(40):
        scale = (low + high) / 2
        value = metrics(task, truth, _noisy(task, said, scale * noise))[primary]
        low, high = (low, scale) if (value < aim if primary == "roc_auc" else value > aim) else (scale, high)
    return _noisy(task, said, high * noise)


def _noisy(task: Task, said: Any, noise: Any) -> Any:
    if task == "regression":
        return said + said.std() * noise
    logs = np.log(np.clip(said, 1e-6, 1 - 1e-6))
    if task == "binary":
        odds = logs - np.log1p(-np.clip(said, 1e-6, 1 - 1e-6))
        return 1 / (1 + np.exp(-(odds + odds.std() * noise)))
    raised = np.exp(logs + logs.std() * noise)
    return raised / raised.sum(axis=1, keepdims=True)


def rare(rows: int, seed: int) -> tuple[pa.Table, ModelSpec]:
    """The orders of which one in a hundred is positive."""
    table, spec = world("regression", rows, seed)
    amount = table.column("y").to_numpy()
    chance = 1 / (1 + np.exp(-(amount - np.quantile(amount, 0.99) - 1.0)))
    label = (np.random.default_rng(seed).random(rows) < chance).astype(int)
    return table.set_column(table.column_names.index("y"), "y", pa.array(label)), ModelSpec("binary", spec.data)


def bikes(rows: int, seed: int) -> tuple[pa.Table, ModelSpec]:
    """That many hours of bike demand in a row, from some hour on."""
    spec = ModelSpec("regression", Data(str(BIKES), "demand", "timestamp", "hour_id", ("casual", "registered", "atemp")))
    table, _ = read(spec.data, None)
    return table.slice(int(np.random.default_rng(seed).integers(0, table.num_rows - rows + 1)), rows), spec


WORLDS: dict[str, tuple[Callable[[int, int], tuple[pa.Table, ModelSpec]], tuple[int, ...]]] = {
    "orders, regression": (lambda rows, seed: world("regression", rows, seed), (1000, 2000, 4000)),
    "orders, half of them positive": (lambda rows, seed: world("binary", rows, seed), (1000, 2000, 4000)),
    "orders, 1% of them positive": (rare, (1000, 2000, 4000)),
    "orders, three classes": (lambda rows, seed: world("multiclass", rows, seed), (1000, 2000, 4000)),
    "bike demand": (bikes, (1000, 2000, 3000)),
}


def table(runs: int) -> Iterator[str]:
    """The table's lines, one as soon as it is known."""
    yield "| data | holdout rows | an equal candidate passes | a 10% worse one passes |"
    yield "|---|---|---|---|"
    for name, (made, sizes) in WORLDS.items():
        for size in sizes:
            passed = [[all(one.passed for one in pair.against()) for pair in pairs(*made(5 * size, seed), seed)] for seed in range(runs)]
            equal, worse = np.sum(passed, axis=0)
            yield f"| {name} | {size:,} | {equal} of {runs} | {worse} of {runs} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How often the default gates against the champion err.")
    parser.add_argument("--runs", type=int, default=40)
    for line in table(parser.parse_args().runs):
        print(line, flush=True)


if __name__ == "__main__":
    main()
