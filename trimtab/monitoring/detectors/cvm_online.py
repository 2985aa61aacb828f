"""CVMDriftOnline of Alibi Detect: Cramér-von Mises at each row, for numbers."""

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.detectors.online import Online


class CVMDriftOnline(Online):
    """Numbers alone: the order of a category's codes means nothing."""

    name = "cvm_online"

    def fits(self, column: Column, reference: Table, window: Table) -> bool:  # noqa: ARG002
        """Whether it is a number."""
        return column.kind == "number"
