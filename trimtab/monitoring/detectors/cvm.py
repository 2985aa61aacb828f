"""CVMDrift of Alibi Detect: Cramér-von Mises, for numbers. Sees a small move of a whole distribution better than Kolmogorov-Smirnov."""

from types import MappingProxyType

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.detectors.asking import Asking


class CVMDrift(Asking):
    """Numbers alone: the order of a category's codes means nothing."""

    name = "cvm"
    laws = MappingProxyType({"number": "normal"})

    def fits(self, column: Column, reference: Table, window: Table) -> bool:  # noqa: ARG002
        """Whether it is a number."""
        return column.kind == "number"
