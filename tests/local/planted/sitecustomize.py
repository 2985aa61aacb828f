"""Faults planted into predictors that a test's platform starts: Python imports this in each of them, for it stands first on PYTHONPATH.

PLANTED is JSON of a version, of the pipeline's version that made it (as in "churn 1.4.0") or of `*` to a fault. A fault acts on live
requests only, which are of one row, and, where TRIGGER names a file, only while that file is there and names the Model or none.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

ERRORS, SLOW = 0.1, 0.5
SLOW_SECONDS = 0.15
STALL_SECONDS = 3.0
WRONG = 1.5


def _triggered(model: str) -> bool:
    trigger = os.environ.get("TRIGGER")
    if not trigger:
        return True
    try:
        named = Path(trigger).read_text().split()
    except FileNotFoundError:
        return False
    return not named or model in named


def _faulty(fault: str, model: str, real: Any) -> Any:
    def predict(scorer: Any, rows: Any) -> Any:
        found = real(scorer, rows)
        if not _triggered(model):
            return found
        if fault == "wrong":
            return [WRONG * value for value in found]
        if len(rows) != 1:
            return found
        if fault == "crash":
            os._exit(1)
        if fault == "errors" and random.random() < ERRORS:  # noqa: S311 - test data
            from serving.predictor.scorer import ModelFailed

            msg = "a planted fault"
            raise ModelFailed(msg)
        if fault == "slow" and random.random() < SLOW:  # noqa: S311 - test data
            time.sleep(SLOW_SECONDS)
        if fault == "stalls":
            time.sleep(STALL_SECONDS)
        return found

    return predict


def _plant() -> None:
    if "serving.predictor" not in sys.orig_argv:
        return
    planted = json.loads(os.environ.get("PLANTED", "{}"))
    model, version, folder = (_told(option) for option in ("--name", "--version", "--folder"))
    if fault := planted.get(version, planted.get(_pipeline(Path(folder)), planted.get("*"))):
        from serving.predictor.scorer import Scorer

        Scorer.predict = _faulty(fault, model, Scorer.predict)  # type: ignore[method-assign]


def _told(option: str) -> str:
    words = sys.orig_argv
    return words[words.index(option) + 1]


def _pipeline(folder: Path) -> str:
    """The pipeline's version that made what is in the folder; empty where that is not told."""
    try:
        made = json.loads((folder / "lineage.json").read_text()).get("pipeline") or {}
    except FileNotFoundError:
        return ""
    return f"{made.get('name', '')} {made.get('version', '')}"


_plant()
