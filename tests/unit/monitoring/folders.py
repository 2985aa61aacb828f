"""Model folders written by hand, a fleet in memory, and events as a predictor would send them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.stats import chi2_contingency, ks_2samp

from trimtab.events import LABEL, REQUEST, RESPONSE, CloudEvent
from trimtab.explanation import ATTRIBUTIONS, EXPLAINED_AT, EXPLANATION, Attribution, Explanation
from trimtab.manifest import write_manifest
from trimtab.monitoring.columns import Column, Table
from trimtab.monitoring.deciding import ColumnTest
from trimtab.monitoring.ports import Watched, WatchedVersion
from trimtab.monitoring.store import Store
from trimtab.monitoring.writing import ROWS
from trimtab.schema import ANSWERS, HOLDOUT, METRICS, PREDICTION, REFERENCE, SCHEMA, VALIDATION, Feature, Metrics, Schema
from trimtab.spec import Model

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
FEATURES = (Feature("load", "number"), Feature("heat", "number"), Feature("site", "category", ("east", "north", "west")))
DETECTORS = Path(__file__).parents[3] / ".venv-detectors" / "bin" / "python"


def model(name: str = "demand", **monitoring: Any) -> Model:
    """A regression whose windows have 100 rows, a finding needs 2 of 3, labels take a day."""
    spec = {
        "task": "regression",
        "data": {"uri": "x.csv", "label": "y", "key": "id", "time": "at", "labelDelay": "24h"},
        "monitoring": {"window": {"rows": 100}, "drift": {"persistence": "2 of 3"}, **monitoring},
    }
    document = {"apiVersion": "trimtab.dev/v1alpha1", "kind": "Model", "metadata": {"name": name, "uid": "uid-1"}, "spec": spec}
    return msgspec.convert(document, Model)


def truth(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """What the model of these tests predicts: its error is noise of one unit."""
    return np.array([3.0 * row["load"] + (row["heat"] or 0.0) for row in rows])


def instances(
    generator: np.random.Generator, count: int, *, shift: float = 0.0, start: datetime = START, first: int = 0
) -> list[dict[str, Any]]:
    """Rows an hour apart with keys from `first` on; `shift` moves `load`, in standard deviations."""
    load = generator.normal(shift, 1.0, count)
    heat = generator.gamma(2.0, 1.0, count)
    site = generator.choice(["east", "north", "west"], count, p=[0.5, 0.3, 0.2])
    return [
        {"id": first + n, "at": (start + n * HOUR).isoformat(), "load": float(load[n]), "heat": float(heat[n]), "site": str(site[n])}
        for n in range(count)
    ]


def write_folder(folder: Path, seed: int = 7, rows: int = 2000, noise: float = 1.0) -> WatchedVersion:
    """A version's folder: 2,000 reference rows before START, of which the last 30% are the holdout with errors of `noise`."""
    generator = np.random.default_rng(seed)
    sample = instances(generator, rows, start=START - rows * HOUR)
    prediction = truth(sample)
    errors = generator.normal(0.0, noise, rows)
    held = [n >= rows * 0.7 for n in range(rows)]
    columns: dict[str, Any] = {name: [row[name] for row in sample] for name in sample[0]}
    columns |= {"y": prediction + errors, PREDICTION: prediction, HOLDOUT: held}
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / REFERENCE)
    squared = errors[held] ** 2
    metrics = Metrics({"rmse": float(np.sqrt(squared.mean()))}, "rmse", float(np.quantile(squared, 0.995)), rows, sum(held))
    (folder / METRICS).write_bytes(msgspec.json.encode(metrics))
    (folder / SCHEMA).write_bytes(msgspec.json.encode(Schema("regression", "y", FEATURES, key="id", time="at")))
    return WatchedVersion(folder.name, write_manifest(folder), folder)


def contributions(row: Mapping[str, Any]) -> dict[str, float]:
    """What the model of these tests rests on in a row: it is linear, so these are its Shapley values."""
    return {"load": 3.0 * row["load"], "heat": (row["heat"] or 0.0) - 2.0, "site": 0.0}


