"""The Model: what a user declares once, and the little that Trimtab keeps beside it.

These Structs are the single source of the document's names, defaults and bounds; schemas are generated from them, and
`documents.py` turns what msgspec finds wrong into a sentence. Nothing here reads a file or a clock.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

from trimtab.units import Duration, MarginText, PersistenceText

API_VERSION = "trimtab.dev/v1alpha1"

Task = Literal["regression", "binary", "multiclass"]
Strategy = Literal["canary", "ab", "shadow", "direct"]
Name = Annotated[
    str,
    Meta(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", description="a name of at most 40 small letters, digits and hyphens"),
]
Column = Annotated[str, Meta(min_length=1, description="a column's name")]
Weight = Annotated[int, Meta(ge=1, le=99, description="a share of the traffic from 1 to 99 percent")]
BucketMs = Literal["50ms", "100ms", "250ms", "500ms", "1s", "1000ms", "2500ms"]


class Closed(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    """A part of the document in which a field that is not known is an error."""


class Data(Closed, frozen=True):
    """Where the rows are, and what their columns mean."""

    uri: Annotated[str, Meta(min_length=1, description="what DuckDB reads: a path, file://, s3://, gs:// or https://; Parquet or CSV")]
    label: Column
    time: Column | None = None
    key: Column | None = None
    exclude: tuple[Column, ...] = ()
    history: Duration | None = None
    label_delay: Duration = "0s"


class PipelineRef(Closed, frozen=True):
    """Which pipeline makes a version."""

    name: str = "tabular"
    version: str = "1.0.0"


class Budget(Closed, frozen=True):
    """How long a search may look."""

    trials: Annotated[int, Meta(ge=1, le=10_000)] = 1
    time: Duration = "5m"


class Search(Closed, frozen=True):
    """Which estimators a training run may try."""

    budget: Budget = Budget()
    estimators: tuple[Literal["xgboost", "random_forest", "linear"], ...] = ("xgboost",)


class Training(Closed, frozen=True):
    """How a version is made."""

    pipeline: PipelineRef = PipelineRef()
    runner: Literal["kfp", "job"] = "job"
    search: Search = Search()


class Gate(Closed, frozen=True):
    """One condition that a candidate must meet before anything of it is deployed."""

    metric: str
    slice: Column | None = None
    feature: Column | None = None
    min: float | None = None
    max: float | None = None
    not_worse_than: Literal["champion"] | None = None
    margin: MarginText | None = None


class Explainer(Closed, frozen=True):
    """Which explainer is deployed beside the predictor."""

    method: Literal["anchor", "kernel_shap", "tree_shap"] = "anchor"


class Serving(Closed, frozen=True):
    """How a version is served."""

    replicas: Annotated[int, Meta(ge=1, le=1000)] = 1
    gateway: str | None = None
    protocol: Literal["v1", "v2"] | None = None
    service_account: str | None = None
    resources: dict[str, Any] = {}
    template: dict[str, Any] = {}
    adopt: bool = False
    explainer: Explainer | None = None


class ErrorGuard(Closed, frozen=True):
    """How much larger the candidate's share of answers without a prediction may be."""

    margin: MarginText = "+0.01"


class SlowGuard(Closed, frozen=True):
    """How much larger the candidate's share of slow answers may be; the threshold is one of Envoy's buckets."""

    threshold: BucketMs = "250ms"
    margin: MarginText = "+0.02"


class Guard(Closed, frozen=True):
    """What a canary must not make worse."""

    errors: ErrorGuard = ErrorGuard()
    slow: SlowGuard = SlowGuard()


class QualityGuard(Closed, frozen=True):
    """How much larger than the champion's the candidate's mean loss on the same rows may be."""

    margin: MarginText = "x1.05"


class Bake(Closed, frozen=True):
    """How long, in data time, the previous champion is kept warm after a promotion."""

    duration: Duration = "48h"
    quality: QualityGuard = QualityGuard()


