"""KSDrift of Alibi Detect: Kolmogorov-Smirnov, for numbers."""

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.detectors.asking import Asking


class KSDrift(Asking):
    """Numbers alone: the order of a category's codes means nothing."""

    name = "ks"

    def fits(self, column: Column, reference: Table, window: Table) -> bool:  # noqa: ARG002
        """Whether it is a number."""
        return column.kind == "number"
