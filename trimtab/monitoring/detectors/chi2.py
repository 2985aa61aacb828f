"""ChiSquareDrift of Alibi Detect: chi-squared over categories, and over a number's cells."""

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors.asking import Asking
from trimtab.monitoring.ordered import TENTHS, ordered
from trimtab.spec import Drift


class ChiSquareDrift(Asking):
    """Categories as they are; a number by the reference's tenths, or by its values where it has at most ten."""

    name = "chi2"
    laws = MappingProxyType({"number": "normal"})

    def asked(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift) -> dict[str, ColumnTest]:  # noqa: ARG002
        """What the worker says of the cells."""
        left, right = dict(reference), dict(window)
        for column in columns:
            old = ordered(reference[column.name])
            if column.kind == "number" and len(old.steps.values) > TENTHS:
                for side in (left, right):
                    values = side[column.name]
                    side[column.name] = np.where(np.isnan(values), np.nan, np.searchsorted(old.tenths, values).astype(float))
        return self.ask(columns, left, right, {})[0]
