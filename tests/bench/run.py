"""Where the time of a whole training run goes: bike-demand with all of it, a search of a minute in two tasks and a rolling evaluation.

Run it as `python -m tests.bench.run` (make bench-run). The first version is a run of its own, which also warms the machine; the
retrain half a year later is what is timed, from its submission to its end.
"""

import argparse
import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from tests.simulation.examples import EXAMPLES
from tests.unit.serving.tiny import until
from trimtab.control.ports import RunRequest
from trimtab.documents import read_model
from trimtab.platforms.local.runner import LOG, LocalRunner
from trimtab.release import CandidateOutcome, Outcome
from trimtab.spec import Budget, Model, Version

LIMIT_SECONDS = 150.0
FIRST, RETRAIN = datetime(2012, 3, 1, tzinfo=UTC), datetime(2012, 9, 1, tzinfo=UTC)
TRIALS = 10_000


def asked(model: Model, budget: Budget) -> Model:
    """The Model with a search of that budget in two tasks."""
    search = replace(model.spec.training.search, budget=budget, parallel=2)
    return replace(model, spec=replace(model.spec, training=replace(model.spec.training, search=search)))


def run(runner: LocalRunner, state: Path, request: RunRequest) -> tuple[float, str, Outcome]:
    """Seconds, what the run said of its time, and its outcome."""
    began = time.perf_counter()
    runner.submit(request)
    until(lambda: runner.state(request.release_uid, 1)[0] == "ended", 900)
    took, folder = time.perf_counter() - began, state / "runs" / f"{request.release_uid}-1"
    fault = runner.state(request.release_uid, 1)[1]
    if fault:
        raise SystemExit(fault)
    parts = re.findall(r"(?:evaluation|the run) took .*", (folder / LOG).read_text())
    return took, "\n".join(parts), msgspec.json.decode((folder / "outcome.json").read_bytes(), type=Outcome)


def main(arguments: list[str]) -> int:
    """Print the seconds and their parts; exit code 1 where they are more than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="60s", help="time of the search")
    budget = Budget(TRIALS, parser.parse_args(arguments).budget)
    model = read_model(EXAMPLES / "bike-demand" / "model.yaml")
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        runner = LocalRunner(state, f"sqlite:///{state / 'mlflow.db'}")
        try:
            _, _, first = run(runner, state, RunRequest("bike-1", "first", 1, model, FIRST))
            assert isinstance(first, CandidateOutcome), first
            champion = Version(first.version, first.digest)
            request = RunRequest("bike-2", "second", 1, asked(model, budget), RETRAIN, champion, trigger="performance")
            took, parts, second = run(runner, state, request)
        finally:
            runner.close()
    print(parts)
    print(f"submission to end: {took:.1f} s, allowed are {LIMIT_SECONDS:.0f} s; {type(second).__name__}")
    return int(took > LIMIT_SECONDS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
