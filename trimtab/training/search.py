"""The search for an estimator and its settings: TPE (Bergstra et al., 2011) on forward folds, in a budget of trials and time.

Optuna rather than FLAML: FLAML's own extra pins XGBoost below 3, and the predictor's is 3; FLAML scores on splits without the gap of a
label's delay, gives a bad setting up only after all of them, and its log is no state that a killed search goes on from exactly.

The first trials are the defaults of the first allowed estimator, those of the others, and the champion's own settings. A trial ends early
where its losses after a fold are worse than the median of the earlier trials' after as many folds (the median rule of Golovin
et al., 2017), and, once the time is up, after the fold that it is at.
"""

import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from trimtab.errors import InvalidInput
from trimtab.spec import ModelSpec
from trimtab.training.estimators import ESTIMATORS
from trimtab.training.estimators.base import Rows
from trimtab.training.fit import derive
from trimtab.training.fitted import Fitted
from trimtab.training.frame import Fold, holdout
from trimtab.training.search_folds import folds_of, worth
from trimtab.training.search_space import common, starts
from trimtab.training.search_study import Study
from trimtab.training.trials import Journal, Trial
from trimtab.units import duration

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

TRIAL_CELLS = 2_000_000
"""Trials see at most so many rows times features: a seeded sample, in the order of time. The version is fitted on all rows."""

_JUDGED = 5


class Share(Struct, frozen=True):
    """Which of how many tasks this one is: trials are dealt out among them, the time is each task's own."""

    shard: int = 0
    shards: int = 1

    def of(self, trials: int) -> int:
        """How many of the trials are this task's."""
        return trials // self.shards + (self.shard < trials % self.shards)


WHOLE = Share()


def search(
    table: "pa.Table",
    spec: ModelSpec,
    seed: int,
    share: Share = WHOLE,
    champion: Fitted | None = None,
    journal: Path | None = None,
    now: Callable[[], float] = time.monotonic,
) -> list[Trial]:
    """Try settings on the training rows of `table` until the budget is spent; nothing of the holdout is seen.

    `champion` says how the version that serves was made. `journal` is a file that this search alone writes to and goes on from. At
    least one trial comes to its end whatever time it takes.
    """
    training = sampled(table, spec, seed)
    rows, folds = Rows(derive(training, spec, seen=training.num_rows), training), folds_of(training, spec.data, spec.task)
    shared = common(rows)
    spaces = {name: {**ESTIMATORS[name].space(spec.task), **shared} for name in spec.training.search.estimators}
    given = list(starts(spec.task, spaces, champion))[share.shard :: share.shards]
    study, budget = Study(spaces, shared, seed, share.shard), spec.training.search.budget
    with closing(Journal(journal)) as kept:
        trials = kept.trials()
        for trial in trials:
            study.recall(trial)
        began = now() - sum(trial.seconds for trial in trials)

        def late() -> bool:
            spent = now() - began >= duration(budget.time).total_seconds()
            return spent and any(trial.state == "complete" for trial in trials)

        while len(trials) < share.of(budget.trials) and not late():
            at, number = now(), len(trials)
            start = given[number] if number < len(given) else None
            name, settings = study.ask(number, (start.estimator, start.settings) if start else None)
            asked = Trial(number, name, settings, start.origin if start else "search", shard=share.shard)
            tried = _tried(asked, rows, folds, seed, lambda losses: late() or hopeless(losses, trials))
            tried = replace(tried, seconds=round(now() - at, 3))
            study.tell(tried)
            kept.append(tried)
            trials.append(tried)
            log.info("trial %d of shard %d, %s: %s, loss %s", number, share.shard, name, tried.state, tried.loss)
    return trials


def hopeless(losses: tuple[float, ...], trials: list[Trial]) -> bool:
    """Whether these losses on a trial's first folds are worse than the median of the earlier ones'; never said of the first five."""
    others = [sum(trial.losses[: len(losses)]) for trial in trials if len(trial.losses) >= len(losses)]
    return len(others) >= _JUDGED and sum(losses) > median(others)


def journal_of(folder: str, dataset: str, spec: ModelSpec, seed: int, share: Share, champion: Fitted | None) -> Path | None:
    """Where in `folder` a search keeps its journal, under a name that follows from all that it depends on; None without a folder.

    `dataset` is the snapshot's digest.
    """
    if not folder:
        return None
    spaces = [ESTIMATORS[name].space(spec.task) for name in spec.training.search.estimators]
    asked = msgspec.json.encode([dataset, spec.task, spec.data, spec.training.search, spaces, seed, share, champion], order="sorted")
    return Path(folder) / f"{hashlib.sha256(asked).hexdigest()[:32]}.jsonl"


def _tried(trial: Trial, rows: Rows, folds: tuple[Fold, ...], seed: int, stop: Callable[[tuple[float, ...]], bool]) -> Trial:
    """The trial with what its folds said. Settings that cannot be fitted to these rows are a failed trial, not the end of the search."""
    try:
        found = worth(rows, folds, ESTIMATORS[trial.estimator], trial.parameters, seed, stop)
    except InvalidInput as error:
        return replace(trial, state="failed", fault=str(error))
    except ValueError as error:
        return replace(trial, state="failed", fault=f"{trial.estimator} raises {type(error).__name__} on these rows")
    return replace(
        trial,
        state="pruned" if found.stopped else "complete",
        loss=sum(found.losses) / len(found.losses),
        losses=found.losses,
        parameters={**trial.parameters, **found.decided},
        calibration=found.calibration,
    )


def sampled(table: "pa.Table", spec: ModelSpec, seed: int, cells: int = TRIAL_CELLS) -> "pa.Table":
    """The training rows that trials see, in the order of time: all where rows times features are at most `cells`, else a sample."""
    import numpy as np

    training = table.slice(0, holdout(table, spec.data)[0].trained)
    most = cells // len(derive(table, spec).features)
    if training.num_rows <= most:
        return training
    return training.take(np.sort(np.random.default_rng(seed).choice(training.num_rows, most, replace=False)))
