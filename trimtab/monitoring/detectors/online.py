"""What Alibi's online detectors share: they read a window row by row, and alarm on a column when its last rows are too far away.

They start anew with each window, so that a decision can be reproduced, and read at most its last 5,000 rows. The reference is 250
rows of it, drawn by a fixed seed: both detectors compare each row with each. A missing number is drawn from the reference, so that it
moves nothing; that it is missing is a column of its own (`comparable`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from trimtab.monitoring.columns import Column, Floats, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors.asking import Asking
from trimtab.spec import Drift

MOST_ROWS, REFERENCE_ROWS = 5_000, 250
_SEED = 0


class Online(Asking):
    """An online detector; thresholds that the worker simulated come with the next request."""

    _kept: Any = None

    def asked(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift) -> dict[str, ColumnTest]:
        """Which columns alarmed at any row."""
        left, right = {}, {}
        for column in columns:
            old = reference[column.name]
            old = old[~np.isnan(old)]
            left[column.name] = np.random.default_rng(_SEED).permutation(old)[:REFERENCE_ROWS]
            right[column.name] = _filled(window[column.name][-MOST_ROWS:], old)
        found: dict[str, ColumnTest] = {}
        for rows in sorted({len(values) for values in left.values()}):
            ours = [column for column in columns if len(left[column.name]) == rows]
            options = {"ert": drift.expected_run_time, "kept": self._kept or {}}
            tests, self._kept = self.ask(ours, left, right, options)
            found |= tests
        return found


def _filled(values: Floats, drawn: Floats) -> Floats:
    missing = np.isnan(values)
    return np.where(missing, np.random.default_rng(_SEED).choice(drawn, len(values)), values) if missing.any() else values
