"""Whether anything bad gets through a retrain, and anything good is stopped: planted defects and clean retrains of all examples.

Each retrain is a run's steps in their order, in one process and without MLflow: the rows up to its cut, validated against the champion,
fitted, judged beside the champion, held against the document's gates. The champion was made the same way from rows up to an
earlier cut. A defect is planted into what the retrain reads. Generated examples have a world for each seed; the bike's are
twenty pairs of cuts of one. Run it as `python -m tests.simulation.defects --seeds 20` (make bench-defects).
"""

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from msgspec import Struct
from msgspec.structs import replace

from tests.simulation.examples import EXAMPLES, loaded
from tests.unit.training import defects
from tests.unit.training.defects import Planted
from trimtab.documents import read_model
from trimtab.spec import ModelSpec
from trimtab.training.evaluate import evaluate
from trimtab.training.fit import fit
from trimtab.training.frame import read_table
from trimtab.training.gate import check_gates, judge
from trimtab.training.ingest import read, snapshot, told_apart
from trimtab.training.validate import champion_of, validate

ROWS = 60_000
NAMES = ("bike-demand", "fraud", "recommendation")
CUTS = {"fraud": ("2024-07-15", "2024-10-15"), "recommendation": ("2024-04-15", "2024-06-01")}
"""For the generated examples until when the champion's run and the retrain know: what the worlds change lies between."""
BIKE_FIRST, BIKE_STEP, BIKE_LATER = datetime(2011, 9, 1, tzinfo=UTC), timedelta(days=21), timedelta(days=60)
SEED = 7

DEFECTS: dict[str, Planted] = {
    "unit break": defects.other_unit,
    "shuffled label": defects.shuffled_label,
    "leak": defects.leak,
    "leak that later rows lack": defects.leak_of_the_past,
    "dropped column": defects.dropped,
    "train/serve skew": defects.skew,
    "biased slice": defects.biased_slice,
    "over-confident model": defects.over_confident,
    "stale window": defects.stale,
    "duplicated rows": defects.repeated,
    "running number as feature": defects.running_number,
    "drawn identifier as feature": defects.drawn_identifier,
}
CLASSIFIED = ("over-confident model",)
"""A regression says no probabilities that could be too sure."""


class Retrain(Struct, frozen=True):
    """An example's document, whose rows are those of one world, and the two cuts."""

    example: str
    seed: int
    spec: ModelSpec
    before: datetime
    cut: datetime


def retrain_of(example: str, seed: int, folder: Path) -> Retrain:
    """The example's retrain in the world of that seed, whose rows are written to `folder`."""
    spec = read_model(EXAMPLES / example / "model.yaml").spec
    if example == "bike-demand":
        before = BIKE_FIRST + seed * BIKE_STEP
        return Retrain(example, seed, spec, before, before + BIKE_LATER)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(loaded(example).generate(ROWS, seed), folder / "world.parquet")
    before, cut = (datetime.fromisoformat(day).replace(tzinfo=UTC) for day in CUTS[example])
    spec = replace(spec, data=replace(spec.data, uri=str(folder / "world.parquet")))
    return Retrain(example, seed, spec, before, cut)


def champion(given: Retrain, folder: Path) -> Path:
    """The version of the earlier cut; raises ValueError where its own run is stopped."""
    stopped = run(given.spec, given.before, None, folder, SEED)
    if stopped:
        msg = f"{given.example}, seed {given.seed}: the first version is stopped: {'; '.join(stopped)}"
        raise ValueError(msg)
    return folder


def run(spec: ModelSpec, cut: datetime, against: Path | None, folder: Path, seed: int) -> list[str]:
    """One run's steps into `folder`; returns the sentences of what stopped it, each after the name of its check or gate."""
    taken = snapshot(spec.data, cut, folder / "rows", told_apart(spec))
    table = read_table(taken.path)
    check_gates(spec, table)
    before = champion_of(against) if against is not None else None
    checks = validate(taken.path, spec, taken.unlabelled, before, cut)
    if broken := [f"check {one.check}: {one.sentence}" for one in checks if one.severity == "stop"]:
        return broken
    fit(table, spec, folder, seed)
    found = evaluate(table, spec, folder, against, folder, seed, against_version="1" if against is not None else "")
    return [f"gate {one.gate}: {one.sentence}" for one in judge(spec.gates, found) if not one.passed]


def clean(example: str, seed: int) -> list[str]:
    """What stops a retrain from clean rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = retrain_of(example, seed, folder)
        return run(given.spec, given.cut, champion(given, folder / "champion"), folder / "candidate", SEED + 1)


def planted(example: str, seed: int) -> dict[str, list[str]]:
    """What stops a retrain from rows with each defect that the task can have. Rows that are read lack what is excluded."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = retrain_of(example, seed, folder)
        serving, rows = champion(given, folder / "champion"), read(given.spec.data, given.cut)[0]
        found = {}
        for number, (defect, plant) in enumerate(DEFECTS.items()):
            if given.spec.task == "regression" and defect in CLASSIFIED:
                continue
            file = folder / f"{number}.parquet"
            pq.write_table(plant(rows, given.spec, seed), file)
            spec = replace(given.spec, data=replace(given.spec.data, uri=str(file), exclude=()))
            found[defect] = run(spec, given.cut, serving, folder / str(number), SEED + 1)
        return found


def _names(stopped: list[str]) -> list[str]:
    """The names of what stopped a retrain; those against the champion only where nothing else said what is wrong."""
    names = [sentence.split(":")[0] for sentence in stopped]
    return [name for name in names if "champion's" not in name] or names


def lines(found: dict[str, list[dict[str, list[str]]]]) -> Iterator[str]:
    """The table: in how many of each example's worlds a defect was caught, and by which checks or gates."""
    yield f"{'planted defect':30}" + "".join(f"{example:>18}" for example in found) + "  caught by"
    for defect in DEFECTS:
        counts, names = "", dict[str, None]()
        for seeds in found.values():
            caught = [one[defect] for one in seeds if defect in one]
            counts += f"{sum(map(bool, caught)):>12} of {len(caught):<2}" if caught else f"{'cannot have it':>18}"
            names |= dict.fromkeys(name for stopped in caught for name in _names(stopped))
        yield f"{defect:30}{counts}  {', '.join(names)}"


def missed(found: dict[str, list[dict[str, list[str]]]]) -> list[str]:
    """The defects that got through, each with its example."""
    return [f"{example}: {defect}" for example, seeds in found.items() for one in seeds for defect, stopped in one.items() if not stopped]


def main(arguments: list[str]) -> int:
    """Print the table and what stopped clean retrains; exit code 1 where a defect got through or a clean one was stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="clean retrains of each example")
    parser.add_argument("--planted", type=int, default=3, help="worlds of each example with each defect")
    parser.add_argument("--examples", nargs="*", default=NAMES)
    given = parser.parse_args(arguments)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = {one: list(pool.map(partial(planted, one), range(given.planted))) for one in given.examples}
        print("\n".join(lines(found)), flush=True)
        false = 0
        for one in given.examples:
            stopped = [said for said in pool.map(partial(clean, one), range(given.seeds)) if said]
            false += len(stopped)
            print(f"{one}: {len(stopped)} of {given.seeds} clean retrains stopped", *map("; ".join, stopped), sep="\n  ", flush=True)
    through = missed(found)
    print(f"{len(through)} planted defects got through {through or ''}, {false} false stops")
    return int(bool(through or false))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
