"""How often the quality gate of a pipeline's trial errs, by its margin, measured with real fits.

The candidates are those of `gates.py`: an equal one is fitted on the same rows with the same settings and another seed, as by a pipeline
that was changed without effect; worse ones have noise added to their predictions. `python -m tests.simulation.trial_gates` prints
the table.
"""

import argparse
from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from tests.simulation.gates import BIKES, WORLDS, Pair, pairs
from trimtab.measures import HIGHER_IS_BETTER, PRIMARY
from trimtab.spec import Trial
from trimtab.training.trial_gates import judge_trial

WORSE = (0.02, 0.05, 0.1)
MARGINS = {False: ("x1.0", "x1.01", "x1.02"), True: ("+0", "-0.01", "-0.02")}
"""By whether more is better: of rmse and log loss a factor, of ROC AUC a difference."""


def passes(pair: Pair, margin: str | None = None) -> bool:
    """Whether the gate lets the candidate pass; with the default margin where none is given."""
    return judge_trial(Trial(quality=margin), replace(pair.evaluation(), timed=None))[0].passed


def table(runs: int) -> Iterator[str]:
    """The table's lines, one as soon as it is known."""
    yield "| data | holdout rows | margin | an equal candidate is stopped | a 2% worse one passes | a 5% worse one | a 10% worse one |"
    yield "|---|---|---|---|---|---|---|"
    for name, (made, sizes) in WORLDS.items():
        if name == "bike demand" and not BIKES.exists():
            continue
        for size in (sizes[0], sizes[-1]):
            found = [pairs(*made(5 * size, seed), seed, WORSE) for seed in range(runs)]
            for margin in MARGINS[PRIMARY[found[0][0].candidate.task] in HIGHER_IS_BETTER]:
                equal, *worse = np.sum([[passes(pair, margin) for pair in row] for row in found], axis=0)
                told = " | ".join(str(count) for count in worse)
                yield f"| {name} | {size:,} | {margin} | {runs - equal} of {runs} | {told} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="How often the quality gate of a pipeline's trial errs.")
    parser.add_argument("--runs", type=int, default=30)
    for line in table(parser.parse_args().runs):
        print(line, flush=True)


if __name__ == "__main__":
    main()
