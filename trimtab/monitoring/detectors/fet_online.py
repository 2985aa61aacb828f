"""FETDriftOnline of Alibi Detect: Fisher's exact test at each row, for columns of two values."""

from collections.abc import Sequence

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors.asking import as_ones, is_binary
from trimtab.monitoring.detectors.online import Online
from trimtab.spec import Drift


class FETDriftOnline(Online):
    """Columns with just two values, both of them in the reference."""

    name = "fet_online"

    def fits(self, column: Column, reference: Table, window: Table) -> bool:
        """Whether it has just two values."""
        return is_binary(column, reference, window)

    def asked(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift) -> dict[str, ColumnTest]:
        """Which columns alarmed, as 0 and 1."""
        return super().asked(columns, *as_ones(columns, reference, window), drift)
