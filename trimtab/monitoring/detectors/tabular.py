"""TabularDrift of Alibi Detect: Kolmogorov-Smirnov for numbers, chi-squared for categories, one p-value a column."""

from trimtab.monitoring.detectors.asking import Asking


class TabularDrift(Asking):
    """The tests that `Exact` makes, by Alibi itself."""

    name = "tabular"
