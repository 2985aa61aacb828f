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


class PipelineRef(Closed, frozen=True):
    """Which pipeline makes a version."""

    name: Word = "tabular"
    """The pipeline's name."""
    version: Word = "1.0.0"
    """The pipeline's version."""


class Budget(Closed, frozen=True):
    """How long a search may look."""

    trials: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """How many settings are tried."""
    time: Duration = "5m"
    """After how long no further trial is begun."""


class Search(Closed, frozen=True):
    """Which estimators a training run may try, and how long. Searching is coming: today xgboost is trained once, with its defaults."""

    budget: Budget = Budget()
    estimators: Annotated[tuple[Literal["xgboost", "random_forest", "linear"], ...], Meta(max_length=3)] = ("xgboost",)
    """Which kinds of estimator are tried; the best on the validation rows is kept."""


class Training(Closed, frozen=True):
    """How a version is made."""

    pipeline: PipelineRef = PipelineRef()
    runner: Literal["kfp", "job"] = "job"
    """What runs the pipeline on a cluster: Kubeflow Pipelines, or one Kubernetes Job that needs nothing beside it."""
    search: Search = Search()


class Gate(Closed, frozen=True):
    """One condition that a candidate must meet before anything of it is deployed: exactly one of min, max and notWorseThan."""

    metric: Word
    """What is measured on the hold-out rows, such as rmse, roc_auc or accuracy."""
    slice: Column | None = None
    """Measure it for each value of this column instead. Coming."""
    feature: Column | None = None
    """The feature that an attribution metric speaks of. Coming."""
    min: float | None = None
    """The metric must be at least this."""
    max: float | None = None
    """The metric must be at most this."""
    not_worse_than: Literal["champion"] | None = None
    """The metric must not be worse than the champion's on the same rows; passed where there is no champion."""
    margin: MarginText | None = None
    """How much worse than the champion is still good enough; only with notWorseThan."""
