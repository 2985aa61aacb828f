"""What a version is made from: task, data, training and gates, the parts of a Model document that its recipe is the hash of.

The sentence below a field is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from trimtab.units import Duration, MarginText

Task = Literal["regression", "binary", "multiclass"]
Column = Annotated[str, Meta(min_length=1, max_length=256, description="a column's name")]
Word = Annotated[str, Meta(min_length=1, max_length=128)]


class Closed(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A part of the document in which a field that is not known is an error."""


class Expectation(Closed, frozen=True):
    """What a column must be like. What is left out here is taken from the champion's own rows, if there is a champion."""

    column: Column
    """The column's name."""
    type: Literal["number", "category"] | None = None
    """Whether it holds numbers, or a few different texts."""
    min: float | None = None
    """No value may be less."""
    max: float | None = None
    """No value may be more."""
    values: Annotated[tuple[Word, ...], Meta(max_length=1000)] = ()
    """The categories that may occur; any where none are given."""
    nulls: Annotated[float, Meta(ge=0, le=1)] | None = None
    """The greatest share of rows in which it may be missing."""
    available: bool = True
    """Whether it is known when a prediction is asked for; a column that is not must never be a feature."""


class Data(Closed, frozen=True):
    """Where the rows are, and what their columns mean."""

    uri: Annotated[
        str,
        Meta(min_length=1, max_length=2048, description="what DuckDB reads: a path, file://, s3://, gs:// or https://; Parquet or CSV"),
    ]
    """Where the rows are. A run reads it anew each time."""
    label: Column
    """What is to be predicted."""
    time: Column | None = None
    """When the row came to be (event time). It rules windows, cuts and the hold-out, which is later than the training rows."""
    key: Column | None = None
    """What joins a label that arrives later to its prediction."""
    exclude: Annotated[tuple[Column, ...], Meta(max_length=1000)] = ()
    """Columns that are never features: identifiers, and what is known only after the label is."""
    history: Duration | None = None
    """How far back from its cut a training run reads; all rows where it is left out."""
    label_delay: Duration = "0s"
    """How long after its row a label is known: what is younger is neither trained on nor held against a prediction."""
    expect: Annotated[tuple[Expectation, ...], Meta(max_length=500)] = ()
    """What columns must be like; a run whose rows are otherwise ends before anything is trained."""


class PipelineRef(Closed, frozen=True):
    """Which pipeline makes a version: one version of it, or whatever is newest on a channel."""

    name: Word = "tabular"
    """The pipeline's name; tabular comes with Trimtab."""
    version: Word | None = None
    """The pipeline's version, by Semantic Versioning; 1.0.0 where neither version nor channel is given."""
    channel: Literal["stable", "latest"] | None = None
    """The newest version without a prerelease part (stable), or the newest of all (latest): it is tried and rolled out by itself."""


class Budget(Closed, frozen=True):
    """How long a search may look."""

    trials: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """How many settings are tried, in all; the first are sound defaults and the champion's own settings."""
    time: Duration = "5m"
    """After how long no further trial is begun."""


Estimator = Literal["xgboost", "random_forest", "linear"]


class Search(Closed, frozen=True):
    """Which estimators a training run may try, and how long."""

    budget: Budget = Budget()
    estimators: Annotated[tuple[Estimator, ...], Meta(min_length=1, max_length=3)] = ("xgboost", "random_forest", "linear")
    """Which kinds of estimator are tried; the best on forward folds of the training rows is kept."""
    parallel: Annotated[int, Meta(ge=1, le=64)] = 1
    """Over how many tasks the trials are spread: pods on Kubeflow Pipelines, elsewhere two processes at most."""


class Training(Closed, frozen=True):
    """How a version is made and judged."""

    pipeline: PipelineRef = PipelineRef()
    runner: Literal["kfp", "job"] = "job"
    """What runs the pipeline on a cluster: Kubeflow Pipelines, or one Kubernetes Job that needs nothing beside it."""
    search: Search = Search()
    evaluation: Literal["holdout", "rolling"] | None = None
    """How the newest fifth of the rows is predicted: by one model made before all of it, or by three, each made before a third of it.

    By default rolling where a performance or concept finding asked for the Release, else holdout.
    """
    refit: bool = True
    """Whether the version that serves is fitted once more, on all rows; its gates judge the twin that was not."""
    slices: Annotated[tuple[Column, ...], Meta(max_length=20)] = ()
    """Columns by whose values the evaluation is told apart, besides the worst slices that it finds itself."""
    sensitive: Annotated[tuple[Column, ...], Meta(max_length=20)] = ()
    """Columns by whose values the fairness of predictions is told."""


class Gate(Closed, frozen=True):
    """One condition that a candidate must meet before anything of it is deployed: exactly one of min, max and notWorseThan."""

    metric: Word
    """What is measured on the hold-out rows. Any task: attribution_share, shuffled_loss, spurious_share, noise_loss, missing_loss,
    slice_loss. A regression: rmse, mae, mape, r2, residual_difference. A classification: log_loss, brier, ece, calibration_slope, accuracy,
    demographic_parity, equal_opportunity, disparate_impact; binary also roc_auc, pr_auc, precision, recall, f1; multiclass also
    macro_precision, macro_recall, macro_f1.
    """
    slice: Column | None = None
    """Measure it for each value of this column that has 50 rows, and take the worst; for a fairness metric, the attribute."""
    feature: Column | None = None
    """The feature that attribution_share or shuffled_loss speaks of; the worst where it is left out."""
    min: float | None = None
    """The metric must be at least this."""
    max: float | None = None
    """The metric must be at most this."""
    not_worse_than: Literal["champion"] | None = None
    """The metric must not be worse than the champion's on the same rows, with 95% certainty; passed where there is no champion."""
    margin: MarginText | None = None
    """How much worse than the champion is still good enough; only with notWorseThan."""