class Rollout(Closed, frozen=True):
    """How a candidate takes over the traffic."""

    strategy: Strategy = "canary"
    steps: tuple[Weight, ...] = (5, 25, 50)
    max_duration: Duration = "2h"
    harm_tolerance: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    guard: Guard = Guard()
    bake: Bake = Bake()


class Window(Closed, frozen=True):
    """When the monitor closes a window: after so many rows, or so much data time."""

    rows: Annotated[int, Meta(ge=20, le=1_000_000)] = 5000
    every: Duration | None = None


class Drift(Closed, frozen=True):
    """What counts as a moved distribution: significant, at least `effect` large, and persistent."""

    detector: Literal["tabular"] = "tabular"
    effect: Annotated[float, Meta(gt=0)] = 0.2
    persistence: PersistenceText = "2 of 5"


class Performance(Closed, frozen=True):
    """When an error on matured labels is too large: past the margin of the champion's own validation, or past `floor`."""

    margin: MarginText = "x1.1"
    floor: float | None = None


class Monitoring(Closed, frozen=True):
    """What the monitor looks at, and how sure it must be."""

    window: Window = Window()
    drift: Drift = Drift()
    performance: Performance = Performance()


class Breaker(Closed, frozen=True):
    """After so many failures in a row nothing is retrained by itself until `reset` has passed."""

    failures: Annotated[int, Meta(ge=1, le=100)] = 3
    reset: Duration = "7d"


RetrainOn = Literal["performance", "concept", "drift", "schedule", "newData"]


class Retraining(Closed, frozen=True):
    """What may ask for a new version by itself, and how often."""

    on: tuple[RetrainOn, ...] = ("performance", "concept")
    cooldown: Duration = "24h"
    max_per_day: Annotated[int, Meta(ge=1, le=1000)] = 2
    breaker: Breaker = Breaker()


class ModelSpec(Closed, frozen=True):
    """Everything a user says of a model."""

    task: Task
    data: Data
    training: Training = Training()
    gates: tuple[Gate, ...] = ()
    approval: Literal["automatic", "manual"] = "automatic"
    serving: Serving = Serving()
    rollout: Rollout = Rollout()
    monitoring: Monitoring = Monitoring()
    retraining: Retraining = Retraining()
    deletion_policy: Literal["Orphan", "Delete"] = "Orphan"


class Metadata(Struct, frozen=True, rename="camel", omit_defaults=True):
    """An object's name and what the platform adds to it; `resource_version` is what a compare-and-swap compares."""

    name: Name
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Version(Struct, frozen=True, rename="camel"):
    """A registered version: its number in the registry, and the SHA-256 of its manifest."""

    version: str
    digest: str


class Champion(Version, frozen=True, rename="camel", omit_defaults=True):
    """The version that serves; `generation` grows by one with each change and is what the champion lock compares."""

    generation: int = 1
    release: str = ""


class ModelStatus(Struct, frozen=True, rename="camel", omit_defaults=True):
    """What Trimtab knows of a Model: its champion (the only truth; alias and servers are projections) and the first cut."""

    champion: Champion | None = None
    previous: Champion | None = None
    first_cut: datetime | None = None
    breaker_since: datetime | None = None
    breaker_reset_at: datetime | None = None


class Model(Struct, frozen=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """The document, as a user writes it and as the platform keeps it."""

    api_version: Literal["trimtab.dev/v1alpha1"]
    kind: Literal["Model"]
    metadata: Metadata
    spec: ModelSpec
    status: ModelStatus = field(default_factory=ModelStatus)

    @property
    def name(self) -> str:
        """The Model's name; the served model, the registered model and the InferenceService carry it too."""
        return self.metadata.name


def recipe(spec: ModelSpec) -> str:
    """What a version is made by: a hash of task, data, training and gates.

    A Release whose recipe is no longer its Model's is superseded; any other edit applies in place.
    """
    made_by = (spec.task, spec.data, spec.training, spec.gates)
    return hashlib.sha256(msgspec.json.encode(made_by, order="sorted")).hexdigest()[:16]
