"""What the simulation holds beside the monitor: the tests themselves, other tools' verdicts, and a block bootstrap of the reference."""

from collections.abc import Sequence

import numpy as np
from scipy.special import chdtrc, kolmogorov

from trimtab.monitoring.columns import Column, Floats, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.reference import Length, Reference

ALIBI, PSI = "Alibi TabularDrift, 0.05", "PSI > 0.2, any column"
EVIDENTLY, EVIDENTLY_ANY = "Evidently's default, dataset", "Evidently's default, any column"
RESAMPLES = 200
_MEAN_OF_KOLMOGOROV = float(np.sqrt(np.pi / 2) * np.log(2))
_BINS = np.linspace(0, 1, 51)[1:-1]


class Sorted:
    """Kolmogorov-Smirnov and chi-square of windows against one reference that is sorted once; the p-values are the asymptotic ones."""

    def __init__(self, reference: Table) -> None:
        self.reference = {name: np.sort(values) for name, values in reference.items()}
        self.tenths = {name: values[np.arange(1, 10) * len(values) // 10] for name, values in self.reference.items()}
        self.deviations = {name: float(values.std()) for name, values in self.reference.items()}

    def test(self, columns: Sequence[Column], reference: Table, window: Table, *_: object) -> dict[str, ColumnTest]:
        """Each column's p-value and statistic."""
        del reference
        return {column.name: self._one(column, self.reference[column.name], np.sort(window[column.name])) for column in columns}

    def _one(self, column: Column, old: Floats, new: Floats) -> ColumnTest:
        n, m = len(old), len(new)
        if column.kind == "number":
            after = np.arange(1, m + 1) / m
            low, high = np.searchsorted(old, new, side="left") / n, np.searchsorted(old, new, side="right") / n
            distance = float(max(np.max(after - low), np.max(high - after + 1 / m)))
            return ColumnTest(float(kolmogorov(distance * np.sqrt(n * m / (n + m)))), distance)
        counts = _counts(old, new)
        expected = counts.sum(axis=0) * np.array([[n], [m]]) / (n + m)
        statistic = float(((counts - expected) ** 2 / expected).sum())
        return ColumnTest(float(chdtrc(counts.shape[1] - 1, statistic)), statistic)


def _counts(old: Floats, new: Floats) -> Floats:
    width = int(max(old[-1], new[-1])) + 1
    counts = np.array([np.bincount(side.astype(int), minlength=width) for side in (old, new)], dtype=float)
    return np.asarray(counts[:, counts.sum(axis=0) > 0])


def alarms(columns: Sequence[Column], tests: dict[str, ColumnTest], ordered: Sorted, window: Table) -> dict[str, bool]:
    """Each tool's verdict on the window, as it gives it by default.

    Alibi: any p-value below 0.05 over the number of columns. PSI: over the reference's tenths (or categories). Evidently with more than
    1,000 rows: Wasserstein-1 over the reference's deviation, or Jensen-Shannon's distance of a category, at least 0.1; the
    dataset drifted where half of the columns did.
    """
    psi, moved = [], []
    for column in columns:
        old, new = ordered.reference[column.name], np.sort(window[column.name])
        if column.kind == "number":
            edges = np.searchsorted(new, ordered.tenths[column.name])
            psi.append(_psi(np.full(10, 0.1), np.diff(np.concatenate([[0], edges, [len(new)]])) / len(new)))
            moved.append(_wasserstein(old, new) / ordered.deviations[column.name] >= 0.1)
        else:
            shares = _counts(old, new)
            first, second = shares / shares.sum(axis=1, keepdims=True)
            psi.append(_psi(first, second))
            moved.append(_jensen_shannon(first, second) >= 0.1)
    least = min(test.p for test in tests.values())
    return {
        ALIBI: least < 0.05 / len(columns),
        PSI: max(psi) > 0.2,
        EVIDENTLY: float(np.mean(moved)) >= 0.5,
        EVIDENTLY_ANY: any(moved),
    }


def _psi(first: Floats, second: Floats) -> float:
    first, second = np.maximum(first, 1e-4), np.maximum(second, 1e-4)
    return float(((second - first) * np.log(second / first)).sum())


def _jensen_shannon(first: Floats, second: Floats) -> float:
    middle = (first + second) / 2
    parts = [np.where(side > 0, side * np.log(np.maximum(side, 1e-300) / middle), 0.0).sum() for side in (first, second)]
    return float(np.sqrt(max(0.0, sum(parts) / 2)))


def _wasserstein(old: Floats, new: Floats) -> float:
    """Wasserstein-1 of two sorted samples, exactly, where one's size is a multiple of the other's."""
    if len(old) >= len(new):
        return float(np.abs(old - np.repeat(new, len(old) // len(new))).mean())
    return float(np.abs(new - np.repeat(old, len(new) // len(old))).mean())


class Bootstrap:
    """A block bootstrap of a reference: 200 pairs of a window out of one block and a reference of blocks, all drawn anew.

    Its own p-values end at 1 in 201, so they are carried on by the law of the statistic, scaled to the mean of the resampled statistics.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._scales: dict[tuple[str, int, Length], float] = {}

    def weigh(self, columns: Sequence[Column], tests: dict[str, ColumnTest], rows: int, lasted: Length) -> dict[str, ColumnTest]:
        """The tests with the p-values that the bootstrap gives."""
        found = {}
        for column in columns:
            key = (column.name, rows, lasted)
            if key not in self._scales:
                self._scales[key] = self._scale(column, rows, lasted)
            test = tests[column.name]
            if column.kind == "number":
                p = float(kolmogorov(test.statistic / self._scales[key]))
            else:
                p = float(chdtrc(len(np.unique(self._reference.table[column.name])) - 1, test.statistic / self._scales[key]))
            found[column.name] = ColumnTest(test.p, test.statistic, adjusted=p)
        return found

    def _scale(self, column: Column, rows: int, lasted: Length) -> float:
        values, ids = self._reference.table[column.name], self._reference.blocks(lasted)
        draw = np.random.default_rng(17)
        number = column.kind == "number"
        places = np.searchsorted(np.quantile(values, _BINS), values) if number else values.astype(int)
        width = int(places.max()) + 1
        counts = np.bincount(ids * width + places, minlength=(int(ids.max()) + 1) * width).reshape(-1, width).astype(float)
        shares = counts / counts.sum(axis=1, keepdims=True)
        window = draw.multinomial(rows, shares[draw.integers(len(shares), size=RESAMPLES)]) / rows
        redrawn = draw.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES) @ counts
        total = redrawn.sum(axis=1, keepdims=True)
        other = redrawn / total
        if number:
            return float(np.abs(np.cumsum(window - other, axis=1)).max(axis=1).mean() / _MEAN_OF_KOLMOGOROV)
        pooled = (window * rows + redrawn) / (rows + total)
        parts = ((window - other) ** 2 / pooled).sum(axis=1) / (1 / rows + 1 / len(values))
        return float(parts.mean() / (width - 1))
