"""Faults planted into predictors that a test's platform starts: Python imports this in each of them, for it stands first on PYTHONPATH.

PLANTED is JSON of version (or `*`) to fault. A fault acts on live requests only, which are of one row, and, where TRIGGER names a file,
only while that file is there.
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


def _faulty(fault: str, real: Any) -> Any:
    trigger = os.environ.get("TRIGGER")

    def predict(scorer: Any, rows: Any) -> Any:
        found = real(scorer, rows)
        if trigger and not Path(trigger).exists():
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
    words = sys.orig_argv
    if "serving.predictor" not in words:
        return
    planted = json.loads(os.environ.get("PLANTED", "{}"))
    version = words[words.index("--version") + 1]
    if fault := planted.get(version, planted.get("*")):
        from serving.predictor.scorer import Scorer

        Scorer.predict = _faulty(fault, Scorer.predict)  # type: ignore[method-assign]


_plant()
