"""TabularDrift of Alibi Detect: Kolmogorov-Smirnov for numbers, chi-squared for categories, one p-value a column."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import ipc

from trimtab.errors import Unavailable
from trimtab.monitoring import worker
from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors.cage import Cage

TIMEOUT = 120.0


class TabularDrift:
    """Asks the detector worker, which runs in the environment of `python`; the two tables go to it as Arrow files."""

    def __init__(self, python: Path, timeout: float = TIMEOUT) -> None:
        self._cage = Cage([str(python), "-I", str(Path(worker.__file__))], timeout)

    @property
    def pid(self) -> int | None:
        """The worker's process id while it lives."""
        return self._cage.pid

    def test(self, columns: Sequence[Column], reference: Table, window: Table) -> dict[str, ColumnTest]:
        """Each column's p-value and statistic; raises Unavailable where the worker fails or takes more than the timeout."""
        if not columns:
            return {}
        with tempfile.TemporaryDirectory(prefix="trimtab-drift-") as folder:
            paths = [Path(folder) / "reference.arrow", Path(folder) / "window.arrow"]
            for path, table in zip(paths, (reference, window), strict=True):
                _write(path, columns, table)
            categories = [column.name for column in columns if column.kind == "category"]
            answer = self._cage.ask({"reference": str(paths[0]), "window": str(paths[1]), "categories": categories})
        found = answer.get("columns", {})
        if set(found) != {column.name for column in columns}:
            msg = f"the detector worker answered for {len(found)} of {len(columns)} columns"
            raise Unavailable(msg)
        return {name: ColumnTest(float(test["p"]), float(test["statistic"])) for name, test in found.items()}

    def close(self) -> None:
        """End the worker."""
        self._cage.close()


def _write(path: Path, columns: Sequence[Column], table: Table) -> None:
    arrays = {column.name: pa.array(table[column.name], from_pandas=True) for column in columns}
    content = pa.table(arrays)
    with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content)
