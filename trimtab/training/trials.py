"""Trials: what a search tried and found, in a list that others read, and in a journal that outlives the process.

The journal is a file with one line a finished trial and one writer at a time. A process that is killed leaves at most half a line, which
the next one cuts off. (Optuna's own journal may leave a lock behind that the next process waits half a minute for, half a line
that it never reads over, and trials that seem to run for ever.)
"""

import fcntl
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
from msgspec import Struct

from trimtab.errors import InvalidInput
from trimtab.schema import Knots
from trimtab.spec import Estimator

TRIALS = "trials.json"
LEADERBOARD = "leaderboard.json"
_KEPT_SECONDS = 7 * 86_400.0
_ORDER = ("complete", "untried", "pruned", "failed")


class Trial(Struct, frozen=True, rename="camel"):
    """One setting of one estimator. `number` counts within its `shard`; `origin` says where the setting came from.

    `loss` is the mean of `losses`, one a forward fold (RMSE or log loss; of a pruned trial those that it came to). `parameters` are
    the estimator's settings and what the folds decided (rounds, the way of calibration); `calibration` is the line itself. A trial
    that was taken without a search is `untried`.
    """

    number: int
    estimator: Estimator
    parameters: dict[str, Any]
    origin: Literal["defaults", "champion", "search"] = "defaults"
    state: Literal["complete", "pruned", "failed", "untried"] = "complete"
    loss: float | None = None
    losses: tuple[float, ...] = ()
    seconds: float = 0.0
    shard: int = 0
    calibration: Knots = ()
    fault: str = ""


def best_first(trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """The leaderboard: complete trials by loss, then what was given up, in a fixed order."""
    far = float("inf")
    return tuple(sorted(trials, key=lambda one: (_ORDER.index(one.state), far if one.loss is None else one.loss, one.shard, one.number)))


def write_trials(path: Path, trials: Iterable[Trial]) -> None:
    """Write the list as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(trials), order="sorted"), indent=1))


def read_trials(path: Path) -> tuple[Trial, ...]:
    """The list in a file; raises InvalidInput where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Trial, ...])
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        msg = f"{path.name} cannot be read: {error}"
        raise InvalidInput(msg) from error


class Journal:
    """The finished trials of one search, in the file `path`; None keeps them nowhere."""

    def __init__(self, path: Path | None) -> None:
        """Waits until no other process writes to the file. Others in its folder that nobody wrote to for a week are removed."""
        self._file: BinaryIO | None = None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob("*.jsonl"):
            if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                old.unlink(missing_ok=True)
        self._file = path.open("a+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def trials(self) -> list[Trial]:
        """What was finished before; half a line at the end is cut off."""
        if self._file is None:
            return []
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        return [msgspec.json.decode(line, type=Trial) for line in whole.splitlines()]

    def append(self, trial: Trial) -> None:
        """Keep a finished trial."""
        if self._file is not None:
            self._file.write(msgspec.json.encode(trial) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Let others write."""
        if self._file is not None:
            self._file.close()
