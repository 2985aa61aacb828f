"""What the generated examples promise of learners, measured: trees beat a line where they should, and care beats XGBoost's defaults.

Each learner is fitted on the months before a date and scored on the months after it, by ROC AUC. Run it as
`python -m tests.simulation.examples` for the table over five seeds.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xgboost as xgb
from msgspec import Struct
from msgspec.structs import replace
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trimtab.documents import read_model
from trimtab.schema import Schema
from trimtab.spec import ModelSpec
from trimtab.training.estimators.booster import feature_types
from trimtab.training.fit import derive
from trimtab.training.frame import matrix, targets
from trimtab.training.model import raw_frame
from trimtab.training.scores import roc_auc
from trimtab.units import duration

EXAMPLES = Path(__file__).parents[2] / "examples"
DEFAULT: dict[str, Any] = {"max_depth": 6, "eta": 0.3}
"""XGBoost's own defaults, which go with 100 rounds."""
CAREFUL: dict[str, Any] = {"max_depth": 4, "eta": 0.05, "min_child_weight": 5, "subsample": 0.7, "colsample_bytree": 0.7}
"""What a search finds soon, with 250 rounds."""


def loaded(name: str) -> Any:
    """The generator of the example `name`."""
    found = importlib.util.spec_from_file_location(f"generate_{name}", EXAMPLES / name / "generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


class Example(Struct, frozen=True):
    """The end of the months to learn from, and the ends of the later months to be scored on."""

    cut: str
    ends: tuple[str, ...]


WORLDS = {
    "fraud": Example("2024-07-01", ("2024-09-01", "2025-01-01")),
    "recommendation": Example("2024-04-01", ("2024-05-01", "2024-07-01")),
}
"""For each example the months in which only covariates move, and all months that come."""


class Split(Struct, frozen=True):
    """The rows to learn from and the later ones to score, with what a model of the former takes."""

    schema: Schema
    before: pa.Table
    after: pa.Table


def spec_of(name: str) -> ModelSpec:
    """The example's own document; the probabilities that its labels were drawn with are no feature."""
    spec = read_model(EXAMPLES / name / "model.yaml").spec
    return replace(spec, data=replace(spec.data, exclude=(*spec.data.exclude, "probability")))


def split(table: pa.Table, spec: ModelSpec, cut: str, end: str) -> Split:
    """The rows whose labels are known at `cut`, and those from `cut` to `end`."""
    time = table.column(str(spec.data.time)).to_numpy()
    known = np.datetime64(cut) - np.timedelta64(duration(spec.data.label_delay))
    before = table.filter(pa.array(time <= known))
    after = table.filter(pa.array((time > np.datetime64(cut)) & (time < np.datetime64(end))))
    return Split(derive(before, spec), before, after)


def _labels(schema: Schema, table: pa.Table) -> Any:
    return targets(schema.task, schema.classes, table.column(schema.label))


def trees(parts: Split, parameters: dict[str, Any], rounds: int, seed: int) -> float:
    """The ROC AUC of XGBoost with these parameters, fitted on exactly what the product fits on."""
    schema, kinds = parts.schema, feature_types(parts.schema)
    given = {"objective": "binary:logistic", "nthread": 1, "seed": seed, **parameters}
    before, after = (
        xgb.DMatrix(matrix(schema, rows), _labels(schema, rows), feature_types=kinds, enable_categorical=True)
        for rows in (parts.before, parts.after)
    )
    return roc_auc(_labels(schema, parts.after), xgb.train(given, before, rounds).predict(after))


def line(parts: Split) -> float:
    """The ROC AUC of a logistic regression over standardised numbers and one column for each level of a category."""
    schema = parts.schema
    names = {kind: [feature.name for feature in schema.features if feature.kind == kind] for kind in ("number", "category")}
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore")
    model = make_pipeline(
        make_column_transformer((numbers, names["number"]), (words, names["category"])), LogisticRegression(max_iter=1000)
    )
    model.fit(raw_frame(schema, parts.before), _labels(schema, parts.before))
    return roc_auc(_labels(schema, parts.after), model.predict_proba(raw_frame(schema, parts.after))[:, 1])


def best(parts: Split) -> float:
    """The ROC AUC of the probabilities that the labels were drawn with."""
    return roc_auc(_labels(parts.schema, parts.after), parts.after.column("probability").to_numpy())


def scores(parts: Split, seed: int) -> dict[str, float]:
    """The ROC AUC of everyone."""
    return {
        "truth": best(parts),
        "line": line(parts),
        "default": trees(parts, DEFAULT, 100, seed),
        "careful": trees(parts, CAREFUL, 250, seed),
    }


def main() -> None:
    """The table: means over the seeds, and in how many of them careful trees beat the defaults."""
    parser = argparse.ArgumentParser(description="Score learners on the generated examples' later months.")
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    print("| example | scored until | truth | line | default XGBoost | careful XGBoost | careful - default | better in |")
    print("|---|---|---|---|---|---|---|---|")
    for name, world in WORLDS.items():
        tables = [loaded(name).generate(60_000, seed, truth=True) for seed in seeds]
        for end in world.ends:
            found = [scores(split(table, spec_of(name), world.cut, end), seed) for seed, table in zip(seeds, tables, strict=True)]
            gains = np.array([one["careful"] - one["default"] for one in found])
            means = " | ".join(f"{np.mean([one[who] for one in found]):.3f}" for who in ("truth", "line", "default", "careful"))
            gain = f"{gains.mean():+.3f}, least {gains.min():+.3f}"
            print(f"| {name} | {end} | {means} | {gain} | {(gains > 0).sum()} of {len(gains)} |")


if __name__ == "__main__":
    main()
