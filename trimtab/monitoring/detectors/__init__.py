"""Detectors: one a file, each a `Detector`; adding one is adding a file and naming it in `monitoring.drift.detector`."""

from collections.abc import Sequence
from typing import Protocol

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest


class Detector(Protocol):
    """Says of each column how likely the window's values are under the reference's distribution."""

    def test(self, columns: Sequence[Column], reference: Table, window: Table) -> dict[str, ColumnTest]:
        """Each column's p-value and statistic by its name; raises Unavailable where the detector cannot answer."""

    def close(self) -> None:
        """End what the detector started."""
