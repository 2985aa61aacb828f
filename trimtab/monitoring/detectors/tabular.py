"""TabularDrift of Alibi Detect: Kolmogorov-Smirnov for numbers, chi-squared for categories, one p-value a column."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pyarrow import ipc

from trimtab import locked
from trimtab.cage import Cage
from trimtab.errors import Unavailable
from trimtab.monitoring import worker
from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors.neighbour import Neighbour

TIMEOUT = 120.0
_GRACE = 15.0


class Worker(Protocol):
    """Who runs Alibi: a child process or a container beside this one."""

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The worker's answer; raises Unavailable where there is none."""

    def close(self) -> None:
        """End what is under way."""


class TabularDrift:
    """Asks the detector worker; the two tables go to it as Arrow files in `folder` (None: where temporary files are)."""

    def __init__(self, asked: Worker, folder: Path | None = None) -> None:
        self._worker = asked
        self._folder = folder

    def test(self, columns: Sequence[Column], reference: Table, window: Table) -> dict[str, ColumnTest]:
        """Each column's p-value and statistic; raises Unavailable where the worker fails or takes more than the timeout."""
        if not columns:
            return {}
        categories = [column.name for column in columns if column.kind == "category"]
        try:
            with tempfile.TemporaryDirectory(prefix="trimtab-drift-", dir=self._folder) as folder:
                paths = [Path(folder) / "reference.arrow", Path(folder) / "window.arrow"]
                for path, table in zip(paths, (reference, window), strict=True):
                    _write(path, columns, table)
                answer = self._worker.ask({"reference": str(paths[0]), "window": str(paths[1]), "categories": categories})
        except OSError as error:
            msg = f"the tables for the detector worker cannot be written: {error}"
            raise Unavailable(msg) from error
        found = answer.get("columns", {})
        if set(found) != {column.name for column in columns}:
            msg = f"the detector worker answered for {len(found)} of {len(columns)} columns"
            raise Unavailable(msg)
        return {name: ColumnTest(float(test["p"]), float(test["statistic"])) for name, test in found.items()}

    def close(self) -> None:
        """End what the worker does."""
        self._worker.close()


def caged(python: Path, timeout: float = TIMEOUT) -> Cage:
    """The worker as a child process in the environment of `python`."""
    return Cage("the detector worker", [str(python), "-I", locked.__file__, worker.__file__], timeout)


def beside(path: Path, timeout: float = TIMEOUT + _GRACE) -> Neighbour:
    """The worker that listens on the Unix socket `path`; it ends a test by itself after 120 s."""
    return Neighbour(path, timeout)


def _write(path: Path, columns: Sequence[Column], table: Table) -> None:
    arrays = {column.name: pa.array(table[column.name], from_pandas=True) for column in columns}
    content = pa.table(arrays)
    with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content)
