"""The detector that each Model asks for, behind the same Protocol: what a monitor is given."""

from collections.abc import Sequence
from pathlib import Path

from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.detectors import DEFAULT, Detector
from trimtab.monitoring.detectors.asking import Asking, Worker
from trimtab.monitoring.detectors.chi2 import ChiSquareDrift
from trimtab.monitoring.detectors.classifier import ClassifierDrift
from trimtab.monitoring.detectors.cvm import CVMDrift
from trimtab.monitoring.detectors.cvm_online import CVMDriftOnline
from trimtab.monitoring.detectors.exact import Exact
from trimtab.monitoring.detectors.fet import FETDrift
from trimtab.monitoring.detectors.fet_online import FETDriftOnline
from trimtab.monitoring.detectors.ks import KSDrift
from trimtab.monitoring.detectors.tabular import TabularDrift
from trimtab.spec import Drift

ALIBI: tuple[type[Asking], ...] = (
    TabularDrift,
    KSDrift,
    ChiSquareDrift,
    FETDrift,
    CVMDrift,
    ClassifierDrift,
    CVMDriftOnline,
    FETDriftOnline,
)


class Chosen:
    """Every detector by its name in `monitoring.drift.detector`; the worker is started when one of Alibi's is first asked for."""

    def __init__(self, worker: Worker, folder: Path | None = None) -> None:
        self._worker = worker
        self.by_name: dict[str, Detector] = {"exact": Exact(), **{made.name: made(worker, folder) for made in ALIBI}}

    def test(self, columns: Sequence[Column], reference: Table, window: Table, drift: Drift = DEFAULT) -> dict[str, ColumnTest]:
        """Each column's p-value and statistic by the detector that `drift` names; raises Unavailable where it cannot answer."""
        return self.by_name[drift.detector].test(columns, reference, window, drift)

    def close(self) -> None:
        """End what the worker does."""
        self._worker.close()
