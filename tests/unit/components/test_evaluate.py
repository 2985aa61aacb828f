"""What the KFP UI gets of an evaluation: numbers that are JSON, a ROC curve of few points, a confusion matrix, and two pages."""

import json
from pathlib import Path
from typing import Any

import pytest
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Markdown, Metrics, Model

from components import evaluate
from tests.unit.training.data import document, last, rows, spec, write
from tests.unit.training.twins import version
from trimtab.spec import Task
from trimtab.training import steps
from trimtab.training.frame import read_table


def shown(folder: Path, task: Task, found: list[dict[str, Any]]) -> dict[str, Any]:
    """The component's outputs for these rows."""
    given = spec(write(folder / "a.csv", found), task)
    assert steps.ingest(document(given), last().isoformat(), "", "", folder / "dataset") == "valid"
    version(read_table(folder / "dataset"), given, folder / "model")
    kinds = {
        "dataset": Dataset,
        "model": Model,
        "evaluation": Artifact,
        "metrics": Metrics,
        "classification": ClassificationMetrics,
        "report": Markdown,
        "page": HTML,
    }
    made = {name: kind(uri=str(folder / name)) for name, kind in kinds.items()}
    evaluate.python_func(document(given), "", "", "", 7, **made)
    return made


def test_a_binary_task_has_a_curve_and_a_matrix(tmp_path: Path) -> None:
    made = shown(tmp_path, "binary", [{**row, "amount": int(float(row["amount"]) > 20)} for row in rows()])
    told = json.loads(json.dumps(made["classification"].metadata, allow_nan=False))
    points = told["confidenceMetrics"]
    assert 3 <= len(points) <= 100
    assert {tuple(sorted(point)) for point in points} == {("confidenceThreshold", "falsePositiveRate", "recall")}
    assert (points[0]["recall"], points[-1]["recall"], points[-1]["falsePositiveRate"]) == (0.0, 1.0, 1.0)
    matrix = told["confusionMatrix"]
    assert [one["displayName"] for one in matrix["annotationSpecs"]] == ["0", "1"]
    assert sum(sum(row["row"]) for row in matrix["rows"]) == 80
    assert json.loads(json.dumps(made["metrics"].metadata, allow_nan=False))["roc_auc"] > 0.9


@pytest.mark.parametrize("kind", ["report", "page"])
def test_a_regression_has_pages_and_no_curve(tmp_path: Path, kind: str) -> None:
    made = shown(tmp_path, "regression", rows())
    assert made["classification"].metadata == {}
    assert sorted(made["metrics"].metadata) == ["mae", "mape", "r2", "rmse"]
    text = Path(made[kind].path).read_text()
    assert text.startswith("# Evaluation" if kind == "report" else "<!doctype html>")
    assert "rmse better than a model without features" in text
