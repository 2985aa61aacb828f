"""ClassifierDrift of Alibi Detect: do boosted trees tell the window's rows from the reference's? It sees what no single column shows."""

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors.asking import Asking
from trimtab.schema import PREDICTION
from trimtab.spec import Drift

MOST_ROWS = 20_000
_SEED = 0


class ClassifierDrift(Asking):
    """One test for all inputs together and one for the prediction; each side by at most 20,000 rows, drawn by a fixed seed.

    A missing number is the reference's median to the trees: that it is missing is a column of its own (`comparable`).
    """

    name = "classifier"
    laws = MappingProxyType({"number": "normal", "category": "normal"})

    def asked(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift) -> dict[str, ColumnTest]:  # noqa: ARG002
        """What the worker says, of the inputs and of the prediction."""
        found: dict[str, ColumnTest] = {}
        for prediction in (False, True):
            ours = [column for column in columns if (column.of == PREDICTION) == prediction]
            if ours:
                middles = {column.name: float(np.nanmedian(reference[column.name])) for column in ours}
                found |= self.ask(ours, _drawn(ours, reference, middles), _drawn(ours, window, middles), {})[0]
        return found


def _drawn(columns: Sequence[Column], table: Table, middles: dict[str, float]) -> Table:
    rows = len(table[columns[0].name])
    drawn = np.random.default_rng(_SEED).permutation(rows)[:MOST_ROWS]
    return {column.name: np.nan_to_num(table[column.name][drawn], nan=middles[column.name]) for column in columns}
