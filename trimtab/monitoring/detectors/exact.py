"""Kolmogorov-Smirnov for numbers and chi-squared for categories in this process: the p-values of Alibi's TabularDrift, much cheaper.

Nothing is approximated by bins or sketches. A stream is counted at the reference's own values, where alone the reference's distribution
function jumps: between two of them the window's function only rises, so the largest difference is at their sides. Counts add up, so
rows may come in any parts and are not kept.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2_contingency

from trimtab.errors import Unavailable
from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors import DEFAULT
from trimtab.monitoring.detectors.kolmogorov import p_value
from trimtab.monitoring.ordered import Counts, Ordered, ordered
from trimtab.spec import Drift


class Exact:
    """Tests by the distribution functions themselves; a reference is sorted once for as long as it is used."""

    def test(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift = DEFAULT) -> dict[str, ColumnTest]:  # noqa: ARG002
        """Each column's p-value and statistic; raises Unavailable where a column has no values on one side."""
        stream = Stream(columns, reference)
        stream.add(window)
        return stream.tests()

    def close(self) -> None:
        """Nothing was started."""


class Stream:
    """Rows that are tested against a reference as they come: memory is that of the reference, however many come."""

    def __init__(self, columns: Sequence[Column], reference: Table) -> None:
        self._seen: dict[str, _Numbers | _Categories] = {
            column.name: (_Numbers if column.kind == "number" else _Categories)(column.name, ordered(reference[column.name]))
            for column in columns
        }

    def add(self, rows: Table) -> None:
        """Count further rows."""
        for name, seen in self._seen.items():
            seen.add(ordered(rows[name]))

    def tests(self) -> dict[str, ColumnTest]:
        """Each column's p-value and statistic over all rows so far; raises Unavailable where a column has no values on one side."""
        return {name: seen.test() for name, seen in self._seen.items()}


class _Numbers:
    """How many of a stream's numbers are below each of the reference's values, and how many are at most that."""

    def __init__(self, name: str, reference: Ordered) -> None:
        self._name = name
        self._reference = reference
        self._below: Counts | int = 0
        self._upto: Counts | int = 0
        self._count = 0

    def add(self, part: Ordered) -> None:
        if not len(part):
            return
        values = self._reference.steps.values
        upto = np.searchsorted(part.values, values, side="right")
        equal = part.values[np.maximum(upto - 1, 0)] == values
        self._below = self._below + (np.searchsorted(part.values, values, side="left") if equal.any() else upto)
        self._upto = self._upto + upto
        self._count += len(part)

    def test(self) -> ColumnTest:
        rows = len(self._reference)
        _check_counts(self._name, rows, self._count)
        steps = self._reference.steps
        after = steps.upto / rows - self._upto / self._count
        before = steps.below / rows - self._below / self._count
        statistic = max(float(np.abs(after).max()), float(np.abs(before).max()))
        return ColumnTest(p_value(statistic, rows, self._count), statistic)


class _Categories:
    """How often a stream has each value."""

    def __init__(self, name: str, reference: Ordered) -> None:
        self._name = name
        self._reference = reference
        self._counts: dict[float, int] = {}

    def add(self, part: Ordered) -> None:
        for value, count in _counts(part).items():
            self._counts[value] = self._counts.get(value, 0) + count

    def test(self) -> ColumnTest:
        _check_counts(self._name, len(self._reference), sum(self._counts.values()))
        old = _counts(self._reference)
        values = sorted({*old, *self._counts})
        found = chi2_contingency(np.array([[side.get(value, 0) for value in values] for side in (old, self._counts)]))
        return ColumnTest(float(found.pvalue), float(found.statistic))


def _counts(values: Ordered) -> dict[float, int]:
    steps = values.steps
    return dict(zip(steps.values.tolist(), (steps.upto - steps.below).tolist(), strict=True))


def _check_counts(name: str, rows: int, others: int) -> None:
    if not rows or not others:
        msg = f"the column {name!r} has no values in the {'window' if rows else 'reference'}"
        raise Unavailable(msg)
