"""Detectors: one a file, each a `Detector`; adding one is adding a file and naming it in `choosing.py` and in the Model's document."""

from collections.abc import Sequence
from typing import Protocol

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.spec import Drift

DEFAULT = Drift()


class Detector(Protocol):
    """Says of each column how likely the window's values are under the reference's distribution."""

    def test(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift = DEFAULT) -> dict[str, ColumnTest]:
        """Each column's p-value and statistic by its name, as the Model's `drift` asks; raises Unavailable where there is no answer."""

    def close(self) -> None:
        """End what the detector started."""
