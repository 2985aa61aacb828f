"""What a training run leaves in MLflow beside its version: parameters, metrics, the rows it read, its pages and its trials.

All of it may be written again: a run that was killed in the middle is written over by the one that repeats it. Metrics carry the run's
own start as their time, so that the same value twice is one value.
"""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.training.dataset import DATA, log_dataset, worth_keeping
from trimtab.training.evaluate import Evaluation
from trimtab.training.lineage import Lineage

PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
TRIAL = "trimtab.trial"
BEST_TRIALS = 30
LONGEST_PARAMETER = 500
_A_BATCH = 100


class Tried(Struct, frozen=True, rename="camel"):
    """What is read of one trial in `leaderboard.json`, where the best one comes first."""

    estimator: str
    parameters: dict[str, Any]
    number: int = 0
    shard: int = 0
    origin: str = ""
    state: str = ""
    loss: float | None = None
    losses: tuple[float, ...] = ()
    seconds: float = 0.0


class Findings(Struct, frozen=True):
    """What there is to write. `pages` are files that are kept under their own names, `note` is the run's text in Markdown.

    `snapshot` is the file of the rows, which `lineage` tells of; the file itself is kept where a version comes of the run (`keep`).
    """

    evaluation: Evaluation | None = None
    parameters: dict[str, Any] = {}
    pages: tuple[Path, ...] = ()
    leaderboard: Path | None = None
    lineage: Lineage | None = None
    snapshot: Path | None = None
    keep: bool = False
    note: str = ""


def write(connected: Any, run: Any, found: Findings) -> None:
    """Write all of it to the MLflow run."""
    number = run.info.run_id
    trials = read_leaderboard(found.leaderboard) if found.leaderboard is not None else ()
    _log_values(connected, run, metrics_of(found.evaluation), found.parameters)
    if found.note:
        connected.set_tag(number, NOTE, found.note)
    if found.lineage is not None and found.snapshot is not None:
        log_dataset(connected, number, found.lineage, found.snapshot)
    _log_files(connected, number, found)
    _log_trials(connected, run, trials)


def metrics_of(evaluation: Evaluation | None) -> dict[str, float]:
    """The candidate's metrics by name, their intervals' ends as `_low` and `_high`, and those of others as `champion_` and `baseline_`."""
    if evaluation is None:
        return {}
    found: dict[str, float] = {}
    for name, value in evaluation.candidate.items():
        low, high = evaluation.interval.get(name, (None, None))
        others = {"champion": (evaluation.champion or {}).get(name), "baseline": evaluation.baseline.get(name)}
        told = {name: value, f"{name}_low": low, f"{name}_high": high, **{f"{who}_{name}": other for who, other in others.items()}}
        found |= {key: number for key, number in told.items() if number is not None}
    return found


def read_leaderboard(path: Path) -> tuple[Tried, ...]:
    """The trials in the file, best first; raises InvalidInput where it is no leaderboard."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Tried, ...])
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"{path.name} cannot be read: {error}"
        raise InvalidInput(msg) from error


def _log_values(connected: Any, run: Any, metrics: dict[str, float], parameters: dict[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(name, str(value)[:LONGEST_PARAMETER]) for name, value in parameters.items()]
    values = [Metric(name, value, run.info.start_time, 0) for name, value in metrics.items()]
    connected.log_batch(run.info.run_id, metrics=values, params=params[:_A_BATCH])
    for start in range(_A_BATCH, len(params), _A_BATCH):
        connected.log_batch(run.info.run_id, params=params[start : start + _A_BATCH])


def _log_files(connected: Any, run: str, found: Findings) -> None:
    """All files in one go; what is not there is left out."""
    files = {path.name: path for path in (*found.pages, *([found.leaderboard] if found.leaderboard else []))}
    if found.keep and found.snapshot is not None and worth_keeping(found.snapshot):
        files[f"{DATA}/{found.snapshot.name}"] = found.snapshot
    with tempfile.TemporaryDirectory() as scratch:
        for name, path in files.items():
            place = Path(scratch) / name
            place.parent.mkdir(exist_ok=True)
            if path.is_file():
                place.symlink_to(path.resolve())
        connected.log_artifacts(run, scratch)


def _log_trials(connected: Any, run: Any, trials: tuple[Tried, ...]) -> None:
    """The best trials as runs below the run, as MLflow shows a search; those that are finished already are left alone.

    The best one is written last, because the newest is shown first.
    """
    known = connected.search_runs([run.info.experiment_id], f"tags.`{PARENT}` = '{run.info.run_id}'", max_results=1000)
    runs = {child.data.tags.get(TRIAL): child for child in known}
    for place, trial in reversed(list(enumerate(trials[:BEST_TRIALS], 1))):
        name = f"{trial.shard}-{trial.number}"
        child = runs.get(name)
        if child is not None and child.info.status == "FINISHED":
            continue
        tags = {PARENT: run.info.run_id, TRIAL: name}
        child = child or connected.create_run(run.info.experiment_id, run_name=f"{place:02}-{trial.estimator}", tags=tags)
        losses = {f"loss_{fold}": value for fold, value in enumerate(trial.losses, 1)}
        said = {"seconds": trial.seconds, **losses, **({} if trial.loss is None else {"loss": trial.loss})}
        told = {"rank": place, "estimator": trial.estimator, "origin": trial.origin, "state": trial.state, **trial.parameters}
        _log_values(connected, child, said, told)
        connected.set_terminated(child.info.run_id)