def write_more(folder: Path) -> None:
    """What a version of `write_folder` keeps besides: its hold-out's answers, with the inputs, and the attributions of its reference."""
    sample = pq.read_table(folder / REFERENCE)
    held = sample.filter(sample.column(HOLDOUT))
    pq.write_table(held.append_column(VALIDATION, held.column(PREDICTION)), folder / ANSWERS)
    found = [contributions(row) for row in sample.to_pylist()]
    columns: dict[str, Any] = {feature.name: [abs(row[feature.name]) for row in found] for feature in FEATURES}
    pq.write_table(pa.table({**columns, EXPLAINED_AT: sample.column("at")}), folder / ATTRIBUTIONS)
    total = sum(map(sum, columns.values()))
    shares = tuple(Attribution(name, sum(values) / total) for name, values in columns.items())
    (folder / EXPLANATION).write_bytes(msgspec.json.encode(Explanation("tree_shap", len(found), shares)))


class ScipyDetector:
    """The same tests as Alibi's TabularDrift, in this process: no seven seconds of imports for tests that are about something else."""

    def test(self, columns: Sequence[Column], reference: Table, window: Table, *_: object) -> dict[str, ColumnTest]:
        found = {}
        for column in columns:
            old, new = reference[column.name], window[column.name]
            if column.kind == "number":
                result = ks_2samp(old[~np.isnan(old)], new[~np.isnan(new)], mode="asymp")
                found[column.name] = ColumnTest(float(result.pvalue), float(result.statistic))
            else:
                values = np.union1d(old, new)
                result = chi2_contingency(np.array([[(side == value).sum() for value in values] for side in (old, new)]))
                found[column.name] = ColumnTest(float(result.pvalue), float(result.statistic))
        return found

    def close(self) -> None:
        pass


class MemoryFleet:
    """The watched models, as a test set them."""

    def __init__(self, *watched: Watched) -> None:
        self.models = list(watched)

    def watched(self) -> list[Watched]:
        return self.models


def row_counts(store: Store) -> dict[tuple[str, str], int]:
    """How many rows of each (model, version) were accepted."""
    return {(model, version): count for (model, version, what), count in store.tallies().items() if what == ROWS}


def asked(number: str | int, rows: Sequence[Mapping[str, Any]], version: str = "1", name: str = "demand") -> CloudEvent:
    return _inference(REQUEST, number, {"instances": list(rows)}, version, name)


def answered(number: str | int, predictions: Sequence[Any], version: str = "1", name: str = "demand") -> CloudEvent:
    return _inference(RESPONSE, number, {"predictions": list(predictions)}, version, name)


def _inference(kind: str, number: str | int, data: Any, version: str, name: str) -> CloudEvent:
    extensions = {"inferenceservicename": name, "namespace": "default", "trimtabversion": version}
    return CloudEvent(id=f"r{number}", source="/predictor", type=kind, time=NOW, data=data, extensions=extensions)


def told(key: str | int, value: Any, time: datetime, name: str = "demand", number: str = "") -> CloudEvent:
    data = {"model": name, "key": key, "value": value, "time": time.isoformat()}
    return CloudEvent(id=f"l{key}{number}", source="/labels", type=LABEL, time=NOW, data=data)


def served(rows: Sequence[Mapping[str, Any]], version: str = "1", first: int = 0) -> list[CloudEvent]:
    """Each row asked and answered by the model of these tests."""
    events = []
    for number, (row, prediction) in enumerate(zip(rows, truth(rows), strict=True), first):
        events += [asked(number, [row], version), answered(number, [float(prediction)], version)]
    return events


def labels_of(rows: Sequence[Mapping[str, Any]], generator: np.random.Generator, noise: float) -> list[CloudEvent]:
    """The rows' labels, known a day later, with errors of `noise`."""
    values = truth(rows) + generator.normal(0.0, noise, len(rows))
    return [told(row["id"], float(value), datetime.fromisoformat(row["at"]) + 24 * HOUR) for row, value in zip(rows, values, strict=True)]
