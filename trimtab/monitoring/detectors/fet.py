"""FETDrift of Alibi Detect: Fisher's exact test, for columns of two values. Exact for few rows and rare values."""

from collections.abc import Sequence
from types import MappingProxyType

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors.asking import Asking, as_ones, is_binary
from trimtab.spec import Drift


class FETDrift(Asking):
    """Columns with just two values, both of them in the reference; for more and for fewer of the larger."""

    name = "fet"
    laws = MappingProxyType({"number": "normal", "category": "normal"})

    def fits(self, column: Column, reference: Table, window: Table) -> bool:
        """Whether it has just two values."""
        return is_binary(column, reference, window)

    def asked(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift) -> dict[str, ColumnTest]:  # noqa: ARG002
        """What the worker says of them as 0 and 1."""
        return self.ask(columns, *as_ones(columns, reference, window), {})[0]
