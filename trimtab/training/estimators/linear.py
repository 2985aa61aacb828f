"""A linear model as a scikit-learn pipeline: ridge regression, or logistic regression with the same penalty.

Numbers: a missing one becomes the median and says so in a column of its own; all are standardised. Categories: one column each, rare
ones together, and what training never saw counts as rare. The predictor runs the very same pipeline on raw values.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trimtab.schema import MODEL_FILES, Schema
from trimtab.spec import Task
from trimtab.training.estimators.base import Choice, Made, Number, Rows, Settings, Space, weights
from trimtab.training.model import raw_frame
from trimtab.training.skops_file import write_skops

if TYPE_CHECKING:
    import numpy as np

MOST_ROWS = 500_000
"""A line has few coefficients: of more rows than these it learns from a seeded sample of so many."""

_ITERATIONS = 300
_ANCHOR = 1e-3
_SPACE: Space = {"alpha": Number(0.01, 10_000, log=True), "rare": Choice((0.0, 0.002, 0.01, 0.05))}


class Linear:
    """Ridge or logistic regression."""

    format: Literal["xgboost", "skops"] = "skops"

    def defaults(self, task: Task) -> dict[str, Any]:  # noqa: ARG002
        """A slight penalty; categories below one row in a hundred are rare."""
        return {"alpha": 1.0, "rare": 0.01}

    def space(self, task: Task) -> Space:  # noqa: ARG002
        """The penalty, and below which share of the rows a category is rare."""
        return _SPACE

    def fit(self, rows: Rows, until: int, settings: Settings, seed: int) -> Made:
        """Fit on the rows before `until`."""
        import numpy as np
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.pipeline import Pipeline

        weight, labels = weights(rows, until, settings), rows.labels[:until]
        if until > MOST_ROWS:
            chosen = np.sort(np.random.default_rng(seed).choice(until, MOST_ROWS, replace=False))
            frame, labels = raw_frame(rows.schema, rows.table.take(chosen)), labels[chosen]
            weight = None if weight is None else weight[chosen]
        else:
            frame = rows.frame.iloc[:until]
        columns = _columns(rows.schema, settings["rare"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            design = columns.fit_transform(frame)
            model = _model(rows.schema, settings["alpha"], design, labels, weight)
        return Line(Pipeline([("columns", columns), ("model", model)]), rows)


class Line:
    """A fitted pipeline as `Made`."""

    def __init__(self, pipeline: Any, rows: Rows) -> None:
        """`rows` are those that it was fitted on."""
        self.decided: Settings = {}
        self._pipeline = pipeline
        self._rows = rows

    def predict(self, start: int, stop: int) -> "np.ndarray[Any, Any]":
        """Predictions for those rows."""
        import numpy as np

        frame, task = self._rows.frame.iloc[start:stop], self._rows.schema.task
        found = np.asarray(self._pipeline.predict(frame) if task == "regression" else self._pipeline.predict_proba(frame))
        return found[:, 1] if task == "binary" else found

    def save(self, folder: Path) -> None:
        """Write `model.skops`."""
        write_skops(self._pipeline, folder / MODEL_FILES["skops"])


def _columns(schema: Schema, rare: float) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [feature.name for feature in schema.features if feature.kind == "number"]
    categories = [feature.name for feature in schema.features if feature.kind == "category"]
    imputed = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=rare or None)
    parts = [("numbers", make_pipeline(imputed, StandardScaler()), numbers), ("categories", one_hot, categories)]
    return ColumnTransformer([part for part in parts if part[2]], sparse_threshold=1.0)


def _model(schema: Schema, alpha: float, design: Any, labels: Any, weight: Any) -> Any:
    """The fitted regression. Each class is also seen a thousandth of a time at the mean row, so that none is unknown to the model."""
    import numpy as np
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression, Ridge

    if schema.task == "regression":
        return Ridge(alpha).fit(design, labels, sample_weight=weight)
    classes = len(schema.classes)
    anchors = sparse.csr_matrix((classes, design.shape[1]))
    weight = np.ones(len(labels)) if weight is None else weight
    model = LogisticRegression(C=1 / alpha, max_iter=_ITERATIONS)
    together = sparse.vstack([sparse.csr_matrix(design), anchors], format="csr")
    seen, counted = np.concatenate([labels, np.arange(classes)]), np.concatenate([weight, np.full(classes, _ANCHOR)])
    return model.fit(together, seen.astype(int), sample_weight=counted)
