"""What validation stops and what it does not: planted defects in three drifting worlds, and the same worlds clean, over many seeds.

Run it as `python -m tests.bench.validation --seeds 20` (make bench-validation) for the table; it fails where a clean seed is stopped.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from msgspec.structs import replace

from tests.unit.training.planted import DEFECTS, KINDS, START, Table, World, world
from trimtab.training.checks import Check
from trimtab.training.validate import validate
from trimtab.training.validate_rows import Champion

CUTS = ((None, 240), (240, 260), (240, 300), (240, 330), (290, 330))
"""Day of the champion's training, if there is one, and day of the run."""


def found(made: World, rows: Table, champion: Champion | None, day: int) -> list[Check]:
    """What is found in the rows on that day."""
    data = made.spec.data if "key" in rows.column_names else replace(made.spec.data, key=None)
    return validate(rows, replace(made.spec, data=data), 0, champion, START + timedelta(days=day))


def clean(seeds: Sequence[int]) -> tuple[int, Counter[str], Counter[str]]:
    """How many clean runs there were, and which checks stopped them or warned."""
    stopped, warned, runs = Counter[str](), Counter[str](), 0
    for kind in KINDS:
        for seed in seeds:
            made = world(kind, seed)
            for before, day in CUTS:
                runs += 1
                champion = made.champion(before, seed) if before is not None else None
                for check in found(made, made.window(day), champion, day):
                    (stopped if check.severity == "stop" else warned)[f"{kind}: {check.check} of {check.column}"] += 1
    return runs, stopped, warned


def planted(seeds: Sequence[int]) -> dict[str, dict[str, int]]:
    """In how many seeds each defect was caught by its check, by world."""
    caught: dict[str, dict[str, int]] = {name: dict.fromkeys(KINDS, 0) for name in DEFECTS}
    for kind in KINDS:
        for seed in seeds:
            made = world(kind, seed)
            champion, window = made.champion(270, seed), made.window(300)
            for name, (check, plant) in DEFECTS.items():
                said = found(made, plant(window, kind, np.random.default_rng(seed)), champion, 300)
                caught[name][kind] += check in {one.check for one in said if one.severity == "stop"}
    return caught


def main(arguments: list[str]) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = range(parser.parse_args(arguments).seeds)
    print(f"{'planted defect':38}{'caught by':14}" + "".join(f"{kind:>10}" for kind in KINDS), flush=True)
    for name, counts in planted(seeds).items():
        print(f"{name:38}{DEFECTS[name][0]:14}" + "".join(f"{counts[kind]:>7}/{len(seeds)}" for kind in KINDS), flush=True)
    runs, stopped, warned = clean(seeds)
    print(f"clean: {runs} runs, {stopped.total()} false stops {dict(stopped) or ''}, {warned.total()} warnings {dict(warned) or ''}")
    if stopped:
        sys.exit("error: clean data was stopped")


if __name__ == "__main__":
    main(sys.argv[1:])
