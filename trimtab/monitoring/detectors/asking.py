"""How the detector worker is asked, whichever of Alibi's detectors is meant: two Arrow files, one request, one answer."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from trimtab import locked
from trimtab.cage import Cage
from trimtab.errors import Unavailable
from trimtab.monitoring import worker
from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.dependence import Law
from trimtab.monitoring.detectors import DEFAULT
from trimtab.monitoring.detectors.exact import Exact
from trimtab.monitoring.detectors.neighbour import Neighbour
from trimtab.spec import Drift

TIMEOUT = 120.0
_GRACE = 15.0


class Worker(Protocol):
    """Who runs Alibi: a child process or a container beside this one."""

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer; raises Unavailable where there is none."""

    def close(self) -> None:
        """End what is under way."""


class Asking:
    """A detector of Alibi Detect: asks the worker for the columns that it fits, and tests the others by `Exact`.

    The tables go to the worker as Arrow files in `folder` (None: where temporary files are).
    """

    name = ""
    laws: Mapping[str, Law] = MappingProxyType({})
    """What the statistic of a kind of column follows, where it is not Kolmogorov's law or chi-square's."""

    def __init__(self, asked: Worker, folder: Path | None = None) -> None:
        self._worker = asked
        self._folder = folder
        self._others = Exact()

    def test(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift = DEFAULT) -> dict[str, ColumnTest]:
        """Each column's p-value and statistic; raises Unavailable where the worker fails or takes more than the timeout."""
        ours = [column for column in columns if self.fits(column, reference, window)]
        named = {column.name for column in ours}
        found = self._others.test([column for column in columns if column.name not in named], reference, window, drift)
        return found | (self.asked(ours, reference, window, drift) if ours else {})

    def close(self) -> None:
        """End what the worker does."""
        self._worker.close()

    def fits(self, column: Column, reference: Table, window: Table) -> bool:  # noqa: ARG002
        """Whether the detector is made for such a column."""
        return True

    def asked(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift) -> dict[str, ColumnTest]:  # noqa: ARG002
        """What the worker says of the columns that fit."""
        return self.ask(columns, reference, window, {})[0]

    def ask(self, columns: Sequence[Column], reference: Table, window: Table, options: dict[str, Any]) -> tuple[dict[str, ColumnTest], Any]:
        """One request: a test a column, and what the worker wants to be told again with the next."""
        categories = [column.name for column in columns if column.kind == "category"]
        request = {"detector": self.name, "categories": categories, "options": options}
        try:
            with tempfile.TemporaryDirectory(prefix="trimtab-drift-", dir=self._folder) as folder:
                for side, table in (("reference", reference), ("window", window)):
                    request[side] = str(Path(folder) / f"{side}.arrow")
                    _write(Path(folder) / f"{side}.arrow", columns, table)
                answer = self._worker.ask(request)
        except OSError as error:
            msg = f"the tables for the detector worker cannot be written: {error}"
            raise Unavailable(msg) from error
        found = answer.get("columns", {})
        if set(found) != {column.name for column in columns}:
            msg = f"the detector worker answered for {len(found)} of {len(columns)} columns"
            raise Unavailable(msg)
        laws = {column.name: self.laws.get(column.kind) for column in columns}
        return {name: ColumnTest(**test, law=laws[name]) for name, test in found.items()}, answer.get("kept")


def is_binary(column: Column, reference: Table, window: Table) -> bool:
    """Whether the column has just two values, both of them in the reference."""
    values, others = (np.unique(side[column.name]) for side in (reference, window))
    values, others = values[~np.isnan(values)], others[~np.isnan(others)]
    return len(values) == 2 and bool(np.isin(others, values).all())


def as_ones(columns: Sequence[Column], reference: Table, window: Table) -> tuple[Table, Table]:
    """Binary columns as 0 for the smaller value and 1 for the larger; NaN stays."""
    left, right = {}, {}
    for column in columns:
        old, new = reference[column.name], window[column.name]
        low = np.nanmin(old)
        left[column.name] = np.where(np.isnan(old), np.nan, (old > low).astype(float))
        right[column.name] = np.where(np.isnan(new), np.nan, (new > low).astype(float))
    return left, right


def caged(python: Path, timeout: float = TIMEOUT) -> Cage:
    """The worker as a child process in the environment of `python`."""
    return Cage("the detector worker", [str(python), "-I", locked.__file__, worker.__file__], timeout)


def beside(path: Path, timeout: float = TIMEOUT + _GRACE) -> Neighbour:
    """The worker that listens on the Unix socket `path`; it ends a test by itself after 120 s."""
    return Neighbour(path, timeout)


def _write(path: Path, columns: Sequence[Column], table: Table) -> None:
    arrays = {column.name: pa.array(table[column.name], from_pandas=True) for column in columns}
    longest = max(len(array) for array in arrays.values())
    content = pa.table({name: pa.concat_arrays([array, pa.nulls(longest - len(array), pa.float64())]) for name, array in arrays.items()})
    with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content)
